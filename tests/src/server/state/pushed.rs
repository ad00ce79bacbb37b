//! Authorization requests that were pushed: each is used once, by its client, within a minute.

use std::time::Duration;

use super::Grants;
use super::mint::{digest, mint};

/// How long a pushed request is good for.
const LIFETIME: Duration = Duration::from_secs(60);

/// A request that was pushed.
#[derive(Debug)]
pub(super) struct Pushed {
    client_id: String,
    body: Vec<u8>,
    expires_at: Duration,
}

impl Grants {
    /// Keeps a request and names it.
    pub(in crate::server) fn push_request(
        &mut self,
        client_id: String,
        body: Vec<u8>,
        now: Duration,
    ) -> String {
        let name = mint("urn:ietf:params:oauth:request_uri:", 80);
        let expires_at = now + LIFETIME;
        let pushed = Pushed {
            client_id,
            body,
            expires_at,
        };
        self.pushed.insert(digest(&name), pushed);
        name
    }

    /// The form that was pushed under a name, once.
    pub(in crate::server) fn take_request(
        &mut self,
        name: &str,
        client_id: &str,
        now: Duration,
    ) -> Option<Vec<u8>> {
        let pushed = self.pushed.remove(&digest(name))?;
        (pushed.client_id == client_id && now < pushed.expires_at).then_some(pushed.body)
    }
}

#[cfg(test)]
mod tests {
    use super::super::at;
    use super::*;

    #[test]
    fn a_pushed_request_is_used_once_by_its_client_and_in_time() {
        let mut grants = Grants::default();
        let mut push = || grants.push_request("app".to_owned(), b"a=b".to_vec(), at(0));
        let (once, late, stolen) = (push(), push(), push());
        assert_eq!(
            grants.take_request(&once, "app", at(1)),
            Some(b"a=b".to_vec())
        );
        assert_eq!(grants.take_request(&once, "app", at(1)), None);
        assert_eq!(grants.take_request(&late, "app", at(60)), None);
        assert_eq!(grants.take_request(&stolen, "thief", at(1)), None);
    }
}
