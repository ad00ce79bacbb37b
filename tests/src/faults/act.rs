//! The faults themselves: what is done to a login's surroundings, and how it
//! is undone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Stop;
use super::bench::{APPLICATION, Bench, PROFILE};
use crate::server::{AuthorizationServer, Endpoint, Fault, Hold, Reply, ServerConfig, Stage};

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Every request to the token endpoint meets this.
    Always(Fault),
    /// The next request to the token endpoint meets this.
    Once(Fault),
    /// Requests to the token endpoint stop there for as long as this lasts.
    Stall(Stage),
    /// The server answers with a redirect to another server.
    RedirectElsewhere,
    /// Nobody listens at the server's port.
    NoListener,
    /// An administrator has revoked the login.
    RevokeLogin,
    /// The key of the store is not had.
    Key(KeyFault),
    /// Somebody removes an item from the store.
    DeleteItem(&'static str),
    /// Somebody removes the sealed file.
    DeleteSealed,
    /// A bit of the sealed file has turned over.
    GarbleSealed,
    /// Somebody removes the whole state folder.
    DeleteFolder,
    /// A folder gets another mode.
    Mode(Target, u32),
    /// The file system is read-only.
    ReadOnly,
    /// The file system is full.
    Full,
    /// The file system has room for a small file, and for no more.
    NearlyFull,
}

/// What is wrong with the key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// It is not there.
    Missing,
    /// Its mode allows nobody to read it.
    Unreadable,
    /// It holds another key.
    Other,
    /// It holds something that is no key.
    Garbage,
    /// Reading it never ends.
    Endless,
    /// Others can read it.
    Exposed,
    /// The program was told of none.
    NotGiven,
}

/// A folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The profile's state folder.
    State,
    /// The items of the encrypted-file store.
    Items,
}

/// How an act is undone; dropping it undoes nothing but a hold.
#[derive(Debug)]
pub(super) enum Undo {
    Nothing,
    ClearFaults,
    Release(Hold),
    Elsewhere(AuthorizationServer),
    Listen,
    /// A file that was moved away.
    PutBack(PathBuf, PathBuf),
    GiveKey,
    Mode(PathBuf, Permissions),
    Writable,
    Empty,
}

impl Target {
    fn path(self, bench: &Bench) -> PathBuf {
        let application = bench.place.state_root().join(APPLICATION);
        application.join(match self {
            Self::State => PROFILE,
            Self::Items => "items",
        })
    }
}

impl Act {
    /// Whether the act itself changes what is stored, for good.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::DeleteItem(_) | Self::DeleteSealed | Self::GarbleSealed | Self::DeleteFolder
        )
    }

    pub(super) fn perform(&self, bench: &mut Bench) -> Result<Undo, Stop> {
        Ok(match self {
            Self::Always(fault) => {
                bench.server.fail_always(Endpoint::Token, fault.clone());
                Undo::ClearFaults
            }
            Self::Once(fault) => {
                bench.server.fail_next(Endpoint::Token, 1, fault.clone());
                Undo::ClearFaults
            }
            Self::Stall(stage) => Undo::Release(bench.server.hold(Endpoint::Token, *stage)),
            Self::RedirectElsewhere => {
                let other = AuthorizationServer::start(ServerConfig::default());
                let redirect = Fault::Instead(Reply::redirect(&other.url("/token")));
                bench.server.fail_always(Endpoint::Token, redirect);
                Undo::Elsewhere(other)
            }
            Self::NoListener => {
                bench.server.stop_listening();
                Undo::Listen
            }
            Self::RevokeLogin => {
                bench.server.revoke_family(&bench.issued);
                Undo::Nothing
            }
            Self::Key(fault) => fault.perform(bench)?,
            Self::DeleteItem(account) => {
                let name = data_encoding::BASE32_DNSSEC.encode(account.as_bytes());
                fs::remove_file(Target::Items.path(bench).join(name + ".item"))?;
                Undo::Nothing
            }
            Self::DeleteSealed => {
                fs::remove_file(sealed_file(bench)?)?;
                Undo::Nothing
            }
            Self::GarbleSealed => {
                let path = sealed_file(bench)?;
                let mut bytes = fs::read(&path)?;
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                fs::write(&path, bytes)?;
                Undo::Nothing
            }
            Self::DeleteFolder => {
                fs::remove_dir_all(Target::State.path(bench))?;
                Undo::Nothing
            }
            Self::Mode(target, mode) => {
                let path = target.path(bench);
                set_mode(path, *mode)?
            }
            Self::ReadOnly => {
                bench.place.set_read_only(true)?;
                Undo::Writable
            }
            Self::Full => {
                bench.place.fill(0)?;
                Undo::Empty
            }
            Self::NearlyFull => {
                bench.place.fill(24 * 1024)?;
                Undo::Empty
            }
        })
    }
}

