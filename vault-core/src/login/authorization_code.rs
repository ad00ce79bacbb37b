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
use super::pushed::push;
use super::redirect::Expected;
use super::{Context, LoggedIn, LoginRequest, Parameters, single_resource};
use crate::error::{Error, ErrorKind};
use crate::oauth::text::clean;
use crate::oauth::token_endpoint::{Grant, request_tokens};

pub(super) async fn login(flow: &Context<'_>) -> Result<LoggedIn, Error> {
    let Context {
        http,
        endpoints,
        request,
        client,
        interaction,
        prover,
        caller,
        ..
    } = *flow;
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

    let listener = Listener::bind(request).await?;
    let pkce = Pkce::new();
    let secrets = Secrets {
        state: random_text(),
        nonce: request.asks_openid().then(random_text),
    };
    let mut asked = parameters(request, listener.redirect_uri(), &secrets, &pkce.challenge)?;
    // RFC 9449, section 10: the code is good with the key's proof only.
    if let Some(prover) = prover {
        let jkt = SecretString::from(prover.thumbprint().to_owned());
        asked.push(("dpop_jkt".to_owned(), jkt));
    }
    let pushed = match &endpoints.pushed_authorization_request_endpoint {
        Some(url) => caller.unless_gone(push(flow, url, &asked)).await?,
        None if endpoints.requires_pushed_authorization_requests => {
            return Err(not_offered("an endpoint for the pushed requests it wants"));
        }
        None => None,
    };
    let url = match pushed {
        Some(name) => {
            let asked = vec![("request_uri".to_owned(), name)];
            address(authorization_endpoint, client.id, &asked)
        }
        None => address(authorization_endpoint, client.id, &asked),
    };
    interaction.open_url(&url)?;
    interaction.waiting("the browser");

    let expected = Expected {
        state: secrets.state,
        issuer: endpoints.issuer.clone(),
        names_issuer: endpoints.authorization_response_iss_parameter_supported,
    };
    let limit = request.timeout.unwrap_or(LoginRequest::BROWSER_TIMEOUT);
    let person = async {
        let redirected = timeout(limit, listener.redirect(expected)).await;
        redirected.unwrap_or_else(|_| {
            let message = format!("nobody logged in within {} s", limit.as_secs());
            Err(Error::new(ErrorKind::LoginExpired, message))
        })
    };
    let (code, browser) = caller.unless_gone(person).await?;

    interaction.waiting("the server");
    let grant = Grant::AuthorizationCode {
        code: &code,
        redirect_uri: listener.redirect_uri(),
        code_verifier: &pkce.verifier,
        resource: single_resource(request),
    };
    let sent = client.clock.now();
    let answer = request_tokens(http, endpoints, client, grant, prover).await;
    let outcome = flow.conclude(answer, sent, secrets.nonce.as_ref()).await;
    let page = match &outcome {
        Ok(_) => Page::Done,
        Err(error) => Page::Failed(error.to_string()),
    };
    browser.show(&page).await;
    outcome
}

/// What binds the answers to this login.
struct Secrets {
    /// Comes back with the code.
    state: SecretString,
    /// Comes back in the ID token, where one is asked for.
    nonce: Option<SecretString>,
}

fn parameters(
    request: &LoginRequest,
    redirect_uri: &Url,
    secrets: &Secrets,
    challenge: &str,
) -> Result<Parameters, Error> {
    let mut asked = Parameters::new();
    let mut ask = |name: &str, value: &str| {
        asked.push((name.to_owned(), SecretString::from(value.to_owned())));
    };
    ask("response_type", "code");
    ask("redirect_uri", redirect_uri.as_str());
    if !request.scopes.is_empty() {
        ask("scope", &request.scopes.join(" "));
    }
    for resource in request.resources() {
        ask("resource", resource.as_str());
    }
    for audience in request.audiences() {
        ask("audience", audience.as_str());
    }
    for (name, value) in request.own_parameters()? {
        ask(name, value);
    }
    match &request.prompt {
        Some(prompt) => ask("prompt", prompt),
        None if wants_consent(request) => ask("prompt", "consent"),
        None => {}
    }
    if let Some(hint) = &request.login_hint {
        ask("login_hint", hint);
    }
    if let Some(age) = request.max_age {
        ask("max_age", &age.as_secs().to_string());
    }
    ask("state", secrets.state.expose());
    if let Some(nonce) = &secrets.nonce {
        ask("nonce", nonce.expose());
    }
    ask("code_challenge", challenge);
    ask("code_challenge_method", "S256");
    Ok(asked)
}

/// The address for the browser.
fn address(endpoint: &Url, client_id: &str, parameters: &Parameters) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query_pairs_mut();
    query.append_pair("client_id", client_id);
    for (name, value) in parameters {
        query.append_pair(name, value.expose());
    }
    drop(query);
    url
}

/// OpenID Connect Core, section 11: a server ignores `offline_access` unless
/// the request asks for consent.
fn wants_consent(request: &LoginRequest) -> bool {
    let asks_offline = request.each_scope().any(|scope| scope == "offline_access");
    let says_itself = request.parameters.iter().any(|(name, _)| name == "prompt");
    asks_offline && !says_itself && !request.quirks.no_consent_prompt
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
        let mut without = LoginRequest::new("https://login.example", "app");
        without.quirks.no_consent_prompt = true;
        assert!(!asks(&without.scope("offline_access")));
    }

    fn url(request: &LoginRequest) -> Result<Url, Error> {
        let secrets = Secrets {
            state: "STATE".to_owned().into(),
            nonce: request.asks_openid().then(|| "NONCE".to_owned().into()),
        };
        let redirect = Url::parse("http://127.0.0.1:7777/callback").unwrap();
        let asked = parameters(request, &redirect, &secrets, "CHALLENGE")?;
        let endpoint = Url::parse("https://login.example/authorize?tenant=1").unwrap();
        Ok(address(&endpoint, &request.client_id, &asked))
    }

    #[test]
    fn the_request_says_what_the_standards_want() {
        let request = LoginRequest::new("https://login.example", "my client")
            .scope("openid offline_access")
            .scope("read:all")
            .resource(Url::parse("https://api.example/").unwrap())
            .prompt("consent")
            .login_hint("ann@example")
            .max_age(std::time::Duration::from_secs(60));
        assert_eq!(
            url(&request).unwrap().as_str(),
            "https://login.example/authorize?tenant=1&client_id=my+client&response_type=code\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A7777%2Fcallback\
             &scope=openid+offline_access+read%3Aall&resource=https%3A%2F%2Fapi.example%2F\
             &prompt=consent&login_hint=ann%40example&max_age=60\
             &state=STATE&nonce=NONCE&code_challenge=CHALLENGE&code_challenge_method=S256"
        );
    }

    #[test]
    fn without_scopes_the_server_chooses() {
        let url = url(&LoginRequest::new("https://login.example", "c")).unwrap();
        assert!(!url.as_str().contains("scope="));
    }

    #[test]
    fn a_server_may_want_the_api_as_audience() {
        let mut request = LoginRequest::new("https://login.example", "c")
            .resource(Url::parse("https://api.example/").unwrap());
        request.quirks.audience_parameter = true;
        let url = url(&request).unwrap();
        let query = url.query().unwrap();
        assert!(query.contains("&audience=https%3A%2F%2Fapi.example%2F&"));
        assert!(!query.contains("resource="));
        assert!(!query.contains("nonce="), "nobody asked for an ID token");
    }
}
