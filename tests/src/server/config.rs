//! What the server is told to do.
//!
//! One flat structure with a default for everything, so that a test names only what it is about:
//! `ServerConfig { rotation: Rotation::None, ..ServerConfig::default() }`. A running server
//! takes changes through [`AuthorizationServer::configure`](super::AuthorizationServer::configure);
//! what belongs to single requests (errors, lost answers) is in [`faults`](super::faults).

use std::time::Duration;

use serde_json::Value;

/// The client id of the public client that the default configuration knows.
pub const DEFAULT_CLIENT_ID: &str = "vault-cli";

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The port on 127.0.0.1; 0 takes any free one. Fixed at the start.
    pub port: u16,
    /// The path of the issuer, empty or such as `/tenant`; every endpoint lies under it. Fixed
    /// at the start.
    pub issuer_path: String,
    /// The clients that are registered.
    pub clients: Vec<Client>,
    /// The `sub` of whoever logs in from now on.
    pub subject: String,
    /// The scopes that exist. A request that names none gets all of them; one that names
    /// another gets `invalid_scope`.
    pub scopes: Vec<String>,
    /// The resources (RFC 8707) that exist; empty means every absolute URI.
    pub resources: Vec<String>,

    /// How long an access token is good for, to the millisecond.
    pub access_token_lifetime: Duration,
    /// What `expires_in` says about that.
    pub expires_in: ExpiresIn,
    /// What access tokens look like.
    pub access_token_format: AccessTokenFormat,
    /// What becomes of a refresh token that was used.
    pub rotation: Rotation,
    /// Whether all logins of a person with a client are one grant: then a revocation of one
    /// login's refresh token ends them all.
    pub one_grant_per_client: bool,
    /// What every refresh token starts with.
    pub refresh_token_prefix: String,
    /// The length of a refresh token in bytes, its prefix included.
    pub refresh_token_length: usize,

    /// Proofs of possession (RFC 9449).
    pub dpop: Dpop,

    /// How long an authorization code is good for (RFC 6749 recommends at most 10 minutes).
    pub code_lifetime: Duration,
    /// What the person at `/authorize` and at the device page decides.
    pub decision: Decision,
    /// The `state` in the authorization response.
    pub state_parameter: ResponseParameter,
    /// The `iss` (RFC 9207) in the authorization response.
    pub iss_parameter: ResponseParameter,

    /// What ID tokens are like.
    pub id_token: IdTokens,
    /// What `/userinfo` tells beside `sub`, or instead.
    pub user_info: Vec<(String, Value)>,
    /// How long ago the person proved who they are: `auth_time`.
    pub authenticated_ago: Duration,
    /// Whether authorization requests can be, or have to be, pushed (RFC 9126).
    pub pushed_requests: PushedRequests,

    /// Whether clients may ask what became of their own tokens (RFC 7662).
    pub introspection: bool,

    /// How long a device code is good for.
    pub device_code_lifetime: Duration,
    /// The least time between two polls, in whole seconds on the wire; each `slow_down` adds 5 s.
    pub device_interval: Duration,
    /// Who decides about a device code, and when.
    pub device_approval: DeviceApproval,

    /// How long each request waits before it is acted on.
    pub latency: Duration,
    /// The `Cache-Control` of the metadata documents, if they have one.
    pub metadata_cache_control: Option<&'static str>,
    /// Changes to the metadata documents: each member is set, or with `null` left out.
    pub metadata_changes: Vec<(String, Value)>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            port: 0,
            issuer_path: String::new(),
            clients: vec![Client::public(DEFAULT_CLIENT_ID)],
            subject: "alice".to_owned(),
            scopes: ["openid", "profile", "offline_access", "read", "write"]
                .map(str::to_owned)
                .to_vec(),
            resources: Vec::new(),
            access_token_lifetime: Duration::from_secs(300),
            expires_in: ExpiresIn::Rounded,
            access_token_format: AccessTokenFormat::Opaque { length: 43 },
            rotation: Rotation::Strict,
            one_grant_per_client: false,
            refresh_token_prefix: "rt-".to_owned(),
            refresh_token_length: 64,
            dpop: Dpop::Off,
            code_lifetime: Duration::from_secs(60),
            decision: Decision::Approve,
            state_parameter: ResponseParameter::Right,
            iss_parameter: ResponseParameter::Right,
            id_token: IdTokens::Right,
            user_info: Vec::new(),
            authenticated_ago: Duration::ZERO,
            pushed_requests: PushedRequests::None,
            introspection: false,
            device_code_lifetime: Duration::from_secs(600),
            device_interval: Duration::from_secs(1),
            device_approval: DeviceApproval::ByHand,
            latency: Duration::ZERO,
            metadata_cache_control: None,
            metadata_changes: Vec::new(),
        }
    }
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// How it authenticates at the token endpoint.
    pub authentication: ClientAuthentication,
}

