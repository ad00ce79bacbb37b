//! How the state is drawn: a list of profiles, what happened, and one line for
//! keys and answers. What does not fit is left out, the least needed first.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table, Wrap};
use vault_core::display::{LoginState, ProfileSummary};

use super::state::{Above, Happening, Life, Row, State, What};
use crate::commands::list::state_name;
use crate::failure::classify;
use crate::output::visible;
use crate::times;

/// Whether colours may be used; what they say is said in words too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    Colours,
    Plain,
}

impl Palette {
    fn style(self, color: Color) -> Style {
        match self {
            Self::Colours => Style::new().fg(color),
            Self::Plain => Style::new(),
        }
    }

    fn of_life(self, left: f64) -> Style {
        self.style(match left {
            0.5.. => Color::Green,
            0.2..0.5 => Color::Yellow,
            _ => Color::Red,
        })
    }
}

const HEADING: Style = Style::new().add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State, palette: Palette, now_ms: u64) {
    let whole = frame.area();
    let rows = u16::try_from(state.rows.len()).unwrap_or(u16::MAX);
    // The list takes what it needs, and leaves the happenings a third.
    let list = rows.saturating_add(1).min(whole.height * 2 / 3).max(2);
    let [title, profiles, happenings, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(list),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(whole);
    draw_title(frame, title, state, now_ms);
    draw_profiles(frame, profiles, state, palette, now_ms);
    draw_happenings(frame, happenings, state, palette, now_ms);
    draw_keys(frame, keys, state, palette);
    match (state.above, state.selected()) {
        (Above::Help, _) => draw_above(frame, " Help ", help()),
        (Above::Inspection, Some(row)) => {
            let title = format!(" {} ", visible(&row.name));
            draw_above(frame, &title, inspection(row, now_ms));
        }
        _ => {}
    }
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, state: &State, now_ms: u64) {
    let name = format!("vault-cli watch  {}", visible(&state.app));
    frame.render_widget(Line::styled(name, HEADING), area);
    let clock = times::rfc3339(now_ms);
    if usize::from(area.width) >= 30 + state.app.len() + clock.len() {
        frame.render_widget(Line::from(clock).right_aligned().style(FAINT), area);
    }
}

/// A column: from which width of the screen on it is there, its head, its own
/// width and what stands in it.
struct Column {
    from: u16,
    head: &'static str,
    width: Constraint,
    cell: fn(&Row, Palette, u64) -> Line<'static>,
}

const BAR: u16 = 16;

const COLUMNS: [Column; 9] = [
    Column {
        from: 0,
        head: "PROFILE",
        width: Constraint::Fill(2),
        cell: |row, _, _| visible(&row.name).into(),
    },
    Column {
        from: 90,
        head: "ACCOUNT",
        width: Constraint::Fill(3),
        cell: |row, _, _| {
            of_login(row, |login| {
                visible(login.account.as_deref().unwrap_or("-"))
            })
        },
    },
    Column {
        from: 130,
        head: "ISSUER",
        width: Constraint::Fill(4),
        cell: |row, _, _| of_login(row, |login| visible(&login.issuer)),
    },
    Column {
        from: 40,
        head: "LIFE",
        width: Constraint::Length(BAR),
        cell: bar,
    },
    Column {
        from: 0,
        head: "LEFT",
        width: Constraint::Length(8),
        cell: left,
    },
    Column {
        from: 60,
        head: "STATE",
        width: Constraint::Length(21),
        cell: standing,
    },
    Column {
        from: 76,
        head: "REFRESHED",
        width: Constraint::Length(12),
        cell: |row, _, now| of_login(row, |login| times::from_now(login.last_refresh_at_ms, now)),
    },
    Column {
        from: 105,
        head: "ADOPTED",
        width: Constraint::Length(8),
        cell: |row, _, _| row.counters.adopted.to_string().into(),
    },
    Column {
        from: 150,
        head: "STORE",
        width: Constraint::Length(16),
        cell: |row, _, _| of_login(row, |login| login.store.clone()),
    },
];

fn of_login(row: &Row, tell: impl FnOnce(&ProfileSummary) -> String) -> Line<'static> {
    row.login
        .as_ref()
        .map_or_else(|| "-".to_owned(), tell)
        .into()
}

