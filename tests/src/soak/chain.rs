//! The chain of rotations, put together from the history alone.

use std::collections::BTreeMap;

use serde::Serialize;
use vault_core::display::HistoryEntry;
use vault_core::identity::LoginId;

/// One login's chain: every generation from the first to the last, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The oldest generation that is kept; 1 is the login itself.
    pub first: u64,
    /// The newest.
    pub last: u64,
    /// How many links were added for processes that died before they could.
    pub recovered: usize,
}

/// Puts the chains together, by login.
///
/// # Errors
///
/// Where a link is missing, comes twice or in the wrong order: which.
pub fn chains(history: &[HistoryEntry]) -> Result<BTreeMap<LoginId, Chain>, String> {
    let mut chains: BTreeMap<LoginId, Chain> = BTreeMap::new();
    for link in history.iter().filter(|entry| entry.is_link()) {
        let generation = link.generation;
        let recovered = usize::from(link.outcome == "recovered");
        chains
            .entry(link.login)
            .and_modify(|chain| {
                chain.recovered += recovered;
            })
            .or_insert(Chain {
                first: generation,
                last: generation.saturating_sub(1),
                recovered,
            });
        if let Some(chain) = chains.get_mut(&link.login) {
            if chain.last.checked_add(1) != Some(generation) {
                let (login, last) = (link.login, chain.last);
                return Err(format!(
                    "login {login}: generation {generation} follows {last}"
                ));
            }
            chain.last = generation;
        }
    }
    Ok(chains)
}
