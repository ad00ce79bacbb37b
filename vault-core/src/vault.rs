//! An application's vault: where its logins are kept, and how.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use vault_platform::clock::{Clock, SystemClock};
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::store::encrypted_file::{self, EncryptedFileStore};
use vault_platform::store::{Interaction, KeySource, KeychainOptions, StoreKind};

use crate::bound_host::BoundHost;
use crate::display::ProfileSummary;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Events, Teller};
use crate::glance::Glance;
use crate::http::HttpOptions;
use crate::known_servers::KnownServers;
use crate::profile::Profile;
use crate::refresh::policy::RotationPolicy;
use crate::refresh::refresher::Refresher;
use crate::session::Session;
use crate::settings::Settings;
use crate::storage::{self, Names};
use crate::waits::LONGEST_WAIT;

/// The vault of one application.
///
/// Cheap to clone; clones share everything.
///
/// ```no_run
/// # async fn example() -> vault_core::Result<()> {
/// let vault = vault_core::Vault::open("com.example.app")?;
/// let session = vault.session("default")?;
/// let token = session.access_token().await?;
/// println!("Authorization: Bearer {}", token.expose());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Vault {
    application: String,
    settings: Arc<Settings>,
    profiles: Arc<Mutex<HashMap<String, Arc<Profile>>>>,
}

impl Vault {
    /// Opens the vault of an application with the operating system's store.
    /// `application` is a reverse domain name by custom: `com.example.app`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that can't be used, and
    /// [`ErrorKind::StateFolderUnwritable`] if the user has no home.
    pub fn open(application: &str) -> Result<Self> {
        Self::builder(application).open()
    }

    /// A vault with other choices than [`Vault::open`] makes.
    #[must_use]
    pub fn builder(application: &str) -> VaultBuilder {
        VaultBuilder::new(application)
    }

    /// The session of one profile: one login. It need not exist yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that can't be used.
    pub fn session(&self, profile: &str) -> Result<Session> {
        check_name("profile", profile)?;
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = profiles.entry(profile.to_owned()).or_insert_with(|| {
            let names = Names {
                application: self.application.clone(),
                profile: profile.to_owned(),
            };
            Arc::new(Profile::new(names, self.settings.clone()))
        });
        Ok(Session::new(profile.clone()))
    }

