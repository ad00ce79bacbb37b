//! The history: from it alone, the chain of rotations is put together, and it
//! is unbroken whoever wrote it and whoever was killed. The soak does the same
//! for longer.

use vault_core::display::HistoryEntry;
use vault_tests::soak::chain::{Chain, chains};

use super::scene::{LIFETIME, Scene, errors, pause};

/// The one chain in the history, and the number of rotations at the server.
fn chain(scene: &Scene) -> (Chain, u64) {
    let history = scene.session().history().unwrap();
    let chains = chains(&history).unwrap();
    assert_eq!(chains.len(), 1);
    let (_, chain) = chains.into_iter().next().unwrap();
    (chain, scene.server.counts().refreshes_ok)
}

#[test]
fn many_processes_write_one_unbroken_chain() {
    let scene = Scene::strict();
    let mut fleet = scene.fleet(6, 4);
    for _ in 0..3 {
        assert_eq!(errors(&fleet.round().unwrap()), Vec::<&str>::new());
        pause(LIFETIME);
    }
    drop(fleet);
    let (chain, rotations) = chain(&scene);
    assert_eq!(
        chain,
        Chain {
            first: 1,
            last: rotations + 1,
            recovered: 0
        }
    );
}

#[test]
fn a_rotation_whose_process_died_before_it_said_so_is_in_the_chain() {
    // From the commit on, the rotation is made; the line comes last of all.
    for point in [
        "refresh.after:Commit",
        "refresh.before:CopyToItem",
        "refresh.after:ClearMark",
        "refresh.before:Record",
    ] {
        let scene = Scene::strict();
        let mut first = scene.other();
        assert_eq!(first.ask(&format!("kill {point}")), "done");
        first.order("token");
        first.wait();
        let (before, _) = chain(&scene);
        assert_eq!(before.last, 1, "{point}");

        let mut second = scene.other();
        assert_eq!(second.ask("refresh"), "done", "{point}");
        // It has its token before the line is written.
        second.end();
        let (after, rotations) = chain(&scene);
        assert_eq!(rotations, 2, "{point}");
        assert_eq!(
            after,
            Chain {
                first: 1,
                last: 3,
                recovered: 1
            },
            "{point}"
        );
    }
}

#[test]
fn a_chain_that_was_cut_off_ends_with_the_logout() {
    let scene = Scene::strict();
    let mut first = scene.other();
    assert_eq!(first.ask("kill refresh.before:Record"), "done");
    first.order("token");
    first.wait();
    scene.session().blocking().logout(true).unwrap();
    let history = scene.session().history().unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|entry| (entry.event.as_str(), entry.generation))
        .collect();
    assert_eq!(told, [("login", 1), ("refresh", 2), ("logout", 2)]);
}

#[test]
fn a_history_that_is_full_loses_its_older_half_and_no_link_of_the_newer() {
    let scene = Scene::strict();
    // Lines of an older login, up to the limit.
    let file = scene.state().join("history");
    let own = std::fs::read_to_string(&file).unwrap();
    let older = own.replace(
        &scene.session().history().unwrap()[0].login.to_string(),
        &"0".repeat(32),
    );
    let full = 256 * 1024;
    let padding: String = older.repeat((full - own.len()) / older.len());
    std::fs::write(&file, padding + &own).unwrap();

    let mut fleet = scene.fleet(4, 2);
    for _ in 0..4 {
        assert_eq!(errors(&fleet.round().unwrap()), Vec::<&str>::new());
        pause(LIFETIME);
    }
    drop(fleet);
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < full as u64 * 3 / 4, "{size} bytes");
    let history = scene.session().history().unwrap();
    let own: Vec<HistoryEntry> = history
        .into_iter()
        .filter(|entry| entry.login.to_string() != "0".repeat(32))
        .collect();
    let chains = chains(&own).unwrap();
    let chain = chains.values().next().unwrap();
    assert_eq!(chain.last, scene.server.counts().refreshes_ok + 1);
}

#[test]
fn no_token_is_in_the_history() {
    let scene = Scene::strict();
    let session = scene.session();
    session.blocking().access_token().unwrap();
    let inspection = session.blocking().inspect().unwrap();
    let text = std::fs::read_to_string(scene.state().join("history")).unwrap();
    for secret in [
        inspection.refresh_token.expose(),
        inspection.access_tokens[0].token.expose(),
    ] {
        assert!(secret.len() > 20);
        // Nor a part of one.
        assert!(!text.contains(&secret[3..15]));
    }
}
