//! `credential`: answers the tools that ask for a token, each by its own
//! protocol, and only about hosts that a login is bound to.
//!
//! Who is bound decides which profile answers: an option may name one, a
//! variable may choose among several, and a `.vault.toml` is not looked at, for
//! it may lie in somebody else's repository. For any other host the answer is
//! the protocol's own "ask someone else", and why is said on standard error.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _};

use vault_core::platform::secret::{SecretBuffer, SecretBytes};
use vault_core::session::{Token, TokenOptions};
use vault_core::{AccessToken, BoundHost, ErrorKind, Session};
use zeroize::Zeroizing;

use crate::args::{self, Arguments, Tool};
use crate::choice::Rule;
use crate::context::Context;
use crate::credential::{Asked, Garbage, Given, bazel, cargo, docker, git, kubectl};
use crate::failure::{Exit, Failure, Problem};
use crate::input;
use crate::output::visible;
use crate::times;

/// No question is longer.
const LIMIT: usize = 1 << 20;

pub(crate) fn run(context: &Context, arguments: &args::Credential) -> Result<Exit, Problem> {
    match &arguments.tool {
        Tool::Git(action) => for_git(context, &action.action),
        Tool::Docker(action) => for_docker(context, &action.action),
        Tool::Kubectl(asked) => for_kubectl(context, asked.exec_info.as_deref()),
        Tool::Cargo => for_cargo(context),
        Tool::Bazel(action) => for_bazel(context, &action.action),
    }
}

/// Why a tool is given nothing.
enum Refusal {
    /// It is none of our business.
    Declined(String),
    Failed(Problem),
}

impl<E: Into<Problem>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn garbage(tool: &str, garbage: Garbage) -> Failure {
    Failure::new(
        "garbage",
        Exit::Failed,
        format!("{tool} {garbage}"),
        format!("this is for {tool} to call, not for people: see `vault-cli setup --help`"),
    )
}

fn no_such_action(tool: &str, action: &str) -> Failure {
    let message = format!("there is no `{}` for {tool}", visible(action));
    Failure::usage(
        "usage",
        message,
        "`vault-cli credential --help` shows what there is",
    )
}

// Who answers.

fn bound_session(context: &Context, asked: &Asked) -> Result<(Session, BoundHost), Refusal> {
    let host = match asked {
        Asked::Host(host) => host.clone(),
        Asked::Unboundable(what) => {
            return Err(Refusal::Declined(format!("no token is given to {what}")));
        }
    };
    let options = &context.options;
    let vault = context.vault()?;
    let mut bound = vault.sessions_bound_to(&host)?;
    let is_chosen = |session: &Session| session.name() == options.profile;
    match options.chosen_by.profile {
        Rule::Option => bound.retain(is_chosen),
        Rule::Environment if bound.iter().any(is_chosen) => bound.retain(is_chosen),
        _ => {}
    }
    match bound.pop() {
        None => {
            let why = format!("no token is given to {host}: no login is bound to it");
            Err(Refusal::Declined(why))
        }
        Some(session) if bound.is_empty() => Ok((session, host)),
        Some(last) => {
            let mut names: Vec<_> = bound.iter().map(Session::name).collect();
            names.push(last.name());
            Err(Failure::new(
                "host_ambiguous",
                Exit::Failed,
                format!("several profiles are bound to {host}: {}", names.join(", ")),
                "choose one with VAULT_PROFILE or `--profile`, or `unbind` the others",
            )
            .into())
        }
    }
}

fn token(context: &Context, asked: &Asked) -> Result<(Session, Token), Refusal> {
    let (session, host) = bound_session(context, asked)?;
    let options = TokenOptions::default();
    match session.blocking().token_for_host(&host, &options) {
        Ok(token) if token.jkt.is_some() => Err(Failure::new(
            "token_needs_proofs",
            Exit::Failed,
            format!(
                "the tokens of profile {} are bound to a key: a tool can't use them",
                session.name()
            ),
            "log in without `--dpop`",
        )
        .into()),
        Ok(token) => Ok((session, token)),
        Err(error) if error.kind() == ErrorKind::HostNotBound => {
            let why = format!("no token is given to {host}: {error}");
            Err(Refusal::Declined(why))
        }
        Err(error) => Err(error.into()),
    }
}

fn given(token: &Token) -> Given<'_> {
    let in_ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Given {
        token: token.access_token.expose(),
        ask_again_at_ms: token
            .fresh_for
            .map(|time| times::now_ms().saturating_add(in_ms(time))),
    }
}

