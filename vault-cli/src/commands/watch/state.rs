//! What the screen shows, apart from how: a state, which a reading of the shared
//! files or a key turns into the next. Touches nothing.

use std::collections::{BTreeSet, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use vault_core::ErrorKind;
use vault_core::display::{HistoryEntry, LoginState, ProfileSummary};
use vault_core::glance::{Counters, Glance};

/// So many happenings are kept for the screen.
const KEPT: usize = 200;

/// What was read: each profile by its name, or why it could not be.
pub(super) type Reading = Result<Vec<(String, Result<Glance, String>)>, String>;

/// One profile.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) login: Option<ProfileSummary>,
    pub(super) history: Vec<HistoryEntry>,
    pub(super) counters: Counters,
    /// Why it can't be read.
    pub(super) fault: Option<String>,
}

/// How much is left of an access token's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Life {
    /// Nobody is logged in.
    None,
    /// It has none yet, or one without an end.
    Endless,
    /// From 1 at its issue to 0, and in milliseconds.
    Left(f64, u64),
    Expired,
}

impl Row {
    pub(super) fn life(&self, now_ms: u64) -> Life {
        let Some(login) = &self.login else {
            return Life::None;
        };
        let Some(end) = login.expires_at_ms else {
            return match login.state {
                LoginState::LoggedOut => Life::None,
                _ => Life::Endless,
            };
        };
        if login.state == LoginState::LoggedOut {
            return Life::None;
        }
        let Some(left) = end.checked_sub(now_ms).filter(|left| *left > 0) else {
            return Life::Expired;
        };
        let all = end.saturating_sub(login.last_refresh_at_ms).max(left);
        Life::Left(left as f64 / all as f64, left)
    }
}

/// Something that a process did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    /// In milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    pub(super) profile: String,
    pub(super) what: What,
}

/// What it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A line of the history.
    Noted(HistoryEntry),
    /// So many tokens were taken over that another process had stored.
    Adopted(u64),
    /// A refresh failed and left no line.
    Failed(ErrorKind),
    /// The profile can't be read any more.
    Unreadable(String),
}

impl What {
    pub(super) fn is_fault(&self) -> bool {
        match self {
            Self::Noted(entry) => !matches!(entry.outcome.as_str(), "ok" | "recovered"),
            Self::Adopted(_) => false,
            Self::Failed(_) | Self::Unreadable(_) => true,
        }
    }
}

/// What lies over the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Above {
    #[default]
    Nothing,
    Help,
    Inspection,
    /// Whether to log out of the profile that is selected.
    Question,
}

/// What a person wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Refresh(String),
    LogOut(String),
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) app: String,
    pub(super) rows: Vec<Row>,
    pub(super) selected: usize,
    /// Oldest first.
    pub(super) happenings: VecDeque<Happening>,
    /// Why nothing can be read.
    pub(super) fault: Option<String>,
    pub(super) above: Above,
    /// What came of the newest wish.
    pub(super) answer: Option<String>,
    /// The profiles that this program works on.
    pub(super) busy: BTreeSet<String>,
    has_read: bool,
}

