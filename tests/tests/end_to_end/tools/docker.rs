//! docker with its helper, as far as it works without a daemon: it asks a
//! registry for a manifest.

use serde_json::json;

use super::https::{Answer, Host};
use super::{end, logged_in, program, run, tool};
use crate::skipped::lacking;

/// The protocol is tested by itself where docker's own program is not there.
fn is_there() -> bool {
    let found = std::process::Command::new("docker")
        .arg("--version")
        .output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn a_bound_registry_is_shown_the_token_and_no_other() {
    if !is_there() {
        lacking("docker");
        return;
    }
    let (authority, sandbox) = logged_in();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2,
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        },
        "layers": [],
    });
    let host = Host::start(
        &authority,
        "Basic realm=\"registry\"",
        move |request| match request.path.as_str() {
            "/v2/" => Answer::json(&json!({})),
            "/v2/app/manifests/latest" => {
                let kind = "application/vnd.docker.distribution.manifest.v2+json";
                Answer::new(200, kind, manifest.to_string())
            }
            path if path.starts_with("/v2/app/blobs/") => {
                Answer::new(200, "application/octet-stream", "{}")
            }
            _ => Answer::new(404, "application/json", "{}"),
        },
    );
    let bin = sandbox.home().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program(&sandbox), bin.join("docker-credential-vault-cli")).unwrap();
    std::fs::create_dir(sandbox.home().join(".docker")).unwrap();
    let config = json!({ "credHelpers": { host.name(): "vault-cli" } });
    std::fs::write(
        sandbox.home().join(".docker/config.json"),
        config.to_string(),
    )
    .unwrap();
    let inspect = || {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut docker = tool(&sandbox, "docker");
        docker
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("SSL_CERT_FILE", host.authority_file())
            .env("DOCKER_CLI_EXPERIMENTAL", "enabled")
            .args([
                "manifest",
                "inspect",
                "--insecure",
                &format!("{}/app:latest", host.name()),
            ]);
        end(docker)
    };
    let refused = inspect();
    assert_ne!(refused.code(), Some(0), "{refused:?}");
    assert_eq!(host.shown(), Vec::<String>::new(), "{refused:?}");

    run(&sandbox, &["bind", &host.name()]);
    let shown = inspect();
    assert_eq!(shown.code(), Some(0), "{shown:?} {:?}", host.asked());
    assert_eq!(shown.json()["schemaVersion"], 2);
    assert!(!host.let_in().is_empty());
}
