//! `import`: takes over a refresh token from standard input, never from an
//! argument, which other users could read.

use vault_core::RefreshToken;
use vault_core::enrolment::{Import, without_line_end};

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::{confidential, input, terminal};

pub(crate) fn run(context: &Context, arguments: args::Import) -> Result<Exit, Problem> {
    let credential = confidential::credential(&arguments.server.confidential)?;
    let session = context.session_for_login(&arguments.server)?;
    let text = if terminal::is_attended() {
        terminal::ask_secret("Refresh token (not shown): ")?
    } else {
        input::token_from_standard_input()?
    };
    let token = RefreshToken::new(without_line_end(text));
    let mut import = match (arguments.issuer, arguments.token_endpoint) {
        (Some(issuer), _) => Import::from_issuer(issuer, arguments.client_id),
        (None, Some(endpoint)) => Import::from_token_endpoint(endpoint, arguments.client_id),
        (None, None) => unreachable!("the command line names one of them"),
    };
    if let Some(credential) = credential {
        import = import.credential(credential);
    }
    for scope in arguments.scope {
        import = import.scope(scope);
    }
    let report = session.blocking().import(import, token)?;
    super::login::tell(context, &session, &report)?;
    Ok(Exit::Done)
}
