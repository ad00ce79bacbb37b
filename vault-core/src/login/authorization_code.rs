//! Login with a browser on this machine: authorization code with PKCE and a
//! loopback redirect (RFC 6749, section 4.1; RFC 7636; RFC 8252; RFC 9207).
//!
//! The browser's last page waits until the code is exchanged, so that it tells
//! how the login really ended.

use tokio::time::timeout;
use url::Url;
use vault_platform::secret::SecretString;

use super::loopback::Listener;
use super::page::Page;
use super::pkce::{Pkce, random_text};
use super::redirect::Expected;
use super::{LoginInteraction, LoginRequest, single_resource, tokens};
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::oauth::Endpoints;
use crate::oauth::client::Client;
use crate::oauth::text::clean;
use crate::oauth::token_endpoint::{Grant, TokenResponse, request_tokens};

/// Parameters that the flow sets itself.
const RESERVED: [&str; 9] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "resource",
];

pub(super) async fn login(
    http: &Http,
    endpoints: &Endpoints,
    request: &LoginRequest,
    client: &Client<'_>,
    interaction: &dyn LoginInteraction,
) -> Result<TokenResponse, Error> {
    let not_offered = |what: &str| {
        let message = format!("{} does not offer {what}", clean(&endpoints.issuer));
        Error::new(ErrorKind::NotOffered, message)
    };
    let authorization_endpoint = endpoints
        .authorization_endpoint
        .as_ref()
        .ok_or_else(|| not_offered("login with a browser"))?;
    if endpoints.lacks_pkce_s256 {
        return Err(not_offered(
            "PKCE with S256, without which a browser login is not safe",
        ));
    }

    let listener = Listener::bind(request.redirect_port).await?;
    let pkce = Pkce::new();
    let state = random_text();
    let url = authorization_url(
        authorization_endpoint,
        request,
        listener.redirect_uri(),
        &state,
        &pkce.challenge,
    )?;
    interaction.open_url(&url)?;
    interaction.waiting("the browser");

    let expected = Expected {
        state,
        issuer: endpoints.issuer.clone(),
        names_issuer: endpoints.authorization_response_iss_parameter_supported,
    };
    let limit = request.timeout.unwrap_or(LoginRequest::BROWSER_TIMEOUT);
    let (code, browser) = timeout(limit, listener.redirect(expected))
        .await
        .map_err(|_| {
            let message = format!("nobody logged in within {} s", limit.as_secs());
            Error::new(ErrorKind::LoginExpired, message)
        })??;

    interaction.waiting("the server");
    let grant = Grant::AuthorizationCode {
        code: &code,
        redirect_uri: listener.redirect_uri(),
        code_verifier: &pkce.verifier,
        resource: single_resource(request),
    };
    let answer = request_tokens(http, endpoints, client, grant).await;
    let outcome = tokens(answer, endpoints);
    let page = match &outcome {
        Ok(_) => Page::Done,
        Err(error) => Page::Failed(error.to_string()),
    };
    browser.show(&page).await;
    outcome
}

fn authorization_url(
    endpoint: &Url,
    request: &LoginRequest,
    redirect_uri: &Url,
    state: &SecretString,
    challenge: &str,
) -> Result<Url, Error> {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &request.client_id)
        .append_pair("redirect_uri", redirect_uri.as_str());
    if !request.scopes.is_empty() {
        query.append_pair("scope", &request.scopes.join(" "));
    }
    for resource in &request.resources {
        query.append_pair("resource", resource.as_str());
    }
    for (name, value) in &request.parameters {
        if RESERVED.contains(&name.as_str()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the parameter {name} is set by the login itself"),
            ));
        }
        query.append_pair(name, value);
    }
    if wants_consent(request) {
        query.append_pair("prompt", "consent");
    }
    query
        .append_pair("state", state.expose())
        .append_pair("code_challenge", challenge)
        .append_pair("code_challenge_method", "S256");
    drop(query);
    Ok(url)
}

/// OpenID Connect Core, section 11: a server ignores `offline_access` unless
/// the request asks for consent. Not so with Microsoft's, where asking would
/// shut out whoever may not consent for himself.
fn wants_consent(request: &LoginRequest) -> bool {
    let asks_offline = request
        .scopes
        .iter()
        .flat_map(|scope| scope.split(' '))
        .any(|scope| scope == "offline_access");
    let says_itself = request.parameters.iter().any(|(name, _)| name == "prompt");
    let microsoft = Url::parse(&request.issuer).is_ok_and(|issuer| {
        issuer
            .host_str()
            .is_some_and(|host| host.ends_with(".microsoftonline.com"))
    });
    asks_offline && !says_itself && !microsoft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offline_access_comes_with_the_consent_that_it_needs() {
        let asks = |request: &LoginRequest| {
            let url = url(request).unwrap();
            url.query_pairs()
                .any(|(name, value)| name == "prompt" && value == "consent")
        };
        let request = LoginRequest::new("https://login.example", "app");
        assert!(!asks(&request));
        assert!(asks(
            &request.clone().scope("openid").scope("offline_access")
        ));
        let own_word = request.scope("offline_access").parameter("prompt", "login");
        assert!(!asks(&own_word));
        let entra = "https://login.microsoftonline.com/common/v2.0";
        assert!(!asks(
            &LoginRequest::new(entra, "app").scope("offline_access")
        ));
    }

    fn url(request: &LoginRequest) -> Result<Url, Error> {
        authorization_url(
            &Url::parse("https://login.example/authorize?tenant=1").unwrap(),
            request,
            &Url::parse("http://127.0.0.1:7777/callback").unwrap(),
            &"STATE".to_owned().into(),
            "CHALLENGE",
        )
    }

    #[test]
    fn the_request_says_what_the_standards_want() {
        let request = LoginRequest::new("https://login.example", "my client")
            .scope("openid offline_access")
            .scope("read:all")
            .resource(Url::parse("https://api.example/").unwrap())
            .parameter("prompt", "consent");
        assert_eq!(
            url(&request).unwrap().as_str(),
            "https://login.example/authorize?tenant=1&response_type=code&client_id=my+client\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A7777%2Fcallback\
             &scope=openid+offline_access+read%3Aall&resource=https%3A%2F%2Fapi.example%2F\
             &prompt=consent&state=STATE&code_challenge=CHALLENGE&code_challenge_method=S256"
        );
    }

    #[test]
    fn without_scopes_the_server_chooses() {
        let url = url(&LoginRequest::new("https://login.example", "c")).unwrap();
        assert!(!url.as_str().contains("scope="));
    }

    #[test]
    fn no_own_parameter_replaces_one_of_the_flow() {
        for name in RESERVED {
            let request = LoginRequest::new("https://login.example", "c").parameter(name, "x");
            assert_eq!(url(&request).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
