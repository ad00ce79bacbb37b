//! git: `credential.https://HOST.helper`, set by git itself. An empty value
//! before ours keeps other helpers from that host, which would store the token.

use std::process::Command;

use super::{Act, Done, Setup, quoted, unusable};
use crate::failure::Failure;

pub(super) fn set_up(setup: &Setup<'_>) -> Result<Done, Failure> {
    let mut command = setup.command.clone();
    command.extend(["credential", "git"].map(str::to_owned));
    let helper = format!("!{}", quoted(&command));
    let mut text = String::new();
    for key in keys(setup, &helper)? {
        if setup.act == Act::Print {
            text.push_str(&format!(
                "git config --global --add {key} ''\ngit config --global --add {key} {}\n",
                quoted(std::slice::from_ref(&helper))
            ));
            continue;
        }
        let before = values(&key)?;
        let after = match setup.act {
            Act::Remove => without(&before, is_ours),
            Act::Print | Act::Write => with(&before, &helper),
        };
        if after != before {
            write(&key, &before, &after)?;
            text.push_str(&format!("changed {key}\n"));
        } else {
            text.push_str(&format!("{key} is as it should be\n"));
        }
    }
    Ok(Done {
        text,
        notes: Vec::new(),
    })
}

/// The keys of the hosts; to remove, also those of hosts that were bound once.
fn keys(setup: &Setup<'_>, helper: &str) -> Result<Vec<String>, Failure> {
    if setup.act != Act::Remove {
        let key = |host: &_| format!("credential.https://{host}.helper");
        return Ok(setup.hosts.iter().map(key).collect());
    }
    debug_assert!(is_ours(helper), "what is written can be removed");
    let pattern = r"^credential\.https://.*\.helper$";
    let listed = git(
        &["config", "--global", "--null", "--get-regexp", pattern],
        &[1],
    )?;
    let mut keys: Vec<String> = listed
        .split('\0')
        .filter_map(|entry| entry.split_once('\n'))
        .filter(|(_, value)| is_ours(value))
        .map(|(key, _)| key.to_owned())
        .collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// Whether this program, wherever it lay, set a helper.
fn is_ours(value: &str) -> bool {
    value.starts_with('!') && value.contains("vault-cli") && value.ends_with(" credential git")
}

/// Ours alone and last, behind an empty one.
fn with(before: &[String], helper: &str) -> Vec<String> {
    let is_there = before.iter().filter(|value| is_ours(value)).count() == 1;
    if is_there && before.ends_with(&[String::new(), helper.to_owned()]) {
        return before.to_owned();
    }
    let mut after = without(before, is_ours);
    after.extend([String::new(), helper.to_owned()]);
    after
}

/// Without ours, and the empty one before each.
fn without(before: &[String], is_ours: impl Fn(&str) -> bool) -> Vec<String> {
    let mut after: Vec<String> = Vec::new();
    for value in before {
        if !is_ours(value) {
            after.push(value.clone());
        } else if after.last().is_some_and(String::is_empty) {
            after.pop();
        }
    }
    after
}

fn values(key: &str) -> Result<Vec<String>, Failure> {
    let all = git(&["config", "--global", "--null", "--get-all", key], &[1])?;
    let mut values: Vec<String> = all.split('\0').map(str::to_owned).collect();
    // What follows the last one is no value.
    values.pop();
    Ok(values)
}

fn write(key: &str, before: &[String], after: &[String]) -> Result<(), Failure> {
    if !before.is_empty() {
        git(&["config", "--global", "--unset-all", key], &[5])?;
    }
    for value in after {
        git(&["config", "--global", "--add", key, value], &[])?;
    }
    Ok(())
}

/// What git says; nothing where it ends with one of these codes.
fn git(arguments: &[&str], nothing: &[i32]) -> Result<String, Failure> {
    let run = Command::new("git").args(arguments).output();
    let output = run.map_err(|error| unusable("git's configuration", error))?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(code) if nothing.contains(&code) => Ok(String::new()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(unusable("git's configuration", said))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_there_stays_and_twice_is_once() {
        let helper = "!/bin/vault-cli credential git";
        let others = ["store".to_owned(), String::new(), "cache".to_owned()];
        let once = with(&others, helper);
        assert_eq!(once[..3], others);
        assert_eq!(once[3..], [String::new(), helper.to_owned()]);
        assert_eq!(with(&once, helper), once);
        // Another place, or another profile, takes its place.
        let moved = with(&once, "!'/a b/vault-cli' --profile x credential git");
        assert_eq!(moved.len(), once.len());
        assert_eq!(without(&moved, is_ours), others);
        assert_eq!(without(&others, is_ours), others);
    }
}