/// Reads the question to its end. It may hold a secret.
fn question() -> Result<SecretBytes, Failure> {
    let mut bytes = SecretBuffer::new(LIMIT);
    let mut chunk = Zeroizing::new([0_u8; 8 * 1024]);
    let mut input = input::standard_input().map_err(unreadable)?;
    loop {
        let length = input.read(&mut *chunk).map_err(unreadable)?;
        if length == 0 {
            return Ok(bytes.finish());
        }
        bytes
            .push(&chunk[..length])
            .map_err(|_| unreadable(io::Error::other("it is too long")))?;
    }
}

fn unreadable(error: io::Error) -> Failure {
    let message = format!("the question on standard input can't be read: {error}");
    Failure::new("input_unreadable", Exit::Failed, message, "try again")
}

// The tools.

fn for_git(context: &Context, action: &str) -> Result<Exit, Problem> {
    let output = &context.output;
    match action {
        "get" => {}
        "erase" => return erase_for_git(context),
        "capability" => {
            output.text(git::CAPABILITIES)?;
            return Ok(Exit::Done);
        }
        // `store`, and what there may be some day: nothing is stored here.
        _ => {
            question()?;
            return Ok(Exit::Done);
        }
    }
    let input = question()?;
    let asked = git::Question::read(input.expose()).map_err(|error| garbage("git", error))?;
    let answered = asked.asked.as_ref().map(|whom| token(context, whom));
    match answered {
        Some(Ok((session, mut token))) => {
            if asked.says_refused(token.access_token.expose()) {
                let options = TokenOptions::default();
                let replaced = session.blocking().replace(&token.access_token, &options);
                token = replaced.map_err(|error| quit(context, error.into()))?;
            }
            output.text(&asked.answer(given(&token)))?;
            Ok(Exit::Done)
        }
        // git asks its other helpers, and then a person.
        Some(Err(Refusal::Declined(why))) => {
            output.line(&visible(&format!("vault-cli: {why}")));
            Ok(Exit::Done)
        }
        Some(Err(Refusal::Failed(problem))) => Err(quit(context, problem)),
        None => Err(Failure::new("garbage", Exit::Failed, "git names no host", "try again").into()),
    }
}

/// Keeps git from asking for a password that nobody has.
fn quit(context: &Context, problem: Problem) -> Problem {
    match context.output.text(git::QUIT) {
        Ok(()) => problem,
        Err(failure) => failure.into(),
    }
}

/// Notes that the token was refused which the description names.
fn erase_for_git(context: &Context) -> Result<Exit, Problem> {
    let input = question()?;
    let asked = git::Question::read(input.expose()).map_err(|error| garbage("git", error))?;
    if let (Some(whom), Some(refused)) = (&asked.asked, asked.refused()) {
        match bound_session(context, whom) {
            Ok((session, _)) => {
                session
                    .blocking()
                    .note_refused(&AccessToken::new(refused))?;
            }
            // Another helper's password.
            Err(Refusal::Declined(_)) => {}
            Err(Refusal::Failed(problem)) => return Err(problem),
        }
    }
    Ok(Exit::Done)
}

fn for_docker(context: &Context, action: &str) -> Result<Exit, Problem> {
    let output = &context.output;
    // The clients read standard output, in success and failure.
    let told = |failure: Failure| match output.text(&format!("{}\n", failure.message)) {
        Ok(()) => Problem::from(failure),
        Err(unwritable) => unwritable.into(),
    };
    match action {
        "get" => {
            let input = question()?;
            let (server, asked) =
                docker::read(input.expose()).map_err(|error| told(garbage("docker", error)))?;
            match token(context, &asked) {
                Ok((_, token)) => {
                    output.secret_line(&[&docker::answer(&server, given(&token))])?;
                    Ok(Exit::Done)
                }
                Err(Refusal::Declined(why)) => {
                    output.text(&format!("{}\n", docker::NOT_FOUND))?;
                    output.line(&visible(&format!("vault-cli: {why}")));
                    Ok(Exit::Failed)
                }
                Err(Refusal::Failed(problem)) => Err(told(problem.explain(&context.options))),
            }
        }
        "list" => {
            let profiles = context.vault_without_store()?.profiles()?;
            let hosts: Vec<_> = profiles
                .into_iter()
                .filter_map(|(_, summary)| summary.ok())
                .flat_map(|summary| summary.bound_hosts)
                .collect();
            output.text(&format!("{}\n", docker::list(&hosts)))?;
            Ok(Exit::Done)
        }
        "store" | "erase" => {
            question()?;
            let message = "vault-cli keeps no passwords of docker's, and forgets none";
            let hint = "`vault-cli login` and `bind` give docker a token, `unbind` takes it back";
            Err(told(Failure::new(
                "not_stored",
                Exit::Failed,
                message,
                hint,
            )))
        }
        "version" => {
            output.text(concat!("vault-cli ", env!("CARGO_PKG_VERSION"), "\n"))?;
            Ok(Exit::Done)
        }
        other => Err(told(no_such_action("docker", other))),
    }
}

