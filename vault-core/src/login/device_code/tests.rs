use std::collections::VecDeque;

use super::*;
use vault_platform::secret::SecretBytes;

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        content_type: None,
        date: None,
        retry_after: None,
        dpop_nonce: None,
        fresh_for: None,
        body: SecretBytes::from(body.as_bytes().to_vec()),
    }
}

fn answer(status: u16, body: &str) -> Result<Granted, Error> {
    let url = Url::parse("https://login.example/device").unwrap();
    read(&response(status, body), &url, &[])
}

fn refusal(code: &str) -> Answer {
    Answer::Refused {
        error: code.to_owned(),
        description: None,
    }
}

fn unavailable(retry_after: Option<u64>) -> Answer {
    Answer::Unavailable {
        status: None,
        retry_after: retry_after.map(Duration::from_secs),
        reason: "no network".into(),
    }
}

/// Plays the answers, and gives the seconds at which each was asked for.
async fn play(
    limit: u64,
    interval: u64,
    answers: Vec<Answer>,
) -> (Result<Answer, Error>, Vec<u64>) {
    let start = Instant::now();
    let mut answers = VecDeque::from(answers);
    let mut asked = Vec::new();
    let (_presence, caller) = Caller::who_waits();
    let outcome = poll(
        &caller,
        Duration::from_secs(limit),
        Duration::from_secs(interval),
        || {
            asked.push(start.elapsed().as_secs());
            std::future::ready(
                answers
                    .pop_front()
                    .unwrap_or_else(|| refusal("authorization_pending")),
            )
        },
    )
    .await;
    (outcome, asked)
}

#[tokio::test(start_paused = true)]
async fn the_server_is_asked_at_its_interval_until_it_decides() {
    let answers = vec![
        refusal("authorization_pending"),
        refusal("authorization_pending"),
        refusal("access_denied"),
    ];
    let (outcome, asked) = play(600, 5, answers).await;
    assert_eq!(asked, [5, 10, 15]);
    assert!(matches!(outcome, Ok(Answer::Refused { error, .. }) if error == "access_denied"));
}

#[tokio::test(start_paused = true)]
async fn slow_down_adds_five_seconds_for_good() {
    let answers = vec![
        refusal("slow_down"),
        refusal("authorization_pending"),
        refusal("slow_down"),
        refusal("authorization_pending"),
        refusal("expired_token"),
    ];
    let (_, asked) = play(600, 5, answers).await;
    assert_eq!(asked, [5, 15, 25, 40, 55]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_network_is_asked_less_often_and_ends_nothing() {
    let answers = vec![
        unavailable(None),
        unavailable(None),
        Answer::Unknown {
            reason: "reset".into(),
            status: None,
        },
        refusal("authorization_pending"),
        unavailable(Some(100)),
        refusal("access_denied"),
    ];
    let (outcome, asked) = play(600, 5, answers).await;
    assert_eq!(asked, [5, 15, 35, 75, 80, 180]);
    assert!(outcome.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_code_that_nobody_confirms_expires_with_its_own_error() {
    let (outcome, asked) = play(12, 5, Vec::new()).await;
    assert_eq!(asked, [5, 10]);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LoginExpired);

    let (outcome, _) = play(8, 5, vec![unavailable(None)]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginExpired);
    assert!(error.to_string().contains("no network"), "{error}");

    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let reason = Error::new(ErrorKind::NetworkUnavailable, "no connection").because(refused);
    let nobody = Answer::Unreached {
        reason: reason.into(),
    };
    let error = play(8, 5, vec![nobody]).await.0.unwrap_err();
    assert!(error.to_string().ends_with("the last try: no connection"));
    let cause = std::error::Error::source(&error).unwrap();
    assert!(cause.is::<std::io::Error>(), "{error:?}");
}

#[test]
fn a_device_authorization_is_read() {
    let granted = answer(
        200,
        r#"{"device_code":"canary","user_code":"WDJB-MJHT","interval":7,"expires_in":"900",
            "verification_uri":"https://login.example/device",
            "verification_uri_complete":"https://login.example/device?c=WDJB-MJHT"}"#,
    )
    .unwrap();
    assert_eq!(granted.device_code.expose(), "canary");
    assert_eq!(granted.shown.user_code, "WDJB-MJHT");
    assert_eq!(granted.shown.verification_uri.path(), "/device");
    assert!(granted.shown.verification_uri_complete.is_some());
    assert_eq!(granted.shown.expires_in, Duration::from_secs(900));
    assert_eq!(granted.interval, Duration::from_secs(7));
    assert!(!format!("{granted:?}").contains("canary"));
}

#[test]
fn what_a_server_leaves_out_is_filled_in() {
    let granted = answer(
        200,
        r#"{"device_code":"d","user_code":"u","verification_url":"https://g.example/device"}"#,
    )
    .unwrap();
    assert_eq!(granted.shown.expires_in, LIFETIME);
    assert_eq!(granted.interval, FIVE_SECONDS);
    assert!(granted.shown.verification_uri_complete.is_none());
}

#[test]
fn each_bad_answer_has_its_own_error() {
    let with = |uri: &str, code: &str| {
        format!(r#"{{"device_code":"d","user_code":"{code}","verification_uri":"{uri}"}}"#)
    };
    let page = "https://login.example/d";
    for (status, body, kind) in [
        (200, "<html>".to_owned(), ErrorKind::ServerAnswerInvalid),
        (
            200,
            "{\"device_co".to_owned(),
            ErrorKind::ServerAnswerInvalid,
        ),
        (200, "{}".to_owned(), ErrorKind::ServerAnswerInvalid),
        (
            200,
            with(page, "A\\u001b[2J"),
            ErrorKind::ServerAnswerInvalid,
        ),
        (200, with(page, "A\\u202eB"), ErrorKind::ServerAnswerInvalid),
        (200, with(page, ""), ErrorKind::ServerAnswerInvalid),
        (
            200,
            with("javascript:alert(1)", "A"),
            ErrorKind::InsecureUrl,
        ),
        (
            200,
            with("http://login.example/d", "A"),
            ErrorKind::InsecureUrl,
        ),
        (
            400,
            r#"{"error":"invalid_client"}"#.to_owned(),
            ErrorKind::ClientRefused,
        ),
        (400, String::new(), ErrorKind::RequestRefused),
        (404, "<html>".to_owned(), ErrorKind::NotOffered),
        (302, String::new(), ErrorKind::RequestRefused),
        (503, String::new(), ErrorKind::ServerUnavailable),
    ] {
        let error = answer(status, &body).expect_err(&body);
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(error.to_string().contains("login.example"), "{error}");
    }
}

#[test]
fn a_server_that_spells_the_address_in_both_ways_is_understood() {
    let granted = answer(
        200,
        r#"{"device_code":"d","user_code":"u","verification_uri":"https://a.example/new",
            "verification_url":"https://a.example/old"}"#,
    );
    let shown = granted.unwrap().shown;
    assert_eq!(shown.verification_uri.as_str(), "https://a.example/new");
}

#[test]
fn a_refusal_that_repeats_the_client_secret_is_not_shown() {
    let url = Url::parse("https://login.example/device").unwrap();
    let body = r#"{"error":"invalid_client","error_description":"fake-client-secret is wrong"}"#;
    let error = read(&response(401, body), &url, &["fake-client-secret"]).unwrap_err();
    assert!(!error.to_string().contains("fake-client"), "{error}");
}
