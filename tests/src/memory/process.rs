//! All of a process's memory, read from outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;

use super::needle::{Canary, Needles, PIECE};

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// A process whose memory can be read: its files of /proc, which are opened while that is still
/// allowed. A process that has made itself undumpable gives them to root.
#[derive(Debug)]
pub(super) struct Process {
    memory: File,
    mappings: File,
}

/// One mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    readable: bool,
    /// `heap`, `stack`, `anonymous`, or the file's name.
    pub(super) name: String,
    /// It can't be swapped, and no core dump has it.
    pub(super) locked: bool,
}

/// A copy of a canary.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Which canary's.
    pub(super) canary: usize,
    pub(super) form: &'static str,
    /// The mapping's name.
    pub(super) place: String,
    /// In memory that is locked and left out of dumps.
    pub(super) locked: bool,
}

/// What was found in a process.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) copies: Vec<Copy>,
    /// How much was searched, in bytes.
    pub(super) searched: u64,
    /// Mappings that should be readable and are not.
    pub(super) unread: Vec<String>,
}

impl Process {
    pub(super) fn open(id: u32) -> io::Result<Self> {
        Ok(Self {
            memory: File::open(format!("/proc/{id}/mem"))?,
            mappings: File::open(format!("/proc/{id}/smaps"))?,
        })
    }

    /// Looks for the canaries in every mapping.
    pub(super) fn scan(&mut self, canaries: &[Canary]) -> io::Result<Scan> {
        let needles = Needles::of(canaries);
        let mut scan = self.scan_once(&needles)?;
        // A thread ends, and its stack goes.
        for _ in 0..3 {
            if scan.unread.is_empty() {
                break;
            }
            scan = self.scan_once(&needles)?;
        }
        Ok(scan)
    }

    fn scan_once(&mut self, needles: &Needles) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for mapping in self.mappings()?.iter().filter(|mapping| mapping.readable) {
            let mut found = BTreeMap::new();
            let read = self.each_chunk(mapping, |chunk, at| {
                needles.search(chunk, |piece, place| {
                    let begins = (at + place as u64).wrapping_sub(piece.offset as u64);
                    found.insert((piece.canary, piece.form, begins), ());
                });
            })?;
            scan.searched += read;
            // What the kernel shares with every process to tell the time is not to be read so.
            if read < mapping.end - mapping.start && !mapping.name.starts_with("[v") {
                scan.unread.push(mapping.name.clone());
            }
            scan.copies
                .extend(found.into_keys().map(|(canary, form, _)| Copy {
                    canary,
                    form,
                    place: mapping.name.clone(),
                    locked: mapping.locked,
                }));
        }
        Ok(scan)
    }

    /// Every mapping, in order.
    pub(super) fn mappings(&mut self) -> io::Result<Vec<Mapping>> {
        let mut text = String::new();
        self.mappings.rewind()?;
        self.mappings.read_to_string(&mut text)?;
        let mut mappings: Vec<Mapping> = Vec::new();
        for line in text.lines() {
            if let Some(mapping) = Mapping::parse(line) {
                mappings.push(mapping);
            } else if let Some(flags) = line.strip_prefix("VmFlags:")
                && let Some(mapping) = mappings.last_mut()
            {
                let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
                mapping.locked = has("lo") && has("dd");
            }
        }
        Ok(mappings)
    }

    /// Reads a mapping in overlapping chunks; gives how much could be read.
    fn each_chunk(&self, mapping: &Mapping, mut each: impl FnMut(&[u8], u64)) -> io::Result<u64> {
        let mut buffer = vec![0; CHUNK + PIECE];
        let mut at = mapping.start;
        let mut read = 0;
        while at < mapping.end {
            let wanted = (CHUNK + PIECE).min(usize::try_from(mapping.end - at).unwrap_or(CHUNK));
            let length = match self.memory.read_at(&mut buffer[..wanted], at) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // EIO: a device's, or beyond the end of a file.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
                Err(error) => return Err(error),
            };
            each(&buffer[..length], at);
            let ended = at + length as u64 >= mapping.end;
            let step = if ended {
                length
            } else {
                length.saturating_sub(PIECE - 1).max(1)
            };
            at += step as u64;
            read += step as u64;
        }
        Ok(read)
    }
}

impl Mapping {
    /// A line of `smaps` that begins a mapping.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let permissions = words.next()?;
        let name = words.nth(3).unwrap_or_default();
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            readable: permissions.starts_with('r'),
            name: match name {
                "" => "anonymous".to_owned(),
                "[heap]" => "heap".to_owned(),
                "[stack]" => "stack".to_owned(),
                path => path.rsplit('/').next().unwrap_or(path).to_owned(),
            },
            locked: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(name: &'static str) -> Canary {
        Canary::new(name, vault_core::platform::random::bytes::<48>())
    }

    #[test]
    fn each_form_that_is_planted_is_found_in_a_process() {
        let canary = canary("planted");
        let forms = canary.forms();
        let mut process = Process::open(std::process::id()).expect("one's own memory");
        let scan = process.scan(std::slice::from_ref(&canary)).expect("reads");
        std::hint::black_box(&forms);
        for name in ["plain", "hex", "base64", "utf-16"] {
            let planted = forms.iter().filter(|(form, _)| *form == name).count();
            let found = scan.copies.iter().filter(|copy| copy.form == name).count();
            assert!(found >= planted, "{name}: {found} of {planted}");
        }
        assert!(scan.unread.is_empty(), "{:?}", scan.unread);
    }

    #[test]
    fn what_lies_in_locked_memory_is_told_apart() {
        use vault_core::platform::locked::{AfterFork, LockedBytes};

        let secret = LockedBytes::filled(48, AfterFork::Wiped, |bytes| {
            vault_core::platform::random::fill(bytes);
        });
        let canary = Canary::new("locked", secret.expose());
        let mut process = Process::open(std::process::id()).expect("one's own memory");
        let scan = process.scan(&[canary]).expect("reads");
        let plain = scan.copies.iter().filter(|copy| copy.form == "plain");
        assert_eq!(plain.filter(|copy| copy.locked).count(), 1);
    }
}
