//! docker: `credHelpers` in its `config.json`, and this program under the name
//! that docker looks for in PATH.

use std::path::{Path, PathBuf};

use serde::Serialize as _;
use serde_json::{Map, Value};

use super::replace::{read, replace};
use super::{Act, Done, Setup, unusable};
use crate::failure::Failure;

/// What docker puts `docker-credential-` before.
const HELPER: &str = "vault-cli";
const PROGRAM: &str = "docker-credential-vault-cli";

pub(super) fn set_up(setup: &Setup<'_>) -> Result<Done, Failure> {
    let mut notes = Vec::new();
    if setup.command.len() > 1 {
        notes.push(
            "docker gives its helpers no options: their variables (VAULT_APP, VAULT_PROFILE, \
             VAULT_STATE_DIR, VAULT_KEY_FILE, VAULT_PASSPHRASE_FILE) have to stand in its \
             environment"
                .to_owned(),
        );
    }
    let hosts: Vec<String> = setup.hosts.iter().map(ToString::to_string).collect();
    if setup.act == Act::Print {
        let helpers: Map<_, _> = hosts
            .into_iter()
            .map(|host| (host, HELPER.into()))
            .collect();
        let text = pretty(&serde_json::json!({ "credHelpers": helpers }));
        notes.push(format!(
            "docker looks for `{PROGRAM}` in PATH: a link to this program"
        ));
        return Ok(Done { text, notes });
    }
    let path = config_file(setup)?;
    let before = read(&path).map_err(|error| unusable(path.display(), error))?;
    let mut config: Value = match before.as_deref().map(str::trim) {
        None | Some("") => Value::Object(Map::new()),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| unusable(path.display(), error))?
        }
    };
    let no_object = || unusable(path.display(), "it is not what docker writes");
    let helpers = helpers(&mut config).ok_or_else(no_object)?;
    let was = helpers.clone();
    if setup.act == Act::Remove {
        helpers.retain(|_, helper| helper.as_str() != Some(HELPER));
    } else {
        for host in hosts {
            let helper = helpers.entry(host.clone()).or_insert_with(|| HELPER.into());
            if helper.as_str() != Some(HELPER) {
                let why = format!("{host} has another helper, {helper}");
                return Err(unusable(path.display(), why));
            }
        }
        notes.extend(link(&setup.command[0]));
    }
    let changed = *helpers != was;
    if helpers.is_empty()
        && let Some(config) = config.as_object_mut()
    {
        config.remove("credHelpers");
    }
    if changed {
        replace(&path, &pretty(&config)).map_err(|error| unusable(path.display(), error))?;
    }
    let says = if changed {
        "changed"
    } else {
        "nothing to change in"
    };
    Ok(Done {
        text: format!("{says} {}\n", path.display()),
        notes,
    })
}

fn helpers(config: &mut Value) -> Option<&mut Map<String, Value>> {
    let config = config.as_object_mut()?;
    let helpers = config
        .entry("credHelpers")
        .or_insert_with(|| Map::new().into());
    helpers.as_object_mut()
}

fn config_file(setup: &Setup<'_>) -> Result<PathBuf, Failure> {
    let folder = match &setup.arguments.docker_config {
        Some(folder) => folder.clone(),
        None => std::env::home_dir()
            .ok_or_else(|| unusable("docker's configuration", "the user has no home folder"))?
            .join(".docker"),
    };
    Ok(folder.join("config.json"))
}

/// As docker itself writes it.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "it was JSON before");
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

/// Makes the name that docker looks for, beside this program; or says that it
/// is missing.
fn link(program: &str) -> Option<String> {
    let link = Path::new(program).with_file_name(PROGRAM);
    if link.exists() {
        return None;
    }
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(program, &link);
    #[cfg(not(unix))]
    let made = std::fs::hard_link(program, link.with_extension("exe"));
    made.err().map(|error| {
        format!(
            "{} could not be made ({error}); docker looks for `{PROGRAM}` in PATH: a link to {program}",
            link.display()
        )
    })
}
