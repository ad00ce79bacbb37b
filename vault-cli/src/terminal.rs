//! People: is there one, and what do they say?
//!
//! A person is there if standard input and standard error are terminals. Where
//! nobody is there nothing asks.

use std::io::{self, IsTerminal};

use vault_core::platform::secret::SecretString;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::signals;

/// Whether a person can be asked.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether a person reads the answer.
pub(crate) fn shows_answers() -> bool {
    io::stdout().is_terminal()
}

/// Asks a question that only `yes` affirms. Nobody there, or no answer, is a
/// no.
pub(crate) fn confirms(output: &Output, question: &str) -> bool {
    if !is_attended() {
        return false;
    }
    output.line(&format!("{question} Type yes or no:"));
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(_) => answer.trim().eq_ignore_ascii_case("yes"),
        Err(_) => false,
    }
}

/// Asks a question and gives the line that is typed; `None` where nothing
/// comes any more. Only where a person is there.
pub(crate) fn ask(output: &Output, question: &str) -> Option<String> {
    output.prompt(question);
    let mut answer = String::new();
    match io::stdin().read_line(&mut answer) {
        Ok(1..) => Some(answer),
        _ => {
            output.line("");
            None
        }
    }
}

/// Has a signal that ends the program turn on again what the prompt turns off:
/// it ends before the prompt could.
#[cfg(unix)]
fn restore_at_signal() {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return;
    };
    if let Ok(before) = tcgetattr(&terminal) {
        signals::before_the_end(Box::new(move || {
            tcsetattr(&terminal, OptionalActions::Now, &before).ok();
        }));
    }
}

#[cfg(not(unix))]
fn restore_at_signal() {}

/// Asks for a secret, which is not shown. Only where a person is there.
pub(crate) fn ask_secret(prompt: &str) -> Result<SecretString, Failure> {
    restore_at_signal();
    let answer = rpassword::prompt_password(prompt);
    signals::before_the_end(Box::new(|| {}));
    answer.map(SecretString::from).map_err(|error| {
        Failure::new(
            "input_unreadable",
            Exit::Failed,
            format!("nothing could be read from the terminal: {error}"),
            "pipe the secret in, or name a file that holds it",
        )
    })
}

/// Asks for a passphrase that is to be set, twice: a slip would lock everybody
/// out. Only where a person is there.
pub(crate) fn ask_new_passphrase(prompt: &str) -> Result<SecretString, Failure> {
    let refused =
        |message: &str, hint: &str| Failure::new("passphrase_unusable", Exit::Usage, message, hint);
    let new = ask_secret(prompt)?;
    if new.is_empty() {
        return Err(refused(
            "the passphrase is empty",
            "type at least one character",
        ));
    }
    if !new.same_as(&ask_secret("The same again: ")?) {
        return Err(refused("the two differ", "try again; nothing was changed"));
    }
    Ok(new)
}
