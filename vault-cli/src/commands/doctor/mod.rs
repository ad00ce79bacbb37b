//! `doctor`: proves instead of looking. One line for each finding, with a code
//! that stays, and what to do where something is wrong. Spends no refresh token.

mod hints;
mod leftovers;

use serde::Serialize;
use vault_core::diagnosis::{Code, Finding, Verdict};

use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::output::visible;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    let session = context.session_for_proof()?;
    let findings = session.blocking().diagnose()?;
    let mut checks: Vec<_> = findings
        .iter()
        .map(|finding| Check::new(context, finding))
        .collect();
    checks.extend(leftovers::look());
    let healthy = checks.iter().all(|check| check.result != Outcome::Failed);
    let output = &context.output;
    if output.json {
        output.document(&serde_json::json!({
            "app": context.options.app,
            "profile": session.name(),
            "healthy": healthy,
            "checks": checks,
        }))?;
    } else {
        let lines: String = checks.iter().map(Check::text).collect();
        output.text(&lines)?;
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Warning,
    Failed,
    Skipped,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Warning => Self::Warning,
            Verdict::Skipped => Self::Skipped,
            // A verdict that this program does not know is no good one.
            _ => Self::Failed,
        }
    }
}

#[derive(Debug, Serialize)]
struct Check {
    code: &'static str,
    check: &'static str,
    result: Outcome,
    message: String,
    hint: Option<String>,
    path: Option<String>,
}

impl Check {
    fn new(context: &Context, finding: &Finding) -> Self {
        let path = finding.path.as_ref();
        let path = path.map(|path| path.display().to_string());
        let result = Outcome::from(finding.verdict);
        let hint = match (result, finding.hint) {
            (Outcome::Passed | Outcome::Skipped, _) => None,
            (_, Some(hint)) => Some(hint.to_owned()),
            (_, None) => Some(hints::hint(finding.code, path.as_deref(), &context.options)),
        };
        Self {
            message: finding.message.clone(),
            ..Self::of(finding.code, result, hint, path)
        }
    }

    fn of(code: Code, result: Outcome, hint: Option<String>, path: Option<String>) -> Self {
        Self {
            code: code.as_str(),
            check: code.check(),
            result,
            message: code.meaning().to_owned(),
            hint,
            path,
        }
    }

    fn text(&self) -> String {
        let result = match self.result {
            Outcome::Passed => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        let hint = match &self.hint {
            Some(hint) => format!("; {hint}"),
            None => String::new(),
        };
        let Self {
            code,
            check,
            message,
            ..
        } = self;
        format!(
            "{code} {result:<7} {check}: {}\n",
            visible(&format!("{message}{hint}"))
        )
    }
}
