//! The matrix for people, and for scripts.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Value, json};

use super::{Finding, Verdict};

/// The matrix as a table, with what is wrong below it.
#[must_use]
pub fn as_table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "fault",
            "caller got",
            "stored",
            "requests",
            "login",
            "afterwards",
            "verdict",
        ]);
    let mut notes = String::new();
    for finding in findings {
        let name = format!("{}: {}", finding.group, finding.name);
        let verdict = match &finding.verdict {
            Verdict::Right => "right",
            Verdict::Wrong { problems } => {
                for problem in problems {
                    notes.push_str(&format!("wrong: {name}: {problem}\n"));
                }
                "WRONG"
            }
            Verdict::Skipped { reason } => {
                notes.push_str(&format!("skipped: {name}: {reason}\n"));
                "skipped"
            }
        };
        let requests = finding.requests.map(|requests| requests.to_string());
        let login = match finding.alive {
            Some(true) => "alive",
            Some(false) => "revoked",
            None => "",
        };
        table.add_row([
            name.as_str(),
            &finding.caller,
            &finding.stored,
            &requests.unwrap_or_default(),
            login,
            &finding.afterwards,
            verdict,
        ]);
    }
    let [right, wrong, skipped] = tally(findings);
    format!(
        "{table}\n{notes}{} rows: {right} right, {wrong} wrong, {skipped} skipped",
        findings.len()
    )
}

/// The matrix as JSON.
#[must_use]
pub fn as_json(findings: &[Finding]) -> Value {
    let [right, wrong, skipped] = tally(findings);
    json!({ "rows": findings, "right": right, "wrong": wrong, "skipped": skipped })
}

fn tally(findings: &[Finding]) -> [usize; 3] {
    let mut tally = [0; 3];
    for finding in findings {
        tally[match finding.verdict {
            Verdict::Right => 0,
            Verdict::Wrong { .. } => 1,
            Verdict::Skipped { .. } => 2,
        }] += 1;
    }
    tally
}
