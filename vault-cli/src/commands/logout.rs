//! `logout`: ends a login, or all of the application, for good.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use url::Url;
use vault_core::login::{LoginInteraction, SystemBrowser};
use vault_core::{Error, Session};

use super::every::every;
use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::{signals, terminal};

pub(crate) fn run(context: &Context, arguments: &args::Logout) -> Result<Exit, Problem> {
    let revoke = !arguments.no_revoke;
    let output = &context.output;
    // Several logins may have been made at one server: it is left once.
    let pages = RefCell::new(BTreeSet::new());
    let leave = |session: &Session| {
        let done = end(context, session, revoke)?;
        if arguments.end_session {
            match &done.end_session_url {
                Some(url) => {
                    pages.borrow_mut().insert(url.clone());
                }
                None => output.warning(&format!(
                    "{}: the server names no page for logging out there",
                    done.profile
                )),
            }
        }
        Ok(done)
    };
    let exit = if arguments.all {
        let nobody = "nobody was logged in";
        every(
            context,
            &context.vault()?,
            |_| true,
            leave,
            Done::text,
            nobody,
        )?
    } else {
        let done = leave(&context.session()?)?;
        if output.json {
            output.document(&done)?;
        } else {
            output.text(&done.text())?;
        }
        Exit::Done
    };
    for url in pages.into_inner() {
        open(
            context,
            &url,
            !arguments.no_browser && terminal::is_attended(),
        );
    }
    Ok(exit)
}

/// Sends the person to the server's page, or prints where it is. What fails
/// here undoes nothing: the login has ended.
fn open(context: &Context, url: &Url, browser: bool) {
    let output = &context.output;
    if !browser {
        output.line(url.as_str());
        return;
    }
    let host = url.host_str().unwrap_or_default();
    output.note(&format!(
        "The browser opens, to log out at {host}. If it does not, open this address in it:"
    ));
    output.line(url.as_str());
    let browser = Arc::new(SystemBrowser::new());
    let ending = browser.clone();
    signals::before_the_end(Box::new(move || ending.finished()));
    if let Err(error) = browser.show(url) {
        output.warning(&format!("{error}; open that address in a browser"));
    }
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
    /// The server's own page for logging out there, in a browser.
    end_session_url: Option<Url>,
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
        let warning = format!(
            "{name}: the server was not made to revoke the refresh token ({}); {then}",
            failure.message
        );
        context.output.warning_because(&warning, failure);
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
        end_session_url: report.end_session,
    })
}
