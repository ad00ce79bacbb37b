//! `setup`: tells tools to ask this program for tokens, shows how, or takes it
//! back. Each tool's own settings are changed, by the tool itself where it can:
//! what else stands there stays, and doing it twice is doing it once.

mod cargo;
mod docker;
mod git;
mod kubectl;
mod replace;

use std::path::Path;

use serde_json::json;
use vault_core::BoundHost;

use crate::args::{self, SetupTool};
use crate::choice::Rule;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};

/// What is to be done to a tool's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Print,
    Write,
    Remove,
}

/// What a tool is to be told.
struct Setup<'a> {
    arguments: &'a args::Setup,
    act: Act,
    /// The hosts that a login is bound to.
    hosts: Vec<BoundHost>,
    /// How this program is called, options first.
    command: Vec<String>,
}

/// What came of it.
struct Done {
    /// What to write, or what was.
    text: String,
    /// What is left for people to do.
    notes: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: &args::Setup) -> Result<Exit, Problem> {
    let act = match (arguments.write, arguments.remove) {
        (_, true) => Act::Remove,
        (true, false) => Act::Write,
        (false, false) => Act::Print,
    };
    let mut command = vec![this_program()?];
    let options = &context.options;
    if options.chosen_by.app != Rule::Usual {
        command.extend(["--app".to_owned(), options.app.clone()]);
    }
    if options.chosen_by.profile == Rule::Option {
        command.extend(["--profile".to_owned(), options.profile.clone()]);
    }
    let chosen_by = &options.chosen_by;
    for (name, file, rule) in [
        ("--state-dir", &options.state_dir, &chosen_by.state_dir),
        ("--key-file", &options.key_file, &chosen_by.key_file),
        (
            "--passphrase-file",
            &options.passphrase_file,
            &chosen_by.passphrase_file,
        ),
    ] {
        if let Some(file) = file
            && *rule == Rule::Option
        {
            command.extend([name.to_owned(), absolute(file)?]);
        }
    }
    let hosts = bound_hosts(context)?;
    if hosts.is_empty() && act != Act::Remove {
        let message = "no login is bound to a host, so no tool would be given a token";
        let hint = options.command_line("bind HOST[:PORT]");
        return Err(Failure::new("no_bound_host", Exit::Failed, message, hint).into());
    }
    let setup = Setup {
        arguments,
        act,
        hosts,
        command,
    };
    let done = match arguments.tool {
        SetupTool::Git => git::set_up(&setup),
        SetupTool::Docker => docker::set_up(&setup),
        SetupTool::Kubectl => kubectl::set_up(&setup),
        SetupTool::Cargo => cargo::set_up(&setup),
    }?;
    let output = &context.output;
    if output.json {
        let changed = act != Act::Print;
        output.document(&json!({ "written": changed, "text": done.text, "notes": done.notes }))?;
    } else {
        output.text(&done.text)?;
        for note in done.notes {
            output.note(&note);
        }
    }
    Ok(Exit::Done)
}

/// Where this program lies: a tool may look elsewhere than a shell does.
fn this_program() -> Result<String, Failure> {
    let unknown = |why: String| {
        let message = format!("it is not known where this program lies: {why}");
        Failure::new(
            "program_unknown",
            Exit::Failed,
            message,
            "call it by its path",
        )
    };
    let path = std::env::current_exe().map_err(|error| unknown(error.to_string()))?;
    let path = path
        .to_str()
        .ok_or_else(|| unknown("its path is no text".to_owned()))?;
    Ok(path.to_owned())
}

/// A tool calls this program from anywhere.
fn absolute(path: &Path) -> Result<String, Failure> {
    let whole = std::path::absolute(path).ok();
    let text = whole.as_deref().and_then(Path::to_str).map(str::to_owned);
    text.ok_or_else(|| {
        let message = format!("a tool can't be told of `{}`", path.display());
        let hint = "name a path that is text";
        Failure::new("path_unusable", Exit::Usage, message, hint)
    })
}

/// The hosts of all profiles, or of the one that an option names. Which of them
/// is answered about is decided when a tool asks; this only has it ask.
fn bound_hosts(context: &Context) -> Result<Vec<BoundHost>, Problem> {
    let options = &context.options;
    let only = (options.chosen_by.profile == Rule::Option).then_some(&options.profile);
    let mut hosts: Vec<BoundHost> = context
        .vault_without_store()?
        .profiles()?
        .into_iter()
        .filter(|(name, _)| only.is_none_or(|only| only == name))
        .filter_map(|(_, summary)| summary.ok())
        .flat_map(|summary| summary.bound_hosts)
        .filter_map(|host| host.parse().ok())
        .collect();
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

/// A tool's settings that can't be changed.
fn unusable(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        "settings_unusable",
        Exit::Failed,
        format!("{what} can't be changed: {why}"),
        "nothing was changed; see to it, or copy what `setup` prints without `--write`",
    )
}

/// Words as a shell would read them.
fn quoted(words: &[String]) -> String {
    let plain = |word: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=".contains(c);
        !word.is_empty() && word.chars().all(fits)
    };
    let quote = |word: &String| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_tear_them() {
        let words = ["/usr/bin/vault-cli", "it's", ""].map(str::to_owned);
        assert_eq!(quoted(&words), r"/usr/bin/vault-cli 'it'\''s' ''");
    }
}
