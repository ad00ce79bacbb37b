//! What `--json` prints is what the schemas in `docs/json` say.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vault_tests::server::{AccessTokenFormat, AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json")
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = folder().join(format!("{name}.schema.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// The document is one that this schema describes.
#[track_caller]
fn is_as_told(name: &str, output: &Output) {
    let document = output.json();
    let schema = schema(name);
    let wrong: Vec<_> = schema
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{document:#}");
}

#[test]
fn a_schema_refuses_what_it_does_not_name() {
    let output = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let error = schema("error");
    let good = r#"{"error":{"code":"c","message":"m","hint":"h"}}"#;
    assert!(error.is_valid(&output(good)));
    assert!(!error.is_valid(&output(&good.replace("hint", "hent"))));
    assert!(!error.is_valid(&output(
        r#"{"error":{"code":"c","message":"m","hint":"h","x":1}}"#
    )));
}

#[test]
fn every_document_is_as_its_schema_says() {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_format: AccessTokenFormat::JwtShaped { bytes: 400 },
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let tried = |name: &str, arguments: &[&str]| {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        is_as_told(name, &vault_cli(&sandbox, &arguments));
    };
    // Of nobody.
    for command in ["list", "status", "history", "doctor"] {
        tried(command, &[command]);
    }
    for command in ["token", "refresh", "show", "logout"] {
        tried("error", &[command]);
    }
    tried("error", &["--nonsense"]);
    tried("status", &["--app", "*", "status"]);

    is_as_told("login", &sandbox.log_in_with(&server, &["--json"]));
    let issued = server.issue_login().refresh_token;
    let import = [
        "--json",
        "--profile",
        "work",
        "import",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
    ];
    is_as_told("import", &sandbox.run_with_input(&import, &issued));
    tried("bind", &["bind", "git.example"]);
    tried("token", &["token"]);
    tried("refresh", &["refresh"]);
    tried("refresh", &["--profile", "work", "refresh", "--force"]);
    tried("show", &["show"]);
    tried("show", &["show", "--claims"]);
    tried("show", &["show", "--claims", "--reveal", "--yes-i-know"]);
    for command in ["list", "status"] {
        tried(command, &[command]);
        tried(command, &["--app", "*", command]);
    }
    tried("history", &["history"]);
    tried("issuers", &["issuers"]);
    tried("migrate", &["migrate", "--to", "encrypted-file"]);
    tried("migrate", &["migrate", "--all", "--to", "encrypted-file"]);
    tried("setup", &["setup", "git"]);
    tried("bind", &["unbind", "git.example"]);
    tried("completions", &["completions", "bash"]);
    tried("man", &["man", "token"]);
    tried("doctor", &["doctor"]);

    // Of what is wrong.
    assert!(server.revoke_family(&issued) || server.living_logins() > 0);
    let state = sandbox.profile("work").join("profile.json");
    std::fs::write(&state, "{\"v\":99}").unwrap();
    tried("list", &["list"]);
    tried("doctor", &["doctor"]);
    tried("logout", &["logout"]);
    tried("logout", &["logout", "--all"]);
    tried("status", &["status"]);
    let new = sandbox.home().join("new");
    vault_core::platform::store::create_key_file(&new).unwrap();
    let new = new.display().to_string();
    tried("passphrase", &["passphrase", "--new-key-file", &new]);
}

#[test]
fn every_command_has_its_schema_on_the_page() {
    let page = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let sandbox = Sandbox::new();
    let help = vault_cli(&sandbox, &["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = commands
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".schema.json") {
            assert!(page.contains(&format!("]({name})")), "{name}");
        }
    }
}
