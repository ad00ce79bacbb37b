//! Every error says what failed, why and what to do, in three lines at most; `-v` gives what the
//! chain of causes has beside that.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use vault_tests::server::{AuthorizationServer, Endpoint, Fault, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

const MOST_LINES: usize = 3;

/// Something that fails.
struct Case {
    arguments: &'static [&'static str],
    variables: Vec<(&'static str, PathBuf)>,
    input: &'static str,
}

fn case(arguments: &'static [&'static str]) -> Case {
    Case {
        arguments,
        variables: Vec::new(),
        input: "",
    }
}

impl Case {
    fn with(mut self, variable: &'static str, value: impl Into<PathBuf>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    fn fed(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    fn run(&self, sandbox: &Sandbox, more: &[&str]) -> Output {
        let plain = sandbox.command(&[more, self.arguments].concat());
        let stdin = sandbox.home().join("input");
        fs::write(&stdin, self.input).unwrap();
        let mut command: Command = plain;
        command
            .current_dir(sandbox.home())
            .stdin(fs::File::open(stdin).unwrap())
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().unwrap().into()
    }

    /// Runs it; gives how many causes are told by `-v`.
    #[track_caller]
    fn is_told_in_few_lines(&self, sandbox: &Sandbox) -> usize {
        let what = format!("{:?} {:?}", self.arguments, self.variables);
        let failed = self.run(sandbox, &[]);
        assert!(!failed.status.success(), "{what}: {failed:?}");
        assert_eq!(failed.stdout, "", "{what}");
        let lines: Vec<_> = failed.stderr.lines().collect();
        assert!(lines.len() <= MOST_LINES, "{what}: {failed:?}");
        let of = |start: &str| lines.iter().find_map(|line| line.strip_prefix(start));
        for part in ["error: ", "hint: "] {
            let said = of(part).unwrap_or_else(|| panic!("no {part}in {what}: {failed:?}"));
            assert!(said.len() > 8, "{what}: {failed:?}");
        }
        assert_eq!(of("because: "), None, "{what}");
        // With its causes, and nothing less.
        let told = self.run(sandbox, &["-v"]);
        let (causes, rest): (Vec<_>, Vec<_>) = told
            .stderr
            .lines()
            .partition(|line| line.starts_with("because: "));
        assert_eq!(rest.len(), lines.len(), "{what}: {told:?}");
        causes.len()
    }
}

/// All are told in few lines, and so many of them have a cause.
#[track_caller]
fn are_told_in_few_lines(sandbox: &Sandbox, cases: &[Case], caused: usize) {
    let causes = cases.iter().map(|case| case.is_told_in_few_lines(sandbox));
    let found = causes.filter(|causes| *causes > 0).count();
    assert!(found >= caused, "{found} of {} have causes", cases.len());
}

#[test]
fn a_wrong_command_line() {
    are_told_in_few_lines(
        &Sandbox::new(),
        &[
            case(&[]),
            case(&["tokn"]),
            case(&["token", "--bogus"]),
            case(&["token", "extra"]),
            case(&["token", "--min-valid", "soon"]),
            case(&["token", "--header", "--curl"]),
            case(&["bind"]),
            case(&["bind", "http://host.example"]),
            case(&["bind", "a/b"]),
            case(&["migrate"]),
            case(&["migrate", "--to", "paper"]),
            case(&["login", "--issuer", "no address", "--client-id", "c"]),
            case(&[
                "login",
                "--issuer",
                "http://login.example",
                "--client-id",
                "c",
            ]),
            case(&["import"]),
            case(&["exec"]),
            case(&["completions", "csh"]),
            case(&["man", "nothing"]),
            case(&["setup", "svn"]),
            case(&["credential", "svn"]),
            case(&["--profile", "a/b", "token"]),
            case(&["--app", "../x", "list"]),
            case(&["--store", "paper", "token"]),
            case(&["watch"]),
        ],
        0,
    );
}

#[test]
fn nobody_who_is_logged_in() {
    are_told_in_few_lines(
        &Sandbox::new(),
        &[
            case(&["token"]),
            case(&["refresh"]),
            case(&["show"]),
            case(&["exec", "--", "true"]),
            case(&["bind", "host.example"]),
            case(&["unbind", "host.example"]),
            case(&["migrate", "--to", "keyutils"]),
            case(&["setup", "git"]),
            case(&["setup", "kubectl", "--write"]),
            case(&["credential", "kubectl"]),
            case(&["credential", "bazel", "get"]).fed("{}"),
            case(&["credential", "git", "get"]).fed("rubbish"),
        ],
        0,
    );
}

