//! `logout`: ends a login, or all of the application, for good.

use serde::Serialize;
use vault_core::{Error, Session};

use super::every::every;
use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};

pub(crate) fn run(context: &Context, arguments: &args::Logout) -> Result<Exit, Problem> {
    let revoke = !arguments.no_revoke;
    let output = &context.output;
    if !arguments.all {
        let session = context.session()?;
        let ended = end(context, &session, revoke)?;
        if output.json {
            output.document(&ended)?;
        } else {
            output.text(&ended.text())?;
        }
        return Ok(Exit::Done);
    }
    every(
        context,
        &context.vault()?,
        |_| true,
        |session| end(context, session, revoke),
        Done::text,
        "nobody was logged in",
    )
}

#[derive(Serialize)]
struct Done {
    profile: String,
    logged_out: bool,
    /// Whether the server has revoked the refresh token.
    revoked: bool,
    /// Why it has not, where that was asked for.
    revocation_error: Option<Failure>,
    /// The token is kept in the store, and revoked when the server can be
    /// reached.
    revocation_queued: bool,
    /// Something is left in store or folder that nothing uses any more.
    remains: bool,
}

impl Done {
    fn text(&self) -> String {
        let revoked = match (self.revoked, &self.revocation_error) {
            (true, _) => ", and the refresh token is revoked",
            (false, Some(_)) if self.revocation_queued => {
                ", but the refresh token is not revoked yet"
            }
            (false, Some(_)) => ", but the refresh token is not revoked",
            (false, None) => "",
        };
        format!("{}: logged out{revoked}\n", self.profile)
    }
}

fn end(context: &Context, session: &Session, revoke: bool) -> Result<Done, Error> {
    let report = session.blocking().logout(revoke)?;
    let name = session.name();
    let (revoked, revocation_error) = match &report.revoked {
        Ok(revoked) => (*revoked, None),
        Err(error) => (false, Some(context.explain(error))),
    };
    if let Some(failure) = &revocation_error {
        let then = if report.queued {
            "the store keeps it for that alone, and the next login, refresh, logout or `doctor` \
             tries again, for 30 days"
        } else {
            "here nothing of it is kept, and it may stay valid there until it expires"
        };
        context.output.warning(&format!(
            "{name}: the server was not made to revoke the refresh token ({}); {then}",
            failure.message
        ));
    }
    if report.remains {
        context.output.warning(&format!(
            "{name}: something is left in the store or the folder; no process uses it, and the \
             next one deletes it"
        ));
    }
    Ok(Done {
        profile: name.to_owned(),
        logged_out: true,
        revoked,
        revocation_error,
        revocation_queued: report.queued,
        remains: report.remains,
    })
}
