//! What can go wrong with a request, on purpose.
//!
//! A fault is queued per endpoint and meets the next request to it, in the order of arrival.
//! The line that matters runs between *not acted on* ([`Fault::Instead`], [`Fault::Drop`]) and
//! *acted on* (all others): after the first the client's refresh token is still good, after
//! the second it has been rotated, whatever the client gets to see.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::Endpoint;
use super::reply::Reply;

/// What happens to one request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Not acted on; this answer instead: an overloaded server, a captive portal.
    Instead(Reply),
    /// Not acted on; the request is read and the connection closed.
    Drop,
    /// Acted on; the connection is closed without an answer.
    LoseAnswer,
    /// Acted on; this answer instead: a gateway that gave up waiting.
    ReplaceAnswer(Reply),
    /// Acted on; the answer is sent after this time.
    DelayAnswer(Duration),
    /// Acted on; the connection is closed in the middle of the body.
    CutAnswer,
    /// Acted on; a complete HTTP answer with the first half of the body.
    TruncateBody,
    /// Acted on; the body is padded with spaces to this many bytes.
    PadBody(usize),
    /// Acted on; the answer's JSON is changed.
    Alter(Alteration),
    /// Acted on, but a refresh does not rotate this once and repeats its refresh token.
    SameRefreshToken,
}

/// A change to a member of an answer's JSON object.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Alteration {
    /// Leaves a member out.
    Remove(&'static str),
    /// Sets a member.
    Set(&'static str, Value),
    /// Names another content type, and leaves the body as it is.
    ContentType(&'static str),
}

impl Fault {
    /// Not acted on: 503 with `Retry-After` in seconds.
    pub fn unavailable(retry_after: u64) -> Self {
        Self::Instead(Reply::html(503, "Service Unavailable").retry_after(retry_after))
    }

    /// Not acted on: an OAuth error with this status.
    pub fn oauth_error(status: u16, code: &str) -> Self {
        Self::Instead(Reply::oauth_error(status, code))
    }

    /// Not acted on: this status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Instead(Reply::empty(status))
    }

    /// Acted on: the answer's JSON without a member.
    pub fn remove(member: &'static str) -> Self {
        Self::Alter(Alteration::Remove(member))
    }

    /// Acted on: the answer's JSON with another value for a member.
    pub fn set(member: &'static str, value: impl Into<Value>) -> Self {
        Self::Alter(Alteration::Set(member, value.into()))
    }

    /// Whether the request is acted on in spite of the fault.
    pub fn is_acted_on(&self) -> bool {
        !matches!(self, Self::Instead(_) | Self::Drop)
    }

    /// What goes out, given what the endpoint made of the request.
    ///
    /// For the faults that are not acted on, `reply` is ignored.
    pub(super) fn apply(self, reply: Reply) -> Outgoing {
        match self {
            Self::Instead(other) | Self::ReplaceAnswer(other) => Outgoing::Send(other),
            Self::Drop | Self::LoseAnswer => Outgoing::Close,
            Self::DelayAnswer(_) | Self::SameRefreshToken => Outgoing::Send(reply),
            Self::CutAnswer => Outgoing::Cut(reply),
            Self::TruncateBody => {
                let half = reply.body.len() / 2;
                Outgoing::Send(Reply {
                    body: reply.body[..half].to_vec(),
                    ..reply
                })
            }
            Self::PadBody(size) => {
                let mut body = reply.body;
                body.resize(size.max(body.len()), b' ');
                Outgoing::Send(Reply { body, ..reply })
            }
            Self::Alter(alteration) => Outgoing::Send(alteration.apply(reply)),
        }
    }
}

impl Alteration {
    fn apply(self, mut reply: Reply) -> Reply {
        if let Self::ContentType(kind) = self {
            reply
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            return reply.header("Content-Type", kind);
        }
        let Some(Value::Object(mut members)) = reply.json_body() else {
            return reply;
        };
        match self {
            Self::Remove(name) => {
                members.remove(name);
            }
            Self::Set(name, value) => {
                members.insert(name.to_owned(), value);
            }
            Self::ContentType(_) => {}
        }
        Reply {
            body: Value::Object(members).to_string().into_bytes(),
            ..reply
        }
    }
}

/// What is done with the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// The answer is sent.
    Send(Reply),
    /// The head and half of the body are sent, then the connection is closed.
    Cut(Reply),
    /// Nothing is sent, the connection is closed.
    Close,
}

