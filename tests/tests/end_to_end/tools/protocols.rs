//! Each helper's protocol by itself: word for word, and with garbage.

use std::fs::File;

use serde_json::json;

use super::{end, logged_in, program, run, tool};
use crate::support::{Output, Sandbox};

fn ask(sandbox: &Sandbox, arguments: &[&str], question: &str) -> Output {
    let mut all = vec!["credential"];
    all.extend(arguments);
    sandbox.run_with_input(&all, question)
}

fn exec_info(cluster: &str) -> String {
    json!({
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "spec": { "cluster": { "server": cluster }, "interactive": false },
    })
    .to_string()
}

fn kubectl(sandbox: &Sandbox, info: &str) -> Output {
    let mut command = sandbox.command(&["credential", "kubectl"]);
    command.env("KUBERNETES_EXEC_INFO", info);
    command.output().unwrap().into()
}

fn cargo_question(index: &str) -> String {
    let question = json!({
        "v": 1, "registry": { "index-url": index, "name": "own" },
        "kind": "get", "operation": "read", "args": [],
    });
    format!("{question}\n")
}

#[test]
fn a_bound_host_is_answered_in_every_protocol() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "host.example"]);
    let token = run(&sandbox, &["token"]).stdout;
    let token = token.trim();

    let git = ask(
        &sandbox,
        &["git", "get"],
        "protocol=https\nhost=host.example\n\n",
    );
    assert!(
        git.stdout.starts_with(&format!(
            "username=oauth2\npassword={token}\npassword_expiry_utc="
        )),
        "{git:?}"
    );
    let docker = ask(&sandbox, &["docker", "get"], "https://host.example/v1/\n").json();
    assert_eq!(
        docker,
        json!({ "ServerURL": "https://host.example/v1/", "Username": "oauth2accesstoken", "Secret": token })
    );
    let kubectl = kubectl(&sandbox, &exec_info("https://host.example")).json();
    assert_eq!(kubectl["status"]["token"], token);
    assert!(
        kubectl["status"]["expirationTimestamp"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let cargo = ask(
        &sandbox,
        &["cargo"],
        &cargo_question("sparse+https://host.example/index/"),
    );
    let mut lines = cargo.stdout.lines();
    assert_eq!(lines.next(), Some("{\"v\":[1]}"));
    let answer: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(answer["Ok"]["token"], format!("Bearer {token}"));
    let bazel = ask(
        &sandbox,
        &["bazel", "get"],
        "{\"uri\":\"https://host.example/a\"}",
    )
    .json();
    assert_eq!(
        bazel["headers"]["Authorization"][0],
        format!("Bearer {token}")
    );

    let list = ask(&sandbox, &["docker", "list"], "").json();
    assert_eq!(list, json!({ "https://host.example": "oauth2accesstoken" }));
}

#[test]
fn any_other_host_is_declined_as_each_tool_expects_it() {
    let (server, sandbox) = logged_in();
    run(&sandbox, &["bind", "host.example"]);
    let said = "vault-cli: no token is given to other.example: no login is bound to it\n";

    let git = ask(
        &sandbox,
        &["git", "get"],
        "protocol=https\nhost=other.example\n",
    );
    assert_eq!(
        (git.code(), git.stdout.as_str(), git.stderr.as_str()),
        (Some(0), "", said)
    );
    let docker = ask(&sandbox, &["docker", "get"], "other.example");
    assert_eq!(
        (
            docker.code(),
            docker.stdout.as_str(),
            docker.stderr.as_str()
        ),
        (Some(1), "credentials not found in native keychain\n", said)
    );
    let cargo = ask(
        &sandbox,
        &["cargo"],
        &cargo_question("sparse+https://other.example/"),
    );
    assert_eq!(
        cargo.stdout,
        "{\"v\":[1]}\n{\"Err\":{\"kind\":\"not-found\"}}\n"
    );
    assert_eq!(cargo.stderr, said);
    assert_eq!(cargo.code(), Some(0));
    let bazel = |uri: &str| {
        ask(
            &sandbox,
            &["bazel", "get"],
            &json!({ "uri": uri }).to_string(),
        )
    };
    let declined = bazel("https://other.example/a?b");
    assert_eq!(
        (
            declined.code(),
            declined.stdout.as_str(),
            declined.stderr.as_str()
        ),
        (Some(0), "{\"headers\":{}}\n", said)
    );
    for uri in [
        "http://host.example/a",
        "https://host.example:8443/a",
        "grpc://host.example",
    ] {
        let declined = bazel(uri);
        assert_eq!(
            (declined.code(), declined.stdout.as_str()),
            (Some(0), "{\"headers\":{}}\n"),
            "{uri}"
        );
        assert!(
            declined
                .stderr
                .starts_with("vault-cli: no token is given to "),
            "{declined:?}"
        );
    }
    // kubectl knows no "ask someone else": without credentials it must not go on.
    let kubectl = kubectl(&sandbox, &exec_info("https://other.example"));
    assert_eq!((kubectl.code(), kubectl.stdout.as_str()), (Some(1), ""));
    assert!(
        kubectl.stderr.contains("no login is bound to it"),
        "{kubectl:?}"
    );
    // Another port, another protocol, and the name of a profile change nothing.
    for question in [
        "protocol=https\nhost=host.example:8443\n",
        "protocol=http\nhost=host.example\n",
        "protocol=ssh\nhost=host.example\n",
        "protocol=https\nhost=sub.host.example\n",
        "protocol=https\nhost=host.example.\n",
    ] {
        for profile in [&["git", "get"][..], &["--profile=default", "git", "get"]] {
            let git = ask(&sandbox, profile, question);
            assert_eq!(
                (git.code(), git.stdout.as_str()),
                (Some(0), ""),
                "{question}"
            );
        }
    }
    // Nobody is logged in to this one, so nothing is bound to it.
    let question = "protocol=https\nhost=host.example\n";
    let git = ask(&sandbox, &["--profile=nobody", "git", "get"], question);
    assert_eq!((git.code(), git.stdout.as_str()), (Some(0), ""), "{git:?}");
    assert_eq!(server.counts().refresh_requests, 0);
}

#[test]
fn garbage_is_refused_as_each_tool_expects_it() {
    let (_server, sandbox) = logged_in();
    for garbage in [
        "",
        "{",
        "[]",
        "garbage\n",
        "\u{0}",
        "protocol=https\nhost=a@host.example\n",
    ] {
        for tool in [&["git", "get"][..], &["git", "erase"], &["bazel", "get"]] {
            let output = ask(&sandbox, tool, garbage);
            assert_eq!(
                (output.code(), output.stdout.as_str()),
                (Some(1), ""),
                "{tool:?}"
            );
            assert_ne!(output.stderr, "");
        }
        let kubectl = match garbage.contains('\0') {
            true => continue,
            false => kubectl(&sandbox, garbage),
        };
        assert_eq!((kubectl.code(), kubectl.stdout.as_str()), (Some(1), ""));
    }
    let docker = ask(&sandbox, &["docker", "get"], "two words");
    assert_eq!(docker.code(), Some(1));
    assert_eq!(docker.stdout, "docker asks about no registry\n");
    let cargo = ask(&sandbox, &["cargo"], "garbage\n");
    // cargo reads no answer of a program that ends otherwise.
    assert_eq!(cargo.code(), Some(0));
    assert!(cargo.stdout.contains("\"kind\":\"other\""), "{cargo:?}");
    assert!(cargo.stderr.starts_with("error: "), "{cargo:?}");
    let kubectl = ask(&sandbox, &["kubectl"], "");
    assert_eq!(kubectl.code(), Some(1));
    assert!(kubectl.stderr.contains("provideClusterInfo"), "{kubectl:?}");
}

#[test]
fn nothing_is_stored_and_an_unknown_wish_of_gits_is_no_error() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "host.example"]);
    let before = sandbox.stored();
    let question = "protocol=https\nhost=host.example\nusername=mallory\npassword=planted\n";
    for action in ["store", "erase", "something-new"] {
        let git = ask(&sandbox, &["git", action], question);
        assert_eq!((git.code(), git.stdout.as_str()), (Some(0), ""), "{git:?}");
    }
    let docker =
        "{\"ServerURL\":\"https://host.example\",\"Username\":\"m\",\"Secret\":\"planted\"}";
    for (action, question) in [("store", docker), ("erase", "https://host.example")] {
        let docker = ask(&sandbox, &["docker", action], question);
        assert_eq!(docker.code(), Some(1), "{docker:?}");
    }
    assert_eq!(sandbox.stored(), before);
}

