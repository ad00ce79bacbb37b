use serde_json::Value;
use vault_platform::clock::ManualClock;
use vault_platform::secret::{SecretBytes, SecretString};

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn claims(proof: &str) -> Value {
    let payload = proof.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

fn answer(date: Option<Duration>, nonce: Option<&str>) -> Response {
    Response {
        status: 400,
        content_type: None,
        date,
        retry_after: None,
        dpop_nonce: nonce.map(str::to_owned),
        fresh_for: None,
        body: SecretBytes::from(Vec::new()),
    }
}

struct Bench {
    key: DpopKey,
    learnt: Learnt,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        Self {
            key: DpopKey::generate(),
            learnt: Learnt::default(),
            clock: ManualClock::new(),
        }
    }

    fn prover(&self) -> Prover<'_> {
        Prover {
            key: &self.key,
            learnt: &self.learnt,
            clock: &self.clock,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_proof_is_for_one_method_address_and_token() {
    let bench = Bench::new();
    let at = url("https://api.example:8443/me/?page=2#top");
    let token = AccessToken::new(SecretString::from("fake-access-token".to_owned()));
    let proof = claims(&bench.prover().prove("GET", &at, Some(&token)));
    assert_eq!(proof["htm"], "GET");
    assert_eq!(proof["htu"], "https://api.example:8443/me/");
    assert_eq!(proof["iat"], bench.clock.now().wall.as_secs());
    // printf fake-access-token | openssl dgst -sha256 -binary | basenc --base64url
    let digest = Sha256::digest(b"fake-access-token");
    assert_eq!(proof["ath"], BASE64URL_NOPAD.encode(&digest));
    assert_eq!(proof.get("nonce"), None);
    let other = claims(&bench.prover().prove("GET", &at, None));
    assert_eq!(other.get("ath"), None);
    assert_ne!(other["jti"], proof["jti"], "each proof is used once");
}

#[test]
fn each_origin_has_its_own_nonce() {
    let bench = Bench::new();
    let (server, api) = (
        url("https://login.example/token"),
        url("https://api.example/a"),
    );
    assert!(bench.learnt.learn_nonce(&server, "first"));
    assert!(!bench.learnt.learn_nonce(&server, "first"), "nothing new");
    assert!(bench.learnt.learn_nonce(&api, "other"));
    let nonce = |at: &str| claims(&bench.prover().prove("POST", &url(at), None))["nonce"].clone();
    assert_eq!(nonce("https://login.example/par"), "first");
    assert_eq!(nonce("https://api.example/b?c=d"), "other");
    assert_eq!(nonce("https://api.example:444/b"), Value::Null);
}

#[test]
fn what_can_not_be_a_nonce_is_not_learnt() {
    let learnt = Learnt::default();
    let at = url("https://login.example/");
    let long = "n".repeat(LONGEST_NONCE + 1);
    for nonce in ["", "a b", "a\"b", "a\\b", "a\u{1b}b", "né", long.as_str()] {
        assert!(!learnt.learn_nonce(&at, nonce));
    }
    assert_eq!(learnt.nonce(&at), None);
}

#[test]
fn a_proof_carries_the_servers_time_however_ours_is_off_or_jumps() {
    let bench = Bench::new();
    let at = url("https://login.example/token");
    let server = bench.clock.now().wall + 5 * HOUR;
    let news = bench.prover().learn(&at, &answer(Some(server), None));
    assert!(news.clock, "five hours are news");
    bench.clock.advance(HOUR);
    bench.clock.set_wall(bench.clock.now().wall + 99 * HOUR);
    let proof = claims(&bench.prover().prove("POST", &at, None));
    assert_eq!(proof["iat"], (server + HOUR).as_secs());
    let right = answer(Some(server + HOUR), Some("n"));
    let news = bench.prover().learn(&at, &right);
    assert_eq!(
        news,
        News {
            nonce: true,
            clock: false
        }
    );
}

#[test]
fn what_this_process_heard_goes_before_what_was_stored() {
    let bench = Bench::new();
    let at = url("https://login.example/token");
    let stored = |hours| ServerClock {
        at: Stamp::from(&bench.clock.now()),
        server_ms: milliseconds(bench.clock.now().wall + hours * HOUR),
    };
    let iat = || claims(&bench.prover().prove("POST", &at, None))["iat"].clone();
    let wall = bench.clock.now().wall;
    bench.learnt.recall_clock(Some(stored(1)));
    assert_eq!(iat(), (wall + HOUR).as_secs());
    bench.learnt.recall_clock(Some(stored(2)));
    assert_eq!(iat(), (wall + HOUR).as_secs());
}
