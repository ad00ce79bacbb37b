use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use vault_core::ErrorKind;
use vault_core::glance::Glance;

use super::*;
use crate::commands::watch::state::tests::{NOON, key, line, login};

fn buffer(state: &State, palette: Palette, width: u16, height: u16) -> Buffer {
    let backend = TestBackend::new(width, height);
    let mut terminal = match Terminal::new(backend) {
        Ok(terminal) => terminal,
        Err(error) => match error {},
    };
    match terminal.draw(|frame| draw(frame, state, palette, NOON)) {
        Ok(_) => {}
        Err(error) => match error {},
    }
    terminal.backend().buffer().clone()
}

/// What stands on the screen, line by line.
fn screen(state: &State, width: u16, height: u16) -> String {
    let buffer = buffer(state, Palette::Plain, width, height);
    let mut text = String::new();
    for cells in buffer.content.chunks(usize::from(width)) {
        let mut line = String::new();
        let mut hidden = 0;
        for cell in cells {
            // A wide character covers the cell behind it.
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            hidden = Span::raw(cell.symbol()).width().saturating_sub(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn state(glances: Vec<(&str, Glance)>) -> State {
    let owned = glances
        .into_iter()
        .map(|(name, glance)| (name.to_owned(), Ok(glance)));
    State::new("vault-cli").read(Ok(owned.collect()), NOON)
}

fn usual() -> State {
    let mut failing = login("work", 60_000);
    if let Some(counters) = &mut failing.counters {
        counters.adopted = 7;
        counters.failure = Some(ErrorKind::ServerUnavailable);
        counters.backing_off = Some(std::time::Duration::from_secs(12));
    }
    failing.history.push(line(NOON - 60_000, "refresh", 3));
    state(vec![
        ("default", login("default", 1_800_000)),
        ("work", failing),
    ])
}

#[test]
fn a_wide_screen_shows_lives_states_and_what_happened() {
    let wanted = "\
vault-cli watch  vault-cli                                                                2026-03-01T12:00:00Z
\x20 PROFILE         ACCOUNT                LIFE             LEFT     STATE                 REFRESHED    ADOPTED
> default         alice@example.com      ███████▌·······  30 min   logged in             30 min ago   0
  work            alice@example.com      ▌··············  60 s     server unavailable    30 min ago   7
┌ What happened, newest first ───────────────────────────────────────────────────────────────────────────────┐
│11:59:00    work     refreshed by process 4711, generation 3                                                │
│11:30:00    work     refreshed by process 4711, generation 2                                                │
│11:30:00    default  refreshed by process 4711, generation 2                                                │
│10:00:00    work     logged in by process 4711                                                              │
└────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
q quit  r refresh  l log out  Enter inspect  ? help
";
    assert_eq!(screen(&usual(), 110, 11), wanted);
}

#[test]
fn a_narrow_screen_leaves_out_what_is_needed_least() {
    let wanted = "\
vault-cli watch  vault-cli
\x20 PROFILE        LIFE             LEFT
> default        ███████▌·······  30 min
  work           ▌··············  60 s
┌ What happened, newest first ───────────┐
│11:59:00    work     refreshed by proces│
│11:30:00    work     refreshed by proces│
└────────────────────────────────────────┘
q quit  r refresh  l log out  ? help
";
    assert_eq!(screen(&usual(), 42, 9), wanted);
}

#[test]
fn no_screen_is_too_small() {
    for above in [
        Above::Nothing,
        Above::Help,
        Above::Inspection,
        Above::Question,
    ] {
        let mut state = usual();
        state.above = above;
        for width in [1, 2, 5, 19] {
            for height in 1..8 {
                let lines = screen(&state, width, height).lines().count();
                assert_eq!(lines, usize::from(height));
            }
        }
    }
}

#[test]
fn wide_characters_keep_the_columns_and_nothing_moves_the_cursor() {
    let state = state(vec![
        ("日本語", login("日本語", 1_800_000)),
        ("a\u{1b}[2Jb", login("x", 1_800_000)),
        ("plain", login("plain", 1_800_000)),
    ]);
    let shown = screen(&state, 60, 12);
    let column = |line: &str| {
        let (before, _) = line.split_once('█')?;
        Some(Span::raw(before.to_owned()).width())
    };
    let columns: Vec<_> = shown.lines().filter_map(column).collect();
    assert_eq!(columns.len(), 3, "{shown}");
    assert!(columns.iter().all(|at| *at == columns[0]), "{shown}");
    assert!(shown.contains("日本語"), "{shown}");
    assert!(shown.contains("a\u{fffd}[2Jb"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn without_colours_the_screen_says_the_same() {
    let coloured = |palette| {
        let buffer = buffer(&usual(), palette, 110, 11);
        let colours = buffer
            .content
            .iter()
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        let text: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        (colours.count(), text)
    };
    let (plain, colours) = (coloured(Palette::Plain), coloured(Palette::Colours));
    assert_eq!(plain.0, 0);
    assert!(colours.0 > 0);
    assert_eq!(plain.1, colours.1);
}

#[test]
fn what_is_inspected_holds_no_secret_and_the_question_names_the_profile() {
    let (inspected, _) = usual().press(key(KeyCode::Enter));
    let shown = screen(&inspected, 100, 24);
    for wanted in [
        "https://login.example",
        "alice@example.com",
        "openid offline_access",
        "2026-03-01T12:30:00Z (in 30 min)",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let (asked, _) = usual().press(key(KeyCode::Char('l')));
    assert!(screen(&asked, 100, 24).contains("Log out of default, for all processes?"));
}

#[test]
fn a_list_that_does_not_fit_follows_the_selection() {
    let names: Vec<String> = (0..30).map(|number| format!("p{number:02}")).collect();
    let glances = names.iter().map(|name| (name.as_str(), login(name, 1)));
    let mut state = state(glances.collect());
    assert!(screen(&state, 60, 12).contains("> p00"));
    for _ in 0..25 {
        state = state.press(key(KeyCode::Down)).0;
    }
    let shown = screen(&state, 60, 12);
    assert!(shown.contains("> p25"), "{shown}");
    assert!(!shown.contains("> p00"), "{shown}");
}

#[test]
fn what_can_not_be_read_is_said() {
    let broken = usual().read(Err("the folder is another user's".to_owned()), NOON);
    assert!(screen(&broken, 80, 10).contains("the folder is another user's"));
    assert!(screen(&State::new("a"), 80, 10).contains("no profiles yet"));
}
