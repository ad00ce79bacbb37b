//! The command line and the environment variables that stand for its options.
//!
//! Names are fixed: scripts depend on them. This is the one place where the
//! environment is read, by clap.

mod login;
mod profile;
mod tokens;
mod tools;
mod value;

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use vault_core::platform::store::StoreKind;

use crate::choice::{Choice, Rule};
use crate::version;

pub(crate) use login::{Confidential, Flow, Import, Login, Server};
pub(crate) use profile::{Logout, Migrate, Passphrase, Show};
pub(crate) use tokens::{Exec, Refresh, Token};
pub(crate) use tools::{Bind, Credential, Setup, SetupTool, Tool};
use value::{duration, store_kinds};

/// Log in once, and every process shares one token.
///
/// Keeps the rotating refresh token of a login in the operating system's
/// secure store and hands out access tokens. However many processes ask at
/// once, one refreshes and the others get its token.
#[derive(Debug, Parser)]
#[command(
    name = "vault-cli",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:
  vault-cli login --issuer https://login.example --client-id my-client --scope offline_access
  vault-cli token --curl | curl -K - https://api.example/me
  vault-cli list

Exit codes: 0 done, 1 failed, 2 usage, 3 login required, 4 store missing, locked or refused,
5 server or network unavailable (try later), 6 timed out waiting for the lock"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads a command line. A variable that is set and empty counts as not
    /// set: that is how scripts take one back.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        if let Some(read) = Self::read_token(arguments) {
            return Ok(read);
        }
        // What is wrong, or what there is, the whole program tells.
        Self::read_as(Self::program_of(arguments), arguments)
            .or_else(|_| Self::read_as(Self::command().long_version(version::long()), arguments))
    }

    /// `vault-cli token …`, which scripts say again and again: without a program
    /// around the command, whose options need not be carried from one to the
    /// other. Nothing for anything else.
    fn read_token(arguments: &[OsString]) -> Option<Self> {
        let (_, said) = arguments.split_first()?;
        if said.first()? != "token" {
            return None;
        }
        let program = Token::augment_args(clap::Command::new("token"));
        let mut program = ManuallyDrop::new(Options::augment_args(program));
        if program
            .get_arguments()
            .filter_map(clap::Arg::get_env)
            .any(is_empty)
        {
            return None;
        }
        let mut matches = ManuallyDrop::new(program.try_get_matches_from_mut(said).ok()?);
        let chosen_by = chosen_by(&matches);
        let command = Command::Token(Token::from_arg_matches_mut(&mut matches).ok()?);
        let options = Options::from_arg_matches_mut(&mut matches).ok()?;
        let options = options.with(chosen_by).ok()?;
        Some(Self { options, command })
    }

    /// The program with those commands alone whose names are among the
    /// arguments. It takes what the whole one takes, and is made in a fraction
    /// of the time: each command has all options that every command has. What is
    /// made lives as long as the process, as taking it apart would take time too.
    fn program_of(arguments: &[OsString]) -> clap::Command {
        let program = || clap::Command::new("vault-cli");
        let all = ManuallyDrop::new(Command::augment_subcommands(program()));
        let is_named =
            |command: &&clap::Command| arguments.iter().any(|it| it == command.get_name());
        let named = all.get_subcommands().filter(is_named).cloned();
        Options::augment_args(program())
            .subcommand_required(true)
            .disable_help_subcommand(true)
            .subcommands(named)
    }

    fn read_as(mut program: clap::Command, arguments: &[OsString]) -> Result<Self, clap::Error> {
        if has_empty_variables() {
            program.build();
            program = without_empty_variables(program);
        }
        let mut program = ManuallyDrop::new(program);
        let mut matches = ManuallyDrop::new(program.try_get_matches_from_mut(arguments)?);
        let chosen_by = chosen_by(&matches);
        let read = Self::from_arg_matches_mut(&mut matches);
        let read = read.map_err(|error| error.format(&mut program))?;
        let options = read.options.with(chosen_by);
        let options = options.map_err(|error| error.format(&mut program))?;
        Ok(Self { options, ..read })
    }
}

fn chosen_by(matches: &ArgMatches) -> Choice {
    Choice {
        app: rule(matches, "app"),
        profile: rule(matches, "profile"),
        state_dir: rule(matches, "state_dir"),
        key_file: rule(matches, "key_file"),
        passphrase_file: rule(matches, "passphrase_file"),
    }
}

/// What gave an option its value.
fn rule(matches: &ArgMatches, option: &str) -> Rule {
    match matches.value_source(option) {
        Some(ValueSource::CommandLine) => Rule::Option,
        Some(ValueSource::EnvVariable) => Rule::Environment,
        _ => Rule::Usual,
    }
}

