//! A made-up login, sealed and opened again.
//!
//! What a short process does once costs it more than what it computes: the pages
//! of the code come in one by one, ciphers ask what the processor can do, locked
//! memory is made. While a store in another process is waited for, all that can
//! be had for nothing.

use vault_platform::sealed_file::{self, SealingKey};

use super::LoginRecord;

/// A login of nobody's, with all that most logins have.
const LOGIN: &[u8] = br#"{
  "v": 1,
  "generation": 1,
  "refresh_token": "a-refresh-token-of-a-rehearsal",
  "access_tokens": [{
    "token": "an-access-token-of-a-rehearsal",
    "life": {
      "since": {"boot": "00000000000000000000000000000000", "since_boot_ms": 1, "wall_ms": 1},
      "lifetime_ms": 3600000,
      "clock_offset_ms": 0
    },
    "granted_scope": ["offline_access"]
  }],
  "settings": {
    "issuer": "https://issuer.example",
    "client_id": "rehearsal",
    "endpoints": {
      "issuer": "https://issuer.example",
      "token_endpoint": "https://issuer.example/token",
      "authorization_endpoint": "https://issuer.example/authorize",
      "authorization_response_iss_parameter_supported": true,
      "token_endpoint_auth_methods": ["none"]
    },
    "scope": ["offline_access"],
    "resource": [],
    "policy": {"window_ms": 10000, "retries": 1, "strict": false},
    "account": null,
    "subject": null,
    "logged_in": {"boot": "00000000000000000000000000000000", "since_boot_ms": 1, "wall_ms": 1}
  },
  "refreshed": {"boot": "00000000000000000000000000000000", "since_boot_ms": 1, "wall_ms": 1}
}"#;

/// Does what a look at a login's sealed file does, with a login of nobody's.
pub(crate) fn rehearse() {
    let key = SealingKey::from_bytes([0; 32]);
    let sealed = sealed_file::seal(&key, b"{}", LOGIN);
    let login = sealed_file::open(&key, &sealed).map(|plain| LoginRecord::read(&plain));
    debug_assert!(matches!(login, Ok(Ok(_))), "what is rehearsed is a login");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rehearsed_is_a_login() {
        let login = LoginRecord::read(&LOGIN.to_vec().into()).expect("a login");
        assert!(login.settings.endpoints.is_some());
        assert_eq!(login.tokens().count(), 1);
        rehearse();
    }
}
