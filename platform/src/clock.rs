//! The clock: the only file that reads one.
//!
//! Expiry is kept on two clocks. The *sleep-counting* clock starts at boot,
//! goes on while the machine sleeps and can't be set, but means nothing after
//! a reboot; the *wall* clock survives a reboot but may be wrong or be set.
//! [`BootId`] tells whether two readings of the first can be compared.
//!
//! Time is a parameter: code takes a [`Clock`], tests pass a [`ManualClock`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::random;

/// Names one run of one machine's sleep-counting clock.
///
/// A hash of the system's boot id and, on Linux, of the time namespace (a
/// container may have its own offset). Where the system tells no boot id it is
/// random in each process, so that no two readings seem comparable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BootId({self})")
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Which run of the sleep-counting clock `since_boot` belongs to.
    pub boot: BootId,
    /// Time since boot, sleep included.
    pub since_boot: Duration,
    /// Time since the UNIX epoch by the wall clock, which may be off; zero
    /// when it stands before the epoch.
    pub wall: Duration,
}

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads both clocks.
    fn now(&self) -> Now;

    /// Reads the sleep-counting clock alone, which is cheaper.
    fn since_boot(&self) -> Duration {
        self.now().since_boot
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            boot: boot_id(),
            since_boot: since_boot(),
            wall: wall(),
        }
    }

    fn since_boot(&self) -> Duration {
        since_boot()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the clock"
)]
fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

#[cfg(unix)]
fn since_boot() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    // Linux stops CLOCK_MONOTONIC in suspend and counts it in CLOCK_BOOTTIME;
    // Darwin counts it in CLOCK_MONOTONIC.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(windows)]
fn since_boot() -> Duration {
    Duration::from_millis(crate::sys::milliseconds_since_boot())
}

fn boot_id() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let Some(name) = boot_name() else {
            tracing::debug!("the system tells no boot id");
            return BootId(random::bytes());
        };
        let digest = Sha256::digest(&name);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        BootId(id)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_name() -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;

    let mut name = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    // Absent on kernels before 5.6, which have no time namespaces either.
    if let Ok(namespace) = std::fs::read_link("/proc/self/ns/time") {
        name.extend_from_slice(namespace.as_os_str().as_bytes());
    }
    Some(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_name() -> Option<Vec<u8>> {
    crate::sys::boot_name()
}

/// A clock that stands still until it is moved; clones share one time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Now>>);

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// Makes a clock an hour after boot, at 2001-09-09T01:46:40Z.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Now {
            boot: BootId([1; 16]),
            since_boot: Duration::from_secs(3600),
            wall: Duration::from_secs(1_000_000_000),
        })))
    }

    /// Sets both clocks and the boot id.
    pub fn set(&self, now: Now) {
        *self.time() = now;
    }

    /// Sets the wall clock alone, as a person or NTP does.
    pub fn set_wall(&self, wall: Duration) {
        self.time().wall = wall;
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        time.since_boot += by;
        time.wall += by;
    }

    /// Boots the machine anew, `after` the last reading by the wall clock.
    pub fn reboot(&self, after: Duration) {
        let mut time = self.time();
        time.boot = BootId(random::bytes());
        time.since_boot = Duration::ZERO;
        time.wall += after;
    }

    fn time(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_forward_within_one_boot() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert_eq!(first.boot, second.boot);
        assert!(second.since_boot >= first.since_boot);
        assert!(first.since_boot > Duration::ZERO);
        // Later than the day this was written.
        assert!(first.wall > Duration::from_secs(1_700_000_000));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_sleep_counting_clock_is_the_kernels_uptime() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("readable");
        let seconds: f64 = uptime
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("a number");
        let difference = SystemClock.since_boot().as_secs_f64() - seconds;
        assert!((-1.0..60.0).contains(&difference), "{difference}");
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_for_all_clones() {
        let clock = ManualClock::new();
        let clone = clock.clone();
        let before = clock.now();
        clone.advance(Duration::from_secs(5));
        assert_eq!(
            clock.since_boot(),
            before.since_boot + Duration::from_secs(5)
        );
        clock.set_wall(Duration::from_secs(1));
        assert_eq!(clone.now().wall, Duration::from_secs(1));
        clock.reboot(Duration::from_secs(60));
        assert_ne!(clone.now().boot, before.boot);
        assert_eq!(clone.since_boot(), Duration::ZERO);
    }
}