fn has_empty_variables() -> bool {
    std::env::vars_os().any(|(_, value)| value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the program's own variables")]
fn is_empty(variable: &OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// The application whose logins are meant; `list`, `status` and `watch` take
    /// '*' for all of them
    #[arg(long, global = true, env = "VAULT_APP", value_name = "ID", default_value = DEFAULT_APP)]
    pub(crate) app: String,
    /// The profile: one login
    #[arg(long, global = true, env = "VAULT_PROFILE", value_name = "NAME",
          default_value = DEFAULT_PROFILE)]
    pub(crate) profile: String,
    /// What chose application and profile.
    #[arg(skip)]
    pub(crate) chosen_by: Choice,
    /// Where the refresh token is kept; without this where the profile is, and
    /// for a new one the operating system's store
    #[arg(long, global = true, env = "VAULT_STORE", value_name = "KIND",
          value_parser = store_kinds())]
    pub(crate) store: Option<StoreKind>,
    /// The folder for state, instead of the user's own
    #[arg(long, global = true, env = "VAULT_STATE_DIR", value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The key of the encrypted-file store: 32 bytes, or a line of hex or base64
    #[arg(long, global = true, env = "VAULT_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The passphrase of the encrypted-file store, on the file's first line
    #[arg(
        long,
        global = true,
        env = "VAULT_PASSPHRASE_FILE",
        value_name = "FILE"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The access group of the protected-keychain store, which signed programs
    /// of one team share
    #[arg(
        long,
        global = true,
        env = "VAULT_KEYCHAIN_ACCESS_GROUP",
        value_name = "GROUP"
    )]
    pub(crate) keychain_access_group: Option<String>,
    /// Have the protected-keychain store ask for Touch ID or the password at
    /// each read
    #[arg(long, global = true)]
    pub(crate) keychain_user_presence: bool,
    /// Let the kernel hold for this long, such as 15min, the key that the
    /// passphrase yields, so that further calls need no passphrase, or the
    /// login's key in the Secret Service, so that further calls with this option
    /// do not ask it (Linux)
    #[arg(long, global = true, env = "VAULT_REMEMBER", value_name = "TIME",
          value_parser = duration)]
    pub(crate) remember: Option<std::time::Duration>,
    /// Where systemd puts a service's credentials: `vault-key` and
    /// `vault-passphrase` are looked for there
    #[arg(
        long,
        global = true,
        env = "CREDENTIALS_DIRECTORY",
        value_name = "FOLDER",
        hide = true
    )]
    pub(crate) credentials_directory: Option<PathBuf>,
    /// Print one JSON document, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but the answer and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell the causes of an error; twice: log to standard error
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The application that is meant if none is named.
pub(crate) const DEFAULT_APP: &str = "vault-cli";
/// The profile that is meant if none is named.
const DEFAULT_PROFILE: &str = "default";

impl Options {
    /// What was chosen, and by what. A key that is named on the command line
    /// counts, and not the variable of another.
    fn with(self, chosen_by: Choice) -> Result<Self, clap::Error> {
        let by_option = |rule: &Rule| *rule == Rule::Option;
        let (key, passphrase) = (&chosen_by.key_file, &chosen_by.passphrase_file);
        if by_option(key) && by_option(passphrase) {
            let message = "--key-file and --passphrase-file can't both be the key";
            return Err(clap::Error::raw(
                clap::error::ErrorKind::ArgumentConflict,
                message,
            ));
        }
        let key_file = self.key_file.filter(|_| !by_option(passphrase));
        Ok(Self {
            key_file,
            chosen_by,
            ..self
        })
    }

    /// A command line that means the same application and profile, for hints.
    pub(crate) fn command_line(&self, rest: &str) -> String {
        let mut line = String::from("vault-cli ");
        for (option, value, usual) in [
            ("--app", &self.app, DEFAULT_APP),
            ("--profile", &self.profile, DEFAULT_PROFILE),
        ] {
            if value != usual {
                line.push_str(&format!("{option} {} ", value.escape_default()));
            }
        }
        line + rest
    }
}

// A command's own options are made when it is called: all of them would cost a call more than it
// does itself.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Log in to an authorization server
    Login(Login),
    /// Take over a refresh token from standard input
    Import(Import),
    /// Print a valid access token, and nothing else
    Token(Token),
    /// Run a command with a valid access token in its environment
    Exec(Exec),
    /// Refresh the access token if it is due
    Refresh(Refresh),
    /// List the profiles
    #[command(after_help = "Examples:
  vault-cli list
  vault-cli --app com.example.app list --json
  vault-cli --app '*' list      (of every application that uses the vault)")]
    List,
    /// Show everything that is stored, secrets as length and fingerprint
    Show(Show),
    /// Tell in one line how the login stands
    #[command(after_help = "Examples:
  vault-cli status
  vault-cli --app '*' status
  vault-cli --profile work status --quiet || vault-cli --profile work login …")]
    Status,
    /// Show who refreshed when
    #[command(after_help = "Examples:
  vault-cli history
  vault-cli --profile work history --json")]
    History,
    /// Watch on a full screen what all processes do with the logins
    #[command(after_help = "Examples:
  vault-cli watch
  vault-cli --app '*' watch       (the logins of every application)

