//! `migrate`: moves a login, or all of the application, to another store.

use serde::Serialize;
use vault_core::platform::store::{Persistence, StoreKind};
use vault_core::refresh::migration::MigrationReport;
use vault_core::{Error, Session};

use super::every::every;
use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::output::visible;

pub(crate) fn run(context: &Context, arguments: &args::Migrate) -> Result<Exit, Problem> {
    let output = &context.output;
    let vault = context.vault_for_migration(arguments.to)?;
    if !arguments.all {
        let session = vault.session(&context.options.profile)?;
        let moved = go(context, &session, arguments.to)?;
        if output.json {
            output.document(&moved)?;
        } else {
            output.text(&moved.text())?;
        }
        warn_of_option(context, arguments.to);
        return Ok(Exit::Done);
    }
    let exit = every(
        context,
        &vault,
        // In a profile without a store nobody has ever logged in.
        |session| !matches!(session.pinned_store(), Ok(None)),
        |session| go(context, session, arguments.to),
        Moved::text,
        "nobody is logged in",
    )?;
    warn_of_option(context, arguments.to);
    Ok(exit)
}

#[derive(Serialize)]
struct Moved {
    profile: String,
    /// Whether it was in another store before.
    moved: bool,
    from: StoreKind,
    to: StoreKind,
    provider: String,
    /// How long that store keeps it.
    persistence: Persistence,
    /// Whether the store holds a copy of the refresh token, or it is too long.
    copied: bool,
    /// Something that nothing uses any more is left in another store.
    remains: bool,
}

impl Moved {
    fn text(&self) -> String {
        let Self {
            profile, from, to, ..
        } = self;
        let provider = visible(&self.provider);
        if self.moved {
            format!("{profile}: moved from the {from} store to {to} ({provider})\n")
        } else {
            format!("{profile}: already in the {to} store ({provider})\n")
        }
    }
}

fn go(context: &Context, session: &Session, to: StoreKind) -> Result<Moved, Error> {
    let (output, name) = (&context.output, session.name());
    if crate::terminal::is_attended() && !output.json {
        output.note(&format!("{name}: moving to the {to} store …"));
    }
    let report = session.blocking().migrate(to)?;
    let moved = report.has_moved();
    let MigrationReport {
        from,
        to,
        provider,
        persistence,
        copied,
        remains,
        ..
    } = report;
    if let Some(why) = &remains {
        output.warning(&format!(
            "{name}: something is left in a store that the login was in before, and nothing uses \
             it; `{}` tries again to delete it ({})",
            context.options.command_line(&format!("migrate --to {to}")),
            visible(why)
        ));
    }
    if moved && persistence == Persistence::UntilReboot {
        output.warning(&format!(
            "{name}: the {to} store ends with the next start of the machine, and the login with it"
        ));
    }
    if moved && !copied {
        output.note(&format!(
            "{name}: the refresh token is too long for the {to} store; it stands sealed in the \
             state folder, and the store holds its key"
        ));
    }
    Ok(Moved {
        profile: name.to_owned(),
        moved,
        from,
        to,
        provider,
        persistence,
        copied,
        remains: remains.is_some(),
    })
}

/// What names the old store would be refused from now on.
fn warn_of_option(context: &Context, to: StoreKind) {
    if let Some(named) = context.options.store
        && named != to
    {
        context.output.warning(&format!(
            "`--store` (or VAULT_STORE) names {named}; from now on leave it out, or name {to}"
        ));
    }
}
