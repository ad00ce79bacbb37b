//! `issuers`: what is known of authorization servers, and used at login.

use serde_json::json;
use vault_core::known_servers::KnownServer;
use vault_core::refresh::policy::RotationPolicy;

use crate::args;
use crate::context::{Context, known_servers};
use crate::failure::{Exit, Problem};
use crate::{table, times};

pub(crate) fn run(context: &Context, arguments: &args::Issuers) -> Result<Exit, Problem> {
    let output = &context.output;
    let servers = known_servers(arguments.issuers_file.as_deref())?;
    let shown: Vec<&KnownServer> = match &arguments.issuer {
        Some(issuer) => servers.find(issuer).into_iter().collect(),
        None => servers.iter().collect(),
    };
    if output.json {
        // The form of a file for `--issuers-file`.
        output.document(&json!({ "v": 1, "servers": shown }))?;
        return Ok(Exit::Done);
    }
    if shown.is_empty() {
        output.note("nothing is known of this server; the defaults are used");
        return Ok(Exit::Done);
    }
    let rows = shown.iter().map(|server| {
        [
            server.name.clone(),
            hosts(server),
            server.rotation.map_or("the usual".to_owned(), rotation),
            wants(server),
            server.notes.clone(),
        ]
    });
    let header = ["NAME", "ISSUERS", "ROTATION", "WANTS", "NOTES"];
    output.text(&table::plain(header, rows))?;
    Ok(Exit::Done)
}

fn hosts(server: &KnownServer) -> String {
    let path = server.path.as_deref().unwrap_or_default();
    let hosts = server.hosts.iter().map(|host| format!("{host}{path}"));
    hosts.collect::<Vec<_>>().join(", ")
}

fn rotation(policy: RotationPolicy) -> String {
    if policy.strict {
        return "strict".to_owned();
    }
    format!("again within {}", times::length(policy.window))
}

/// What a login there does otherwise than elsewhere.
fn wants(server: &KnownServer) -> String {
    let mut wants = Vec::new();
    if let Some(scope) = &server.offline_scope {
        wants.push(scope.clone());
    }
    if server.drops_offline_access {
        wants.push("no offline_access".to_owned());
    }
    if server.audience_parameter {
        wants.push("audience".to_owned());
    }
    if !server.consent_prompt {
        wants.push("no prompt=consent".to_owned());
    }
    let parameters = server.parameters.iter();
    wants.extend(parameters.map(|(name, value)| format!("{name}={value}")));
    wants.join(", ")
}