Keys: q quit, arrows select, r refresh, l log out, Enter inspect, ? help. Until r or l is pressed no
store is opened and no server asked.")]
    Watch,
    /// Log out for good, in all processes
    Logout(Logout),
    /// List what is known of authorization servers
    #[command(after_help = "Examples:
  vault-cli issuers
  vault-cli issuers --json > servers.json
  vault-cli issuers --issuers-file servers.json --issuer https://login.example")]
    Issuers(Issuers),
    /// Answer a tool that asks for a token
    #[command(after_help = "Examples:
  printf 'protocol=https\\nhost=git.example.com\\n' | vault-cli credential git get
  echo registry.example.com | docker-credential-vault-cli get

Tools call this themselves: `vault-cli setup` tells them to. Only hosts that a login is bound to are
answered about: see `vault-cli bind`. Under the name docker-credential-vault-cli (or git-…, kubectl-…,
cargo-…, bazel-credential-vault-cli) this program is that tool's helper.")]
    Credential(Credential),
    /// Let a host's tools be given the token
    Bind(Bind),
    /// Have a tool ask for the token of bound hosts
    Setup(Setup),
    /// Take a host's binding back
    Unbind(Bind),
    /// Move a login to another store
    Migrate(Migrate),
    /// Prove that store, folder, lock and server work
    #[command(after_help = "Examples:
  vault-cli doctor
  vault-cli --profile work doctor --json")]
    Doctor,
    /// Change the passphrase of the encrypted-file store
    Passphrase(Passphrase),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

impl Command {
    /// Whether it works with the profile that is chosen, so that a `.vault.toml`
    /// may choose it.
    pub(crate) fn is_about_a_profile(&self) -> bool {
        !matches!(
            self,
            Self::Completions(_) | Self::Man(_) | Self::Issuers(_) | Self::Credential(_)
        )
    }

    /// Whether every application can be meant.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(self, Self::List | Self::Watch | Self::Status)
    }
}

#[derive(Args, Debug)]
pub(crate) struct Issuers {
    /// Only what is known of the server with this name
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// A list of known servers that comes before the built-in one
    #[arg(long, env = "VAULT_ISSUERS_FILE", value_name = "FILE")]
    pub(crate) issuers_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli completions bash > ~/.local/share/bash-completion/completions/vault-cli
  vault-cli completions fish > ~/.config/fish/completions/vault-cli.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli man > vault-cli.1
  vault-cli man token | man -l -")]
pub(crate) struct Man {
    /// The command whose page is wanted
    pub(crate) command: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_manual_of_systems_tells_of_every_environment_variable_and_store() {
        let manual = include_str!("../../docs/PLATFORMS.md");
        let mut command = Arguments::command();
        command.build();
        let mut commands = vec![&command];
        commands.extend(command.get_subcommands());
        let variables: std::collections::BTreeSet<_> = commands
            .into_iter()
            .flat_map(clap::Command::get_arguments)
            .filter_map(clap::Arg::get_env)
            .filter_map(std::ffi::OsStr::to_str)
            .collect();
        assert!(variables.contains("VAULT_STORE"), "{variables:?}");
        for name in variables {
            assert!(manual.contains(&format!("`{name}`")), "{name}");
        }
        for kind in StoreKind::ALL {
            assert!(manual.contains(&format!("`{kind}`")), "{kind}");
        }
    }

    fn arguments(line: &str) -> Vec<OsString> {
        let words = std::iter::once("vault-cli").chain(line.split(' '));
        words.map(OsString::from).collect()
    }

    #[test]
    fn the_shorter_ways_read_what_the_whole_program_reads() {
        for line in [
            "token",
            "token --profile work --json",
            "token --app=a -vv --min-valid 60s --header",
            "token --scope a --scope b --resource https://api.example/",
            "token --dpop-url https://api.example/ --dpop-method POST --dpop-nonce -n",
            "token --store memory --state-dir /s --remember 1min -q",
        ] {
            let arguments = arguments(line);
            let whole = Arguments::read_as(Arguments::command(), &arguments).expect(line);
            let shortest = Arguments::read_token(&arguments).expect(line);
            let shorter = Arguments::read_as(Arguments::program_of(&arguments), &arguments);
            for read in [shortest, shorter.expect(line)] {
                assert_eq!(format!("{read:?}"), format!("{whole:?}"));
            }
        }
        for line in [
            "--profile work token",
            "token --help",
            "token --nonce",
            "token --quiet --verbose",
            "tokens",
        ] {
            let arguments = arguments(line);
            assert!(Arguments::read_token(&arguments).is_none(), "{line}");
        }
    }

    #[test]
    fn every_commands_help_says_what_it_does_and_has_examples() {
        for command in Arguments::command().get_subcommands_mut() {
            // Before its options are made, which could say something else.
            let listed = command.get_about().expect("a description").to_string();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
            assert_eq!(help.lines().next(), Some(listed.as_str()));
        }
    }

    #[test]
    fn a_hint_names_application_and_profile_only_where_they_are_not_the_usual_ones() {
        let arguments =
            Arguments::parse_from(["vault-cli", "--app", "a", "--profile", "p", "status"]);
        assert_eq!(
            arguments.options.command_line("login"),
            "vault-cli --app a --profile p login"
        );
        let arguments = Arguments::parse_from(["vault-cli", "status"]);
        assert_eq!(arguments.options.command_line("login"), "vault-cli login");
    }
}
