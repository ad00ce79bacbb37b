//! Holds, killed clients, and a server that goes away.

use super::*;

#[test]
fn held_requests_are_counted_as_concurrent_and_go_on_when_released() {
    let server = start();
    let tokens = [
        server.issue_login().refresh_token,
        server.issue_login().refresh_token,
    ];
    let hold = server.hold(Endpoint::Token, Stage::Arrived);
    thread::scope(|scope| {
        let clients = tokens
            .each_ref()
            .map(|token| scope.spawn(|| refresh(&server, token)));
        assert!(hold.wait_for(2, Duration::from_secs(30)));
        assert_eq!(server.counts().refreshes_ok, 0);
        drop(hold);
        for client in clients {
            assert_eq!(
                client.join().expect("no panic").expect("an answer").status,
                200
            );
        }
    });
    let counts = server.counts();
    assert_eq!(
        (counts.peak_concurrent_refreshes, counts.refreshes_in_flight),
        (2, 0)
    );
}

#[test]
fn a_request_whose_client_is_gone_is_acted_on() {
    use std::io::Write as _;
    let server = start();
    let token = server.issue_login().refresh_token;
    let hold = server.hold(Endpoint::Token, Stage::Arrived);
    let body = format!("grant_type=refresh_token&client_id=vault-cli&refresh_token={token}");
    let mut client = std::net::TcpStream::connect(server.address()).expect("it listens");
    let head = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded";
    write!(
        client,
        "{head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    assert!(hold.wait_for(1, Duration::from_secs(30)));
    drop(client);
    let answered = server.hold(Endpoint::Token, Stage::Answered);
    drop(hold);
    assert!(answered.wait_for(1, Duration::from_secs(30)));
    assert_eq!(server.counts().refreshes_ok, 1);
    assert!(!server.is_current_refresh_token(&token));
}

#[test]
fn a_server_that_stops_listening_refuses_connections_and_forgets_nothing() {
    let mut server = start();
    let token = server.issue_login().refresh_token;
    server.stop_listening();
    let error = refresh(&server, &token).expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    server.listen_again();
    assert_eq!(refresh(&server, &token).expect("an answer").status, 200);
}
