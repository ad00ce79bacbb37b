//! KWallet's wallets: open, and locked on the bus all the same.
//!
//! KWallet (seen with kwalletd5 of KDE Frameworks 5.103) shows each wallet as
//! locked until some program has asked to unlock it, by a prompt. A wallet that
//! is open, as it is once its user has logged in to the desktop, is unlocked by
//! that without asking anybody, unless the user has chosen to be asked about
//! every program. So there it may be done for a program that must not prompt.
//! Which wallets are open, KWallet's own interface tells.

use std::time::Duration;

use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use super::bus::{Bus, COLLECTION, PROPERTIES, program};

const KWALLET: &str = "org.kde.KWallet";

/// For an answer that nobody is asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

impl Bus {
    /// Whether this is an open wallet of KWallet's.
    pub(super) fn is_open_wallet(&self, collection: &OwnedObjectPath) -> bool {
        let path = match self.process().and_then(program).as_deref() {
            Some(name @ ("kwalletd5" | "kwalletd6")) => format!("/modules/{name}"),
            _ => return false,
        };
        let label = self.ask(
            collection.as_str(),
            PROPERTIES,
            "Get",
            &(COLLECTION, "Label"),
        );
        let Some(wallet) = label
            .ok()
            .and_then(|label: OwnedValue| String::try_from(label).ok())
        else {
            return false;
        };
        self.ask(&path, KWALLET, "isOpen", &(wallet,))
            .unwrap_or(false)
    }
}
