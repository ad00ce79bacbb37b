//! How long a caller waits for others.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::profile::Profile;

/// A wait lasts as long as others get on, and at most this often what the
/// application allows for one of them.
const MOST: u32 = 10;

/// How often a caller that waits within its own process looks at the others.
const TICK: Duration = Duration::from_millis(250);

/// A wait that ends when nothing was committed for a while: many that ask for
/// different tokens are served one after another, and the last of them is not
/// stuck, it only stands at the end.
#[derive(Debug)]
pub(crate) struct Patience {
    each: Duration,
    until: Instant,
    end: Instant,
    /// The newest version of what is stored that was seen.
    seen: Option<u64>,
}

impl Patience {
    /// Waits for this long from now on, and again from each commit. A vault is
    /// opened with no longer a time than can be counted with.
    pub(crate) fn new(each: Duration) -> Self {
        let now = Instant::now();
        Self {
            each,
            until: now + each,
            end: now + each * MOST,
            seen: None,
        }
    }

    /// Whether it is over, now that what is stored is of this version; `None`
    /// while that is not known.
    pub(crate) fn is_over(&mut self, version: Option<u64>) -> bool {
        let now = Instant::now();
        if let Some(version) = version
            && self
                .seen
                .replace(version)
                .is_some_and(|seen| seen != version)
        {
            self.until = (now + self.each).min(self.end);
        }
        now >= self.until
    }

    /// Waits for something in this process; `None` when the patience is over.
    pub(crate) async fn wait_for<T>(
        &mut self,
        profile: &Profile,
        awaited: impl Future<Output = T>,
    ) -> Option<T> {
        let mut awaited = pin!(awaited);
        loop {
            let over = self.is_over(profile.version());
            let next = self.until.min(Instant::now() + TICK);
            match timeout_at(next, &mut awaited).await {
                Ok(done) => return Some(done),
                Err(_) if over => return None,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH: Duration = Duration::from_secs(30);

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_where_nobody_gets_on() {
        let mut patience = Patience::new(EACH);
        assert!(!patience.is_over(None));
        // What was there before is nothing that was waited for.
        assert!(!patience.is_over(Some(7)));
        after(29).await;
        assert!(!patience.is_over(Some(7)));
        after(1).await;
        assert!(patience.is_over(Some(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_again_with_each_commit_and_ends_all_the_same() {
        let mut patience = Patience::new(EACH);
        assert!(!patience.is_over(Some(0)));
        for version in 1..=11 {
            after(25).await;
            assert!(!patience.is_over(Some(version)), "{version}");
            // While a change is under way, nothing is known.
            assert!(!patience.is_over(None), "{version}");
        }
        after(25).await;
        assert!(patience.is_over(Some(12)), "300 s are over");
    }
}
