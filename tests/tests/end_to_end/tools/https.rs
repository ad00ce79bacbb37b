//! A host that tools reach by https: a server on loopback with a certificate of
//! the tests' own authority, which lets nobody in without a good access token.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use vault_tests::server::AuthorizationServer;

use crate::support::wait;

/// What a tool sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// A header, named in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The access token that it carries, as a bearer token or as a password.
    fn token(&self) -> Option<String> {
        let (scheme, rest) = self.header("authorization")?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(rest.to_owned());
        }
        let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        pair.split_once(':').map(|(_, token)| token.to_owned())
    }
}

/// What a tool is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), kind.to_owned())],
            body: body.into(),
        }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::new(200, "application/json", value.to_string())
    }
}

/// What befalls one request that was let in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Nothing,
    /// Before the answer, all access tokens end at the authorization server.
    TokensEnd,
    /// The answer takes so long.
    Takes(Duration),
}

type Handler = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

struct Inside {
    authority: Arc<AuthorizationServer>,
    challenge: &'static str,
    handler: Handler,
    /// What befalls the next requests that are let in.
    events: Mutex<VecDeque<Event>>,
    /// Each request: its path, and whether it carried what, and was let in.
    seen: Mutex<Vec<(String, Option<String>, bool)>>,
}

/// The server. Its threads end with the test's process.
pub(super) struct Host {
    port: u16,
    folder: TempDir,
    inside: Arc<Inside>,
}

impl Host {
    /// Starts a host that takes the access tokens of an authorization server.
    pub(super) fn start(
        authority: &Arc<AuthorizationServer>,
        challenge: &'static str,
        handler: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut params = named(format!("the authority of {port}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), pem(issuer.der())).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named(format!("the host at {port}"));
        params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();

        let inside = Arc::new(Inside {
            authority: authority.clone(),
            challenge,
            handler: Box::new(handler),
            events: Mutex::default(),
            seen: Mutex::default(),
        });
        let (config, shared) = (Arc::new(config), inside.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, inside) = (config.clone(), shared.clone());
                std::thread::spawn(move || {
                    // Whoever hangs up is not answered.
                    inside.serve(config, stream).ok();
                });
            }
        });
        Self {
            port,
            folder,
            inside,
        }
    }

    /// Its name, as one binds it.
    pub(super) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that vouches for it.
    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What befalls the next requests that are let in.
    pub(super) fn befall(&self, events: impl IntoIterator<Item = Event>) {
        self.inside.events.lock().unwrap().extend(events);
    }

    /// The paths of the requests that were let in, in order.
    pub(super) fn let_in(&self) -> Vec<String> {
        let seen = self.inside.seen.lock().unwrap();
        let let_in = seen.iter().filter(|(_, _, let_in)| *let_in);
        let_in.map(|(path, _, _)| path.clone()).collect()
    }

    /// What requests have carried as their authorization, of those that did.
    pub(super) fn shown(&self) -> Vec<String> {
        let seen = self.inside.seen.lock().unwrap();
        seen.iter()
            .filter_map(|(_, shown, _)| shown.clone())
            .collect()
    }

    /// The paths that were asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        let seen = self.inside.seen.lock().unwrap();
        seen.iter().map(|(path, _, _)| path.clone()).collect()
    }
}

impl Inside {
    fn serve(&self, config: Arc<ServerConfig>, stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let request = read(&mut stream)?;
        let answer = self.answer(&request);
        let mut head = format!(
            "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
            answer.status,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method != "HEAD" {
            stream.write_all(&answer.body)?;
        }
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn answer(&self, request: &Request) -> Answer {
        let token = request.token();
        let is_good = |token: &String| self.authority.is_valid_access_token(token);
        let let_in = token.as_ref().is_some_and(is_good);
        self.seen.lock().unwrap().push((
            request.path.clone(),
            request.header("authorization").map(str::to_owned),
            let_in,
        ));
        if !let_in {
            let mut answer = Answer::new(401, "text/plain", "a token is wanted");
            let challenge = ("WWW-Authenticate".to_owned(), self.challenge.to_owned());
            answer.headers.push(challenge);
            return answer;
        }
        let answer = (self.handler)(request);
        let event = self.events.lock().unwrap().pop_front();
        match event.unwrap_or(Event::Nothing) {
            Event::Nothing => {}
            Event::TokensEnd => self.authority.expire_access_tokens(),
            Event::Takes(time) => wait(time),
        }
        answer
    }
}

/// A certificate of its own name: who finds an issuer by name finds one.
fn named(name: String) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn pem(der: &[u8]) -> String {
    let lines: Vec<_> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

fn read(stream: &mut Stream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut rest = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: Vec::new(),
    };
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let line = loop {
                match find(&rest, b"\r\n") {
                    Some(at) => break at,
                    None => more(stream, &mut rest)?,
                }
            };
            let length = String::from_utf8_lossy(&rest[..line]).into_owned();
            let length = usize::from_str_radix(&length, 16).map_err(io::Error::other)?;
            while rest.len() < line + 2 + length + 2 {
                more(stream, &mut rest)?;
            }
            request.body.extend(&rest[line + 2..line + 2 + length]);
            rest.drain(..line + 2 + length + 2);
            if length == 0 {
                return Ok(request);
            }
        }
    }
    let length = request.header("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(io::Error::other)?;
    while rest.len() < length {
        more(stream, &mut rest)?;
    }
    request.body = rest;
    Ok(request)
}

fn more(stream: &mut Stream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => {
            bytes.extend(&chunk[..length]);
            Ok(())
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
