//! git: `credential.https://HOST.helper`, set by git itself. An empty value
//! before ours keeps the helpers in front of it from that host, which would
//! store the token. git asks them in the order of its files, so one that stands
//! behind ours is looked for, and is refused.

use std::process::Command;

use vault_core::BoundHost;

use super::{Act, Done, Setup, quoted, unusable};
use crate::failure::{Exit, Failure};

/// A kind of values: as git finds them, and as we do.
type Kind = (&'static str, fn(&str) -> bool);

const OURS: Kind = ("^!.*vault-cli.* credential git$", is_ours);
const EMPTY: Kind = ("^$", str::is_empty);
const ANY: Kind = ("^", |_| true);

/// What is not there.
const NO_REPOSITORY: &str = "no-such-folder/of-vault-cli";

pub(super) fn set_up(setup: &Setup<'_>) -> Result<Done, Failure> {
    let mut command = setup.command.clone();
    command.extend(["credential", "git"].map(str::to_owned));
    let helper = format!("!{}", quoted(&command));
    let keys = keys(setup, &helper)?;
    let text = if setup.act == Act::Print {
        let words = quoted(std::slice::from_ref(&helper));
        let line = |key: &String| {
            format!("git config --global --add {key} ''\ngit config --global --add {key} {words}\n")
        };
        keys.iter().map(line).collect()
    } else {
        let mut touched = Vec::new();
        change_all(setup, &helper, &keys, &mut touched)
            .map_err(|failure| take_back(failure, &touched))?
    };
    Ok(Done {
        text,
        notes: Vec::new(),
    })
}

/// A key, and the values that it had.
type Before = (String, Vec<String>);

/// Changes these keys, and notes first what each of them was.
fn change_all(
    setup: &Setup<'_>,
    helper: &str,
    keys: &[String],
    touched: &mut Vec<Before>,
) -> Result<String, Failure> {
    let mut text = String::new();
    for key in keys {
        let before = values(key)?;
        let after = match setup.act {
            Act::Remove => without(&before, is_ours),
            Act::Print | Act::Write => with(&before, helper),
        };
        if after == before {
            text.push_str(&format!("{key} is as it should be\n"));
            continue;
        }
        touched.push((key.clone(), before.clone()));
        change(key, &before, &after)?;
        text.push_str(&format!("changed {key}\n"));
    }
    if setup.act == Act::Write {
        let helpers = helpers()?;
        for host in &setup.hosts {
            is_alone(host, &helpers)?;
        }
    }
    Ok(text)
}

/// Puts the keys back, so that the failure's "nothing was changed" is true. If
/// that fails as well, it is told instead.
fn take_back(mut failure: Failure, touched: &[Before]) -> Failure {
    for (key, before) in touched.iter().rev() {
        let put_back = values(key).and_then(|now| change(key, &now, before));
        if let Err(why) = put_back {
            let values: Vec<_> = before.iter().map(|value| format!("`{value}`")).collect();
            let had = match values.as_slice() {
                [] => "no value".to_owned(),
                values => values.join(", "),
            };
            failure.hint = format!(
                "{key} was changed, and could not be put back ({}); it had {had}: see to it with \
                 `git config --global --edit`",
                why.message
            );
            return failure;
        }
    }
    failure
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

/// What is to be taken out and then added, so that the one becomes the other.
/// As little as can be is taken out: its comments would be lost.
fn steps<'a>(from: &[String], to: &'a [String]) -> (&'static [Kind], &'a [String]) {
    // Ours first: without the empty one before it, others would be asked as well.
    let choices: [&'static [Kind]; 3] = [&[], &[OURS], &[OURS, EMPTY]];
    for kinds in choices {
        let stays = |value: &&String| !kinds.iter().any(|(_, is)| is(value));
        let kept: Vec<String> = from.iter().filter(stays).cloned().collect();
        if let Some(added) = to.strip_prefix(kept.as_slice()) {
            return (kinds, added);
        }
    }
    // Empty ones of the user's own can't be told from those before ours.
    (&[ANY], to)
}

fn change(key: &str, from: &[String], to: &[String]) -> Result<(), Failure> {
    let (kinds, added) = steps(from, to);
    for (pattern, _) in kinds {
        let unset = ["config", "--global", "--unset-all", key, pattern];
        // There may be none.
        git(&unset, &[5])?;
    }
    for value in added {
        git(&["config", "--global", "--add", key, value], &[])?;
    }
    Ok(())
}

/// A helper as git finds it.
struct Helper {
    /// The file that it stands in.
    origin: String,
    key: String,
    value: String,
}

/// All helpers in the order in which git asks them, from all of its files.
fn helpers() -> Result<Vec<Helper>, Failure> {
    let pattern = r"^credential\.(.*\.)?helper$";
    let list = ["config", "--null", "--show-origin", "--get-regexp", pattern];
    let listed = git(&list, &[1])?;
    let mut fields = listed.split('\0');
    let mut helpers = Vec::new();
    while let (Some(origin), Some(entry)) = (fields.next(), fields.next()) {
        // git itself takes a key without a value for an error.
        if let Some((key, value)) = entry.split_once('\n') {
            helpers.push(Helper {
                origin: origin.strip_prefix("file:").unwrap_or(origin).to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    Ok(helpers)
}

/// Refuses where git would ask another helper about the host beside ours: it
/// would be given our token, to keep it. Or where it would not ask ours.
fn is_alone(host: &BoundHost, helpers: &[Helper]) -> Result<(), Failure> {
    let mut asked: Vec<&Helper> = Vec::new();
    let mut emptied = None;
    for helper in helpers {
        if !is_about(&helper.key, host) {
            continue;
        }
        if helper.value.is_empty() {
            asked.clear();
            emptied = Some(helper);
        } else {
            asked.push(helper);
        }
    }
    let other = asked.iter().find(|helper| !is_ours(&helper.value));
    let (behind, name, does) = match (other, emptied) {
        (Some(other), _) => {
            // A command may have a password in it.
            let name = match other.value.starts_with('!') {
                true => "a command",
                false => &other.value,
            };
            (*other, name, "would be given its token to keep")
        }
        (None, Some(empty)) if asked.is_empty() => (empty, "an empty one", "takes it away"),
        (None, _) => return Ok(()),
    };
    let message = format!(
        "behind this program's helper for {host} stands {name}, which {does}: {} in {}",
        behind.key, behind.origin
    );
    let hint = format!(
        "nothing was changed; move the section `[credential \"https://{host}\"]` below that one, \
         or take that helper out"
    );
    Err(Failure::new(
        "settings_unusable",
        Exit::Failed,
        message,
        hint,
    ))
}

/// Whether a helper's key is about the host: its address may lack parts, and
/// have `*` for a part of the name. A user or a path in it may be asked for.
fn is_about(key: &str, host: &BoundHost) -> bool {
    let address = key
        .strip_prefix("credential.")
        .and_then(|rest| rest.strip_suffix(".helper"));
    let Some(address) = address else {
        return key == "credential.helper";
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    if !scheme.is_empty() && !scheme.eq_ignore_ascii_case("https") {
        return false;
    }
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let (name, port) = match place.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, port.parse().unwrap_or(443))
        }
        _ => (place, 443),
    };
    let wanted: Vec<_> = name.split('.').collect();
    let parts: Vec<_> = host.host().split('.').collect();
    let fits = |(wanted, part): (&&str, &&str)| *wanted == "*" || wanted.eq_ignore_ascii_case(part);
    name.is_empty()
        || (port == host.port()
            && wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(fits))
}

/// What git says; nothing where it ends with one of these codes.
fn git(arguments: &[&str], nothing: &[i32]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    // In whatever folder this is called, it is about no repository.
    command.env("GIT_DIR", NO_REPOSITORY).args(arguments);
    let run = command.output();
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

    #[test]
    fn of_the_users_values_as_few_as_can_be_are_taken_out() {
        let list = |values: &[&str]| -> Vec<String> {
            values.iter().map(|value| (*value).to_owned()).collect()
        };
        let (ours, moved) = ("!vault-cli credential git", "!/b/vault-cli credential git");
        for (from, to, kinds, added) in [
            (&["store"][..], &["store", "", ours][..], 0, 2),
            (&["", "store"], &["", "store", "", ours], 0, 2),
            (&["store", "", ours], &["store"], 2, 0),
            (&["store", "", ours], &["store", "", moved], 1, 1),
            (&["", ours, "store"], &["store", "", ours], 2, 2),
            // A step that was not finished.
            (&["store", ""], &["store"], 2, 0),
            (&["", "store", "", ours], &["", "store"], 1, 2),
        ] {
            let (from, to) = (list(from), list(to));
            let (found, rest) = steps(&from, &to);
            assert_eq!((found.len(), rest.len()), (kinds, added), "{from:?} {to:?}");
            let stays = |value: &&String| !found.iter().any(|(_, is)| is(value));
            let made: Vec<_> = from.iter().filter(stays).chain(rest).cloned().collect();
            assert_eq!(made, to);
        }
    }

    #[test]
    fn a_helper_is_about_the_hosts_that_git_asks_it_about() {
        let about = |address: &str, host: &str| {
            is_about(
                &format!("credential.{address}.helper"),
                &host.parse().unwrap(),
            )
        };
        let host: BoundHost = "git.example".parse().unwrap();
        assert!(is_about("credential.helper", &host));
        assert!(!is_about("credential.username", &host));
        for address in [
            "https://git.example",
            "HTTPS://Git.Example:443/",
            "https://alice@git.example/a/b",
            "https://*.example",
            "https://",
            "git.example",
        ] {
            assert!(about(address, "git.example"), "{address}");
        }
        for address in [
            "http://git.example",
            "https://git.example:8443",
            "https://example",
            "https://a.git.example",
            "https://*.git.example",
            "https://git.example.org",
        ] {
            assert!(!about(address, "git.example"), "{address}");
        }
        assert!(about("https://git.example:8443", "git.example:8443"));
        assert!(!about("https://git.example", "git.example:8443"));
        assert!(about("https://[::1]:8443/", "[::1]:8443"));
    }

    #[test]
    fn whoever_stands_behind_ours_is_refused() {
        let ours = "!/bin/vault-cli credential git";
        let own = "credential.https://git.example.helper";
        let alone = |list: &[(&str, &str)]| {
            let helper = |(key, value): &(&str, &str)| Helper {
                origin: "/home/a/.gitconfig".to_owned(),
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            };
            let helpers: Vec<_> = list.iter().map(helper).collect();
            is_alone(&"git.example".parse().unwrap(), &helpers)
        };
        let all = "credential.helper";
        alone(&[(all, "store"), (own, ""), (own, ours)]).unwrap();
        let other = "credential.https://other.example.helper";
        alone(&[(own, ""), (own, ours), (other, "store")]).unwrap();
        // By hand for all hosts.
        alone(&[(own, ""), (own, ours), (all, ""), (all, ours)]).unwrap();

        let refused = alone(&[(own, ""), (own, ours), (all, "store")]).unwrap_err();
        for part in [
            "git.example stands store,",
            "credential.helper in /home/a/.gitconfig",
        ] {
            assert!(refused.message.contains(part), "{}", refused.message);
        }
        let secret = alone(&[(own, ""), (own, ours), (all, "!echo password=x")]).unwrap_err();
        assert!(!secret.message.contains("password"), "{}", secret.message);
        let empty = alone(&[(own, ""), (own, ours), (all, "")]).unwrap_err();
        assert!(empty.message.contains("takes it away"), "{}", empty.message);
    }
}
