//! git with its helper, against a host that serves repositories to those who
//! show an access token.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use vault_tests::server::AuthorizationServer;

use super::https::{Answer, Event, Host, Request};
use super::{LONGER, SHORT_LIFE, end, have_token, logged_in, program, run, tool};
use crate::support::{Output, Sandbox, vault_cli};

/// A host with bare repositories in `folder`.
fn host(authority: &Arc<AuthorizationServer>, folder: &Path) -> Host {
    let root = folder.to_owned();
    Host::start(authority, "Basic realm=\"git\"", move |request| {
        backend(&root, request)
    })
}

/// What `git http-backend` makes of a request (RFC 3875).
fn backend(root: &Path, request: &Request) -> Answer {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REMOTE_USER", "alice")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_LENGTH", request.body.len().to_string());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("GIT_PROTOCOL", "git-protocol"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
    ] {
        if let Some(value) = request.header(header) {
            command.env(variable, value);
        }
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&request.body)
        .unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut answer = Answer::new(200, "text/plain", output[end + 4..].to_vec());
    answer.headers.clear();
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            answer.status = value[..3].parse().unwrap();
        } else {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    answer
}

fn git(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut git = tool(sandbox, "git");
    git.env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args(["-c", "user.name=alice", "-c", "user.email=alice@example"])
        .args(arguments);
    git
}

#[track_caller]
fn done(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let output = end(git(sandbox, arguments));
    assert_eq!(output.code(), Some(0), "{arguments:?} {output:?}");
    output
}

/// A bare repository with a file in it, and what else `add` adds.
fn repository(sandbox: &Sandbox, root: &Path, name: &str, add: impl FnOnce(&Path)) {
    let work = tempfile::tempdir_in(sandbox.home()).unwrap();
    let path = work.path().to_str().unwrap();
    done(sandbox, &["init", "-q", "-b", "main", path]);
    std::fs::write(work.path().join("file"), name).unwrap();
    add(work.path());
    done(sandbox, &["-C", path, "add", "."]);
    done(sandbox, &["-C", path, "commit", "-q", "-m", "one"]);
    let bare = root.join(name);
    done(
        sandbox,
        &["clone", "-q", "--bare", path, bare.to_str().unwrap()],
    );
}

/// Repositories to clone, with a host that serves them.
fn served(authority: &Arc<AuthorizationServer>, sandbox: &Sandbox) -> (Host, PathBuf) {
    let root = sandbox.home().join("repositories");
    std::fs::create_dir(&root).unwrap();
    repository(sandbox, &root, "a.git", |_| {});
    (host(authority, &root), root)
}

/// Has git ask the program about every host: it is the program that declines.
fn ask_about_all(sandbox: &Sandbox) {
    let helper = format!("!'{}' credential git", program(sandbox));
    done(
        sandbox,
        &["config", "--global", "credential.helper", &helper],
    );
}

fn clone(sandbox: &Sandbox, host: &Host, from: &str, to: &str) -> Output {
    let url = format!("https://{}/{from}", host.name());
    let mut command = git(sandbox, &["clone", "-q", "--recurse-submodules", &url, to]);
    command.env("GIT_SSL_CAINFO", host.authority_file());
    end(command)
}

/// Whether this git can ask again within a run, for a token that was refused
/// (2.46).
fn asks_again(sandbox: &Sandbox) -> bool {
    let version = done(sandbox, &["version"]).stdout;
    let mut numbers = version
        .split([' ', '.'])
        .filter_map(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(46))
}

#[test]
fn a_clone_from_a_bound_host_is_given_the_token_and_keeps_none() {
    let (authority, sandbox) = logged_in();
    let (host, _) = served(&authority, &sandbox);
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", &host.name()]);
    let cloned = clone(&sandbox, &host, "a.git", "clone");
    assert_eq!(cloned.code(), Some(0), "{cloned:?}");
    let clone = sandbox.home().join("clone");
    assert_eq!(std::fs::read(clone.join("file")).unwrap(), b"a.git");
    assert_eq!(authority.counts().refreshes_ok, 0);

    let token = run(&sandbox, &["token"]).stdout;
    let mut grep = tool(&sandbox, "grep");
    grep.args(["-rF", token.trim(), "."]);
    assert_eq!(
        end(grep).code(),
        Some(1),
        "the token is in a file of the home"
    );
}

