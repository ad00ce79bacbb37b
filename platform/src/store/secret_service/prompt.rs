//! Prompts: the service asks a person, and this waits for the answer, but not
//! for ever.
//!
//! A prompt ends when it is answered, when the service goes away, or when the
//! caller's patience ends; then it is taken back, so that no window is left that
//! nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use zbus::MatchRule;
use zbus::blocking::MessageIterator;
use zbus::message::{Body, Type};
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use super::bus::{BUS, Bus, BusError, NAME};
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
        let completed = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROMPT)?
            .member("Completed")?
            .path(prompt.as_str())?
            .build();
        let vanished = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS)?
            .interface(BUS)?
            .member("NameOwnerChanged")?
            .add_arg(NAME)?
            .build();
        // These two tell the bus to send us the signals; the third sees both.
        let subscribed =
            [completed, vanished].map(|rule| MessageIterator::for_match_rule(rule, &self.0, None));
        let [completed, vanished] = subscribed;
        let subscribed = (completed?, vanished?);
        let messages = MessageIterator::from(&self.0);
        let () = self.ask(prompt.as_str(), PROMPT, "Prompt", &("",))?;

        // An iterator of messages has no deadline; a channel has.
        let (answer, answered) = mpsc::sync_channel(1);
        let given_up = Arc::new(AtomicBool::new(false));
        let (path, stop) = (prompt.clone(), Arc::clone(&given_up));
        std::thread::Builder::new()
            .name("vault-prompt".to_owned())
            .spawn(move || {
                let _subscribed = subscribed;
                // Nobody listens any more when the caller gave up.
                answer.send(wait_for_end(messages, &path, &stop)).ok();
            })
            .map_err(|error| BusError::new(StoreErrorKind::Failed, error))?;
        match answered.recv_timeout(patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
            Err(RecvTimeoutError::Timeout) => {
                given_up.store(true, Ordering::Release);
                let taken_back = self.dismiss(prompt);
                // Whatever came of that, this reply wakes the thread.
                let _owned: bool = self.ask_bus("NameHasOwner", &(NAME,))?;
                tracing::debug!(?taken_back, "nobody answered the secret service's prompt");
                Err(BusError::new(
                    StoreErrorKind::Hung,
                    format!("nobody answered its prompt within {patience:?}"),
                ))
            }
        }
    }

    /// Takes a prompt back.
    pub(super) fn dismiss(&self, prompt: &OwnedObjectPath) -> Result<(), BusError> {
        self.ask(prompt.as_str(), PROMPT, "Dismiss", &())
    }
}

fn wait_for_end(
    messages: MessageIterator,
    prompt: &OwnedObjectPath,
    given_up: &AtomicBool,
) -> Result<Answer, BusError> {
    for message in messages {
        let message = message?;
        if given_up.load(Ordering::Acquire) {
            break;
        }
        if message.message_type() != Type::Signal {
            continue;
        }
        let header = message.header();
        match header.member().map(|member| member.as_str()) {
            Some("Completed")
                if header.path().map(|path| path.as_str()) == Some(prompt.as_str()) =>
            {
                let (dismissed, _): (bool, OwnedValue) = message.body().deserialize()?;
                return Ok(if dismissed {
                    Answer::Dismissed
                } else {
                    Answer::Given
                });
            }
            Some("NameOwnerChanged") if mentions_service(&message.body()) => break,
            _ => {}
        }
    }
    Err(gone())
}

fn mentions_service(body: &Body) -> bool {
    body.deserialize::<(String, String, String)>()
        .is_ok_and(|(name, _, _)| name == NAME)
}

pub(super) fn gone() -> BusError {
    BusError::new(
        StoreErrorKind::Failed,
        "the secret service went away while it asked",
    )
}
