//! The credential of a confidential client: from a file, standard input or the
//! terminal, never from an argument.

use vault_core::enrolment::without_line_end;
use vault_core::oauth::{ClientAuthentication, ClientCredential};

use crate::args::Confidential;
use crate::failure::{Failure, Problem};
use crate::{input, terminal};

/// Reads the credential that the options name, if they name one.
pub(crate) fn credential(options: &Confidential) -> Result<Option<ClientCredential>, Problem> {
    let credential = if let Some(path) = &options.client_key_file {
        let pem = input::secret_from(path, "--client-key-file")?;
        let key = ClientCredential::private_key(&pem, options.client_key_id.clone())?;
        match &options.client_certificate {
            Some(path) => key.certificate(&input::certificate(path, "--client-certificate")?)?,
            None => key,
        }
    } else if let Some(path) = &options.client_secret_file {
        let secret = if path.as_os_str() == "-" && terminal::is_attended() {
            terminal::ask_secret("Client secret (not shown): ")?
        } else {
            input::secret_from(path, "--client-secret-file")?
        };
        ClientCredential::secret(without_line_end(secret))?
    } else {
        return match options.client_auth {
            None => Ok(None),
            Some(method) => Err(nothing_for(method).into()),
        };
    };
    Ok(Some(match options.client_auth {
        Some(method) => credential.by(method)?,
        None => credential,
    }))
}

fn nothing_for(method: ClientAuthentication) -> Failure {
    let option = match method {
        ClientAuthentication::PrivateKeyJwt => "--client-key-file FILE",
        _ => "--client-secret-file FILE",
    };
    Failure::usage(
        "invalid_input",
        format!("{method} needs something to prove the client with"),
        format!("give it with `{option}`"),
    )
}
