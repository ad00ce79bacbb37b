//! Which file systems are remote.
//!
//! Locks on a network file system may be local to each machine, emulated, or
//! lost when the server restarts; two machines would then spend one token.
//! Only what is *known* to be remote is named here. FUSE can be anything, so
//! that only the remote FUSE file systems in common use are; a FUSE file system
//! that is not listed is taken for local.

use std::os::fd::OwnedFd;

use rustix::fs::Stat;

/// Names the remote file system that the folder is on.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn remote_file_system(folder: &OwnedFd, stat: &Stat) -> Option<String> {
    const FUSE: u64 = 0x6573_5546;
    // From linux/magic.h and the file systems' own headers.
    const REMOTE: [(u64, &str); 11] = [
        (0x6969, "nfs"),
        (0x517B, "smb"),
        (0xFF53_4D42, "cifs"),
        (0xFE53_4D42, "smb2"),
        // A host's files in a guest (WSL, containers): locks don't reach the host.
        (0x0102_1997, "9p"),
        (0x786F_4256, "vboxsf"),
        (0x5346_414F, "afs"),
        (0x6B41_4653, "afs"),
        (0x7375_7245, "coda"),
        (0x564C, "ncp"),
        (0x00C3_6400, "ceph"),
    ];
    const REMOTE_FUSE: [&str; 12] = [
        "sshfs",
        "rclone",
        "s3fs",
        "gcsfuse",
        "glusterfs",
        "curlftpfs",
        "goofys",
        "davfs",
        "davfs2",
        "gvfsd-fuse",
        "smbnetfs",
        "ceph",
    ];

    let magic = rustix::fs::fstatfs(folder).ok()?.f_type;
    // The kernel's type is signed on some architectures and of 32 bits on
    // others; the magic numbers have 32 bits.
    let magic = u64::from(magic as u32);
    if magic == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (major, minor) = (
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev),
        );
        let subtype = fuse_subtype(&mounts, &format!("{major}:{minor}"))?;
        return REMOTE_FUSE
            .contains(&subtype)
            .then(|| format!("fuse.{subtype}"));
    }
    REMOTE
        .iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, name)| (*name).to_owned())
}

/// Finds `sshfs` in the line of a device of the type `fuse.sshfs`; proc(5).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fuse_subtype<'a>(mounts: &'a str, device: &str) -> Option<&'a str> {
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some(device))?;
    let (_, after) = line.split_once(" - ")?;
    let (_, subtype) = after.split(' ').next()?.split_once('.')?;
    Some(subtype)
}

/// Names the remote file system that the folder is on.
#[cfg(any(target_os = "macos", target_os = "freebsd"))]
pub(super) fn remote_file_system(folder: &OwnedFd, _stat: &Stat) -> Option<String> {
    let file_system = rustix::fs::fstatfs(folder).ok()?;
    let name: String = file_system
        .f_fstypename
        .iter()
        .take_while(|c| **c != 0)
        .map(|c| char::from(c.to_ne_bytes()[0]))
        .collect();
    let remote = ["nfs", "smbfs", "afpfs", "webdav", "ftp", "sshfs"];
    remote.contains(&name.as_str()).then_some(name)
}

/// Says nothing: this system is not known well enough.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
)))]
pub(super) fn remote_file_system(_folder: &OwnedFd, _stat: &Stat) -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_file_system_is_known_by_its_mount_line() {
        let mounts = "\
22 1 0:21 / /proc rw,nosuid shared:13 - proc proc rw
98 28 0:52 / /home/u/far rw,nosuid,nodev shared:47 - fuse.sshfs host:/ rw,user_id=1000
99 28 0:53 / /home/u/near rw - fuse /dev/fuse rw
";
        assert_eq!(fuse_subtype(mounts, "0:52"), Some("sshfs"));
        assert_eq!(fuse_subtype(mounts, "0:53"), None);
        assert_eq!(fuse_subtype(mounts, "0:5"), None);
    }

    #[test]
    fn a_folder_of_this_machine_is_not_remote() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let descriptor = rustix::fs::open(
            folder.path(),
            rustix::fs::OFlags::RDONLY,
            rustix::fs::Mode::empty(),
        )
        .expect("opens");
        let stat = rustix::fs::fstat(&descriptor).expect("stat");
        assert_eq!(remote_file_system(&descriptor, &stat), None);
    }
}
