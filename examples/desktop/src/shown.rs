//! What the window shows, and how it comes out of what can be seen of a
//! profile. Holds no secret.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use vault_core::display::{HistoryEntry, LoginState};
use vault_core::event::{Event, EventKind};
use vault_core::glance::Glance;

/// No list on the window is longer.
const LINES: usize = 50;

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The login; none if nobody is logged in.
    pub(crate) login: Option<Login>,
    /// What is under way, for the person.
    pub(crate) busy: Option<&'static str>,
    /// A login is waited for, and can be given up.
    pub(crate) logging_in: bool,
    /// What went wrong last.
    pub(crate) failure: Option<String>,
    /// What the API said last.
    pub(crate) answer: Option<String>,
    /// What happened to the login, newest first.
    pub(crate) lines: Vec<Line>,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) account: String,
    pub(crate) issuer: String,
    pub(crate) store: String,
    /// How often its token was refreshed, the login included.
    pub(crate) generation: u64,
    /// From when to when the access token lives, in milliseconds since the Unix
    /// epoch.
    pub(crate) token: Option<(u64, u64)>,
    /// It needs a person, and why.
    pub(crate) trouble: Option<&'static str>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) at_ms: u64,
    pub(crate) text: String,
    /// This process did it.
    pub(crate) own: bool,
}

impl Line {
    /// The time of day, as people here read it.
    pub(crate) fn time(&self) -> String {
        let at = i64::try_from(self.at_ms).ok();
        let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
        at.map(|at| {
            at.to_zoned(TimeZone::system())
                .strftime("%H:%M:%S")
                .to_string()
        })
        .unwrap_or_default()
    }
}

/// The login of a profile, as far as it can be seen without its store.
pub(crate) fn login(glance: &Glance) -> Option<Login> {
    let summary = glance.summary.as_ref()?;
    let trouble = match summary.state {
        LoginState::LoggedOut => return None,
        LoginState::LoggedIn => None,
        LoginState::ClientRefused => Some("The server does not know this app any more."),
        _ => Some("The server wants you to log in again."),
    };
    Some(Login {
        account: summary
            .account
            .clone()
            .unwrap_or_else(|| "somebody".to_owned()),
        issuer: summary.issuer.clone(),
        store: summary.store.clone(),
        generation: summary.generation,
        token: summary
            .expires_at_ms
            .map(|end| (summary.last_refresh_at_ms, end)),
        trouble,
    })
}

/// What all processes did, and what this one saw, newest first.
pub(crate) fn lines(history: &[HistoryEntry], events: &[Event], process: u32) -> Vec<Line> {
    let done = history.iter().map(|entry| deed(entry, process));
    let mut lines: Vec<Line> = done.chain(events.iter().filter_map(seen)).collect();
    // Stable: what came later stays later within a millisecond.
    lines.sort_by_key(|line| line.at_ms);
    lines.reverse();
    lines.truncate(LINES);
    lines
}

fn deed(entry: &HistoryEntry, process: u32) -> Line {
    let own = entry.process == process;
    let who = match (own, &entry.program) {
        (true, _) => "this window".to_owned(),
        (false, Some(program)) => format!("{program} {}", entry.process),
        (false, None) => format!("process {}", entry.process),
    };
    let what = match (entry.event.as_str(), entry.outcome.as_str()) {
        ("login", "ok") => "logged in".to_owned(),
        ("logout", "ok") => "logged out".to_owned(),
        ("refresh", "ok") => format!("refreshed, generation {}", entry.generation),
        (event, outcome) => format!("{event}: {outcome}"),
    };
    Line {
        at_ms: entry.at_ms,
        text: format!("{who}: {what}"),
        own,
    }
}

/// What no history tells.
fn seen(event: &Event) -> Option<Line> {
    let text = match &event.kind {
        EventKind::Adopted => "this window: took over the stored token".to_owned(),
        EventKind::Failed { kind, served, .. } => {
            let served = if *served {
                ", the token still serves"
            } else {
                ""
            };
            format!("this window: a refresh failed ({kind:?}){served}")
        }
        _ => return None,
    };
    Some(Line {
        at_ms: event.at_ms,
        text,
        own: true,
    })
}

/// How much of a life is left, from 1 to 0, and how many seconds.
pub(crate) fn left((from, until): (u64, u64), now: u64) -> (f32, u64) {
    let left = until.saturating_sub(now);
    let whole = until.saturating_sub(from).max(1);
    #[expect(clippy::cast_precision_loss, reason = "it is the length of a bar")]
    let share = left as f32 / whole as f32;
    (share.min(1.0), left / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_runs_from_its_beginning_to_its_end_and_no_further() {
        let life = (10_000, 20_000);
        assert_eq!(left(life, 10_000), (1.0, 10));
        assert_eq!(left(life, 15_000), (0.5, 5));
        assert_eq!(left(life, 99_000), (0.0, 0));
        // A clock that was set back.
        assert_eq!(left(life, 0), (1.0, 20));
        assert_eq!(left((0, 0), 0), (0.0, 0));
    }
}
