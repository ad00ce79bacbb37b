//! `passphrase`: another passphrase, or a key file, for the encrypted-file store.

use serde_json::json;
use vault_core::platform::store::KeySource;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::terminal;

pub(crate) fn run(context: &Context, arguments: args::Passphrase) -> Result<Exit, Problem> {
    // The old one is wanted even while its key is remembered.
    let vault = context.vault_with_passphrase()?;
    let new = match (arguments.new_passphrase_file, arguments.new_key_file) {
        (Some(file), _) => KeySource::PassphraseFile(file),
        (None, Some(file)) => KeySource::KeyFile(file),
        (None, None) => KeySource::Passphrase(ask()?),
    };
    vault.change_store_key(&new)?;
    let output = &context.output;
    if output.json {
        output.document(&json!({ "app": vault.application(), "changed": true }))?;
    } else {
        output.text(&format!(
            "the encrypted-file store of {} opens with the new one; the old one is void\n",
            vault.application()
        ))?;
    }
    Ok(Exit::Done)
}

/// Asks twice: a slip would lock everybody out.
fn ask() -> Result<vault_core::platform::secret::SecretString, Failure> {
    let refused =
        |message: &str, hint: &str| Failure::new("passphrase_unusable", Exit::Usage, message, hint);
    if !terminal::is_attended() {
        return Err(refused(
            "there is no terminal to ask for the new passphrase",
            "name a file with `--new-passphrase-file FILE` or `--new-key-file FILE`",
        ));
    }
    let new = terminal::ask_secret("New passphrase: ")?;
    if new.is_empty() {
        return Err(refused(
            "the passphrase is empty",
            "type at least one character",
        ));
    }
    if !new.same_as(&terminal::ask_secret("The same again: ")?) {
        return Err(refused("the two differ", "try again; nothing was changed"));
    }
    Ok(new)
}