#[test]
fn a_host_that_is_not_bound_gets_nothing() {
    let (authority, sandbox) = logged_in();
    let (host, _) = served(&authority, &sandbox);
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", "127.0.0.1"]);
    run(&sandbox, &["bind", "localhost"]);
    let cloned = clone(&sandbox, &host, "a.git", "clone");
    assert_eq!(cloned.code(), Some(128), "{cloned:?}");
    let said = format!(
        "no token is given to {}: no login is bound to it",
        host.name()
    );
    assert!(cloned.stderr.contains(&said), "{cloned:?}");
    assert_eq!(host.shown(), Vec::<String>::new());
    assert!(!host.asked().is_empty());
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_clone_is_refreshed_once() {
    let (authority, sandbox) = logged_in();
    let (host, _) = served(&authority, &sandbox);
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", &host.name()]);
    // After the first request that is let in, and before the next one.
    host.befall([Event::TokensEnd]);
    let first = clone(&sandbox, &host, "a.git", "clone");
    if asks_again(&sandbox) {
        assert_eq!(first.code(), Some(0), "{first:?}");
    } else {
        // An older git gives up, and says which token was refused.
        assert_eq!(first.code(), Some(128), "{first:?}");
        assert_eq!(authority.counts().refreshes_ok, 0);
        let second = clone(&sandbox, &host, "a.git", "clone");
        assert_eq!(second.code(), Some(0), "{second:?}");
    }
    let again = clone(&sandbox, &host, "a.git", "again");
    assert_eq!(again.code(), Some(0), "{again:?}");
    let counts = authority.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (1, 0));
}

#[test]
fn a_token_that_expires_between_a_repository_and_its_submodule_is_refreshed_once() {
    let (authority, sandbox) = logged_in();
    let (host, root) = served(&authority, &sandbox);
    repository(&sandbox, &root, "outer.git", |work| {
        let url = format!("https://{}/a.git", host.name());
        let inner = root.join("a.git");
        let (work, inner) = (work.to_str().unwrap(), inner.to_str().unwrap());
        let local = ["-c", "protocol.file.allow=always", "-C", work];
        let add = [&local[..], &["submodule", "-q", "add", inner, "inner"]].concat();
        done(&sandbox, &add);
        let rename = ["config", "-f", ".gitmodules", "submodule.inner.url", &url];
        done(&sandbox, &[&["-C", work][..], &rename].concat());
    });
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", &host.name()]);
    have_token(&authority, &sandbox, SHORT_LIFE);
    let before = authority.counts().refreshes_ok;
    // The last request of the outer repository outlasts the token.
    host.befall([Event::Nothing, Event::Nothing, Event::Takes(LONGER)]);
    authority.configure(|config| config.access_token_lifetime = 60 * SHORT_LIFE);
    let cloned = clone(&sandbox, &host, "outer.git", "clone");
    assert_eq!(cloned.code(), Some(0), "{cloned:?} {:?}", host.asked());
    assert!(sandbox.home().join("clone/inner/file").is_file());
    assert_eq!(authority.counts().refreshes_ok, before + 1);
}

