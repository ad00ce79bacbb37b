//! yup-oauth2 with tokens persisted to disk.

use std::future::Future;
use std::pin::Pin;

use time::OffsetDateTime;
use vault_compare::{CLIENT_WITH_SECRET, Call, Failure, Wish};
use yup_oauth2::authenticator_delegate::InstalledFlowDelegate;
use yup_oauth2::storage::TokenInfo;
use yup_oauth2::{ApplicationSecret, InstalledFlowAuthenticator, InstalledFlowReturnMethod};

/// Nobody is there to log in.
struct Nobody;

impl InstalledFlowDelegate for Nobody {
    fn present_user_url<'a>(
        &'a self,
        _: &'a str,
        _: bool,
    ) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(async { Err("it asks for a login in the browser".to_owned()) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let call = Call::read()?;
    let file = call.place.join("tokens.json");
    if let Wish::Store(refresh_token) = call.wish {
        let token = TokenInfo {
            access_token: Some("expired".to_owned()),
            refresh_token: Some(refresh_token),
            expires_at: Some(OffsetDateTime::UNIX_EPOCH),
            id_token: None,
        };
        let tokens = serde_json::json!([{ "scopes": ["openid"], "token": token }]);
        return Ok(std::fs::write(file, tokens.to_string())?);
    }
    let (id, secret) = CLIENT_WITH_SECRET;
    let client = ApplicationSecret {
        client_id: id.to_owned(),
        client_secret: secret.to_owned(),
        auth_uri: call.token_endpoint.replace("/token", "/authorize"),
        token_uri: call.token_endpoint,
        ..ApplicationSecret::default()
    };
    let method = InstalledFlowReturnMethod::Interactive;
    let authenticator = InstalledFlowAuthenticator::builder(client, method)
        .flow_delegate(Box::new(Nobody))
        .persist_tokens_to_disk(file)
        .build()
        .await?;
    let token = authenticator.token(&["openid"]).await?;
    println!("{}", token.token().ok_or("no access token")?);
    Ok(())
}
