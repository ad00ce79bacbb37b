//! `list`: every profile of the application, or of all, from the display copies. Asks no
//! store and unlocks nothing.

use serde::Serialize;
use vault_core::display::{LoginState, ProfileSummary};

use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::table;
use crate::times;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    let output = &context.output;
    let mut rows = Vec::new();
    let mut worst = Exit::Done;
    for context in context.applications()? {
        let app = &context.options.app;
        for (profile, summary) in context.vault_without_store()?.profiles()? {
            rows.push(match summary {
                Ok(summary) => Row::Known(Known::new(app, summary)),
                Err(error) => {
                    worst = Exit::Failed;
                    Row::Failed {
                        app: app.clone(),
                        profile,
                        error: context.explain(&error),
                    }
                }
            });
        }
    }
    if output.json {
        output.document(&serde_json::json!({ "app": context.options.app, "profiles": rows }))?;
        return Ok(worst);
    }
    for row in &rows {
        if let Row::Failed { profile, error, .. } = row {
            let message = format!("profile {profile}: {}", error.message);
            output.failure_to_people(&Failure {
                message,
                ..error.clone()
            });
        }
    }
    if rows.is_empty() {
        output.note(&format!(
            "no profiles yet; log in with `{}`",
            context
                .options
                .command_line("login --issuer URL --client-id ID")
        ));
    } else {
        let cells = rows.iter().map(cells);
        let left_out = [
            (0, !context.is_of_all()),
            (8, !rows.iter().any(Row::is_bound)),
        ];
        let left_out = left_out.map(|(column, out)| out.then_some(column));
        output.text(&table::without(HEADER, cells, &left_out))?;
    }
    Ok(worst)
}

const HEADER: [&str; 9] = [
    "APP",
    "PROFILE",
    "ACCOUNT",
    "ISSUER",
    "STATE",
    "EXPIRES",
    "LAST REFRESH",
    "STORE",
    "BOUND TO",
];

#[derive(Serialize)]
#[serde(untagged)]
enum Row {
    Known(Known),
    Failed {
        app: String,
        profile: String,
        error: Failure,
    },
}

impl Row {
    fn is_bound(&self) -> bool {
        matches!(self, Self::Known(known) if !known.bound_hosts.is_empty())
    }
}

#[derive(Serialize)]
struct Known {
    app: String,
    profile: String,
    account: Option<String>,
    issuer: String,
    client_id: String,
    state: LoginState,
    scope: Vec<String>,
    store: String,
    bound_hosts: Vec<String>,
    generation: u64,
    expires_at: Option<String>,
    /// Seconds, negative once it has expired.
    expires_in: Option<i64>,
    logged_in_at: String,
    last_refresh_at: String,
    #[serde(skip)]
    expires: String,
    #[serde(skip)]
    refreshed: String,
}

impl Known {
    fn new(app: &str, summary: ProfileSummary) -> Self {
        let now = times::now_ms();
        let left = |at: u64| at.cast_signed().saturating_sub(now.cast_signed()) / 1000;
        Self {
            expires_at: summary.expires_at_ms.map(times::rfc3339),
            expires_in: summary.expires_at_ms.map(left),
            expires: summary
                .expires_at_ms
                .map_or_else(|| "-".to_owned(), |at| times::from_now(at, now)),
            logged_in_at: times::rfc3339(summary.logged_in_at_ms),
            last_refresh_at: times::rfc3339(summary.last_refresh_at_ms),
            refreshed: times::from_now(summary.last_refresh_at_ms, now),
            app: app.to_owned(),
            profile: summary.profile,
            account: summary.account,
            issuer: summary.issuer,
            client_id: summary.client_id,
            state: summary.state,
            scope: summary.scope,
            store: summary.store,
            bound_hosts: summary.bound_hosts,
            generation: summary.generation,
        }
    }
}

/// A login's state for people.
pub(super) fn state_name(state: LoginState) -> &'static str {
    match state {
        LoginState::LoggedIn => "logged in",
        LoginState::LoginRequired => "login required",
        LoginState::RotationUnconfirmed => "rotation unconfirmed",
        LoginState::ClientRefused => "client refused",
        LoginState::LoggedOut => "logged out",
        _ => "unknown",
    }
}

fn cells(row: &Row) -> [String; 9] {
    match row {
        Row::Known(known) => {
            // Of a login that is gone nothing expires any more.
            let gone = known.state == LoginState::LoggedOut;
            [
                known.app.clone(),
                known.profile.clone(),
                known.account.clone().unwrap_or_else(|| "-".to_owned()),
                known.issuer.clone(),
                state_name(known.state).to_owned(),
                if gone { "-" } else { &known.expires }.to_owned(),
                known.refreshed.clone(),
                known.store.clone(),
                match known.bound_hosts.as_slice() {
                    [] => "-".to_owned(),
                    hosts => hosts.join(" "),
                },
            ]
        }
        Row::Failed {
            app,
            profile,
            error,
        } => {
            let mut cells = ["-"; 9].map(str::to_owned);
            cells[0].clone_from(app);
            cells[1].clone_from(profile);
            cells[4] = error.code.replace('_', " ");
            cells
        }
    }
}
