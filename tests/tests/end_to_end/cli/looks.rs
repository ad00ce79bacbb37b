//! What people see on terminals of several kinds: narrow ones, ones without colours, and with
//! accounts whose names are wide.

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::screen::Terminal;
use crate::support::Sandbox;

/// Two columns each.
const WIDE: &str = "東京太郎";

/// Logs in two accounts, one of them with wide characters in its name.
fn two_accounts() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    server.configure(|config| config.subject = WIDE.to_owned());
    sandbox.log_in(&server, "work");
    (server, sandbox)
}

/// A terminal of this width on which a command has ended.
fn shown(sandbox: &Sandbox, columns: u16, command: &str) -> Terminal {
    let commands = format!("{command}; echo \"ended $?\"; sleep 60");
    let terminal = Terminal::start(sandbox, 60, columns, &commands);
    terminal.wait_for("ended ");
    terminal
}

/// Where a text begins in the cells of the screen: rows and columns of each.
fn places(terminal: &Terminal, text: &str) -> Vec<(u16, u16)> {
    let first = text.chars().next().unwrap().to_string();
    terminal.look(|screen| {
        let (rows, columns) = screen.size();
        let (rows, columns) = (rows.get(), columns.get());
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let begins = |&(row, column): &(u16, u16)| {
            let cell = screen.cell(row, column).unwrap();
            let rest = screen.contents_between(row, column, row, columns);
            cell.contents() == first && rest.starts_with(text)
        };
        cells.filter(begins).collect()
    })
}

#[test]
fn a_list_is_no_wider_than_the_terminal_and_leaves_nothing_out() {
    let (server, sandbox) = two_accounts();
    for columns in [40, 80, 132] {
        let terminal = shown(&sandbox, columns, "\"$PROGRAM\" list");
        let text = terminal.text();
        // The screen gives lines as they were written: none goes over the edge.
        for line in text.lines() {
            let wide = line.chars().filter(|c| WIDE.contains(*c)).count();
            let width = line.chars().count() + wide;
            assert!(width <= usize::from(columns), "{columns}: {line:?} {text}");
        }
        let whole = |cell: &str| text.split_whitespace().any(|word| word == cell);
        for cell in ["default", "work", "alice"] {
            assert!(whole(cell), "{columns}: {cell} {text}");
        }
        for name in ["PROFILE", "ACCOUNT", "ISSUER", "STATE", "EXPIRES", "STORE"] {
            let lines = text.lines().filter(|line| line.contains(name)).count();
            // Once in a table's head, once for each login in paragraphs.
            assert_eq!(
                lines,
                if columns == 40 { 2 } else { 1 },
                "{columns}: {name} {text}"
            );
        }
        if columns == 40 {
            assert!(whole(server.issuer()) && whole(WIDE), "{text}");
        }
    }
}

#[test]
fn columns_align_behind_wide_characters() {
    let (_server, sandbox) = two_accounts();
    let terminal = shown(&sandbox, 160, "\"$PROGRAM\" list");
    let head = places(&terminal, "ISSUER");
    let cells = places(&terminal, "http://");
    assert_eq!((head.len(), cells.len()), (1, 2), "{}", terminal.text());
    assert!(
        cells.iter().all(|(_, column)| *column == head[0].1),
        "{head:?} {cells:?} {}",
        terminal.text()
    );
    let terminal = shown(&sandbox, 40, "\"$PROGRAM\" list");
    let names = places(&terminal, "alice")[0].1;
    assert_eq!(places(&terminal, WIDE)[0].1, names, "{}", terminal.text());
}

/// A line that the terminal itself wraps can be copied; one with line ends in it can't.
#[test]
fn status_and_doctor_are_whole_lines_on_a_narrow_terminal() {
    let (_server, sandbox) = two_accounts();
    let terminal = shown(&sandbox, 40, "\"$PROGRAM\" --profile work status");
    let text = terminal.text();
    let line = text.lines().next().unwrap();
    assert!(
        line.starts_with(&format!("work: logged in as {WIDE} at http")),
        "{text}"
    );
    assert!(line.contains("rotation:"), "{text}");

    let terminal = shown(&sandbox, 40, "\"$PROGRAM\" --profile work doctor");
    let text = terminal.text();
    let lines: Vec<_> = text.lines().collect();
    let (last, findings) = lines.split_last().unwrap();
    assert_eq!(*last, "ended 0", "{text}");
    let codes: Vec<_> = findings.iter().map(|line| &line[..5]).collect();
    let all = [
        "VD001", "VD002", "VD003", "VD004", "VD005", "VD007", "VD008", "VD009",
    ];
    assert_eq!(codes, all, "{text}");
    assert!(text.contains(&format!("logged in as {WIDE}")), "{text}");
}

#[test]
fn errors_have_colours_on_a_terminal_only_and_none_where_they_are_not_wanted() {
    let sandbox = Sandbox::new();
    let written = |command: &str| {
        let terminal = Terminal::start(&sandbox, 24, 80, command);
        let written = terminal.finish();
        assert!(written.contains("error:"), "{written}");
        written
    };
    let fails = "\"$PROGRAM\" --profile nobody token";
    let coloured = |written: &str| written.contains("\x1b[");
    assert!(coloured(&written(fails)));
    assert!(!coloured(&written(&format!("NO_COLOR=1 {fails}"))));
    assert!(!coloured(&written(&format!("{fails} 2>&1 | cat"))));
    assert!(!coloured(&written(&format!("TERM=dumb {fails}"))));
}
