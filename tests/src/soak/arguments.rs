//! The soak's own command line.

use std::time::Duration;

/// One line, for whoever typed something else.
pub(super) const USAGE: &str = "usage: soak [--seconds N] [--processes N] [--threads N] [--lifetime SECONDS] [--seed N] [--sabotage] [--json]";

/// What `--help` prints.
pub(super) const HELP: &str = "\
Many processes share two logins while processes are killed and servers fail.

usage: soak [OPTION]...

  --seconds N          how long (20)
  --processes N        how many processes (16; 64 from 60 seconds on)
  --threads N          of each process (8)
  --lifetime SECONDS   of an access token, whole seconds (2)
  --seed N             repeats the dice of an earlier run, not its timing
  --sabotage           send what was read before the lock: the figures must
                       come out wrong
  --json               print the figures as one JSON object
  --help               print this

Exit status: 0 if every figure is right, 1 if not, 2 for a wrong option.";

/// The argument that makes a process a worker.
pub(super) const WORKER: &str = "--worker";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// The soak.
    Soak(Soak),
    /// A description of it.
    Help,
    /// To be one of its processes. Not for people.
    Worker,
}

/// How to soak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Soak {
    pub(super) time: Duration,
    pub(super) processes: usize,
    pub(super) threads: usize,
    pub(super) lifetime: Duration,
    pub(super) seed: u64,
    /// The processes break the rule that the protocol is about.
    pub(super) sabotage: bool,
    pub(super) json: bool,
}

impl Arguments {
    /// Reads the arguments that follow the program's name.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut seconds, mut processes, mut threads, mut lifetime) = (20, None, 8, 2);
        let mut seed = u64::from_le_bytes(vault_platform::random::bytes::<8>()) >> 32;
        let (mut sabotage, mut json) = (false, false);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().unwrap_or_default();
                let number = value.parse::<u64>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| format!("`{argument}` wants a number above 0"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                WORKER => return Ok(Self::Worker),
                "--seconds" => seconds = number()?,
                "--processes" => processes = Some(number()?),
                "--threads" => threads = number()?,
                "--lifetime" => lifetime = number()?,
                "--seed" => seed = number()?,
                "--sabotage" => sabotage = true,
                "--json" => json = true,
                other => return Err(format!("unknown option `{}`", other.escape_default())),
            }
        }
        let usual = if seconds < 60 { 16 } else { 64 };
        let size = |number: u64| usize::try_from(number).map_err(|error| error.to_string());
        Ok(Self::Soak(Soak {
            time: Duration::from_secs(seconds),
            processes: size(processes.unwrap_or(usual))?,
            threads: size(threads)?,
            lifetime: Duration::from_secs(lifetime),
            seed,
            sabotage,
            json,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_long_soak_has_more_processes_unless_told_otherwise() {
        let processes = |line: &str| match parsed(line) {
            Ok(Arguments::Soak(soak)) => soak.processes,
            other => panic!("{other:?}"),
        };
        assert_eq!(processes(""), 16);
        assert_eq!(processes("--seconds 300"), 64);
        assert_eq!(processes("--seconds 300 --processes 3"), 3);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(parsed("--seconds").is_err());
        assert!(parsed("--threads 0").is_err());
        assert!(parsed("--jsno").is_err());
    }
}
