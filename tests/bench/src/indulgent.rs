//! A server that gives one access token to everyone, for peers whose requests the strict server
//! refuses, or that want no more of a server than one token.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::Result;

/// Serves on a thread that ends with the process, and gives the issuer.
pub fn serve(token: &str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let description = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "offline_access"],
    });
    let tokens = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 86400,
        "refresh_token": "fake-refresh-token",
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that went away is none of this server's business.
            drop(answer(stream, &description, &tokens));
        }
    });
    Ok(issuer)
}

fn answer(mut stream: TcpStream, description: &Value, tokens: &Value) -> std::io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    request.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        request.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    request.read_exact(&mut vec![0; length])?;
    let body = if first.starts_with("GET") {
        description
    } else {
        tokens
    }
    .to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len())
}
