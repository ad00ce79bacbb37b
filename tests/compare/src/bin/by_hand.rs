//! oauth2 and a keyring entry, as one writes it in an afternoon. The store is the kernel's key
//! rings, which needs no service; the order of reading, refreshing and writing is what counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keyring_core::Entry;
use oauth2::basic::BasicClient;
use oauth2::{ClientId, RefreshToken, TokenResponse, TokenUrl};
use serde::{Deserialize, Serialize};
use vault_compare::{Call, Failure, PUBLIC_CLIENT, Wish};

#[derive(Serialize, Deserialize)]
struct Login {
    access_token: String,
    refresh_token: String,
    expires_at: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let call = Call::read()?;
    keyring_core::set_default_store(linux_keyutils_keyring_store::Store::new()?);
    let entry = Entry::new("vault-compare", &call.place.to_string_lossy())?;
    if let Wish::Store(refresh_token) = call.wish {
        let login = Login {
            access_token: "expired".to_owned(),
            refresh_token,
            expires_at: 0,
        };
        return Ok(entry.set_password(&serde_json::to_string(&login)?)?);
    }
    let mut login: Login = serde_json::from_str(&entry.get_password()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    if login.expires_at <= now + 60 {
        let answer = BasicClient::new(ClientId::new(PUBLIC_CLIENT.to_owned()))
            .set_token_uri(TokenUrl::new(call.token_endpoint)?)
            .exchange_refresh_token(&RefreshToken::new(login.refresh_token.clone()))
            .request_async(&reqwest::Client::new())
            .await?;
        login.access_token = answer.access_token().secret().clone();
        if let Some(next) = answer.refresh_token() {
            login.refresh_token = next.secret().clone();
        }
        login.expires_at = now + answer.expires_in().unwrap_or(Duration::ZERO).as_secs();
        entry.set_password(&serde_json::to_string(&login)?)?;
    }
    println!("{}", login.access_token);
    Ok(())
}