impl Client {
    /// A public client: it sends its `client_id` in the body and has no secret.
    pub fn public(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            authentication: ClientAuthentication::None,
        }
    }

    /// A client with a secret, sent by `client_secret_basic` or `client_secret_post`, and by
    /// the registered one only.
    pub fn confidential(id: &str, authentication: ClientAuthentication) -> Self {
        Self {
            id: id.to_owned(),
            authentication,
        }
    }
}

/// How a client proves who it is (RFC 6749 section 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// Not at all: a public client.
    None,
    /// The secret in an `Authorization: Basic` header.
    SecretBasic(String),
    /// The secret as the body's `client_secret`.
    SecretPost(String),
    /// An assertion that is signed with ES256 (RFC 7523) for the server by its name.
    PrivateKeyJwt {
        /// The point of the P-256 public key, uncompressed.
        public_key: Vec<u8>,
        /// The SHA-256 of the certificate that assertions have to name the key by, if they have
        /// to (`x5t#S256`).
        certificate: Option<[u8; 32]>,
    },
}

/// What becomes of a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotation {
    /// It is consumed; using it again revokes the whole family (RFC 9700 section 4.14.2).
    Strict,
    /// It is consumed, but within this time it may be used again: each use gets a fresh pair
    /// and the family lives. After it, as with `Strict`.
    Grace(Duration),
    /// It stays, and the answer has no `refresh_token`.
    None,
    /// It stays, and the answer repeats it.
    Same,
}

/// Whether tokens are bound to a key (RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dpop {
    /// No: proofs are overlooked, as by a server that has never heard of them.
    Off,
    /// The tokens of whoever sends a proof are bound to its key.
    Offered,
    /// The same, and each proof needs the server's nonce, `/userinfo` another one than
    /// `/token`.
    WithNonce,
}

/// What a token answer says in `expires_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiresIn {
    /// The lifetime rounded to whole seconds.
    Rounded,
    /// This number, whatever the lifetime is.
    Seconds(u64),
    /// Nothing.
    Omitted,
}

/// What access tokens look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessTokenFormat {
    /// Random characters of this length in bytes.
    Opaque {
        /// The length in bytes.
        length: usize,
    },
    /// A JWT with `iss`, `sub`, `client_id`, `scope`, `aud`, `iat`, `exp` and `jti` and a random
    /// signature that nobody can verify, padded to about this size.
    JwtShaped {
        /// The least length in bytes.
        bytes: usize,
    },
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Yes, at once.
    Approve,
    /// No: `access_denied`.
    Deny,
}

/// What the server does with a parameter of the authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseParameter {
    /// As the standard says.
    Right,
    /// Leaves it out.
    Omitted,
    /// Sends another value.
    Altered,
}

/// What ID tokens are like (OpenID Connect Core section 2): right, or wrong in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdTokens {
    /// As the standard says, signed with ES256.
    Right,
    /// There is none.
    Omitted,
    /// `alg` is `none`, and there is no signature.
    Unsigned,
    /// Signed with a shared secret (HS256): the client's id.
    Symmetric,
    /// The signature is another text's.
    WrongSignature,
    /// Signed with a key that is not published.
    UnknownKey,
    /// `iss` is another server.
    OtherIssuer,
    /// `aud` is another client.
    OtherAudience,
    /// `nonce` is another login's.
    OtherNonce,
    /// There is no `nonce`.
    NoNonce,
    /// `exp` is an hour ago.
    Expired,
}

/// Whether authorization requests can be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushedRequests {
    /// There is no such endpoint.
    None,
    /// They can be.
    Offered,
    /// They have to be.
    Required,
}

/// Who decides about a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceApproval {
    /// Nobody but the device page, [`approve_device`](super::AuthorizationServer::approve_device)
    /// and [`deny_device`](super::AuthorizationServer::deny_device).
    ByHand,
    /// Approved once this many polls were answered with `authorization_pending`.
    AfterPolls(u32),
    /// Denied once this many polls were answered with `authorization_pending`.
    DenyAfterPolls(u32),
}