    /// The application's name.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.application
    }

    /// What happens to this vault's logins from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.settings.teller.listen()
    }

    /// The profiles of this application that have a folder, by name, each with
    /// its display copy. Asks no store and unlocks nothing.
    ///
    /// # Errors
    ///
    /// If the application's folder can't be read. A single profile's error
    /// stands in its place.
    pub fn profiles(&self) -> Result<Vec<(String, Result<ProfileSummary>)>> {
        let summary = |(name, folder): (String, Result<StateFolder>)| {
            let summary = folder.and_then(|folder| ProfileSummary::read_with_pin(&folder));
            summary.transpose().map(|summary| (name, summary))
        };
        Ok(self.folders()?.filter_map(summary).collect())
    }

    /// What can be seen of each profile without its store, by name: for who
    /// watches all processes. Asks no store, unlocks and changes nothing.
    ///
    /// # Errors
    ///
    /// If the application's folder can't be read. A single profile's error
    /// stands in its place.
    pub fn glances(&self) -> Result<Vec<(String, Result<Glance>)>> {
        let now = self.settings.clock.now();
        let glance = |(name, folder): (String, Result<StateFolder>)| {
            let names = Names {
                application: self.application.clone(),
                profile: name.clone(),
            };
            let glance = folder.and_then(|folder| Glance::read(&folder, &names, &now));
            (name, glance)
        };
        Ok(self.folders()?.map(glance).collect())
    }

    /// The names of all profiles of this application that have a folder,
    /// whether somebody is logged in or not, sorted.
    ///
    /// # Errors
    ///
    /// If the application's folder can't be read.
    pub fn profile_names(&self) -> Result<Vec<String>> {
        Ok(self.folders()?.map(|(name, _)| name).collect())
    }

    /// The folders of the profiles, sorted by name, each opened when its turn
    /// comes: there may be more than a process may have open. The encrypted-file
    /// store's items lie beside them.
    fn folders(&self) -> Result<Box<dyn Iterator<Item = (String, Result<StateFolder>)>>> {
        let Some(root) = &self.settings.root else {
            let folders = self.settings.memory_folders.lock();
            let folders = folders.unwrap_or_else(PoisonError::into_inner);
            let mut found: Vec<_> = folders
                .iter()
                .map(|(name, folder)| (name.clone(), Ok(folder.clone())))
                .collect();
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
            return Ok(Box::new(found.into_iter()));
        };
        let options = FolderOptions {
            allow_network_file_system: self.settings.allow_network_file_system,
        };
        let application = match StateFolder::open(root, options)? {
            Some(root) => root.open_child(&self.application)?,
            None => None,
        };
        let Some(application) = application else {
            return Ok(Box::new(std::iter::empty()));
        };
        let names = application.children()?;
        let names = names
            .into_iter()
            .filter(|name| check_name("profile", name).is_ok());
        Ok(Box::new(names.filter_map(move |name| {
            let folder = application.open_child(&name).map_err(Error::from);
            match folder.transpose() {
                Some(Ok(folder))
                    if name == encrypted_file::FOLDER && !storage::is_of_a_profile(&folder) =>
                {
                    None
                }
                // None: it was removed meanwhile.
                folder => folder.map(|folder| (name, folder)),
            }
        })))
    }

    /// The sessions that are bound to a host, by profile: which tools of that
    /// host may be given whose token. What a login is bound to stands in its
    /// sealed file, so this opens each profile; it blocks meanwhile. One that
    /// can't be opened and was not bound to the host, as far as is known, is
    /// left out.
    ///
    /// # Errors
    ///
    /// If the application's folder can't be read, or a profile can't that was
    /// bound to the host.
    pub fn sessions_bound_to(&self, host: &BoundHost) -> Result<Vec<Session>> {
        let mut bound = Vec::new();
        for name in self.profile_names()? {
            let session = self.session(&name)?;
            match session.blocking().inspect() {
                Ok(stored) if stored.bound_hosts.contains(host) => bound.push(session),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {}
                Err(error) if self.was_bound(&name, host) => return Err(error),
                Err(error) => tracing::debug!(%name, ?error, "a profile can't be opened"),
            }
        }
        Ok(bound)
    }

    /// What the display copy says.
    fn was_bound(&self, profile: &str, host: &BoundHost) -> bool {
        let known = self.profiles().unwrap_or_default();
        let summary = known.into_iter().find(|(name, _)| name == profile);
        let hosts = summary.and_then(|(_, summary)| Some(summary.ok()?.bound_hosts));
        hosts.is_some_and(|hosts| hosts.contains(&host.to_string()))
    }

    /// The applications that have a folder below the state root, sorted: the one
    /// that `state_root` names, or the user's own. Asks no store.
    ///
    /// # Errors
    ///
    /// If the folder can't be read, and [`ErrorKind::StateFolderUnwritable`] if
    /// the user has no home.
    pub fn applications(state_root: Option<&Path>) -> Result<Vec<String>> {
        let root = match state_root {
            Some(root) => root.to_owned(),
            None => usual_root()?,
        };
        let root = StateFolder::open(&root, FolderOptions::default())?;
        let mut names = root.map_or_else(|| Ok(Vec::new()), |root| root.children())?;
        names.retain(|name| check_name("application", name).is_ok());
        Ok(names)
    }

    /// Makes another passphrase or key file open this application's items in
    /// the encrypted-file store. Whatever ends the process, the old one opens
    /// them or the new one does; processes that have them open go on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::StoreLocked`] and [`ErrorKind::StoreKeyWrong`] about the old
    /// one, [`ErrorKind::StoreMissing`] if nothing is stored there yet.
    pub fn change_store_key(&self, new: &KeySource) -> Result<()> {
        let store = EncryptedFileStore::new(&self.settings.store_options())?;
        Ok(store.change_key(&self.application, new)?)
    }

    /// Whether the key of this application's items in the encrypted-file store
    /// is held by the kernel at this moment, so that no passphrase is needed.
    ///
    /// # Errors
    ///
    /// If the state folder can't be read.
    pub fn store_key_is_remembered(&self) -> Result<bool> {
        let options = self.settings.store_options();
        Ok(encrypted_file::is_remembered(&options, &self.application)?)
    }

    /// Whether the key of this application's items in the encrypted-file store was
    /// made already. If not, the first item is stored with the passphrase or key
    /// file that is given then, and a slip would lock everybody out.
    ///
    /// # Errors
    ///
    /// If the state folder can't be read.
    pub fn has_store_key(&self) -> Result<bool> {
        let options = self.settings.store_options();
        Ok(encrypted_file::has_key(&options, &self.application)?)
    }

    /// Where the state folders lie; `None` where everything lives in memory.
    #[must_use]
    pub fn state_root(&self) -> Option<&std::path::Path> {
        self.settings.root.as_deref()
    }

    /// Waits until no refresh of this process is between send and commit, at most
    /// for `deadline`. Returns whether that was reached. The vault's other clones
    /// and its sessions go on, and may refresh again. A program that is about to
    /// end calls [`exit::end`](crate::exit::end), as normal exit does by itself.
    #[must_use]
    pub fn close(self, deadline: Duration) -> bool {
        crate::exit::settle(deadline)
    }
}

