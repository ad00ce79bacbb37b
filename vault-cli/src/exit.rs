//! How the program ends: the one file with its exit codes, which are fixed.
//! `docs/EXIT-CODES.md` is the page for people.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Usage,
    LoginRequired,
    /// The store is missing, locked, or refuses.
    Store,
    /// Server or network; try later.
    Unavailable,
    LockTimeout,
    /// What was to be run is there and can't be run, as env(1) says it.
    NotExecutable,
    /// What was to be run is not there.
    NotFound,
    /// As the command did that was run.
    AsTheCommand(u8),
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::LoginRequired => 3,
            Self::Store => 4,
            Self::Unavailable => 5,
            Self::LockTimeout => 6,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::AsTheCommand(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    const PAGE: &str = include_str!("../../docs/EXIT-CODES.md");

    #[test]
    fn the_page_and_the_help_list_every_exit_code() {
        let help = include_str!("args.rs");
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::LoginRequired,
            Exit::Store,
            Exit::Unavailable,
            Exit::LockTimeout,
            Exit::NotExecutable,
            Exit::NotFound,
        ] {
            let code = exit.code();
            assert!(PAGE.contains(&format!("\n| {code} | ")), "{code}");
            if code <= 6 {
                assert!(help.contains(&format!("{code} ")), "{code}");
            }
        }
    }

    /// Of each error's code where it is made, as `("name", Exit::Kind)`, and on
    /// the page.
    #[test]
    fn the_page_lists_every_error_of_the_library_with_its_exit_code() {
        let source = include_str!("failure.rs");
        let mut seen = 0;
        for line in source.lines() {
            let Some((_, made)) = line.split_once("=> (\"") else {
                continue;
            };
            let Some((name, exit)) = made.split_once("\", Exit::") else {
                continue;
            };
            let exit = exit.trim_end_matches("),");
            let code = match exit {
                "Failed" => 1,
                "Usage" => 2,
                "LoginRequired" => 3,
                "Store" => 4,
                "Unavailable" => 5,
                "LockTimeout" => 6,
                other => panic!("{other}"),
            };
            let row = format!("\n| `{name}` | {code} | ");
            assert!(PAGE.contains(&row), "{row}");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }
}
