//! kubectl: a user of the kubeconfig that runs this program, set by kubectl
//! itself. Which contexts have that user is for people to say. A user of this
//! name that has anything of somebody else's, such as a token, stays as it is.

use std::process::Command;

use serde_json::Value;

use super::{Act, Done, Setup, quoted, unusable};
use crate::failure::{Exit, Failure};

/// The first 1.x whose `set-credentials` has options for all that has to be said.
const FIRST: u32 = 28;

/// The user's name in the kubeconfig.
const USER: &str = "vault-cli";

pub(super) fn set_up(setup: &Setup<'_>) -> Result<Done, Failure> {
    let set = arguments(setup);
    if setup.act == Act::Print {
        let text = format!("kubectl {}\n", quoted(&set));
        return Ok(Done {
            text,
            notes: vec![use_it()],
        });
    }
    if setup.act == Act::Remove {
        return remove();
    }
    is_new_enough()?;
    match whose(&view()?) {
        Whose::Nobody | Whose::Ours => {}
        Whose::Shared | Whose::Others => return Err(taken()),
    }
    kubectl(&set)?;
    Ok(Done {
        text: format!("kubectl's user {USER} asks this program\n"),
        notes: vec![use_it()],
    })
}

fn remove() -> Result<Done, Failure> {
    let view = view()?;
    let (unset, text) = match whose(&view) {
        Whose::Nobody => (None, format!("kubectl knows no user {USER}\n")),
        Whose::Others => {
            let text = format!("kubectl's user {USER} does not ask this program: it stays\n");
            (None, text)
        }
        Whose::Ours => (
            Some(format!("users.{USER}")),
            format!("kubectl's user {USER} is gone\n"),
        ),
        Whose::Shared => (
            Some(format!("users.{USER}.exec")),
            format!("kubectl's user {USER} asks this program no more; what else it has stays\n"),
        ),
    };
    let Some(unset) = unset else {
        return Ok(Done {
            text,
            notes: Vec::new(),
        });
    };
    kubectl(&["config".to_owned(), "unset".to_owned(), unset])?;
    let contexts = contexts(&view);
    let notes = match contexts.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "still with that user: {}; `kubectl config set-context CONTEXT --user=NAME` gives a \
             context another",
            contexts.join(", ")
        )],
    };
    Ok(Done { text, notes })
}

/// The kubeconfig as kubectl shows it: without its secrets.
fn view() -> Result<Value, Failure> {
    let view = ["config", "view", "-o", "json"].map(str::to_owned);
    serde_json::from_str(&kubectl(&view)?).map_err(|error| unusable("the kubeconfig", error))
}

/// Whose a user of our name is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// There is none, or nothing in it.
    Nobody,
    Ours,
    /// It asks this program, and has a token or the like beside.
    Shared,
    Others,
}

fn whose(view: &Value) -> Whose {
    let users = view["users"].as_array().map_or(&[][..], Vec::as_slice);
    let user = users.iter().find(|user| user["name"] == USER);
    let Some(has) = user.and_then(|user| user["user"].as_object()) else {
        return Whose::Nobody;
    };
    match has.get("exec") {
        _ if has.is_empty() => Whose::Nobody,
        Some(exec) if is_ours(exec) && has.len() == 1 => Whose::Ours,
        Some(exec) if is_ours(exec) => Whose::Shared,
        _ => Whose::Others,
    }
}

/// Whether this program, wherever it lay, is what is run.
fn is_ours(exec: &Value) -> bool {
    let command = exec["command"].as_str().unwrap_or_default();
    let arguments = exec["args"].as_array().map_or(&[][..], Vec::as_slice);
    command.contains("vault-cli")
        && arguments.ends_with(&[Value::from("credential"), Value::from("kubectl")])
}

/// The contexts that have our user.
fn contexts(view: &Value) -> Vec<&str> {
    let contexts = view["contexts"].as_array().map_or(&[][..], Vec::as_slice);
    contexts
        .iter()
        .filter(|context| context["context"]["user"] == USER)
        .filter_map(|context| context["name"].as_str())
        .collect()
}

fn taken() -> Failure {
    let message = format!(
        "the kubeconfig has a user {USER} with something else than this program, such as a token"
    );
    let hint = format!(
        "nothing was changed; give that user another name, or take it out with `kubectl config \
         unset users.{USER}`"
    );
    Failure::new("settings_unusable", Exit::Failed, message, hint)
}

fn use_it() -> String {
    format!("`kubectl config set-context CONTEXT --user={USER}` has a context use it")
}

fn arguments(setup: &Setup<'_>) -> Vec<String> {
    let (program, options) = setup
        .command
        .split_first()
        .expect("it begins with this program");
    let mut arguments: Vec<String> = ["config", "set-credentials", USER]
        .map(str::to_owned)
        .to_vec();
    arguments.push(format!("--exec-command={program}"));
    // One after another: kubectl would add to those that are there.
    arguments.push("--exec-api-version=client.authentication.k8s.io/v1".to_owned());
    arguments.push("--exec-interactive-mode=IfAvailable".to_owned());
    arguments.push("--exec-provide-cluster-info=true".to_owned());
    let words = options.iter().map(String::as_str);
    for word in words.chain(["credential", "kubectl"]) {
        arguments.push(format!("--exec-arg={word}"));
    }
    arguments
}

/// What can't be told of a version is left to kubectl itself.
fn is_new_enough() -> Result<(), Failure> {
    let version = ["version", "--client", "-o", "json"].map(str::to_owned);
    let said: Value = serde_json::from_str(&kubectl(&version)?).unwrap_or_default();
    let minor = said["clientVersion"]["minor"].as_str().unwrap_or_default();
    let minor = minor.trim_end_matches('+');
    if !minor.parse().is_ok_and(|minor: u32| minor < FIRST) {
        return Ok(());
    }
    let message = format!(
        "kubectl 1.{minor} can't be told what a cluster's login needs; 1.{FIRST} is the first that can"
    );
    let hint = "nothing was changed; use a newer kubectl";
    Err(Failure::new(
        "settings_unusable",
        Exit::Failed,
        message,
        hint,
    ))
}

fn kubectl(arguments: &[String]) -> Result<String, Failure> {
    let run = Command::new("kubectl").args(arguments).output();
    let output = run.map_err(|error| unusable("the kubeconfig", error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.trim().lines().next().unwrap_or("kubectl fails");
    Err(unusable("the kubeconfig", first))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_ours_only_if_it_has_nothing_else() {
        let ours = json!({
            "command": "/bin/vault-cli", "args": ["--profile", "work", "credential", "kubectl"],
        });
        let other = json!({ "command": "/bin/kubelogin", "args": ["credential", "kubectl"] });
        for (user, expected) in [
            (json!({ "exec": ours }), Whose::Ours),
            (json!({ "exec": ours, "token": "REDACTED" }), Whose::Shared),
            (json!({ "exec": other }), Whose::Others),
            (
                json!({ "exec": { "command": "vault-cli", "args": null } }),
                Whose::Others,
            ),
            (json!({ "token": "REDACTED" }), Whose::Others),
            (json!({}), Whose::Nobody),
            (json!(null), Whose::Nobody),
        ] {
            let others = json!({ "name": "alice", "user": { "token": "REDACTED" } });
            let users = json!({ "users": [others, { "name": USER, "user": user }] });
            assert_eq!(whose(&users), expected, "{users}");
        }
        for none in [json!({}), json!({ "users": null }), json!({ "users": [] })] {
            assert_eq!(whose(&none), Whose::Nobody);
            assert!(contexts(&none).is_empty());
        }
    }
}
