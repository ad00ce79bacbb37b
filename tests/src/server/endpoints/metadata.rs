//! The metadata documents (RFC 8414, OpenID Connect Discovery).

use serde_json::{Value, json};

use super::Call;
use crate::server::Inner;
use crate::server::config::{Dpop, PushedRequests};
use crate::server::reply::Reply;

pub(super) fn answer(inner: &Inner, call: Call<'_>, openid: bool) -> Reply {
    let issuer = call.issuer;
    let methods = [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": format!("{issuer}/revoke"),
        "revocation_endpoint_auth_methods_supported": methods,
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "scopes_supported": inner.config.scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    if inner.config.dpop != Dpop::Off {
        document["dpop_signing_alg_values_supported"] = json!(["ES256"]);
    }
    if openid {
        document["subject_types_supported"] = json!(["public"]);
        document["id_token_signing_alg_values_supported"] = json!(["ES256"]);
        document["jwks_uri"] = json!(format!("{issuer}/jwks"));
    }
    if inner.config.introspection {
        document["introspection_endpoint"] = json!(format!("{issuer}/introspect"));
    }
    if inner.config.pushed_requests != PushedRequests::None {
        document["pushed_authorization_request_endpoint"] = json!(format!("{issuer}/par"));
        document["require_pushed_authorization_requests"] =
            json!(inner.config.pushed_requests == PushedRequests::Required);
    }
    if let Value::Object(members) = &mut document {
        for (name, value) in &inner.config.metadata_changes {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
    }
    let reply = Reply::empty(200)
        .header("Content-Type", "application/json")
        .body(document.to_string());
    match inner.config.metadata_cache_control {
        Some(directives) => reply.header("Cache-Control", directives),
        None => reply,
    }
}
