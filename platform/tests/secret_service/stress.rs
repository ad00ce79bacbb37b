//! Processes that connect and read at the same moments.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use vault_platform::store::Interaction;

use crate::contract::item;
use crate::session::{Service, daemon, say, variable};
use crate::{APPLICATION, open};

/// Connects and reads as often as told: a child process of the stress test.
#[test]
#[ignore = "a child process of the stress test"]
fn child_reads() {
    let mut orders = std::io::stdin().lines().map(|line| line.expect("orders"));
    let mut order = || orders.next().expect("an order");
    let (mode, root, times) = (order(), order(), order());
    order();
    let stress = item(APPLICATION, "stress");
    for _ in 0..times.parse().expect("a number") {
        let found = match mode.as_str() {
            "raw" => {
                secret_service::blocking::SecretService::connect(secret_service::EncryptionType::Dh)
                    .expect("connects")
                    .search_items(HashMap::from([
                        ("service", APPLICATION),
                        ("username", "stress"),
                    ]))
                    .map_or(0, |found| found.unlocked.len())
            }
            // As a process begins that wants its key.
            _ => open(Path::new(&root))
                .unlock_and_get(&stress, Interaction::Forbidden, &mut || {})
                .expect("answers")
                .len(),
        };
        assert_eq!(found, 1);
    }
}

/// By itself: for more trials, and for those of other clients.
#[test]
fn simultaneous_readers() {
    let service = Service::of_this_session().filter(|service| *service != Service::Nobody);
    if let (Some(service), Some(_)) = (service, variable("VAULT_TEST_STRESS")) {
        let place = tempfile::tempdir().expect("a temporary folder");
        simultaneous_readers_leave_the_daemon_alive(service, place.path());
    }
}

/// Eight processes connect and read at the same moments, over and over.
///
/// `VAULT_TEST_TRIALS` and `VAULT_TEST_CONNECTIONS` ask for more;
/// `VAULT_TEST_STRESS=raw` connects as the usual crates do, and only counts, to
/// show what the first call is for.
pub(crate) fn simultaneous_readers_leave_the_daemon_alive(service: Service, root: &Path) {
    let number = |name, usual| variable(name).map_or(usual, |text| text.parse().expect("a number"));
    let trials: u32 = number("VAULT_TEST_TRIALS", 3);
    let connections: u32 = number("VAULT_TEST_CONNECTIONS", 25);
    let mode = variable("VAULT_TEST_STRESS").unwrap_or_else(|| "ours".to_owned());
    let store = open(root);
    let stress = item(APPLICATION, "stress");
    store
        .set(&stress, &b"token".to_vec().into())
        .expect("stores");
    let (mut died, mut failed) = (0, 0);
    for _ in 0..trials {
        let before = daemon().expect("a daemon");
        let mut readers: Vec<_> = (0..8)
            .map(|_| {
                let mut process = Command::new(std::env::current_exe().expect("this binary"))
                    .args(["--exact", "stress::child_reads", "--ignored"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("starts");
                let mut orders = process.stdin.take().expect("piped");
                writeln!(orders, "{mode}\n{}\n{connections}", root.display())
                    .expect("takes orders");
                (process, orders)
            })
            .collect();
        // All are started; now all read.
        for (_, orders) in &mut readers {
            writeln!(orders).expect("takes orders");
        }
        for (process, _orders) in readers {
            let output = process.wait_with_output().expect("ends");
            // A name that no test has would run none, and end well.
            let read = String::from_utf8_lossy(&output.stdout).contains("1 passed");
            failed += u32::from(!(output.status.success() && read));
        }
        if daemon() != Some(before) {
            died += 1;
            let now = daemon();
            say(&format!("the daemon was {before}, is {now:?}"));
            service.start();
        }
    }
    say(&format!(
        "stress ({mode}): {trials} trials of 8 processes of {connections} connections: \
         the daemon died in {died}, {failed} processes failed"
    ));
    if mode == "ours" {
        assert_eq!((died, failed), (0, 0));
    }
    store.delete(&stress).expect("deletes");
}
