//! One file per command. A command asks the library, and prints its answer.

mod bind;
mod completions;
mod credential;
mod doctor;
mod every;
mod exec;
mod history;
mod import;
mod issuers;
mod list;
mod login;
mod logout;
mod man;
mod migrate;
mod passphrase;
mod refresh;
mod setup;
mod show;
mod status;
mod token;
mod watch;

use vault_core::platform::store::{Persistence, StoreKind};

use crate::args::Command;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};

/// Runs a command. Not inlined: the caller wipes the stack afterwards.
#[inline(never)]
pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, Problem> {
    if context.is_of_all() && command.is_about_a_profile() && !command.takes_all() {
        let message = "`--app '*'` means every application, and this command works on one";
        let hint = "name one; `vault-cli --app '*' list` shows them";
        return Err(Failure::usage("app_not_one", message, hint).into());
    }
    match command {
        Command::Login(arguments) => login::run(context, arguments),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Token(arguments) => token::run(context, arguments),
        Command::Exec(arguments) => exec::run(context, &arguments),
        Command::Refresh(arguments) => refresh::run(context, &arguments),
        Command::List => list::run(context),
        Command::Show(arguments) => show::run(context, &arguments),
        Command::Status => status::run(context),
        Command::History => history::run(context),
        Command::Watch => watch::run(context),
        Command::Logout(arguments) => logout::run(context, &arguments),
        Command::Issuers(arguments) => issuers::run(context, &arguments),
        Command::Setup(arguments) => setup::run(context, &arguments),
        Command::Credential(arguments) => credential::run(context, &arguments),
        Command::Bind(arguments) => bind::bind(context, &arguments),
        Command::Unbind(arguments) => bind::unbind(context, &arguments),
        Command::Migrate(arguments) => migrate::run(context, &arguments),
        Command::Doctor => doctor::run(context),
        Command::Passphrase(arguments) => passphrase::run(context, arguments),
        Command::Completions(arguments) => completions::run(context, &arguments),
        Command::Man(arguments) => man::run(context, &arguments),
    }
}

/// Says so where a store does not keep a login for good.
fn tell_its_end(context: &Context, store: &str) {
    let persistence = store.parse().map(StoreKind::persistence);
    if persistence == Ok(Persistence::UntilReboot) {
        context
            .output
            .note("this login ends when the machine reboots: its store is the kernel's memory");
    }
}