/// The faults that wait, per endpoint.
#[derive(Debug, Default)]
pub(super) struct FaultQueues {
    next: HashMap<Endpoint, VecDeque<Fault>>,
    always: HashMap<Endpoint, Fault>,
}

impl FaultQueues {
    pub(super) fn push(&mut self, endpoint: Endpoint, fault: &Fault, times: usize) {
        let queue = self.next.entry(endpoint).or_default();
        queue.extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(super) fn set_always(&mut self, endpoint: Endpoint, fault: Fault) {
        self.always.insert(endpoint, fault);
    }

    pub(super) fn clear(&mut self, endpoint: Endpoint) {
        self.next.remove(&endpoint);
        self.always.remove(&endpoint);
    }

    pub(super) fn pending(&self, endpoint: Endpoint) -> usize {
        self.next.get(&endpoint).map_or(0, VecDeque::len)
    }

    /// Takes the fault that the next request to this endpoint meets; queued ones go first.
    pub(super) fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let queued = self.next.get_mut(&endpoint).and_then(VecDeque::pop_front);
        queued.or_else(|| self.always.get(&endpoint).cloned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Reply {
        Reply::json(200, &json!({ "access_token": "at", "expires_in": 300 }))
    }

    fn sent(outgoing: Outgoing) -> Reply {
        match outgoing {
            Outgoing::Send(reply) => reply,
            other => panic!("expected an answer, got {other:?}"),
        }
    }

    #[test]
    fn queued_faults_go_first_and_then_the_lasting_one() {
        let mut queues = FaultQueues::default();
        queues.push(Endpoint::Token, &Fault::Drop, 2);
        queues.set_always(Endpoint::Token, Fault::LoseAnswer);
        assert_eq!(queues.take(Endpoint::Revoke), None);
        assert_eq!(queues.pending(Endpoint::Token), 2);
        assert_eq!(queues.take(Endpoint::Token), Some(Fault::Drop));
        assert_eq!(queues.take(Endpoint::Token), Some(Fault::Drop));
        assert_eq!(queues.take(Endpoint::Token), Some(Fault::LoseAnswer));
        assert_eq!(queues.take(Endpoint::Token), Some(Fault::LoseAnswer));
        queues.clear(Endpoint::Token);
        assert_eq!(queues.take(Endpoint::Token), None);
    }

    #[test]
    fn only_instead_and_drop_are_not_acted_on() {
        assert!(!Fault::status(500).is_acted_on());
        assert!(!Fault::Drop.is_acted_on());
        assert!(Fault::LoseAnswer.is_acted_on());
        assert!(Fault::ReplaceAnswer(Reply::empty(504)).is_acted_on());
        assert!(Fault::CutAnswer.is_acted_on());
    }

    #[test]
    fn alterations_change_one_member() {
        let without = sent(Fault::remove("access_token").apply(answer()));
        assert_eq!(without.json_body(), Some(json!({ "expires_in": 300 })));
        let text = sent(Fault::set("expires_in", "300").apply(answer()));
        assert_eq!(
            text.json_body(),
            Some(json!({ "access_token": "at", "expires_in": "300" }))
        );
        let page = Reply::html(502, "Bad Gateway");
        assert_eq!(
            sent(Fault::remove("access_token").apply(page.clone())),
            page
        );
    }

    #[test]
    fn a_truncated_body_is_no_json_and_a_padded_one_still_is() {
        assert_eq!(sent(Fault::TruncateBody.apply(answer())).json_body(), None);
        let padded = sent(Fault::PadBody(2 << 20).apply(answer()));
        assert_eq!(padded.body.len(), 2 << 20);
        assert!(padded.json_body().is_some());
    }
}