impl State {
    pub(super) fn new(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn selected(&self) -> Option<&Row> {
        self.rows.get(self.selected)
    }

    /// Takes a reading over, and what has happened since the one before; from
    /// the first what the histories tell.
    pub(super) fn read(mut self, reading: Reading, now_ms: u64) -> Self {
        let profiles = match reading {
            Ok(profiles) => profiles,
            Err(fault) => {
                self.fault = Some(fault);
                return self;
            }
        };
        self.fault = None;
        let before = std::mem::take(&mut self.rows);
        let selected = before.get(self.selected).map(|row| row.name.clone());
        let mut happened = Vec::new();
        for (name, glance) in profiles {
            let old = before.iter().find(|row| row.name == name);
            let row = row(name, glance, old);
            happened.extend(happenings(old, &row, self.has_read, now_ms));
            self.rows.push(row);
        }
        happened.sort_by_key(|happening| happening.at_ms);
        self.happenings.extend(happened);
        while self.happenings.len() > KEPT {
            self.happenings.pop_front();
        }
        let again = |name| self.rows.iter().position(|row| row.name == name);
        let end = self.rows.len().saturating_sub(1);
        self.selected = selected.and_then(again).unwrap_or(self.selected.min(end));
        self.has_read = true;
        self
    }

    /// Obeys a key.
    pub(super) fn press(mut self, key: KeyEvent) -> (Self, Option<Wish>) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return (self, Some(Wish::Quit));
        }
        let selected = self.selected().map(|row| row.name.clone());
        let above = std::mem::take(&mut self.above);
        let wish = match (above, key.code) {
            (Above::Question, KeyCode::Char('y' | 'Y')) => selected.map(Wish::LogOut),
            (Above::Question, _) => None,
            (above, KeyCode::Up | KeyCode::Char('k')) => {
                self.above = above;
                self.selected = self.selected.saturating_sub(1);
                None
            }
            (above, KeyCode::Down | KeyCode::Char('j')) => {
                self.above = above;
                self.selected = (self.selected + 1).min(self.rows.len().saturating_sub(1));
                None
            }
            (Above::Nothing, KeyCode::Char('q') | KeyCode::Esc) => Some(Wish::Quit),
            (Above::Help | Above::Inspection, KeyCode::Char('q' | '?') | KeyCode::Esc) => None,
            (Above::Inspection, KeyCode::Enter) => None,
            (_, KeyCode::Char('?')) => {
                self.above = Above::Help;
                None
            }
            (_, KeyCode::Enter) if selected.is_some() => {
                self.above = Above::Inspection;
                None
            }
            (above, KeyCode::Char('r')) => {
                self.above = above;
                selected
                    .filter(|name| !self.busy.contains(name))
                    .map(Wish::Refresh)
            }
            (_, KeyCode::Char('l')) if selected.is_some_and(|name| !self.busy.contains(&name)) => {
                self.above = Above::Question;
                None
            }
            (above, _) => {
                self.above = above;
                None
            }
        };
        (self, wish)
    }
}

fn row(name: String, glance: Result<Glance, String>, old: Option<&Row>) -> Row {
    match glance {
        Ok(glance) => Row {
            name,
            login: glance.summary,
            history: glance.history,
            counters: glance.counters.unwrap_or_default(),
            fault: None,
        },
        Err(fault) => Row {
            name,
            fault: Some(fault),
            ..old.cloned().unwrap_or_default()
        },
    }
}

/// What one profile's change tells.
fn happenings(old: Option<&Row>, new: &Row, has_read: bool, now_ms: u64) -> Vec<Happening> {
    let happening = |at_ms, what| Happening {
        at_ms,
        profile: new.name.clone(),
        what,
    };
    let lines = &new.history[first_unseen(old, new)..];
    let lines = &lines[lines.len().saturating_sub(KEPT)..];
    let mut happened: Vec<_> = lines
        .iter()
        .map(|entry| happening(entry.at_ms, What::Noted(entry.clone())))
        .collect();
    if let (Some(fault), None) = (&new.fault, old.and_then(|old| old.fault.as_ref())) {
        happened.push(happening(now_ms, What::Unreadable(fault.clone())));
    }
    if !has_read {
        return happened;
    }
    let before = old.map(|old| old.counters).unwrap_or_default();
    let Counters {
        adopted,
        failed_attempt,
        failure,
        ..
    } = new.counters;
    // Counters that were removed begin anew.
    if let Some(more @ 1..) = adopted.checked_sub(before.adopted) {
        happened.push(happening(now_ms, What::Adopted(more)));
    }
    let noted = lines.iter().any(|entry| entry.outcome == "refused");
    if failed_attempt != before.failed_attempt
        && !noted
        && let Some(failure) = failure
    {
        happened.push(happening(now_ms, What::Failed(failure)));
    }
    happened
}

