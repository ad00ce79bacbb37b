//! `watch`: every profile on a full screen, live: what any process does with
//! them is seen in the files that all share. Asks no store and unlocks nothing,
//! until a key says so.
//!
//! [`state`] knows what is shown, [`view`] draws it, [`screen`] has the
//! terminal; this is the loop between them.

mod screen;
mod state;
mod view;

use std::collections::HashMap;
use std::io::{self, stdout};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use vault_core::refresh::ending::LogoutReport;
use vault_core::session::TokenOptions;
use vault_core::{Error, Session};

use self::screen::Screen;
use self::state::{Reading, State, Wish};
use self::view::Palette;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::{terminal, times};

/// How often the files are read.
const PERIOD: Duration = Duration::from_millis(250);

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    if context.output.json || !(terminal::is_attended() && terminal::shows_answers()) {
        return Err(Failure::usage(
            "no_terminal",
            "`watch` draws on a terminal, and this is none",
            "run it on a terminal; a script reads `vault-cli list --json` and \
             `vault-cli history --json`",
        )
        .into());
    }
    let palette = match anstream::AutoStream::choice(&stdout()) {
        anstream::ColorChoice::Never => Palette::Plain,
        _ => Palette::Colours,
    };
    let (ended, endings) = channel();
    let mut sessions = HashMap::new();
    let mut state = State::new(match context.is_of_all() {
        true => "every application",
        false => &context.options.app,
    });
    let mut screen = Screen::enter().map_err(unusable)?;
    loop {
        let now = times::now_ms();
        state = state.read(read(context), now);
        for Ending { profile, outcome } in endings.try_iter() {
            state.busy.remove(&profile);
            state.answer = Some(match outcome {
                Ok(done) => format!("{profile}: {done}"),
                Err(error) => format!("{profile}: {}", context.explain(&error).message),
            });
        }
        screen
            .draw(|frame| view::draw(frame, &state, palette, now))
            .map_err(unusable)?;
        if !event::poll(PERIOD).map_err(unusable)? {
            continue;
        }
        let key = match event::read().map_err(unusable)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => key,
            _ => continue,
        };
        let (next, wish) = state.press(key);
        state = next;
        let (profile, deed) = match wish {
            None => continue,
            Some(Wish::Quit) => return Ok(Exit::Done),
            Some(Wish::Refresh(profile)) => (profile, Deed::Refresh),
            Some(Wish::LogOut(profile)) => (profile, Deed::LogOut),
        };
        let opened = match sessions.get(&profile) {
            Some(session) => Ok(Session::clone(session)),
            // Where a passphrase is needed it is asked for.
            None => screen
                .aside(|| named(context, &profile).session())
                .map_err(unusable)?,
        };
        match opened {
            Ok(session) => {
                sessions.insert(profile.clone(), session.clone());
                state.answer = None;
                state.busy.insert(profile.clone());
                start(session, profile, deed, ended.clone()).map_err(unusable)?;
            }
            Err(problem) => {
                let failure = problem.explain(&context.options);
                state.answer = Some(format!("{profile}: {}", failure.message));
            }
        }
    }
}

/// Looks at every profile that is meant. Of several applications each is named
/// with its own.
fn read(context: &Context) -> Reading {
    let told = |problem: Problem| problem.explain(&context.options).message;
    let all = context.is_of_all();
    let mut found = Vec::new();
    for context in &context.applications().map_err(told)? {
        let vault = context.vault_without_store().map_err(told)?;
        for (profile, glance) in vault.glances().map_err(|error| told(error.into()))? {
            let name = match all {
                true => format!("{}/{profile}", context.options.app),
                false => profile,
            };
            found.push((name, glance.map_err(|error| told(error.into()))));
        }
    }
    Ok(found)
}

/// The context of a profile as [`read`] names it.
fn named(context: &Context, name: &str) -> Context {
    match name.split_once('/') {
        Some((app, profile)) if context.is_of_all() => {
            context.of_application(app).of_profile(profile)
        }
        _ => context.of_profile(name),
    }
}

/// What is done to a profile.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Refresh,
    LogOut,
}

/// How it ended.
#[derive(Debug)]
struct Ending {
    profile: String,
    outcome: Result<&'static str, Error>,
}

/// Does it aside, so that the screen stays alive.
fn start(session: Session, profile: String, deed: Deed, ended: Sender<Ending>) -> io::Result<()> {
    let work = move || {
        let blocking = session.blocking();
        let outcome = match deed {
            Deed::Refresh => blocking.refresh_now(&TokenOptions::default()).map(|token| {
                match (token.refreshed, token.served_despite) {
                    (true, _) => "refreshed",
                    (false, None) => "another process has refreshed",
                    (false, Some(_)) => "not refreshed; the token at hand is still valid",
                }
            }),
            Deed::LogOut => {
                let told = |report: LogoutReport| match (report.revoked, report.queued) {
                    (Ok(true), _) => "logged out, and the refresh token is revoked",
                    (Ok(false), _) => "logged out",
                    (Err(_), true) => "logged out, but the refresh token is not revoked yet",
                    (Err(_), false) => "logged out, but the refresh token is not revoked",
                };
                blocking.logout(true).map(told)
            }
        };
        // Nobody waits for it any more once the screen is left.
        ended.send(Ending { profile, outcome }).ok();
    };
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(work)?;
    Ok(())
}

fn unusable(error: io::Error) -> Problem {
    Failure::new(
        "terminal_unusable",
        Exit::Failed,
        format!("the terminal can't be used: {error}"),
        "try another terminal, or `vault-cli list`",
    )
    .into()
}
