//! `show`: everything that is stored. Secrets as length and fingerprint,
//! unless a person at the terminal asks for them and confirms it, or somebody
//! says by an option of its own that this is meant.

use serde::Serialize;
use vault_core::BoundHost;
use vault_core::display::LoginState;
use vault_core::identity::Fingerprint;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::{InspectedToken, Inspection};
use zeroize::Zeroizing;

use super::list::state_name;
use crate::args;
use crate::claims::Claims;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::output::visible;
use crate::{terminal, times};

pub(crate) fn run(context: &Context, arguments: &args::Show) -> Result<Exit, Problem> {
    let asks = arguments.reveal && !arguments.yes_i_know;
    if asks && !(terminal::is_attended() && terminal::shows_answers()) {
        let message = "secrets are shown on a terminal only, and this is none";
        let hint = "run it on a terminal, or add `--yes-i-know`; a script gets its access token \
                    from `vault-cli token`";
        return Err(Failure::usage("no_terminal", message, hint).into());
    }
    let inspection = context.session()?.blocking().inspect()?;
    if asks && !terminal::confirms(&context.output, "Show the secrets on this screen?") {
        let message = "the secrets were not shown";
        return Err(Failure::usage("declined", message, "answer yes to see them").into());
    }
    let shown = Shown::new(context, &inspection, arguments);
    if context.output.json {
        context.output.document(&shown)?;
    } else {
        context.output.text(&shown.text())?;
    }
    Ok(Exit::Done)
}

/// A secret as it is shown.
#[derive(Serialize)]
struct Secret<'a> {
    /// In bytes.
    length: usize,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

impl<'a> Secret<'a> {
    fn new(secret: &'a str, reveal: bool) -> Self {
        Self {
            length: secret.len(),
            fingerprint: Fingerprint::of(secret).to_string(),
            value: reveal.then_some(secret),
        }
    }

    fn text(&self) -> Zeroizing<String> {
        let Self {
            length,
            fingerprint,
            ..
        } = self;
        Zeroizing::new(match self.value {
            Some(value) => value.to_owned(),
            None => format!("{length} bytes, fingerprint {}", &fingerprint[..16]),
        })
    }
}

#[derive(Serialize)]
struct ShownToken<'a> {
    token: Secret<'a>,
    /// What was asked for; empty is what the login itself asked for.
    scope: &'a [String],
    resource: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<&'a str>,
    granted_scope: Option<&'a [String]>,
    expires_at: Option<String>,
    /// Seconds.
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified: Option<Option<Claims>>,
    #[serde(skip)]
    expires_at_ms: Option<u64>,
}

