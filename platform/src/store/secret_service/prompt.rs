//! Prompts: the service asks a person, and this waits for the answer, but not
//! for ever.
//!
//! A prompt ends when it is answered, when the service goes away, or when the
//! caller's patience ends; then it is taken back, so that no window is left that
//! nobody waits for.

use std::time::Duration;

use zbus::message::{Body, Message};
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use super::bus::{BUS, Bus, NAME};
use super::error::BusError;
use crate::clock::{Clock, SystemClock};
use crate::store::StoreErrorKind;

const PROMPT: &str = "org.freedesktop.Secret.Prompt";

/// How a person took a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Given,
    Dismissed,
}

impl Bus {
    /// Shows a prompt and waits for its end.
    pub(super) fn prompt(
        &self,
        prompt: &OwnedObjectPath,
        patience: Duration,
    ) -> Result<Answer, BusError> {
        let rules = [
            format!("type='signal',interface='{PROMPT}',member='Completed',path='{prompt}'"),
            format!(
                "type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{NAME}'"
            ),
        ];
        for rule in &rules {
            let () = self.ask_bus("AddMatch", &(rule,))?;
        }
        let asked: Result<(), BusError> = self.ask(prompt.as_str(), PROMPT, "Prompt", &("",));
        let ended = asked.and_then(|()| self.wait_for_end(prompt, patience));
        for rule in &rules {
            // What still comes is left alone.
            let _removed: Result<(), BusError> = self.ask_bus("RemoveMatch", &(rule,));
        }
        ended?.ok_or_else(|| {
            let taken_back = self.dismiss(prompt);
            tracing::debug!(?taken_back, "nobody answered the secret service's prompt");
            BusError::new(
                StoreErrorKind::Hung,
                format!("nobody answered its prompt within {patience:?}"),
            )
        })
    }

    /// Takes a prompt back.
    pub(super) fn dismiss(&self, prompt: &OwnedObjectPath) -> Result<(), BusError> {
        self.ask(prompt.as_str(), PROMPT, "Dismiss", &())
    }

    /// Waits for the prompt's end; `None` where patience ends before.
    fn wait_for_end(
        &self,
        prompt: &OwnedObjectPath,
        patience: Duration,
    ) -> Result<Option<Answer>, BusError> {
        let end = SystemClock.since_boot().saturating_add(patience);
        loop {
            let left = end.saturating_sub(SystemClock.since_boot());
            if left.is_zero() {
                return Ok(None);
            }
            let signal = self.0.borrow_mut().signal(left)?;
            let Some(signal) = signal else {
                return Ok(None);
            };
            if let Some(answer) = end_of(&signal, prompt)? {
                return Ok(Some(answer));
            }
        }
    }
}

/// What a signal says about the prompt, if it is about it.
fn end_of(signal: &Message, prompt: &OwnedObjectPath) -> Result<Option<Answer>, BusError> {
    let header = signal.header();
    match header.member().map(|member| member.as_str()) {
        Some("Completed") if header.path().map(|path| path.as_str()) == Some(prompt.as_str()) => {
            let (dismissed, _): (bool, OwnedValue) = signal.body().deserialize()?;
            Ok(Some(if dismissed {
                Answer::Dismissed
            } else {
                Answer::Given
            }))
        }
        Some("NameOwnerChanged") if mentions_service(&signal.body()) => Err(BusError::new(
            StoreErrorKind::Failed,
            "the secret service went away while it asked",
        )),
        _ => Ok(None),
    }
}

fn mentions_service(body: &Body) -> bool {
    body.deserialize::<(String, String, String)>()
        .is_ok_and(|(name, _, _)| name == NAME)
}
