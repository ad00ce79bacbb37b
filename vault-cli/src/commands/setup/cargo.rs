//! cargo: `credential-provider` of the registries in its `config.toml` whose
//! index lies on a bound host. Comments and order stay.

use std::path::PathBuf;

use toml_edit::{Array, DocumentMut, Item, Value, value};
use url::Url;
use vault_core::BoundHost;

use super::replace::{read, replace};
use super::{Act, Done, Setup, unusable};
use crate::failure::Failure;

const KEY: &str = "credential-provider";

pub(super) fn set_up(setup: &Setup<'_>) -> Result<Done, Failure> {
    let mut command = setup.command.clone();
    command.extend(["credential", "cargo"].map(str::to_owned));
    let path = config_file(setup)?;
    let before = read(&path).map_err(|error| unusable(path.display(), error))?;
    let before = before.unwrap_or_default();
    let mut config: DocumentMut = before
        .parse()
        .map_err(|error: toml_edit::TomlError| unusable(path.display(), error.message()))?;
    let changed = change(&mut config, setup.act, &setup.hosts, &command);
    let names = changed.map_err(|why| unusable(path.display(), why))?;
    if setup.act == Act::Print {
        let provider = array(&command);
        let registries = match names.as_slice() {
            [] => vec!["NAME".to_owned()],
            names => names.to_owned(),
        };
        let text = registries
            .iter()
            .map(|name| format!("[registries.{name}]\n{KEY} = {provider}\n"));
        return Ok(Done {
            text: text.collect(),
            notes: vec![format!("this belongs into {}", path.display())],
        });
    }
    let mut notes = Vec::new();
    if names.is_empty() && setup.act == Act::Write {
        notes.push(
            "no registry there has its index on a bound host; name it under `[registries]` first"
                .to_owned(),
        );
    }
    let after = config.to_string();
    let says = if after == before {
        "nothing to change in"
    } else {
        replace(&path, &after).map_err(|error| unusable(path.display(), error))?;
        "changed"
    };
    Ok(Done {
        text: format!("{says} {}\n", path.display()),
        notes,
    })
}

/// Sets or removes the provider, and gives the registries that are meant.
fn change(
    config: &mut DocumentMut,
    act: Act,
    hosts: &[BoundHost],
    command: &[String],
) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let Some(registries) = config.get_mut("registries") else {
        return Ok(names);
    };
    let registries = registries.as_table_like_mut();
    let registries = registries.ok_or("its `registries` are none")?;
    for (name, registry) in registries.iter_mut() {
        let Some(registry) = registry.as_table_like_mut() else {
            continue;
        };
        let ours = registry.get(KEY).is_some_and(is_ours);
        if act == Act::Remove {
            if ours {
                registry.remove(KEY);
                names.push(name.to_string());
            }
            continue;
        }
        let index = registry.get("index").and_then(Item::as_str);
        if !index
            .and_then(host)
            .is_some_and(|host| hosts.contains(&host))
        {
            continue;
        }
        names.push(name.to_string());
        match registry.get(KEY) {
            Some(_) if !ours => return Err(format!("registry {name} has another {KEY}")),
            Some(there) if there.as_value().is_some_and(|there| same(there, command)) => {}
            _ => {
                registry.insert(KEY, value(array(command)));
            }
        }
    }
    Ok(names)
}

fn host(index: &str) -> Option<BoundHost> {
    let address = index.strip_prefix("sparse+").unwrap_or(index);
    BoundHost::of(&Url::parse(address).ok()?)
}

fn array(command: &[String]) -> Array {
    command.iter().map(String::as_str).collect()
}

fn words(provider: &Value) -> Vec<&str> {
    match provider.as_array() {
        Some(words) => words.iter().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    }
}

fn same(provider: &Value, command: &[String]) -> bool {
    words(provider) == command.iter().map(String::as_str).collect::<Vec<_>>()
}

/// Whether this program, wherever it lay, set a provider.
fn is_ours(provider: &Item) -> bool {
    let words = provider.as_value().map(words).unwrap_or_default();
    words
        .first()
        .is_some_and(|program| program.contains("vault-cli"))
        && words.ends_with(&["credential", "cargo"])
}

fn config_file(setup: &Setup<'_>) -> Result<PathBuf, Failure> {
    let folder = match &setup.arguments.cargo_home {
        Some(folder) => folder.clone(),
        None => std::env::home_dir()
            .ok_or_else(|| unusable("cargo's configuration", "the user has no home folder"))?
            .join(".cargo"),
    };
    // The older name, where it is in use.
    let old = folder.join("config");
    let new = folder.join("config.toml");
    Ok(if old.is_file() && !new.exists() {
        old
    } else {
        new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "# mine\n[registries.own] # beside it\nindex = \"sparse+https://crates.example/index/\"\n\n[registries]\nother = { index = \"https://other.example/\" }\n\n[net]\nretry = 3 # thrice\n";

    #[test]
    fn comments_stay_and_what_is_removed_was_never_there() {
        let hosts = ["crates.example".parse().unwrap()];
        let command = ["/bin/vault-cli", "credential", "cargo"].map(str::to_owned);
        let mut config: DocumentMut = CONFIG.parse().unwrap();
        let names = change(&mut config, Act::Write, &hosts, &command).unwrap();
        assert_eq!(names, ["own"]);
        let once = config.to_string();
        assert!(once.contains("# beside it") && once.contains("# thrice"));
        assert!(
            once.contains(
                "credential-provider = [\"/bin/vault-cli\", \"credential\", \"cargo\"]\n"
            )
        );
        change(&mut config, Act::Write, &hosts, &command).unwrap();
        assert_eq!(config.to_string(), once);
        change(&mut config, Act::Remove, &[], &command).unwrap();
        assert_eq!(config.to_string(), CONFIG);
    }

    #[test]
    fn another_provider_is_left_alone() {
        let text = "[registries.own]\nindex = \"https://crates.example/\"\ncredential-provider = \"cargo:token\"\n";
        let mut config: DocumentMut = text.parse().unwrap();
        let hosts = ["crates.example".parse().unwrap()];
        assert!(change(&mut config, Act::Write, &hosts, &["vault-cli".to_owned()]).is_err());
        assert_eq!(
            change(&mut config, Act::Remove, &hosts, &[]),
            Ok(Vec::new())
        );
        assert_eq!(config.to_string(), text);
    }
}
