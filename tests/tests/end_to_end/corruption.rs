//! A sealed file that was changed on disk, a byte here and there, or a store's
//! item, under a login that goes on: the strict server ends it at the first token
//! that comes twice.

use std::path::PathBuf;

use vault_core::error::ErrorKind;

use crate::scene::{Scene, wait_until};

fn sealed(scene: &Scene) -> PathBuf {
    let entries = std::fs::read_dir(scene.state()).unwrap();
    let mut files = entries.map(|entry| entry.unwrap().path());
    let is_sealed = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("sealed.") && name.len() == 39
    };
    files.find(is_sealed).expect("a sealed file")
}

/// Damage gives a token of this login, or an error that says what to do; when
/// the file is as it was, or the store's copy has replaced it, all goes on.
fn survives(scene: &Scene, what: &str, damaged: &[u8]) -> bool {
    let path = sealed(scene);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, damaged).unwrap();
    let repaired = match scene.session().blocking().access_token() {
        Ok(_) => true,
        Err(error) => {
            let kind = error.kind();
            let is_clear = matches!(kind, ErrorKind::NewerVersion | ErrorKind::Corrupted);
            assert!(is_clear, "{what}: {error:?}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "{what}");
            std::fs::write(&path, &good).unwrap();
            false
        }
    };
    let after = scene.session().blocking().refresh_now(&Default::default());
    assert!(after.is_ok(), "{what}: the login is lost: {after:?}");
    repaired
}

#[test]
fn a_changed_byte_anywhere_in_the_sealed_file_costs_no_login() {
    let scene = Scene::strict();
    scene.session().blocking().access_token().unwrap();
    let length = std::fs::read(sealed(&scene)).unwrap().len();
    let mut repaired = 0;
    // Each field of the beginning, then every so often, and the last byte.
    let places = (0..16).chain((16..length).step_by(length / 40));
    for at in places.chain([usize::MAX]) {
        let mut file = std::fs::read(sealed(&scene)).unwrap();
        let at = at.min(file.len() - 1);
        file[at] ^= 1;
        repaired += usize::from(survives(&scene, &format!("byte {at}"), &file));
    }
    assert!(repaired > 20, "{repaired}");
}

#[test]
fn a_sealed_file_that_was_cut_or_grew_costs_no_login() {
    let scene = Scene::strict();
    scene.session().blocking().access_token().unwrap();
    for part in [0, 1, 13, 14, 100, 500] {
        let file = std::fs::read(sealed(&scene)).unwrap();
        let cut = survives(&scene, &format!("{part} bytes"), &file[..part]);
        assert!(cut, "repaired from the store: {part}");
    }
    let file = std::fs::read(sealed(&scene)).unwrap();
    assert!(survives(&scene, "a byte more", &[&file[..], b"x"].concat()));
    let file = std::fs::read(sealed(&scene)).unwrap();
    assert!(survives(
        &scene,
        "the file twice",
        &[&file[..], &file].concat()
    ));
}

/// The store's copy is only that: while the sealed file is whole, the login is.
#[test]
fn a_copy_in_the_store_that_is_damaged_keeps_no_token_from_being_refreshed() {
    let scene = Scene::strict();
    scene.session().blocking().access_token().unwrap();
    let items = std::fs::read_dir(Scene::items(&scene.state_root())).unwrap();
    let items = items.map(|entry| entry.unwrap().path());
    let items: Vec<_> = items
        .filter(|path| path.extension().is_some_and(|kind| kind == "item"))
        .collect();
    assert_eq!(items.len(), 2, "{items:?}");
    let refreshes = |item: &PathBuf| {
        let good = std::fs::read(item).unwrap();
        let damaged = &good[..good.len() / 2];
        std::fs::write(item, damaged).unwrap();
        let refreshed = scene.session().blocking().refresh_now(&Default::default());
        let Err(error) = refreshed else {
            let is_new = || std::fs::read(item).unwrap() != damaged;
            wait_until("the copy is written again", is_new);
            return true;
        };
        assert_eq!(error.kind(), ErrorKind::StoreFailed, "{error:?}");
        std::fs::write(item, good).unwrap();
        false
    };
    // Not without the key.
    assert_eq!(items.iter().filter(|item| refreshes(item)).count(), 1);
    let after = scene.session().blocking().refresh_now(&Default::default());
    assert!(after.is_ok(), "{after:?}");
}
