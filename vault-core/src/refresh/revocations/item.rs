//! What is kept of a login until its revocation: an item in the store, with the
//! refresh token, and a note in the folder, without.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use vault_platform::secret::{SecretBytes, SecretString};
use vault_platform::store::StoreKind;

use crate::display::ProfileSummary;
use crate::identity::Generation;
use crate::life::milliseconds;
use crate::oauth::Endpoints;
use crate::oauth::client::{ClientCredential, ClientCredentialLine};
use crate::record::{KeyItem, LoginRecord, RecordError, VERSION, read};
use crate::refresh::grant;
use crate::secret_text::{SecretText, to_ascii_line};
use crate::token::RefreshToken;

/// The item `<profile>#revoke.<login id>`.
#[derive(Debug)]
pub(crate) struct RevocationItem {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) generation: Generation,
    pub(crate) client_id: String,
    /// What a confidential client proves itself with.
    pub(crate) credential: Option<ClientCredential>,
    /// No more of them than a revocation needs.
    pub(crate) endpoints: Endpoints,
    /// Certificate authorities beyond the system's, as PEM text.
    pub(crate) ca_certificates: Vec<String>,
    /// Since the UNIX epoch.
    pub(crate) logged_out: Duration,
}

#[derive(Serialize, Deserialize)]
struct RevocationLine {
    v: u32,
    refresh_token: SecretText,
    #[serde(default)]
    generation: Generation,
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<ClientCredentialLine>,
    issuer: String,
    token_endpoint: Url,
    revocation_endpoint: Url,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ca_certificates: Vec<String>,
    logged_out_ms: u64,
}

impl RevocationItem {
    /// `None` where the server has told no revocation endpoint.
    pub(crate) fn new(
        record: &LoginRecord,
        key: Option<&KeyItem>,
        logged_out: Duration,
    ) -> Option<Self> {
        let settings = &record.settings;
        let known = settings.endpoints.as_ref()?;
        known.revocation_endpoint.as_ref()?;
        let in_item = key.and_then(|key| key.credential.as_ref());
        let credential = in_item.or(record.credential.as_ref());
        Some(Self {
            refresh_token: record.refresh_token.duplicate(),
            generation: record.generation,
            client_id: settings.client_id.clone(),
            credential: credential.map(ClientCredential::duplicate),
            endpoints: known.clone(),
            ca_certificates: settings.ca_certificates.clone(),
            logged_out,
        })
    }

    /// Whether this is a living login of the same client at the same server,
    /// made after this one's logout. An older one is left out: the logout would
    /// have revoked this token beside it, too.
    pub(crate) fn may_share_its_grant_with(&self, login: &ProfileSummary) -> bool {
        grant::may_be_shared_by(login, &self.endpoints, &self.client_id)
            && login.logged_in_at_ms >= milliseconds(self.logged_out)
    }

    pub(crate) fn write(&self) -> SecretBytes {
        let endpoints = &self.endpoints;
        let revocation_endpoint = endpoints.revocation_endpoint.as_ref();
        let token = self.refresh_token.expose().to_owned();
        to_ascii_line(&RevocationLine {
            v: VERSION,
            refresh_token: SecretText(SecretString::from(token)),
            generation: self.generation,
            client_id: self.client_id.clone(),
            credential: self.credential.as_ref().map(ClientCredentialLine::from),
            issuer: endpoints.issuer.clone(),
            token_endpoint: endpoints.token_endpoint.clone(),
            revocation_endpoint: revocation_endpoint
                .unwrap_or(&endpoints.token_endpoint)
                .clone(),
            ca_certificates: self.ca_certificates.clone(),
            logged_out_ms: milliseconds(self.logged_out),
        })
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        let what = "waiting revocation";
        let unreadable = RecordError::Unreadable { what };
        let line: RevocationLine = read(what, bytes.expose())?;
        let mut endpoints = Endpoints::for_token_endpoint(line.issuer, line.token_endpoint)
            .map_err(|_| unreadable)?;
        endpoints.revocation_endpoint = Some(line.revocation_endpoint);
        let credential = line.credential.map(|line| line.read().ok_or(unreadable));
        Ok(Self {
            refresh_token: RefreshToken::new(line.refresh_token.0),
            generation: line.generation,
            client_id: line.client_id,
            credential: credential.transpose()?,
            endpoints,
            ca_certificates: line.ca_certificates,
            logged_out: Duration::from_millis(line.logged_out_ms),
        })
    }
}

/// The file `revoke.<login id>` in the application's folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    v: u32,
    /// Whose login it was.
    pub(crate) profile: String,
    /// Where the item is.
    pub(crate) store: StoreKind,
}

impl Note {
    pub(crate) fn new(profile: &str, store: StoreKind) -> Self {
        Self {
            v: VERSION,
            profile: profile.to_owned(),
            store,
        }
    }

    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(self)
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        read("note of a revocation", bytes.expose())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Logged out at 1000 ms.
    fn item() -> RevocationItem {
        let endpoint = Url::parse("https://login.example/realm/token").unwrap();
        let issuer = "https://login.example/realm".to_owned();
        RevocationItem {
            refresh_token: RefreshToken::new(SecretString::from("token".to_owned())),
            generation: Generation(3),
            client_id: "app".to_owned(),
            credential: None,
            endpoints: Endpoints::for_token_endpoint(issuer, endpoint).unwrap(),
            ca_certificates: Vec::new(),
            logged_out: Duration::from_secs(1),
        }
    }

    /// A login that may share the grant, but for one member.
    fn login(member: &str, value: Value) -> ProfileSummary {
        let mut login = json!({
            "v": 1,
            "profile": "work",
            "state": "logged_in",
            "account": null,
            "issuer": "https://login.example/realm",
            "client_id": "app",
            "scope": [],
            "store": "memory",
            "expires_at_ms": null,
            "generation": 1,
            "logged_in_at_ms": 1000,
            "last_refresh_at_ms": 1000
        });
        login[member] = value;
        serde_json::from_value(login).unwrap()
    }

    #[test]
    fn a_newer_login_of_the_same_client_may_share_the_grant_and_no_other_does() {
        for (member, value) in [
            ("state", json!("rotation_unconfirmed")),
            ("state", json!("client_refused")),
            // Imported for the token endpoint.
            ("issuer", json!("https://login.example")),
            ("logged_in_at_ms", json!(1001)),
        ] {
            let login = login(member, value);
            assert!(item().may_share_its_grant_with(&login), "{login:?}");
        }
        for (member, value) in [
            ("state", json!("logged_out")),
            ("state", json!("login_required")),
            ("issuer", json!("https://login.example/another")),
            ("client_id", json!("another")),
            ("logged_in_at_ms", json!(999)),
        ] {
            let login = login(member, value);
            assert!(!item().may_share_its_grant_with(&login), "{login:?}");
        }
    }
}