#[test]
fn a_store_or_folder_that_can_not_be_used() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let home = sandbox.home();
    let place = |name: &str, contents: &str| {
        let path = home.join(name);
        fs::write(&path, contents).unwrap();
        path
    };
    let other_key = home.join("other");
    vault_core::platform::store::create_key_file(&other_key).unwrap();
    let cases = [
        case(&["token"]).with("VAULT_KEY_FILE", home.join("missing")),
        case(&["token"]).with("VAULT_KEY_FILE", place("open", "key of everybody")),
        case(&["refresh", "--force"]).with("VAULT_KEY_FILE", other_key),
        case(&["token"]).with("VAULT_STORE", "memory"),
        case(&["token"]).with("VAULT_STORE", "paper"),
        case(&["token"]).with("VAULT_STATE_DIR", place("file", "no folder")),
        case(&["refresh", "--force"]).with("VAULT_STATE_DIR", "/proc/none"),
        case(&["list"]).with("VAULT_STATE_DIR", home.join("file")),
        case(&["exec", "--", "/nonexistent/program"]),
        case(&["show", "--reveal"]),
        case(&["passphrase", "--new-key-file", "/nonexistent/key"]),
        case(&["migrate", "--to", "secret-service"]),
    ];
    are_told_in_few_lines(&sandbox, &cases, 1);
    let sealed = sandbox.sealed_file("default");
    fs::write(&sealed, "not what was written").unwrap();
    let items = sandbox.state().join("vault-cli").join("items");
    for item in fs::read_dir(items).unwrap() {
        fs::write(item.unwrap().path(), "not what was written").unwrap();
    }
    let cases = [case(&["token"]), case(&["show"]), case(&["refresh"])];
    are_told_in_few_lines(&sandbox, &cases, 0);
    fs::write(home.join(".vault.toml"), "profile = [\n\nnothing").unwrap();
    are_told_in_few_lines(&sandbox, &[case(&["token"])], 0);
}

#[test]
fn a_server_that_is_away_or_talks_nonsense() {
    let mut server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let refresh = || [case(&["refresh", "--force"])];
    let many_lines = "<html>\n\nline\nline\nline\nline\n";
    for fault in [
        Fault::oauth_error(400, "invalid\nclient\n\n\n"),
        Fault::Instead(vault_tests::server::Reply::html(200, many_lines)),
    ] {
        server.fail_always(Endpoint::Token, fault);
        are_told_in_few_lines(&sandbox, &refresh(), 0);
    }
    server.stop_listening();
    are_told_in_few_lines(&sandbox, &refresh(), 1);
    let nowhere = case(&[
        "login",
        "--issuer",
        "http://127.0.0.1:1",
        "--client-id",
        "c",
        "--no-browser",
    ]);
    are_told_in_few_lines(&sandbox, &[nowhere], 1);
}

/// The message ends with what the system said, and the causes are the layers above it.
#[track_caller]
fn names_why_nobody_was_reached(told: &Output, said: &str) {
    let (message, causes): (Vec<_>, Vec<_>) = told
        .stderr
        .lines()
        .filter(|line| !line.starts_with("hint: "))
        .partition(|line| !line.starts_with("because: "));
    assert_eq!(message.len(), 1, "{told:?}");
    assert!(message[0].contains(said), "{told:?}");
    assert!(
        causes.iter().any(|cause| cause.contains("connect")),
        "{told:?}"
    );
}

#[test]
fn what_reaches_nobody_tells_what_the_system_said_of_it() {
    let mut server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    // Each has a profile of its own: after one failure the others are put off.
    for profile in ["refresh", "token", "logout"] {
        sandbox.log_in(&server, profile);
    }
    let stored = sandbox.stored();
    server.stop_listening();
    let refused = std::net::TcpStream::connect(server.address()).unwrap_err();
    let said = refused.to_string();
    let issuer = server.issuer().to_owned();
    let new = [
        "login",
        "--client-id=c",
        "--no-browser",
        "--issuer",
        &issuer,
    ];
    // A login knows where to ask for tokens; where nobody has logged in, the
    // server is to describe itself first.
    for (profile, command) in [
        ("refresh", &["refresh", "--force"][..]),
        ("token", &["token", "--scope=openid"]),
        ("new", &new),
    ] {
        let told = vault_cli(&sandbox, &[&["-v", "--profile", profile], command].concat());
        assert_eq!(told.code(), Some(5), "{command:?} {told:?}");
        names_why_nobody_was_reached(&told, &said);
    }
    assert_eq!(sandbox.stored(), stored, "nothing is lost");
    // It ends the login all the same, and says why the server does not know.
    let told = vault_cli(&sandbox, &["-v", "--profile=logout", "logout"]);
    assert_eq!(told.code(), Some(0), "{told:?}");
    names_why_nobody_was_reached(&told, &said);
}
