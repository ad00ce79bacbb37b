//! dbx-tools-auth with its file store.

use std::sync::Arc;
use std::time::Duration;

use dbx_tools_auth::{
    AuthClient, AuthOptions, CredentialStore, FileStore, OAuthConfig, OAuthFlow, Result, Token,
    TokenProvider,
};
use time::OffsetDateTime;
use vault_compare::{Call, Failure, PUBLIC_CLIENT, Wish};

/// The library's flow, as its own provider uses it, but for the login: nobody is there.
struct Provider(OAuthFlow);

#[async_trait::async_trait]
impl TokenProvider for Provider {
    async fn authenticate(&self, timeout: Duration) -> Result<Token> {
        self.0.login(timeout).await
    }

    async fn refresh(&self, token: &Token) -> Result<Token> {
        self.0.refresh(token).await
    }
}

const KEY: &str = "login";

#[tokio::main]
async fn main() -> std::result::Result<(), Failure> {
    let call = Call::read()?;
    let store = Arc::new(FileStore::new(call.place)?);
    if let Wish::Store(refresh_token) = call.wish {
        let token = Token {
            access_token: "expired".to_owned(),
            token_type: "Bearer".to_owned(),
            refresh_token: Some(refresh_token),
            expires_at: Some(OffsetDateTime::UNIX_EPOCH),
            scopes: Vec::new(),
        };
        return Ok(store.save(KEY, &token).await?);
    }
    let flow = OAuthFlow::new(OAuthConfig {
        provider: "compare".to_owned(),
        authorization_endpoint: call.token_endpoint.replace("/token", "/authorize"),
        token_endpoint: call.token_endpoint,
        client_id: PUBLIC_CLIENT.to_owned(),
        client_secret: None,
        scopes: Vec::new(),
        extra_token_params: Vec::new(),
        host: None,
    })?;
    // Its buffer of five minutes is longer than the tokens live here.
    let options = AuthOptions {
        refresh_buffer_seconds: 60,
        ..AuthOptions::default()
    };
    let client = AuthClient::new(KEY.to_owned(), Arc::new(Provider(flow)), store, options);
    println!("{}", client.token().await?.access_token);
    Ok(())
}