/// Choices for a vault.
#[derive(Debug)]
pub struct VaultBuilder {
    application: String,
    store: Option<StoreKind>,
    root: Option<PathBuf>,
    key: Option<KeySource>,
    keychain: KeychainOptions,
    remember: Option<Duration>,
    interaction: Interaction,
    clock: Arc<dyn Clock>,
    policy: Option<RotationPolicy>,
    known_servers: OnceLock<KnownServers>,
    ca_certificates: Vec<String>,
    user_agent: String,
    allow_network_file_system: bool,
    roaming: bool,
    lock_timeout: Duration,
    store_deadline: Duration,
    request_timeout: Duration,
    queue_revocations: bool,
}

impl VaultBuilder {
    fn new(application: &str) -> Self {
        Self {
            application: application.to_owned(),
            store: None,
            root: None,
            key: None,
            keychain: KeychainOptions::default(),
            remember: None,
            interaction: Interaction::Allowed,
            clock: Arc::new(SystemClock),
            policy: None,
            known_servers: OnceLock::new(),
            ca_certificates: Vec::new(),
            user_agent: application.to_owned(),
            allow_network_file_system: false,
            roaming: false,
            lock_timeout: Duration::from_secs(30),
            store_deadline: Duration::from_secs(10),
            request_timeout: HttpOptions::default().total_timeout,
            queue_revocations: true,
        }
    }

    /// Names the store. Without this a profile's own store is used, and for a
    /// new profile the operating system's; nothing is ever downgraded
    /// silently.
    #[must_use]
    pub fn store(mut self, kind: StoreKind) -> Self {
        self.store = Some(kind);
        self
    }

    /// Puts the state folders below another folder. A login lives in one
    /// folder only: the lock of another would guard nothing.
    #[must_use]
    pub fn state_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// The key of the encrypted-file store.
    #[must_use]
    pub fn key_source(mut self, key: KeySource) -> Self {
        self.key = Some(key);
        self
    }

    /// How items are kept in [`StoreKind::ProtectedKeychain`]; no other store
    /// looks at it.
    #[must_use]
    pub fn keychain(mut self, options: KeychainOptions) -> Self {
        self.keychain = options;
        self
    }

    /// Lets the kernel hold for so long what is slow to get; Linux only. The
    /// encrypted-file store's key once it was derived from the passphrase:
    /// further processes need no passphrase. And the key of a login in the
    /// Secret Service once it was read: further processes that are opened with
    /// this, too, have their token without asking the store, until a logout, a
    /// new login, or the time's end.
    ///
    /// # Security
    ///
    /// Any process of the user can read the key so long, also while the keyring
    /// is locked.
    #[must_use]
    pub fn remember_key(mut self, time: Duration) -> Self {
        self.remember = Some(time);
        self
    }

