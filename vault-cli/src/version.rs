//! What `--version` tells beyond the number.

use std::sync::LazyLock;

use vault_core::platform::store::StoreKind;

static LONG: LazyLock<String> = LazyLock::new(|| {
    let mut text = env!("CARGO_PKG_VERSION").to_owned();
    if let Some(commit) = option_env!("VAULT_CLI_COMMIT") {
        text.push_str(&format!("\ncommit: {commit}"));
    }
    let stores = StoreKind::compiled_in().iter().map(|kind| kind.as_str());
    text + "\nstores: " + &stores.collect::<Vec<_>>().join(", ")
});

/// The version, the commit of a release where it is known, and the stores that
/// this build can use, the system's own first.
pub(crate) fn long() -> &'static str {
    &LONG
}
