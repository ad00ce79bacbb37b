//! What a vault was opened with, and what is opened once for all its profiles.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use vault_platform::clock::Clock;
use vault_platform::folder::StateFolder;
use vault_platform::store::{
    self, Interaction, KeySource, KeychainOptions, StoreKind, StoreOptions, StoreWorker,
};

use crate::error::Result;
use crate::event::Teller;
use crate::http::{Http, HttpOptions};
use crate::known_servers::KnownServers;
use crate::refresh::policy::RotationPolicy;
use crate::refresh::refresher::Refresher;

/// What a vault was opened with.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The store that the caller named, if any.
    pub(crate) store: Option<StoreKind>,
    /// Where the state folders lie; `None` where everything lives in memory.
    pub(crate) root: Option<PathBuf>,
    pub(crate) interaction: Interaction,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policy: Option<RotationPolicy>,
    /// Given, or the built-in list once a login asks for it.
    pub(crate) known_servers: OnceLock<KnownServers>,
    pub(crate) ca_certificates: Vec<String>,
    pub(crate) allow_network_file_system: bool,
    pub(crate) roaming: bool,
    pub(crate) lock_timeout: Duration,
    pub(crate) store_deadline: Duration,
    pub(crate) request_timeout: Duration,
    /// How long a prompt may stay unanswered.
    pub(crate) unlock_deadline: Duration,
    pub(crate) revocation_deadline: Duration,
    /// Whether a revocation that has to wait is kept in the store.
    pub(crate) queue_revocations: bool,
    pub(crate) refresher: Refresher,
    pub(crate) teller: Teller,
    pub(crate) user_agent: String,
    pub(crate) key: Option<KeySource>,
    pub(crate) keychain: KeychainOptions,
    pub(crate) remember: Option<Duration>,
    pub(crate) stores: Mutex<HashMap<StoreKind, StoreWorker>>,
    pub(crate) memory_folders: Mutex<HashMap<String, StateFolder>>,
}

impl Settings {
    /// The store of this kind, opened once.
    pub(crate) fn store(&self, kind: StoreKind) -> Result<StoreWorker> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = stores.get(&kind) {
            return Ok(worker.clone());
        }
        let worker = StoreWorker::new(store::open(kind, &self.store_options())?);
        stores.insert(kind, worker.clone());
        Ok(worker)
    }

    pub(crate) fn known_servers(&self) -> &KnownServers {
        self.known_servers.get_or_init(KnownServers::built_in)
    }

    /// What any store is opened with.
    pub(crate) fn store_options(&self) -> StoreOptions {
        StoreOptions {
            state_root: self.root.clone(),
            key: self.key.as_ref().map(KeySource::duplicate),
            remember: self.remember,
            allow_network_file_system: self.allow_network_file_system,
            keychain: self.keychain.clone(),
            prompt_deadline: self.unlock_deadline,
            roaming: self.roaming,
            ..StoreOptions::default()
        }
    }

    /// How long a call may take that unlocks the store, asking somebody if that
    /// is allowed. The store's own end of a prompt comes first: it takes the
    /// prompt back and says so.
    pub(crate) fn call_deadline(&self, interaction: Interaction) -> Duration {
        match interaction {
            Interaction::Allowed => self.unlock_deadline + self.store_deadline,
            Interaction::Forbidden => self.store_deadline,
        }
    }

    /// A profile's folder in memory.
    pub(crate) fn memory_folder(&self, profile: &str) -> StateFolder {
        let mut folders = self
            .memory_folders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        folders
            .entry(profile.to_owned())
            .or_insert_with(StateFolder::in_memory)
            .clone()
    }

    pub(crate) fn memory_folders(&self) -> Vec<StateFolder> {
        let folders = self.memory_folders.lock();
        let folders = folders.unwrap_or_else(PoisonError::into_inner);
        folders.values().cloned().collect()
    }

    pub(crate) fn http(&self, ca_certificates: &[String]) -> Result<Http> {
        let trusted = self.ca_certificates.iter().chain(ca_certificates);
        Http::new(HttpOptions {
            ca_certificates: trusted.map(|pem| pem.clone().into_bytes()).collect(),
            user_agent: self.user_agent.clone(),
            total_timeout: self.request_timeout,
            ..HttpOptions::default()
        })
    }
}
