//! Authorization codes: single use, short-lived, bound to client, redirect and PKCE challenge.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::mint::{digest, mint};
use super::{Granted, Grants, Issued, Refusal};
use crate::leaks::kept::{self, Kind};
use crate::server::config::ServerConfig;

/// What an authorization request asked for, once a person has approved it.
#[derive(Debug, Clone)]
pub(in crate::server) struct CodeRequest {
    pub(in crate::server) granted: Granted,
    pub(in crate::server) redirect_uri: String,
    /// The S256 `code_challenge`.
    pub(in crate::server) challenge: String,
    pub(in crate::server) nonce: Option<String>,
}

/// A code that is given for tokens, as it came in.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct CodeGrant<'a> {
    pub(in crate::server) code: &'a str,
    pub(in crate::server) client_id: &'a str,
    pub(in crate::server) redirect_uri: &'a str,
    pub(in crate::server) verifier: &'a str,
    /// The key that the request was proved with.
    pub(in crate::server) jkt: Option<&'a str>,
}

/// An authorization code.
#[derive(Debug)]
pub(super) struct Code {
    request: CodeRequest,
    expires_at: Duration,
    spent: bool,
    /// What was made of it.
    family: Option<u64>,
}

impl Grants {
    /// Makes a code for an approved request.
    pub(in crate::server) fn issue_code(
        &mut self,
        request: CodeRequest,
        config: &ServerConfig,
        now: Duration,
    ) -> String {
        let code = mint("", 43);
        kept::secret(Kind::AuthorizationCode, &code);
        let expires_at = now + config.code_lifetime;
        self.codes.insert(
            digest(&code),
            Code {
                request,
                expires_at,
                spent: false,
                family: None,
            },
        );
        code
    }

    /// Turns a code into a login (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
    ///
    /// A second use revokes what the first one made; a wrong verifier spends the code.
    pub(in crate::server) fn redeem_code(
        &mut self,
        grant: CodeGrant<'_>,
        config: &ServerConfig,
        now: Duration,
    ) -> Result<Issued, Refusal> {
        let CodeGrant {
            code,
            client_id,
            redirect_uri,
            verifier,
            jkt,
        } = grant;
        let key = digest(code);
        let Some(code) = self.codes.get_mut(&key) else {
            return Err(Refusal::invalid_grant("unknown authorization code"));
        };
        if code.request.granted.client_id != client_id {
            return Err(Refusal::invalid_grant(
                "the code was issued to another client",
            ));
        }
        if std::mem::replace(&mut code.spent, true) {
            if let Some(family) = code.family {
                self.revoke_family(family);
            }
            return Err(Refusal::invalid_grant("the code was used before"));
        }
        if now >= code.expires_at {
            return Err(Refusal::invalid_grant("the code has expired"));
        }
        if code.request.redirect_uri != redirect_uri {
            return Err(Refusal::invalid_grant(
                "another redirect_uri than the code's",
            ));
        }
        if !is_verifier(verifier) || challenge(verifier) != code.request.challenge {
            return Err(Refusal::invalid_grant("the code_verifier does not match"));
        }
        let bound_to = code.request.granted.jkt.as_deref();
        if bound_to.is_some_and(|bound_to| Some(bound_to) != jkt) {
            return Err(Refusal::invalid_grant("the code is bound to another key"));
        }
        let CodeRequest { granted, nonce, .. } = code.request.clone();
        let granted = Granted {
            jkt: jkt.map(str::to_owned),
            ..granted
        };
        let issued = self.log_in(granted, config, now);
        let family = self.last_family;
        if let Some(code) = self.codes.get_mut(&key) {
            code.family = Some(family);
        }
        Ok(Issued { nonce, ..issued })
    }
}

/// The S256 challenge of a verifier (RFC 7636 section 4.2).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(verifier))
}

/// Whether this has a verifier's length and characters (RFC 7636 section 4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether this has an S256 challenge's length and characters.
pub(in crate::server) fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::super::{at, granted};
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const REDIRECT: &str = "http://127.0.0.1:4711/callback";

    fn code(grants: &mut Grants) -> String {
        let request = CodeRequest {
            granted: granted(),
            redirect_uri: REDIRECT.to_owned(),
            challenge: challenge(VERIFIER),
            nonce: None,
        };
        grants.issue_code(request, &ServerConfig::default(), at(0))
    }

    fn redeem(
        grants: &mut Grants,
        code: &str,
        verifier: &str,
        now: u64,
    ) -> Result<Issued, Refusal> {
        let config = ServerConfig::default();
        grants.redeem_code(
            CodeGrant {
                code,
                client_id: "app",
                redirect_uri: REDIRECT,
                verifier,
                jkt: None,
            },
            &config,
            at(now),
        )
    }

    #[test]
    fn the_challenge_is_the_one_of_rfc_7636_appendix_b() {
        assert_eq!(
            challenge(VERIFIER),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        assert!(is_challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert!(!is_challenge(VERIFIER.trim_end_matches('k')));
    }

    #[test]
    fn a_code_used_twice_revokes_what_it_gave() {
        let mut grants = Grants::default();
        let code = code(&mut grants);
        let issued = redeem(&mut grants, &code, VERIFIER, 1).expect("granted");
        let token = issued.refresh_token.expect("a login has one");
        assert!(grants.is_current(&token));
        assert_eq!(
            redeem(&mut grants, &code, VERIFIER, 2)
                .expect_err("refused")
                .code,
            "invalid_grant"
        );
        assert!(!grants.is_family_alive(&token));
    }

    #[test]
    fn a_wrong_verifier_is_refused_and_spends_the_code() {
        let mut grants = Grants::default();
        let code = code(&mut grants);
        let wrong = "a".repeat(43);
        assert!(redeem(&mut grants, &code, &wrong, 1).is_err());
        assert!(redeem(&mut grants, &code, VERIFIER, 1).is_err());
        assert_eq!(grants.living_families(), 0);
    }

    #[test]
    fn a_code_is_bound_to_its_client_its_redirect_and_its_minute() {
        let config = ServerConfig::default();
        let mut grants = Grants::default();
        let late = code(&mut grants);
        assert!(redeem(&mut grants, &late, VERIFIER, 60).is_err());
        let moved = code(&mut grants);
        let elsewhere = "http://127.0.0.1:4712/callback";
        assert!(
            grants
                .redeem_code(
                    CodeGrant {
                        code: &moved,
                        client_id: "app",
                        redirect_uri: elsewhere,
                        verifier: VERIFIER,
                        jkt: None
                    },
                    &config,
                    at(1)
                )
                .is_err()
        );
        let stolen = code(&mut grants);
        assert!(
            grants
                .redeem_code(
                    CodeGrant {
                        code: &stolen,
                        client_id: "thief",
                        redirect_uri: REDIRECT,
                        verifier: VERIFIER,
                        jkt: None
                    },
                    &config,
                    at(1)
                )
                .is_err()
        );
        assert!(redeem(&mut grants, &stolen, VERIFIER, 1).is_ok());
    }
}