/// A bar as wide as its column, in eighths of a cell.
fn bar(row: &Row, palette: Palette, now_ms: u64) -> Line<'static> {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let width = usize::from(BAR) - 1;
    let (fraction, style) = match row.life(now_ms) {
        Life::Left(fraction, _) => (fraction, palette.of_life(fraction)),
        Life::Endless => (1.0, FAINT),
        Life::Expired => (0.0, FAINT),
        Life::None => return "".into(),
    };
    let eighths = (fraction.clamp(0.0, 1.0) * (width * 8) as f64).ceil() as usize;
    let mut full = "█".repeat(eighths / 8);
    full.push_str(PARTS[eighths % 8]);
    let rest = "·".repeat(width - eighths.div_ceil(8));
    Line::from(vec![Span::styled(full, style), Span::styled(rest, FAINT)])
}

fn left(row: &Row, _: Palette, now_ms: u64) -> Line<'static> {
    match row.life(now_ms) {
        Life::None => "-".into(),
        Life::Endless => "no end".into(),
        Life::Left(_, left) => times::length(std::time::Duration::from_millis(left)).into(),
        Life::Expired => "expired".into(),
    }
}

fn standing(row: &Row, palette: Palette, _: u64) -> Line<'static> {
    let fault = palette.style(Color::Red);
    if row.fault.is_some() {
        return Line::styled("unreadable", fault);
    }
    if let (Some(kind), Some(_)) = (row.counters.failure, row.counters.backing_off) {
        return Line::styled(classify(kind).0.replace('_', " "), fault);
    }
    let Some(login) = &row.login else {
        return "not logged in".into();
    };
    let style = match login.state {
        LoginState::LoggedIn => palette.style(Color::Green),
        LoginState::LoggedOut => FAINT,
        _ => fault,
    };
    Line::styled(state_name(login.state), style)
}

fn draw_profiles(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette, now_ms: u64) {
    if let Some(fault) = &state.fault {
        let text = Paragraph::new(visible(fault)).wrap(Wrap { trim: true });
        return frame.render_widget(text.style(palette.style(Color::Red)), area);
    }
    if state.rows.is_empty() {
        return frame.render_widget("no profiles yet; `vault-cli login` makes one", area);
    }
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| area.width >= column.from)
        .collect();
    let heads = columns.iter().map(|column| column.head);
    // The list follows the selection where it does not fit.
    let shown = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (state.selected + 1).saturating_sub(shown);
    let rows = state.rows.iter().enumerate().skip(first).take(shown);
    let rows = rows.map(|(index, row)| {
        let chosen = index == state.selected;
        let mark = Cell::from(match (chosen, state.busy.contains(&row.name)) {
            (_, true) => "*",
            (true, _) => ">",
            _ => " ",
        });
        let cells = columns
            .iter()
            .map(|column| Cell::from((column.cell)(row, palette, now_ms)));
        let style = match chosen {
            true => HEADING,
            false => Style::new(),
        };
        TableRow::new(std::iter::once(mark).chain(cells)).style(style)
    });
    // Names of several applications are long, and tell the profiles apart.
    let names = state.rows.iter().map(|row| Span::raw(&row.name).width());
    let name = match names.max().and_then(|widest| u16::try_from(widest).ok()) {
        Some(widest) if widest > 15 => Constraint::Length(widest.min(area.width / 3)),
        _ => columns[0].width,
    };
    let widths = columns.iter().skip(1).map(|column| column.width);
    let widths = std::iter::once(name).chain(widths);
    let widths = std::iter::once(Constraint::Length(1)).chain(widths);
    let header = TableRow::new(std::iter::once("").chain(heads)).style(FAINT);
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

fn draw_happenings(
    frame: &mut Frame<'_>,
    area: Rect,
    state: &State,
    palette: Palette,
    now_ms: u64,
) {
    let block = Block::bordered().title(" What happened, newest first ");
    let inner = block.inner(area);
    if inner.is_empty() {
        return;
    }
    frame.render_widget(block, area);
    let widest = state.rows.iter().map(|row| Span::raw(&row.name).width());
    let widest = widest.max().unwrap_or(0).min(24);
    let lines = state.happenings.iter().rev();
    let lines = lines.map(|happening| {
        let style = match (&happening.what, happening.what.is_fault()) {
            (_, true) => palette.style(Color::Red),
            (What::Adopted(_), _) => palette.style(Color::Cyan),
            _ => Style::new(),
        };
        let name = visible(&happening.profile);
        let gap = widest.saturating_sub(Span::raw(&name).width());
        Line::from(vec![
            Span::styled(time(happening.at_ms, now_ms), FAINT),
            Span::raw(format!("  {name}{:gap$}  ", "")),
            Span::styled(told(happening), style),
        ])
    });
    let lines: Vec<_> = lines.take(usize::from(inner.height)).collect();
    frame.render_widget(Text::from(lines), inner);
}

