//! One login for twenty APIs, asked for by many processes at once.

use std::collections::BTreeSet;
use std::process::Command;

use vault_core::platform::store::StoreKind;

use super::cell::{Scene, is_for};
use super::matrix::{Bench, Feature, Flow};
use super::{Failure, WORKER, ensure};
use crate::fleet::{Assignment, Fleet};
use crate::server::fingerprint;

/// The crowd's client.
pub(super) const CLIENT: &str = "crowd";

const PROCESSES: usize = 8;
const RESOURCES: usize = 20;

/// Twenty refreshes and not one more, none of them refused, whoever asks how often.
pub(super) fn twenty_resources(bench: &Bench) -> Result<String, Failure> {
    let scene = Scene::new(bench, Flow::Refresh, Feature::Resources, CLIENT)?;
    let resources: Vec<String> = (1..=RESOURCES)
        .map(|number| format!("https://api-{number}.example/"))
        .collect();
    let mut arguments = scene.login_arguments()?;
    arguments.extend(["--scope".to_owned(), "read".to_owned()]);
    for resource in &resources {
        arguments.extend(["--resource".to_owned(), resource.clone()]);
    }
    scene.attend(&scene.machine, arguments)?.done("login")?;

    let assignment = Assignment {
        application: "vault-cli".to_owned(),
        profile: "default".to_owned(),
        state_root: scene.machine.state(),
        store: Some(StoreKind::EncryptedFile),
        key_file: Some(scene.machine.key_file()),
        tasks: RESOURCES,
        lock_timeout_ms: 60_000,
        resources: resources.clone(),
        refused: false,
        faults: Vec::new(),
    };
    let program = std::env::current_exe()?;
    let worker = || {
        let mut command = Command::new(&program);
        command.arg(WORKER);
        command
    };
    let mut fleet = Fleet::start(PROCESSES, &assignment, worker)?;
    for _ in 0..2 {
        let calls = fleet.round()?;
        ensure(calls.len() == PROCESSES * RESOURCES, || {
            format!("{} calls", calls.len())
        })?;
        for (number, call) in calls.iter().enumerate() {
            if let Some(error) = &call.error {
                return Err(error.clone().into());
            }
            ensure(call.token == calls[number % RESOURCES].token, || {
                "two tokens for one resource".into()
            })?;
        }
        let distinct: BTreeSet<_> = calls.iter().map(|call| &call.token).collect();
        ensure(distinct.len() == RESOURCES, || {
            format!("{} tokens", distinct.len())
        })?;
        // The second round is all from the sealed file.
        scene.counted("refreshes_ok", 20)?;
        for (call, resource) in calls.iter().zip(&resources) {
            let token = scene.token(&["--resource", resource])?;
            is_for(&token, resource, scene.provider.issuer())?;
            ensure(call.token == Some(fingerprint(&token)), || {
                format!("another token for {resource}")
            })?;
        }
    }
    for what in ["refreshes_refused", "reuse_detected", "grants_revoked"] {
        scene.counted(what, 0)?;
    }
    let figures = ["refreshes_ok", "refreshes_refused", "reuse_detected"];
    let mut told = Vec::new();
    for what in figures {
        told.push(format!("{what} {}", scene.count(what)?));
    }
    Ok(format!("the provider counted {}", told.join(", ")))
}