fn for_kubectl(context: &Context, info: Option<&str>) -> Result<Exit, Problem> {
    let not_said = || {
        Failure::new(
            "cluster_not_said",
            Exit::Failed,
            "kubectl does not say which cluster the token is for",
            "set `provideClusterInfo: true` beside the command in the kubeconfig",
        )
    };
    let info = info.ok_or_else(not_said)?;
    let question = kubectl::Question::read(info.as_bytes());
    let question = question.map_err(|error| garbage("kubectl", error))?;
    let asked = question.asked.as_ref().ok_or_else(not_said)?;
    // It asks nobody else, and has no other word for it than an error.
    let (_, token) = token(context, asked).map_err(|refusal| match refusal {
        Refusal::Declined(why) => {
            let hint = "if kubectl may have a login's token there: `vault-cli bind HOST[:PORT]`";
            Failure::new("host_not_bound", Exit::Failed, why, hint).into()
        }
        Refusal::Failed(problem) => problem,
    })?;
    let output = &context.output;
    output.secret_line(&[&question.answer(given(&token))])?;
    Ok(Exit::Done)
}

fn for_cargo(context: &Context) -> Result<Exit, Problem> {
    let output = &context.output;
    output.text(&format!("{}\n", cargo::HELLO))?;
    // The answer says it, and no exit code: cargo drops the answer of a program that
    // ends with another one than 0.
    let failed = |failure: &Failure, message: &str| {
        output.failure_to_people(failure);
        cargo::failed(message)
    };
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(unreadable)?;
        let answer = match cargo::Question::read(&line) {
            Ok(cargo::Question::Get { asked, words }) => {
                match token_as_told(context, &asked, &words) {
                    Ok((_, token)) => cargo::answer(given(&token)),
                    Err(Refusal::Declined(why)) => {
                        output.line(&visible(&format!("vault-cli: {why}")));
                        cargo::not_found()
                    }
                    Err(Refusal::Failed(problem)) => {
                        let failure = problem.explain(&context.options);
                        failed(&failure, &format!("{}; {}", failure.message, failure.hint))
                    }
                }
            }
            Ok(cargo::Question::Other) => cargo::not_supported(),
            Err(error) => {
                let failure = garbage("cargo", error);
                failed(&failure, &failure.message)
            }
        };
        output.secret_line(&[&answer])?;
    }
    Ok(Exit::Done)
}

/// The same with the options that stand in cargo's configuration.
fn token_as_told(
    context: &Context,
    asked: &Asked,
    words: &[String],
) -> Result<(Session, Token), Refusal> {
    if words.is_empty() {
        return token(context, asked);
    }
    let line = ["vault-cli"]
        .into_iter()
        .chain(words.iter().map(String::as_str));
    let line: Vec<_> = line.map(OsString::from).collect();
    match Arguments::read(&line) {
        Ok(told) => token(&Context::new(told.options), asked),
        Err(_) => {
            let message = "the words behind this program in cargo's configuration are not known";
            let hint = "`vault-cli setup cargo` shows how it is written";
            Err(Failure::usage("usage", message, hint).into())
        }
    }
}

fn for_bazel(context: &Context, action: &str) -> Result<Exit, Problem> {
    if action != "get" {
        return Err(no_such_action("bazel", action).into());
    }
    let input = question()?;
    let asked = bazel::read(input.expose()).map_err(|error| garbage("bazel", error))?;
    let output = &context.output;
    match token(context, &asked) {
        Ok((_, token)) => output.secret_line(&[&bazel::answer(given(&token))])?,
        Err(Refusal::Declined(why)) => {
            output.text(&format!("{}\n", bazel::NOTHING))?;
            output.line(&visible(&format!("vault-cli: {why}")));
        }
        Err(Refusal::Failed(problem)) => return Err(problem),
    }
    Ok(Exit::Done)
}