/// Who logged in, in the server's words.
#[derive(Serialize)]
struct ShownIdToken<'a> {
    token: Secret<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified: Option<Option<Claims>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    app: &'a str,
    profile: &'a str,
    state: LoginState,
    refusal: Option<&'a str>,
    unconfirmed: bool,
    backing_off_seconds: Option<f64>,
    account: Option<&'a str>,
    issuer: &'a str,
    client_id: &'a str,
    scope: &'a [String],
    /// The thumbprint of the DPoP key that the tokens are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    jkt: Option<&'a str>,
    login_id: String,
    generation: u64,
    rotation_policy: RotationPolicy,
    store: &'a str,
    provider: &'a str,
    folder: Option<String>,
    logged_in_at: String,
    last_refresh_at: String,
    bound_hosts: &'a [BoundHost],
    refresh_token: Secret<'a>,
    id_token: Option<ShownIdToken<'a>>,
    access_tokens: Vec<ShownToken<'a>>,
    #[serde(skip)]
    times_ms: (u64, u64),
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context, stored: &'a Inspection, arguments: &args::Show) -> Self {
        let token = |stored: &'a InspectedToken| ShownToken {
            token: Secret::new(stored.token.expose(), arguments.reveal),
            scope: &stored.scope,
            resource: &stored.resource,
            audience: stored.audience.as_deref(),
            granted_scope: stored.granted_scope.as_deref(),
            expires_at: stored.expires_at_ms.map(times::rfc3339),
            expires_in: stored.expires_in.map(|left| left.as_secs()),
            unverified: arguments
                .claims
                .then(|| Claims::read(stored.token.expose())),
            expires_at_ms: stored.expires_at_ms,
        };
        Self {
            app: &context.options.app,
            profile: &context.options.profile,
            state: stored.state,
            refusal: stored.refusal.as_deref(),
            unconfirmed: stored.unconfirmed,
            backing_off_seconds: stored.backing_off.map(|pause| pause.as_secs_f64()),
            account: stored.account.as_deref(),
            issuer: &stored.issuer,
            client_id: &stored.client_id,
            scope: &stored.scope,
            jkt: stored.jkt.as_deref(),
            login_id: stored.login_id.to_string(),
            generation: stored.generation.0,
            rotation_policy: stored.rotation_policy,
            store: &stored.store,
            provider: &stored.provider,
            folder: stored
                .folder
                .as_ref()
                .map(|path| path.display().to_string()),
            logged_in_at: times::rfc3339(stored.logged_in_at_ms),
            last_refresh_at: times::rfc3339(stored.last_refresh_at_ms),
            bound_hosts: &stored.bound_hosts,
            refresh_token: Secret::new(stored.refresh_token.expose(), arguments.reveal),
            id_token: stored.id_token.as_ref().map(|token| ShownIdToken {
                token: Secret::new(token.expose(), arguments.reveal),
                unverified: arguments.claims.then(|| Claims::read(token.expose())),
            }),
            access_tokens: stored.access_tokens.iter().map(token).collect(),
            times_ms: (stored.logged_in_at_ms, stored.last_refresh_at_ms),
        }
    }

    /// Lines for people. They hold the secrets if those are to be revealed.
    fn text(&self) -> Zeroizing<String> {
        let now = times::now_ms();
        // Room from the start: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(256 * 1024));
        let mut line = |name: &str, value: &str| {
            text.push_str(&format!("{:<16}", format!("{name}:")));
            text.push_str(value);
            text.push('\n');
        };
        line("profile", &format!("{} (app {})", self.profile, self.app));
        line("state", state_name(self.state));
        if let Some(refusal) = self.refusal {
            line("refused", &visible(refusal));
        }
        if self.unconfirmed {
            line(
                "unconfirmed",
                "a refresh was sent and its answer has not come",
            );
        }
        if let Some(pause) = self.backing_off_seconds {
            line("backing off", &format!("for {pause:.1} s"));
        }
        line("account", &visible(self.account.unwrap_or("unknown")));
        line("issuer", &visible(self.issuer));
        line("client id", &visible(self.client_id));
        line("scope", &visible(&self.scope.join(" ")));
        if let Some(jkt) = self.jkt {
            line("dpop key", jkt);
        }
        line("login id", &self.login_id);
        line("generation", &self.generation.to_string());
        line("rotation", &policy(&self.rotation_policy));
        line(
            "store",
            &format!("{} ({})", self.store, visible(self.provider)),
        );
        line("folder", self.folder.as_deref().unwrap_or("in memory"));
        line("logged in", &times::both(self.times_ms.0, now));
        line("last refresh", &times::both(self.times_ms.1, now));
        if !self.bound_hosts.is_empty() {
            let hosts: Vec<_> = self.bound_hosts.iter().map(BoundHost::to_string).collect();
            line("bound to", &hosts.join(" "));
        }
        line("refresh token", &self.refresh_token.text());
        if let Some(token) = &self.id_token {
            line("id token", &token.token.text());
            claims(&mut line, &token.unverified, now);
        }
        for token in &self.access_tokens {
            line("access token", &token.token.text());
            let expires = token.expires_at_ms.map(|at| times::both(at, now));
            line(
                "  expires",
                expires.as_deref().unwrap_or("when it is refused"),
            );
            for (name, asked) in [("  asked for", token.scope), ("  resource", token.resource)] {
                if !asked.is_empty() {
                    line(name, &visible(&asked.join(" ")));
                }
            }
            if let Some(audience) = token.audience {
                line("  audience", &visible(audience));
            }
            if let Some(granted) = token.granted_scope {
                line("  granted", &visible(&granted.join(" ")));
            }
            claims(&mut line, &token.unverified, now);
        }
        text
    }
}

/// What is written in a token, if that was asked for.
fn claims(line: &mut impl FnMut(&str, &str), unverified: &Option<Option<Claims>>, now: u64) {
    match unverified {
        Some(Some(claims)) => {
            for claim in claims.lines(now) {
                line("  claims", claim.trim_start());
            }
        }
        Some(None) => line("  claims", "none: it is not a JWT"),
        None => {}
    }
}

/// The rotation policy in words.
pub(super) fn policy(policy: &RotationPolicy) -> String {
    if policy.strict {
        return "strict, a token is never sent twice".to_owned();
    }
    let seconds = policy.window.as_secs_f64();
    match policy.retries {
        1 => format!("one retry within {seconds} s"),
        retries => format!("{retries} retries within {seconds} s"),
    }
}
