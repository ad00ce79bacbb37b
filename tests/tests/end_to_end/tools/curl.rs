//! `token --curl` with the real curl.

use super::{end, logged_in, program, tool};

#[test]
fn curl_reads_the_token_from_a_pipe_or_a_file_and_no_argument_shows_it() {
    let (server, sandbox) = logged_in();
    let page = format!("{}/userinfo", server.issuer());
    for script in [
        "\"$0\" token --curl | curl -sS -f -K - \"$1\"",
        "curl -sS -f -K <(\"$0\" token --curl) \"$1\"",
    ] {
        let mut bash = tool(&sandbox, "bash");
        bash.args(["-c", script, &program(&sandbox), &page]);
        let output = end(bash);
        assert_eq!(output.code(), Some(0), "{output:?}");
        assert_eq!(output.json()["sub"], "alice");
    }
    let mut bash = tool(&sandbox, "bash");
    bash.args(["-c", "curl -sS -f \"$1\"", "", &page]);
    assert_eq!(end(bash).code(), Some(22), "without a token it is refused");
}