#[test]
fn a_repository_can_not_choose_who_is_given_a_token() {
    let (authority, sandbox) = logged_in();
    sandbox.log_in(&authority, "other");
    let (host, root) = served(&authority, &sandbox);
    // Somebody else's host, which takes tokens of the same server, and would
    // have them sent to itself.
    let elsewhere = sandbox.home().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    repository(&sandbox, &elsewhere, "trap.git", |_| {});
    let trap = Host::start(&authority, "Basic realm=\"git\"", {
        let elsewhere = elsewhere.clone();
        move |request| backend(&elsewhere, request)
    });
    repository(&sandbox, &root, "bad.git", |work| {
        std::fs::write(work.join(".vault.toml"), "profile = 'other'\n").unwrap();
        let modules = format!(
            "[submodule \"x\"]\n\tpath = x\n\turl = https://{}/trap.git\n",
            trap.name()
        );
        std::fs::write(work.join(".gitmodules"), modules).unwrap();
        let commit = done(
            &sandbox,
            &[
                "-C",
                elsewhere.join("trap.git").to_str().unwrap(),
                "rev-parse",
                "main",
            ],
        );
        let link = format!("160000,{},x", commit.stdout.trim());
        let work = work.to_str().unwrap();
        done(
            &sandbox,
            &["-C", work, "update-index", "--add", "--cacheinfo", &link],
        );
        std::fs::create_dir(Path::new(work).join("x")).unwrap();
    });
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", &host.name()]);
    // Both are who they say they are.
    let both = sandbox.home().join("both.pem");
    let authorities = [&host, &trap].map(|host| std::fs::read(host.authority_file()).unwrap());
    std::fs::write(&both, authorities.concat()).unwrap();
    let url = format!("https://{}/bad.git", host.name());
    let mut cloned = git(
        &sandbox,
        &["clone", "-q", "--recurse-submodules", &url, "clone"],
    );
    cloned.env("GIT_SSL_CAINFO", &both);
    let cloned = end(cloned);
    assert!(sandbox.home().join("clone/file").is_file(), "{cloned:?}");
    assert_ne!(cloned.code(), Some(0), "{cloned:?}");
    assert_eq!(trap.shown(), Vec::<String>::new(), "{cloned:?}");
    assert!(
        !trap.asked().is_empty(),
        "it was not asked at all: {cloned:?}"
    );

    // Within its folder the file chooses for people, and not for helpers.
    let folder = sandbox.home().join("clone");
    let mut status = sandbox.command(&["status", "--json"]);
    let status: Output = status.current_dir(&folder).output().unwrap().into();
    assert_eq!(status.json()["profile"], "other");
    let before = host.shown().len();
    let mut fetch = git(&sandbox, &["fetch", "-q"]);
    fetch
        .current_dir(&folder)
        .env("GIT_SSL_CAINFO", host.authority_file());
    let fetched = end(fetch);
    assert_eq!(fetched.code(), Some(0), "{fetched:?}");
    let token = run(&sandbox, &["--profile", "default", "token"]).stdout;
    let basic = {
        use base64::Engine as _;
        let pair = format!("oauth2:{}", token.trim());
        base64::engine::general_purpose::STANDARD.encode(pair)
    };
    let shown = &host.shown()[before..];
    assert!(!shown.is_empty() && shown.iter().all(|shown| *shown == format!("Basic {basic}")));

    // And `other`, once it is bound too, is not taken without being asked for.
    run(&sandbox, &["--profile", "other", "bind", &host.name()]);
    let cloned = clone(&sandbox, &host, "a.git", "ambiguous");
    assert_eq!(cloned.code(), Some(128), "{cloned:?}");
    let said = format!(
        "several profiles are bound to {}: default, other",
        host.name()
    );
    assert!(cloned.stderr.contains(&said), "{cloned:?}");
    let url = format!("https://{}/a.git", host.name());
    let mut named = git(&sandbox, &["clone", "-q", &url, "named"]);
    named
        .env("GIT_SSL_CAINFO", host.authority_file())
        .env("VAULT_PROFILE", "other");
    assert_eq!(end(named).code(), Some(0));
}

#[test]
fn a_bound_host_whose_login_has_ended_asks_nobody_for_a_password() {
    let (authority, sandbox) = logged_in();
    let (host, _) = served(&authority, &sandbox);
    ask_about_all(&sandbox);
    run(&sandbox, &["bind", &host.name()]);
    authority.revoke_family(run(&sandbox, &["token"]).stdout.trim());
    let cloned = clone(&sandbox, &host, "a.git", "clone");
    assert_eq!(cloned.code(), Some(128), "{cloned:?}");
    let again = clone(&sandbox, &host, "a.git", "clone");
    assert_eq!(again.code(), Some(128), "{again:?}");
    assert!(again.stderr.contains("quit"), "{again:?}");
    let refused = vault_cli(&sandbox, &["status"]);
    assert_eq!(refused.code(), Some(3), "{refused:?}");
}
