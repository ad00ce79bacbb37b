//! `passphrase`: another passphrase, or a key file, for the encrypted-file store.

use serde_json::json;
use vault_core::platform::secret::SecretString;
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

fn ask() -> Result<SecretString, Failure> {
    if terminal::is_attended() {
        return terminal::ask_new_passphrase("New passphrase: ");
    }
    Err(Failure::new(
        "passphrase_unusable",
        Exit::Usage,
        "there is no terminal to ask for the new passphrase",
        "name a file with `--new-passphrase-file FILE` or `--new-key-file FILE`",
    ))
}
