//! What every store promises, asked of two instances of it.

use std::sync::Arc;

use vault_platform::secret::SecretBytes;
use vault_platform::store::{Interaction, ItemName, SecretStore};

/// Whether a store takes bytes or lines of text.
pub(crate) const ANY_BYTES: bool = true;

pub(crate) fn item(application: &str, account: &str) -> ItemName {
    ItemName::new(application, account).expect("a valid name")
}

fn secret(text: &str) -> SecretBytes {
    text.as_bytes().to_vec().into()
}

fn stored(store: &Arc<dyn SecretStore>, item: &ItemName) -> Vec<Vec<u8>> {
    let found = store.get(item).expect("answers");
    found
        .iter()
        .map(|secret| secret.expose().to_vec())
        .collect()
}

/// Checks the contract under an application's name that nobody else uses.
pub(crate) fn is_kept(application: &str, any_bytes: bool, open: impl Fn() -> Arc<dyn SecretStore>) {
    let (one, two) = (open(), open());
    one.unlock(Interaction::Forbidden).expect("ready");
    two.unlock(Interaction::Forbidden).expect("ready");
    let (work, key) = (item(application, "work"), item(application, "work#key"));
    let foreign = item(&format!("{application}.other"), "work");

    // Absent is empty.
    assert!(stored(&one, &work).is_empty());
    assert!(one.list(application).expect("answers").is_empty());

    // What one writes the other reads; accounts and applications stay apart.
    one.set(&work, &secret("first")).expect("stores");
    one.set(&foreign, &secret("foreign")).expect("stores");
    assert_eq!(stored(&two, &work), [b"first"]);
    assert!(stored(&two, &key).is_empty());
    two.set(&key, &secret("key")).expect("stores");
    assert_eq!(stored(&one, &key), [b"key"]);

    // A set replaces.
    two.set(&work, &secret("second, longer")).expect("replaces");
    assert_eq!(stored(&one, &work), [b"second, longer"]);
    one.set(&work, &secret("3")).expect("replaces");
    assert_eq!(stored(&two, &work), [b"3"]);

    // A list has the application's own items, each once.
    let expected = [work.clone(), key.clone()];
    assert_eq!(two.list(application).expect("answers"), expected);

    // Long lines survive, and bytes where the store takes them.
    let limit = one.capabilities().size_limit.unwrap_or(20_000).min(20_000);
    let mut values = vec![vec![b'x'; limit], b" ~!\"#$%&'()*+,-./\\".to_vec()];
    if any_bytes {
        values.extend([Vec::new(), (0..=255).collect(), vec![0; 100]]);
    }
    for value in values {
        one.set(&work, &value.clone().into()).expect("stores");
        assert_eq!(stored(&two, &work), [value]);
    }

    // A delete is final, may be repeated, and takes nothing else along.
    one.delete(&work).expect("deletes");
    two.delete(&work).expect("deletes what is gone");
    assert!(stored(&one, &work).is_empty());
    assert_eq!(stored(&two, &key), [b"key"]);
    assert_eq!(
        one.list(application).expect("answers"),
        std::slice::from_ref(&key)
    );
    one.delete(&key).expect("deletes");
    assert_eq!(stored(&two, &foreign), [b"foreign"]);
    two.delete(&foreign).expect("deletes");
    assert!(one.list(application).expect("answers").is_empty());
}