#[test]
fn a_token_that_was_erased_is_replaced_once_at_the_next_question_and_not_before() {
    let (server, sandbox) = logged_in();
    run(&sandbox, &["bind", "host.example"]);
    let token = run(&sandbox, &["token"]).stdout;
    let question = "protocol=https\nhost=host.example\n";
    let erase = format!("{question}password={token}");
    for _ in 0..3 {
        assert_eq!(ask(&sandbox, &["git", "erase"], &erase).code(), Some(0));
    }
    assert_eq!(server.counts().refresh_requests, 0);
    // Others are still served from what is there.
    assert_eq!(run(&sandbox, &["token"]).stdout, token);
    // However many ask at once.
    let answers: Vec<_> = std::thread::scope(|scope| {
        let get = || ask(&sandbox, &["git", "get"], question).stdout;
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let password = |answer: &String| answer.lines().nth(1).map(str::to_owned);
    for answer in &answers {
        assert_eq!(password(answer), password(&answers[0]), "{answers:?}");
        assert!(answer.contains("password=") && !answer.contains(token.trim()));
    }
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[test]
fn the_programs_name_chooses_the_protocol() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "host.example"]);
    let token = run(&sandbox, &["token"]).stdout;
    let git = "protocol=https\nhost=host.example\n\n";
    let cargo = cargo_question("sparse+https://host.example/index/");
    let bazel = "{\"uri\":\"https://host.example/a\"}";
    // As the tools call them.
    for (name, argument, question) in [
        ("git", Some("get"), git),
        ("docker", Some("get"), "host.example\n"),
        ("kubectl", None, ""),
        ("cargo", Some("--cargo-plugin"), cargo.as_str()),
        ("bazel", Some("get"), bazel),
    ] {
        let link = sandbox.home().join(format!("{name}-credential-vault-cli"));
        std::os::unix::fs::symlink(program(&sandbox), &link).unwrap();
        let asked = sandbox.home().join("question");
        std::fs::write(&asked, question).unwrap();
        let mut helper = tool(&sandbox, &link);
        helper.args(argument).stdin(File::open(&asked).unwrap());
        if name == "kubectl" {
            helper.env("KUBERNETES_EXEC_INFO", exec_info("https://host.example"));
        }
        let output = end(helper);
        assert_eq!(output.code(), Some(0), "{name} {output:?}");
        assert!(output.stdout.contains(token.trim()), "{name} {output:?}");
    }
}