/// Where the lines begin that the old row does not have. The older half of a
/// long history is dropped at times.
fn first_unseen(old: Option<&Row>, new: &Row) -> usize {
    let Some(last) = old.and_then(|old| old.history.last()) else {
        return 0;
    };
    match new.history.iter().rposition(|entry| entry == last) {
        Some(at) => at + 1,
        None => new
            .history
            .partition_point(|entry| entry.at_ms <= last.at_ms),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) const NOON: u64 = 1_772_366_400_000;

    pub(in super::super) fn line(at_ms: u64, event: &str, generation: u64) -> HistoryEntry {
        serde_json::from_value(json!({
            "v": 1, "at_ms": at_ms, "event": event, "outcome": "ok",
            "login": "0123456789abcdef0123456789abcdef", "generation": generation,
            "process": 4711,
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(in super::super) fn login(name: &str, left_ms: u64) -> Glance {
        let mut glance = Glance::default();
        glance.summary = serde_json::from_value(json!({
            "v": 1, "profile": name, "state": "logged_in", "account": "alice@example.com",
            "issuer": "https://login.example", "client_id": "my-client",
            "scope": ["openid", "offline_access"], "store": "secret-service",
            "expires_at_ms": NOON + left_ms, "generation": 2,
            "logged_in_at_ms": NOON - 7_200_000, "last_refresh_at_ms": NOON - 1_800_000,
        }))
        .ok();
        assert!(glance.summary.is_some());
        glance.history = vec![
            line(NOON - 7_200_000, "login", 1),
            line(NOON - 1_800_000, "refresh", 2),
        ];
        glance.counters = Some(Counters::default());
        glance
    }

    pub(in super::super) fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn reading(glances: &[(&str, &Glance)]) -> Reading {
        let owned = |(name, glance): &(&str, &Glance)| ((*name).to_owned(), Ok((*glance).clone()));
        Ok(glances.iter().map(owned).collect())
    }

    /// A reading, and what happened by it.
    fn after(state: State, reading: Reading, now_ms: u64) -> (State, Vec<Happening>) {
        let known = state.happenings.len();
        let state = state.read(reading, now_ms);
        let happened = state.happenings.range(known..).cloned().collect();
        (state, happened)
    }

    fn whats(happened: Vec<Happening>) -> Vec<What> {
        happened.into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn the_first_reading_tells_what_the_histories_tell_in_order() {
        let (one, mut other) = (login("one", 1), login("other", 1));
        other.history = vec![line(NOON - 3_600_000, "login", 1)];
        let (state, happened) = after(
            State::new("a"),
            reading(&[("one", &one), ("other", &other)]),
            NOON,
        );
        let profiles: Vec<_> = happened.iter().map(|one| one.profile.as_str()).collect();
        assert_eq!(profiles, ["one", "other", "one"]);
        let (_, again) = after(state, reading(&[("one", &one), ("other", &other)]), NOON);
        assert_eq!(again, []);
    }

    #[test]
    fn a_refresh_and_an_adoption_of_other_processes_are_told_once() {
        let mut glance = login("work", 1);
        let (state, _) = after(State::new("a"), reading(&[("work", &glance)]), NOON);
        let refresh = line(NOON + 1, "refresh", 3);
        glance.history.push(refresh.clone());
        let (state, happened) = after(state, reading(&[("work", &glance)]), NOON + 2);
        assert_eq!(whats(happened), [What::Noted(refresh)]);
        if let Some(counters) = &mut glance.counters {
            counters.adopted = 2;
        }
        let (state, happened) = after(state, reading(&[("work", &glance)]), NOON + 3);
        assert_eq!(whats(happened), [What::Adopted(2)]);
        let (_, happened) = after(state, reading(&[("work", &glance)]), NOON + 4);
        assert_eq!(happened, []);
    }

    #[test]
    fn each_attempt_that_fails_is_told_once() {
        let mut glance = login("work", 1);
        let (mut state, _) = after(State::new("a"), reading(&[("work", &glance)]), NOON);
        for attempt in 1..3 {
            if let Some(counters) = &mut glance.counters {
                counters.failed_attempt = attempt;
                counters.failure = Some(ErrorKind::ServerUnavailable);
            }
            for wanted in [1, 0] {
                let (next, happened) = after(state, reading(&[("work", &glance)]), NOON);
                assert_eq!(happened.len(), wanted);
                assert!(happened.iter().all(|one| one.what.is_fault()));
                state = next;
            }
        }
    }

    #[test]
    fn a_history_whose_older_half_was_dropped_tells_only_what_is_new() {
        let mut glance = login("work", 1);
        let (state, _) = after(State::new("a"), reading(&[("work", &glance)]), NOON);
        let newest = line(NOON + 5, "refresh", 4);
        glance.history = vec![line(NOON - 1_800_000, "refresh", 2), newest.clone()];
        let (state, happened) = after(state, reading(&[("work", &glance)]), NOON);
        assert_eq!(whats(happened), [What::Noted(newest)]);
        let newer = line(NOON + 9, "refresh", 6);
        glance.history = vec![newer.clone()];
        let (_, happened) = after(state, reading(&[("work", &glance)]), NOON);
        assert_eq!(whats(happened), [What::Noted(newer)]);
    }

    #[test]
    fn a_profile_that_can_not_be_read_keeps_what_was_known_of_it() {
        let glance = login("work", 1);
        let (state, _) = after(State::new("a"), reading(&[("work", &glance)]), NOON);
        let broken = Ok(vec![("work".to_owned(), Err("no".to_owned()))]);
        let (state, happened) = after(state, broken, NOON);
        assert_eq!(whats(happened), [What::Unreadable("no".to_owned())]);
        assert!(state.rows[0].login.is_some());
        let (state, _) = after(state, Err("gone".to_owned()), NOON);
        assert_eq!(state.fault.as_deref(), Some("gone"));
        assert_eq!(state.rows.len(), 1);
    }

    #[test]
    fn the_selection_stays_with_its_profile() {
        let glance = login("x", 1);
        let (state, _) = after(
            State::new("a"),
            reading(&[("b", &glance), ("c", &glance)]),
            NOON,
        );
        let (state, _) = state.press(key(KeyCode::Down));
        let all = [("a", &glance), ("b", &glance), ("c", &glance)];
        let (state, _) = after(state, reading(&all), NOON);
        assert_eq!(state.selected().map(|row| row.name.as_str()), Some("c"));
        let (state, _) = after(state, reading(&all[..1]), NOON);
        assert_eq!(state.selected().map(|row| row.name.as_str()), Some("a"));
    }

    #[test]
    fn logging_out_is_asked_for_and_only_yes_affirms() {
        let glance = login("work", 1);
        let (state, _) = after(State::new("a"), reading(&[("work", &glance)]), NOON);
        for (answer, wanted) in [
            (KeyCode::Char('n'), None),
            (KeyCode::Enter, None),
            (KeyCode::Esc, None),
            (KeyCode::Char('y'), Some(Wish::LogOut("work".to_owned()))),
        ] {
            let (asked, wish) = state.clone().press(key(KeyCode::Char('l')));
            assert_eq!((asked.above, wish), (Above::Question, None));
            let (after, wish) = asked.press(key(answer));
            assert_eq!((after.above, wish), (Above::Nothing, wanted));
        }
    }

    #[test]
    fn keys_that_need_a_profile_do_nothing_without_one() {
        for code in [
            KeyCode::Char('r'),
            KeyCode::Char('l'),
            KeyCode::Enter,
            KeyCode::Down,
        ] {
            let (state, wish) = State::new("a").press(key(code));
            assert_eq!((state.above, wish), (Above::Nothing, None));
        }
        let (_, wish) = State::new("a").press(key(KeyCode::Char('q')));
        assert_eq!(wish, Some(Wish::Quit));
    }

    #[test]
    fn life_runs_from_the_issue_to_the_end() {
        let row = |glance: Glance| row("work".to_owned(), Ok(glance), None);
        assert_eq!(
            row(login("work", 1_800_000)).life(NOON),
            Life::Left(0.5, 1_800_000)
        );
        assert_eq!(row(login("work", 0)).life(NOON), Life::Expired);
        assert_eq!(Row::default().life(NOON), Life::None);
    }
}
