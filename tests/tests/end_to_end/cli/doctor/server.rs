//! Checks 5 and 6: the server, and revocations that wait for it.

use std::time::{Duration, SystemTime};

use serde_json::json;
use vault_tests::server::{Endpoint, Fault, Reply};

use super::bench::{Bench, Row};
use crate::cli::http::{PrivateIssuer, import};

pub(super) const ROWS: &[Row] = &[
    Row {
        code: "VD501",
        what: "the server is down",
        act: |bench| {
            bench.server.stop_listening();
            bench.finds("VD501");
            bench.server.listen_again();
        },
    },
    Row {
        code: "VD502",
        what: "the authority that vouches for the server is unknown",
        act: |bench| {
            let home = bench.sandbox.home();
            let (server, root) = PrivateIssuer::start(&home);
            let log_in = |root: &std::path::Path| {
                let done = import(&bench.sandbox, &server.issuer, root, &[]);
                assert_eq!(done.code(), Some(0), "{done:?}");
            };
            log_in(&root);
            bench.is_healthy();
            let other = server.change_authority(&home);
            let hint = bench.finds("VD502");
            assert!(
                hint.contains("log in again with `--ca-cert FILE`"),
                "{hint}"
            );
            log_in(&other);
        },
    },
    Row {
        code: "VD503",
        what: "the server calls itself otherwise",
        act: |bench| {
            metadata(bench, "issuer", json!("https://evil.example"));
            bench.finds("VD503");
            bench
                .server
                .configure(|config| config.metadata_changes.clear());
        },
    },
    Row {
        code: "VD504",
        what: "a captive portal answers",
        act: |bench| {
            description(bench, &Fault::Instead(Reply::html(200, "Welcome")));
            bench.finds("VD504");
            undo(bench);
        },
    },
    Row {
        code: "VD505",
        what: "the server is busy",
        act: |bench| {
            description(bench, &Fault::unavailable(60));
            bench.finds("VD505");
            undo(bench);
        },
    },
    Row {
        code: "VD506",
        what: "the server wants tokens over an open line",
        act: |bench| {
            metadata(bench, "token_endpoint", json!("http://login.example/token"));
            bench.finds("VD506");
            bench
                .server
                .configure(|config| config.metadata_changes.clear());
        },
    },
    Row {
        code: "VD507",
        what: "the clocks are an hour apart",
        act: |bench| {
            for hour in [Ok(3600), Err(3600)] {
                let now = SystemTime::now();
                let (then, word) = match hour {
                    Ok(ahead) => (now + Duration::from_secs(ahead), "behind"),
                    Err(behind) => (now - Duration::from_secs(behind), "ahead of"),
                };
                let answer = Reply::json(200, &json!({ "sub": "alice" }))
                    .header("Date", &httpdate::fmt_http_date(then));
                bench
                    .server
                    .fail_always(Endpoint::UserInfo, Fault::ReplaceAnswer(answer));
                let hint = bench.finds("VD507");
                assert!(hint.contains("set this machine's clock"), "{hint}");
                let text = bench.run(&["doctor"]).stdout;
                assert!(text.contains(&format!(" s {word} the server's")), "{text}");
            }
            bench.server.clear_faults(Endpoint::UserInfo);
        },
    },
    Row {
        code: "VD601",
        what: "a logout could not reach the server",
        act: |bench| {
            bench.server.stop_listening();
            assert_eq!(bench.run(&["logout"]).code(), Some(0));
            let hint = bench.finds("VD601");
            assert!(hint.contains("doctor"), "{hint}");
            bench.server.listen_again();
            // The doctor itself makes it good.
        },
    },
];

fn metadata(bench: &Bench, member: &str, value: serde_json::Value) {
    let changes = vec![(member.to_owned(), value)];
    bench
        .server
        .configure(|config| config.metadata_changes = changes);
}

const DESCRIPTIONS: [Endpoint; 2] = [Endpoint::OAuthMetadata, Endpoint::OpenIdMetadata];

fn description(bench: &Bench, fault: &Fault) {
    for endpoint in DESCRIPTIONS {
        bench.server.fail_always(endpoint, fault.clone());
    }
}

fn undo(bench: &Bench) {
    for endpoint in DESCRIPTIONS {
        bench.server.clear_faults(endpoint);
    }
}
