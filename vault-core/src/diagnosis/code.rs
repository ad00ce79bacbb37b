//! The codes of findings. A code never changes its meaning: scripts and people
//! remember it.
//!
//! `VD00n` is the check number n, and means that it found nothing wrong, or
//! could not be made; `VDnxx` are what that check finds wrong.

use std::fmt;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It was proved to work.
    Passed,
    /// It works, and somebody should know this.
    Warning,
    /// It does not work.
    Failed,
    /// There is nothing to check, or nothing to check it with.
    Skipped,
}

macro_rules! codes {
    ($($name:ident $text:literal $verdict:ident $meaning:literal,)*) => {
        /// What a finding is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $name,)*
        }

        impl Code {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is written: `VD101`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, for people who look it up.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// How good that is.
            #[must_use]
            pub fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict,)* }
            }
        }
    };
}

codes! {
    Folder "VD001" Passed "the state folder is private and has room",
    Lock "VD002" Passed "the refresh lock excludes others",
    Store "VD003" Passed "the store gave back what was written to it",
    Login "VD004" Passed "what is stored of the login is whole",
    Server "VD005" Passed "the authorization server describes itself",
    Revocations "VD006" Passed "revocations that waited are done",
    Tokens "VD007" Passed "no server has refused the tokens",
    History "VD008" Passed "the chain of rotations is unbroken",
    OtherTools "VD009" Passed "no tool that is known keeps a secret in a readable file",

    FolderNotPrivate "VD101" Failed "others can read the state folder, or write to it",
    FolderNotOwned "VD102" Failed "the state folder, or a file in it, belongs to another user",
    FolderReplaced "VD103" Failed "a link, or something else, stands where the state folder or a file of it should be",
    FolderRemote "VD104" Failed "the state folder is on a network file system, which may lose locks",
    FolderUnwritable "VD105" Failed "the state folder can't be used",
    DiskFull "VD106" Failed "there is no room for the next rotation",

    LockHeld "VD201" Warning "another process holds the refresh lock",
    LockUseless "VD202" Failed "locks exclude nobody on this file system",

    StoreMissing "VD301" Failed "the store is not there",
    StoreLocked "VD302" Failed "the store is locked",
    StoreHung "VD303" Failed "the store does not answer",
    StoreElsewhere "VD304" Failed "the login is kept in another store than was named",
    StoreKeyWrong "VD305" Failed "the key or passphrase is not the store's",
    StoreDamaged "VD306" Failed "the store holds something that can't be read",
    StoreRefused "VD307" Failed "the store may not be used",
    StoreFailed "VD308" Failed "the store failed",
    StoreForgets "VD309" Warning "the store forgets the login at a reboot",

    ItemMissing "VD401" Failed "the store no longer holds the login's key",
    SealedDamaged "VD402" Failed "the sealed file is damaged",
    FormatTooNew "VD403" Failed "a newer version wrote what is stored",
    KeptElsewhere "VD404" Failed "the login is kept in another state folder",
    SealedMissing "VD405" Failed "the state folder was emptied, and the login is in the store alone",
    SealedForeign "VD406" Failed "the sealed file belongs to another key than the store holds",
    TokenTooLarge "VD407" Warning "the refresh token is too large for the store: the sealed file is its only copy",
    CopyStale "VD408" Warning "the copy in the store is missing or older than the sealed file",
    DpopKeyLost "VD409" Failed "the DPoP key that the tokens are bound to is gone",
    LogoutUnfinished "VD410" Warning "something is left of a login that was ended",
    DamagedKept "VD411" Warning "a damaged file was set aside",

    ServerAway "VD501" Failed "the authorization server can't be reached",
    ServerUntrusted "VD502" Failed "the authorization server's certificate is not trusted",
    IssuerMismatch "VD503" Failed "the authorization server calls itself otherwise",
    ServerUnclear "VD504" Failed "something else than the authorization server answers",
    ServerFailing "VD505" Failed "the authorization server is busy or failing",
    ServerInsecure "VD506" Failed "tokens would travel over an open line",
    ClockOff "VD507" Failed "this machine's clock and the server's differ",

    RevocationWaits "VD601" Failed "a refresh token of a login that was ended is not revoked yet",

    RefreshRefused "VD701" Failed "the authorization server refused the refresh token",
    AnswerLost "VD702" Failed "the answer to the last rotation was lost",
    AnswerPending "VD703" Warning "a rotation was sent and its answer has not come; the next refresh asks again",
    BackingOff "VD704" Warning "all processes stay away from the server for a while",
    ClientRefused "VD705" Failed "the authorization server refuses the client",
    AccessRefused "VD706" Failed "the server refuses the access token",
    RefreshEnded "VD707" Failed "the server says that the refresh token has ended",

    HistoryBroken "VD801" Warning "rotations are missing in the history",
    HistoryUnreadable "VD802" Warning "the history has lines that can't be read",

    PlaintextSecret "VD901" Warning "another tool keeps a secret in a readable file",
}

impl Code {
    /// The number of its check.
    pub(crate) fn number(self) -> u8 {
        match self.as_str().as_bytes() {
            [_, _, b'0', _, number] | [_, _, number, ..] => *number,
            _ => 0,
        }
    }

    /// What its check is called.
    #[must_use]
    pub fn check(self) -> &'static str {
        match self.number() {
            b'1' => "state folder",
            b'2' => "refresh lock",
            b'3' => "store",
            b'4' => "login",
            b'5' => "server",
            b'6' => "revocations",
            b'7' => "tokens",
            b'8' => "history",
            _ => "other tools",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_different_and_say_which_check_they_belong_to() {
        let texts: std::collections::BTreeSet<_> =
            Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.len() == 5 && text.starts_with("VD"), "{text}");
            let is_check = text.as_bytes()[2] == b'0';
            assert_eq!(code.verdict() == Verdict::Passed, is_check, "{text}");
        }
        assert_eq!(Code::ClockOff.check(), "server");
        assert_eq!(Code::Server.check(), "server");
        assert_eq!(Code::PlaintextSecret.check(), "other tools");
    }

    #[test]
    fn the_page_lists_every_code_with_its_meaning() {
        let page = include_str!("../../../docs/DOCTOR.md");
        for code in Code::ALL {
            let row = format!("| {code} | {} |", code.meaning());
            assert!(page.contains(&row), "{row}");
        }
    }
}