impl KeyFault {
    fn perform(self, bench: &mut Bench) -> Result<Undo, Stop> {
        let path = bench.place.key_file();
        let aside = path.with_extension("aside");
        match self {
            Self::Unreadable => return set_mode(path, 0),
            Self::Exposed => return set_mode(path, 0o644),
            Self::NotGiven => {
                bench.key_given = false;
                return Ok(Undo::GiveKey);
            }
            Self::Missing | Self::Other | Self::Garbage | Self::Endless => {}
        }
        fs::rename(&path, &aside)?;
        match self {
            Self::Other => vault_platform::store::create_key_file(&path)?,
            Self::Garbage => {
                fs::write(&path, "open sesame\n")?;
                fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            }
            Self::Endless => make_pipe(&path)?,
            _ => {}
        }
        Ok(Undo::PutBack(aside, path))
    }
}

impl Undo {
    /// Undoes the act. Tells what is wrong if the act has seen something.
    pub(super) fn perform(self, bench: &mut Bench) -> Result<Option<String>, Stop> {
        match self {
            Self::Nothing => {}
            Self::ClearFaults => bench.server.clear_faults(Endpoint::Token),
            Self::Release(hold) => drop(hold),
            Self::Elsewhere(other) => {
                bench.server.clear_faults(Endpoint::Token);
                if other.counts().requests.total() > 0 {
                    return Ok(Some("the redirect was followed".to_owned()));
                }
            }
            Self::Listen => bench.server.listen_again(),
            Self::PutBack(aside, path) => {
                release_reader(&path);
                fs::rename(aside, path)?;
            }
            Self::GiveKey => bench.key_given = true,
            Self::Mode(path, permissions) => fs::set_permissions(path, permissions)?,
            Self::Writable => bench.place.set_read_only(false)?,
            Self::Empty => bench.place.empty()?,
        }
        Ok(None)
    }
}

fn set_mode(path: PathBuf, mode: u32) -> Result<Undo, Stop> {
    let before = fs::metadata(&path)?.permissions();
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    Ok(Undo::Mode(path, before))
}

fn sealed_file(bench: &Bench) -> Result<PathBuf, Stop> {
    for entry in fs::read_dir(Target::State.path(bench))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with("sealed.")) {
            return Ok(path);
        }
    }
    Err(Stop::Broken("there is no sealed file".into()))
}

/// A pipe that nobody writes to: opening it for reading waits.
#[cfg(target_os = "linux")]
fn make_pipe(path: &std::path::Path) -> Result<(), Stop> {
    use rustix::fs::{CWD, FileType, Mode};

    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?)
}

#[cfg(not(target_os = "linux"))]
fn make_pipe(_path: &std::path::Path) -> Result<(), Stop> {
    Err(Stop::Skip("a pipe is made on Linux only".into()))
}

/// Lets go who waits in opening a pipe.
fn release_reader(path: &std::path::Path) {
    use std::os::unix::fs::FileTypeExt;

    if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        // For reading and writing, which never waits.
        fs::File::options().read(true).write(true).open(path).ok();
    }
}
