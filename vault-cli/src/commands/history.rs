//! `history`: the chain of rotations: when, what, how it ended, how long it
//! took, which program and process.

use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::table;
use crate::times;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    let output = &context.output;
    let vault = context.vault_without_store()?;
    let session = vault.session(&context.options.profile)?;
    let entries = session.history()?;
    if output.json {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "at": times::rfc3339(entry.at_ms),
                    "event": entry.event,
                    "outcome": entry.outcome,
                    "login_id": entry.login,
                    "generation": entry.generation,
                    "process": entry.process,
                    "program": entry.program,
                    "took_ms": entry.took_ms,
                })
            })
            .collect();
        output.document(&json!({
            "app": context.options.app,
            "profile": session.name(),
            "entries": entries,
        }))?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        output.note("nothing has happened yet");
        return Ok(Exit::Done);
    }
    let header = [
        "WHEN",
        "EVENT",
        "OUTCOME",
        "GENERATION",
        "TOOK",
        "PROGRAM",
        "PROCESS",
        "LOGIN",
    ];
    let rows = entries.iter().map(|entry| {
        [
            times::rfc3339(entry.at_ms),
            entry.event.clone(),
            entry.outcome.clone(),
            entry.generation.to_string(),
            entry
                .took_ms
                .map_or_else(|| "-".to_owned(), |took| format!("{took} ms")),
            entry.program.clone().unwrap_or_else(|| "-".to_owned()),
            entry.process.to_string(),
            entry.login.to_string()[..8].to_owned(),
        ]
    });
    output.text(&table::plain(header, rows))?;
    Ok(Exit::Done)
}
