//! The demo's own command line.

/// One line, for whoever typed something else.
pub(super) const USAGE: &str = "usage: cargo demo [-- --json]";

/// What `--help` prints.
pub(super) const HELP: &str = "\
Shows one login that many processes share.

Starts a strict authorization server on loopback, logs in, keeps the login in
the system's secure store (or, without one, in an encrypted file), and has 8
processes of 8 tasks ask for a token at the same instant, over 10 lifetimes of
a token. Takes half a minute, and leaves nothing behind.

usage: cargo demo [-- --json]

  --json   print the figures as one JSON object, and nothing else
  --help   print this

Exit status: 0 if the server saw one refresh for each lifetime and nothing was
lost, 1 if not, 2 for a wrong option, 130 if interrupted.";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// The demo.
    Show {
        /// For a program to read.
        json: bool,
    },
    /// A description of the demo.
    Help,
    /// To be one of the demo's processes. Not for people.
    Worker,
}

impl Arguments {
    /// Reads the arguments that follow the program's name.
    pub(super) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self::Show { json: false };
        for argument in arguments {
            asked = match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                WORKER => Self::Worker,
                "--json" => Self::Show { json: true },
                // What stands between it and the options, where `cargo demo`
                // was given its own `--`.
                "--" => asked,
                other => return Err(format!("unknown option `{}`", other.escape_default())),
            };
        }
        Ok(asked)
    }
}

/// The argument that makes a process a worker.
pub(super) const WORKER: &str = "--worker";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_alias_and_the_program_take_the_same_options() {
        assert_eq!(parsed(""), Ok(Arguments::Show { json: false }));
        assert_eq!(parsed("--json"), Ok(Arguments::Show { json: true }));
        assert_eq!(parsed("-- --json"), Ok(Arguments::Show { json: true }));
        assert_eq!(parsed("--json --help"), Ok(Arguments::Help));
        assert!(parsed("--jsno").is_err());
    }
}