/// The time of day, or the day if it is another.
fn time(at_ms: u64, now_ms: u64) -> String {
    const DAY: u64 = 86_400_000;
    let text = times::rfc3339(at_ms);
    let part = match at_ms / DAY == now_ms / DAY {
        true => text.get(11..19),
        false => text.get(..10),
    };
    format!("{:<10}", part.unwrap_or("unknown"))
}

/// A happening in words.
fn told(happening: &Happening) -> String {
    let entry = match &happening.what {
        What::Adopted(1) => return "a process took the token over that another stored".to_owned(),
        What::Adopted(times) => return format!("processes took a token over {times} times"),
        What::Failed(kind) => {
            return format!("refresh failed: {}", classify(*kind).0.replace('_', " "));
        }
        What::Unreadable(why) => return visible(why),
        What::Noted(entry) => entry,
    };
    let (generation, process) = (entry.generation, entry.process);
    match (entry.event.as_str(), entry.outcome.as_str()) {
        ("refresh", "ok") => format!("refreshed by process {process}, generation {generation}"),
        ("refresh", "refused") => format!("process {process}: refused, a new login is required"),
        ("refresh", "unconfirmed") => format!("process {process}: the answer was lost"),
        ("refresh", "recovered") => {
            format!("refreshed by a process that died, generation {generation}")
        }
        ("login", _) => format!("logged in by process {process}"),
        ("logout", _) => format!("logged out by process {process}"),
        ("migrate", _) => format!("moved to another store by process {process}"),
        (event, outcome) => visible(&format!("{event} {outcome} by process {process}")),
    }
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let line = match (state.above, state.selected(), &state.answer) {
        (Above::Question, Some(row), _) => {
            let name = visible(&row.name);
            let question = format!("Log out of {name}, for all processes? y: yes, any other: no");
            Line::styled(question, palette.style(Color::Yellow).patch(HEADING))
        }
        (_, _, Some(answer)) => visible(answer).into(),
        _ if area.width < 52 => "q quit  r refresh  l log out  ? help".into(),
        _ => "q quit  r refresh  l log out  Enter inspect  ? help".into(),
    };
    frame.render_widget(line, area);
}

/// Draws over the middle of the screen.
fn draw_above(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>) {
    let whole = frame.area();
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let area = whole.centered(
        Constraint::Length(whole.width.min(84)),
        Constraint::Length(height.min(whole.height)),
    );
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn help() -> Vec<Line<'static>> {
    [
        "q, Esc         quit",
        "Up, Down       select a profile",
        "r              refresh its access token now",
        "l              log out of it, after a question",
        "Enter          what is stored, without secrets",
        "",
        "LIFE is what is left of the access token's life. An expired one is no fault:",
        "the next process that asks for a token refreshes it.",
        "ADOPTED counts tokens that a process took over from another one.",
        "",
        "Only r and l open the store and reach the server; all else is read from",
        "files that every process shares. `*` marks a profile that is worked on.",
    ]
    .map(Line::from)
    .into()
}

/// What the display copy and the history hold; neither has secrets.
fn inspection(row: &Row, now_ms: u64) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| {
        let name = Span::styled(format!("{name:<14}"), FAINT);
        lines.push(Line::from(vec![name, Span::raw(visible(value))]));
    };
    if let Some(fault) = &row.fault {
        line("unreadable", fault);
    }
    if let Some(login) = &row.login {
        line("state", state_name(login.state));
        line("account", login.account.as_deref().unwrap_or("unknown"));
        line("issuer", &login.issuer);
        line("client id", &login.client_id);
        line("scope", &login.scope.join(" "));
        line("store", &login.store);
        line("generation", &login.generation.to_string());
        line("logged in", &times::both(login.logged_in_at_ms, now_ms));
        line(
            "last refresh",
            &times::both(login.last_refresh_at_ms, now_ms),
        );
        let expires = login.expires_at_ms.map(|at| times::both(at, now_ms));
        line(
            "expires",
            expires.as_deref().unwrap_or("when it is refused"),
        );
        if !login.bound_hosts.is_empty() {
            line("bound to", &login.bound_hosts.join(" "));
        }
    }
    let counters = &row.counters;
    line("attempts", &counters.attempts.to_string());
    line("adopted", &counters.adopted.to_string());
    if let Some(kind) = counters.failure {
        line("last failure", &classify(kind).0.replace('_', " "));
    }
    if let Some(pause) = counters.backing_off {
        line("next try", &format!("in {}", times::length(pause)));
    }
    lines
}

#[cfg(test)]
mod tests;