    /// Whether a person may be asked to unlock the store.
    #[must_use]
    pub fn interaction(mut self, interaction: Interaction) -> Self {
        self.interaction = interaction;
        self
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What is known of authorization servers, instead of the list that this
    /// library brings. Applied at login, where the request and
    /// [`rotation_policy`](Self::rotation_policy) say nothing else.
    #[must_use]
    pub fn known_servers(mut self, servers: KnownServers) -> Self {
        self.known_servers = servers.into();
        self
    }

    /// What the authorization server does with a refresh token that comes
    /// again; recorded with the next login.
    #[must_use]
    pub fn rotation_policy(mut self, policy: RotationPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Trusts a certificate authority (PEM) besides the system's; recorded
    /// with the next login. Android's verifier takes none.
    #[must_use]
    pub fn ca_certificate(mut self, pem: impl Into<String>) -> Self {
        self.ca_certificates.push(pem.into());
        self
    }

    /// What the `User-Agent` of every request begins with, such as `app/1.2`;
    /// this library's own name follows. Without this it is the application's
    /// name.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Uses a state folder on a network file system, although many of them
    /// lose locks silently.
    #[must_use]
    pub fn allow_network_file_system(mut self, allow: bool) -> Self {
        self.allow_network_file_system = allow;
        self
    }

    /// Lets a new login follow its user to other machines of a domain, where
    /// the store can (Credential Manager). No lock reaches there: two machines
    /// may then refresh at once, which only a server that does not rotate
    /// refresh tokens forgives.
    #[must_use]
    pub fn roaming(mut self, roaming: bool) -> Self {
        self.roaming = roaming;
        self
    }

    /// How long a caller waits for a token that another process refreshes: 30
    /// seconds, longer than a refresh may take. Where others get one token
    /// after another meanwhile, it goes on waiting for its turn, ten times as
    /// long at most. More than a day counts as a day.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a read of the store may take before it counts as hung: 10
    /// seconds. More than a day counts as a day.
    #[must_use]
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }

    /// How long a request to the authorization server may take, up to the last
    /// byte of its answer: 20 seconds. A refresh whose answer does not come in
    /// time counts as sent; shorter than the server takes on a bad day costs
    /// logins. More than a day counts as a day.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Whether a logout whose server can't be reached keeps the refresh token
    /// in the store, to revoke it later: yes, without this, for at most 30 days.
    #[must_use]
    pub fn queue_revocations(mut self, queue: bool) -> Self {
        self.queue_revocations = queue;
        self
    }

    /// Opens the vault. Touches nothing yet: no folder, no store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that can't be used, and
    /// [`ErrorKind::StateFolderUnwritable`] if the user has no home.
    pub fn open(self) -> Result<Vault> {
        check_name("application", &self.application)?;
        let root = match (self.store, self.root) {
            (Some(StoreKind::Memory), _) => None,
            (_, Some(root)) => Some(std::path::absolute(root).map_err(|error| {
                Error::new(
                    ErrorKind::StateFolderUnwritable,
                    "the state folder has no path",
                )
                .because(error)
            })?),
            (_, None) => Some(usual_root()?),
        };
        let settings = Settings {
            store: self.store,
            root,
            interaction: self.interaction,
            clock: self.clock,
            policy: self.policy,
            known_servers: self.known_servers,
            ca_certificates: self.ca_certificates,
            allow_network_file_system: self.allow_network_file_system,
            roaming: self.roaming,
            lock_timeout: self.lock_timeout.min(LONGEST_WAIT),
            store_deadline: self.store_deadline.min(LONGEST_WAIT),
            request_timeout: self.request_timeout.min(LONGEST_WAIT),
            unlock_deadline: Duration::from_secs(120),
            revocation_deadline: Duration::from_secs(5),
            queue_revocations: self.queue_revocations,
            refresher: Refresher::default(),
            teller: Teller::default(),
            user_agent: format!(
                "{} vault-core/{}",
                self.user_agent,
                env!("CARGO_PKG_VERSION")
            ),
            key: self.key,
            keychain: self.keychain,
            remember: self.remember,
            stores: Mutex::default(),
            memory_folders: Mutex::default(),
        };
        Ok(Vault {
            application: self.application,
            settings: Arc::new(settings),
            profiles: Arc::default(),
        })
    }
}

fn usual_root() -> Result<PathBuf> {
    vault_platform::dirs::state_root().map_err(|error| {
        Error::new(
            ErrorKind::StateFolderUnwritable,
            "the user has no home folder",
        )
        .because(error)
    })
}

/// Names become folders and keys of stores: nothing that could leave the
/// folder, be read as two names, or look like another.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let article = if what.starts_with('a') { "an" } else { "a" };
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-@+".contains(character);
    if name.is_empty() || name.len() > 100 || !name.chars().all(fits) || name.starts_with('.') {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "`{}` can't be the name of {article} {what}: up to 100 letters, digits and . _ - @ +, \
                 not starting with a dot",
                name.escape_default()
            ),
        ));
    }
    if cfg!(windows) && vault_platform::folder::means_another(name) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "`{name}` can't be the name of {article} {what}: Windows takes it for a device, or drops \
                 its last dot"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_folder_are_refused() {
        for name in [
            "", ".", "..", "../x", "a/b", "a\\b", "a:b", "a#key", ".hidden", "a b", "ä",
        ] {
            let error = check_name("profile", name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
        for name in ["default", "com.example.app", "me@example.com", "work-2"] {
            assert!(check_name("profile", name).is_ok(), "{name}");
        }
        for name in ["con", "Nul.x", "com1", "work."] {
            assert_eq!(check_name("profile", name).is_err(), cfg!(windows));
        }
    }

    #[test]
    fn a_wait_without_end_is_one_that_can_be_counted_with() {
        let vault = Vault::builder("com.example.app")
            .store(StoreKind::Memory)
            .lock_timeout(Duration::MAX)
            .store_deadline(Duration::MAX)
            .request_timeout(Duration::MAX)
            .open()
            .unwrap();
        let settings = &vault.settings;
        for wait in [
            settings.lock_timeout,
            settings.store_deadline,
            settings.request_timeout,
        ] {
            assert_eq!(wait, LONGEST_WAIT);
        }
        assert!(settings.call_deadline(Interaction::Allowed) > LONGEST_WAIT);
    }
}
