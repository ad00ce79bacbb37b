//! Check 7: what servers say of the tokens.

use vault_tests::server::{Endpoint, Fault};

use super::bench::{Bench, Row};

pub(super) const ROWS: &[Row] = &[
    Row {
        code: "VD701",
        what: "the server has refused the refresh token",
        act: |bench| {
            revoke(bench);
            assert_eq!(bench.refresh().code(), Some(3));
            let spent = bench.server.counts().refresh_requests;
            bench.finds("VD701");
            assert_eq!(bench.server.counts().refresh_requests, spent);
            bench.log_in();
        },
    },
    Row {
        code: "VD702",
        what: "the answer was lost, and the server is strict",
        act: |bench| {
            let strict = ["--rotation", "strict"];
            bench.sandbox.log_in_with(&bench.server, &strict);
            // The request is lost: that the server never acted, nobody knows.
            bench.refresh_with(1, Fault::Drop);
            let hint = bench.finds("VD702");
            let login = "log in again with `vault-cli login --issuer URL --client-id ID`";
            assert_eq!(hint, login);
            // A token is not sent twice, whoever asks, and nobody is told that it would be.
            let spent = bench.server.counts().refresh_requests;
            let insisted = bench.refresh();
            assert_eq!(insisted.code(), Some(3), "{insisted:?}");
            let answer = insisted.json();
            let error = &answer["error"];
            assert_eq!(error["code"], "rotation_unconfirmed", "{insisted:?}");
            assert_eq!(error["hint"], login, "{insisted:?}");
            assert_eq!(bench.server.counts().refresh_requests, spent);
            bench.log_in();
        },
    },
    Row {
        code: "VD703",
        what: "the answer was lost, and may be asked for again",
        act: |bench| {
            bench
                .sandbox
                .log_in_with(&bench.server, &["--rotation", "60s"]);
            bench.refresh_with(2, Fault::LoseAnswer);
            bench.finds_and_follows("VD703");
        },
    },
    Row {
        code: "VD704",
        what: "the server was busy, and is left alone",
        act: |bench| {
            bench.refresh_with(1, Fault::unavailable(60));
            let hint = bench.finds("VD704");
            assert!(hint.starts_with("wait, or `vault-cli refresh"), "{hint}");
            bench.finds_and_follows("VD704");
        },
    },
    Row {
        code: "VD705",
        what: "the server refuses the client",
        act: |bench| {
            bench.refresh_with(1, Fault::oauth_error(401, "invalid_client"));
            bench.finds_and_follows("VD705");
        },
    },
    Row {
        code: "VD706",
        what: "the access token was revoked",
        act: |bench| {
            bench.server.expire_access_tokens();
            bench.finds_and_follows("VD706");
        },
    },
    Row {
        code: "VD707",
        what: "the server has ended the login, and nobody has noticed yet",
        act: |bench| {
            bench.server.configure(|config| config.introspection = true);
            bench.is_healthy();
            revoke(bench);
            bench.finds("VD707");
            assert_eq!(bench.server.counts().refresh_requests, 0);
            assert!(bench.server.counts().requests.to(Endpoint::Introspect) > 1);
            bench.log_in();
        },
    },
];

fn revoke(bench: &Bench) {
    let token = bench.run(&["token"]).stdout;
    assert!(bench.server.revoke_family(token.trim()));
}
