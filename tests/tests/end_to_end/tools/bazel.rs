//! bazel's protocol beside another program that answers in it, uv. (uv asks nobody by it; bazel
//! itself is no package of Debian, pip or npm that could be run here.)

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::{logged_in, program, run, tool};
use crate::skipped::lacking;
use crate::support::{Output, Sandbox};

fn ask(sandbox: &Sandbox, program: &str, arguments: &[&str], question: &str) -> Output {
    let mut helper = tool(sandbox, program);
    let mut running = helper
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = running.stdin.take().unwrap();
    asked.write_all(question.as_bytes()).unwrap();
    drop(asked);
    running.wait_with_output().unwrap().into()
}

/// The answer's one header, which has one value.
#[track_caller]
fn header(answer: &Output) -> (String, String) {
    assert_eq!(answer.code(), Some(0), "{answer:?}");
    let document = answer.json();
    let headers = document["headers"].as_object().unwrap();
    let (name, values) = headers.iter().next().expect("a header");
    assert_eq!(
        (headers.len(), values.as_array().map(Vec::len)),
        (1, Some(1))
    );
    let value = values[0].as_str().unwrap().to_owned();
    (name.clone(), value)
}

#[test]
fn uv_is_asked_as_we_are_and_answers_in_the_same_shape() {
    let (_server, sandbox) = logged_in();
    let uv = |arguments: &[&str], input: &str| ask(&sandbox, "uv", arguments, input);
    if std::process::Command::new("uv")
        .arg("--version")
        .output()
        .is_err()
    {
        lacking("uv");
        return;
    }
    let host = "https://host.example";
    let stored = uv(&["auth", "login", host, "--token", "-"], "not-a-real-token");
    assert_eq!(stored.code(), Some(0), "{stored:?}");
    run(&sandbox, &["bind", "host.example"]);
    let token = run(&sandbox, &["token"]).stdout;
    let ours = program(&sandbox);

    let theirs = ["auth", "helper", "--protocol=bazel", "get"];
    let question = r#"{"uri":"https://host.example/a"}"#;
    let (their_header, their_value) = header(&uv(&theirs, question));
    let answer = ask(&sandbox, &ours, &["credential", "bazel", "get"], question);
    let (header, value) = header(&answer);
    assert_eq!(header, their_header);
    assert_eq!(value, format!("Bearer {}", token.trim()));
    assert!(their_value.starts_with("Basic "), "{their_value}");
    // bazel knows `headers` and `expires`, and passes over what it does not know.
    let known = |name: &String| ["headers", "expires"].contains(&name.as_str());
    let document: Value = answer.json();
    assert!(
        document.as_object().unwrap().keys().all(known),
        "{document}"
    );

    // Both let the tool go on without a token to another host, and neither answers garbage.
    let ours = |question: &str| ask(&sandbox, &ours, &["credential", "bazel", "get"], question);
    for other in [
        r#"{"uri":"https://other.example/a"}"#,
        r#"{"uri":"https://host.example:8443/a"}"#,
    ] {
        let (answer, theirs) = (ours(other), uv(&theirs, other));
        assert_eq!((answer.code(), theirs.code()), (Some(0), Some(0)));
        assert_eq!(answer.json(), theirs.json());
        assert_eq!(answer.json(), serde_json::json!({ "headers": {} }));
    }
    let answer = ours("rubbish");
    assert_eq!((answer.code(), answer.stdout.as_str()), (Some(1), ""));
    assert_ne!(uv(&theirs, "rubbish").code(), Some(0));
}
