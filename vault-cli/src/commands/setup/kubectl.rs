//! kubectl: a user of the kubeconfig that runs this program, set by kubectl
//! itself. Which contexts have that user is for people to say.

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
        let view = ["config", "view", "-o", "jsonpath={.users[*].name}"].map(str::to_owned);
        let users = kubectl(&view)?;
        if !users.split_whitespace().any(|user| user == USER) {
            return Ok(Done {
                text: format!("kubectl knows no user {USER}\n"),
                notes: Vec::new(),
            });
        }
        let unset = [
            "config".to_owned(),
            "unset".to_owned(),
            format!("users.{USER}"),
        ];
        kubectl(&unset)?;
        return Ok(Done {
            text: format!("kubectl's user {USER} is gone\n"),
            notes: Vec::new(),
        });
    }
    is_new_enough()?;
    kubectl(&set)?;
    Ok(Done {
        text: format!("kubectl's user {USER} asks this program\n"),
        notes: vec![use_it()],
    })
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
