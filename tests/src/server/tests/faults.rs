//! Each fault, as a client sees it.

use super::*;

/// Spends a fresh token under a fault: the answer, and whether the server acted.
fn under(fault: Fault) -> (io::Result<Answer>, bool) {
    let server = start();
    let login = server.issue_login();
    server.fail_next(Endpoint::Token, 1, fault);
    let answer = refresh(&server, &login.refresh_token);
    assert_eq!(server.pending_faults(Endpoint::Token), 0);
    let acted = server.counts().refreshes_ok == 1;
    assert_eq!(
        server.refresh_log()[0].fingerprint,
        fingerprint(&login.refresh_token)
    );
    (answer, acted)
}

#[test]
fn faults_before_the_request_is_acted_on_leave_the_token_good() {
    let (answer, acted) = under(Fault::unavailable(2));
    let answer = answer.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("retry-after"), acted),
        (503, Some("2"), false)
    );
    let (answer, acted) = under(Fault::oauth_error(400, "invalid_grant"));
    assert_eq!(
        answer.expect("an answer").json(),
        json!({ "error": "invalid_grant" })
    );
    assert!(!acted);
    let (answer, acted) = under(Fault::status(400));
    assert!(answer.expect("an answer").body.is_empty() && !acted);
    let (answer, acted) = under(Fault::Instead(Reply::redirect("http://127.0.0.1:1/")));
    assert_eq!(answer.expect("an answer").status, 302);
    assert!(!acted);
    let (answer, acted) = under(Fault::Drop);
    assert!(answer.is_err() && !acted);
}

#[test]
fn faults_after_the_request_was_acted_on_lose_or_change_the_answer() {
    let (answer, acted) = under(Fault::LoseAnswer);
    assert!(answer.is_err() && acted);
    let (answer, acted) = under(Fault::ReplaceAnswer(Reply::html(504, "Gateway Timeout")));
    assert_eq!(answer.expect("an answer").status, 504);
    assert!(acted);
    let (answer, acted) = under(Fault::CutAnswer);
    let answer = answer.expect("a head");
    assert!(!answer.is_complete() && !answer.body.is_empty() && acted);
    let (answer, acted) = under(Fault::TruncateBody);
    let answer = answer.expect("an answer");
    assert!(answer.is_complete() && answer.json().is_null() && acted);
    let (answer, acted) = under(Fault::PadBody(2 << 20));
    let answer = answer.expect("an answer");
    assert_eq!(answer.body.len(), 2 << 20);
    assert!(answer.member("access_token").is_some() && acted);
    let (answer, acted) = under(Fault::set("token_type", "mac"));
    assert_eq!(answer.expect("an answer").json()["token_type"], "mac");
    assert!(acted);
}

#[test]
fn a_fault_can_make_one_refresh_repeat_its_token() {
    let server = start();
    let token = server.issue_login().refresh_token;
    server.fail_next(Endpoint::Token, 1, Fault::SameRefreshToken);
    let answer = refresh(&server, &token).expect("an answer");
    assert_eq!(
        answer.member("refresh_token").as_deref(),
        Some(token.as_str())
    );
    assert!(server.is_current_refresh_token(&token));
    let answer = refresh(&server, &token).expect("an answer");
    assert_ne!(
        answer.member("refresh_token").as_deref(),
        Some(token.as_str())
    );
}

#[test]
fn a_lost_answer_and_a_replay_end_the_login_on_a_strict_server() {
    let server = start();
    let token = server.issue_login().refresh_token;
    server.fail_next(Endpoint::Token, 1, Fault::LoseAnswer);
    assert!(refresh(&server, &token).is_err());
    assert!(server.family_alive(&token));
    assert_eq!(
        refresh(&server, &token).expect("an answer").json()["error"],
        "invalid_grant"
    );
    assert!(!server.family_alive(&token));
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, counts.families_revoked), (1, 1));
    let outcomes: Vec<RefreshOutcome> = server
        .refresh_log()
        .iter()
        .map(|record| record.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [RefreshOutcome::Rotated, RefreshOutcome::ReuseDetected]
    );
}
