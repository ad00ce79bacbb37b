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

    /// Each error's code where it is made, as `"name", Exit::Kind` or
    /// `usage("name"`, is on the page.
    #[cfg(unix)]
    #[test]
    fn the_page_lists_every_error_with_its_exit_code() {
        let mut folders = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/src").into()];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir::<std::path::PathBuf>(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name() != Some("exit.rs".as_ref()) {
                    seen += check(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        assert!(seen > 70, "{seen}");
    }

    /// How many there are in this source.
    #[cfg(unix)]
    fn check(source: &str) -> usize {
        let parts: Vec<_> = source.split('"').collect();
        let is_name = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase())
        };
        let codes = parts.windows(3).filter_map(|window| {
            let [before, name, after] = window else {
                return None;
            };
            let kind = after.strip_prefix(',').map(str::trim_start);
            let kind = kind.and_then(|after| after.strip_prefix("Exit::"));
            let code = match kind {
                Some(kind) => code_of(kind),
                None if before.trim_end().ends_with("usage(") => Exit::Usage.code(),
                None => return None,
            };
            is_name(name).then_some((*name, code))
        });
        codes
            .inspect(|(name, code)| {
                let row = format!("\n| `{name}` | {code} | ");
                assert!(PAGE.contains(&row), "{row}");
            })
            .count()
    }

    #[cfg(unix)]
    fn code_of(kind: &str) -> u8 {
        let end = kind.find(|letter: char| !letter.is_ascii_alphabetic());
        let exit = match &kind[..end.unwrap_or(kind.len())] {
            "Failed" => Exit::Failed,
            "Usage" => Exit::Usage,
            "LoginRequired" => Exit::LoginRequired,
            "Store" => Exit::Store,
            "Unavailable" => Exit::Unavailable,
            "LockTimeout" => Exit::LockTimeout,
            "NotFound" => Exit::NotFound,
            "NotExecutable" => Exit::NotExecutable,
            other => panic!("{other}"),
        };
        exit.code()
    }
}
