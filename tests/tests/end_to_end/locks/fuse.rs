//! A file system of one empty folder, spoken over `/dev/fuse`: enough to be
//! mounted under the name of a network file system (linux/fuse.h, protocol 7).

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread::JoinHandle;

const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
/// These are not answered.
const FORGET: [u32; 3] = [2, 36, 42];

const REQUEST_HEADER: usize = 40;
const ENOSYS: i32 = -38;
/// A folder with the mode 0700.
const FOLDER: u32 = 0o040_700;

/// The connection to the kernel.
pub(crate) struct Fuse(File);

impl Fuse {
    pub(crate) fn open() -> Self {
        let mut options = File::options();
        Self(options.read(true).write(true).open("/dev/fuse").unwrap())
    }

    /// The descriptor, for the process that mounts.
    pub(crate) fn descriptor(&self) -> Stdio {
        self.0.try_clone().unwrap().into()
    }

    /// Answers, on a thread, until it is unmounted.
    pub(crate) fn answer(self) -> JoinHandle<()> {
        std::thread::spawn(move || {
            let mut kernel = self.0;
            let mut request = vec![0; 1 << 17];
            loop {
                match kernel.read(&mut request) {
                    Ok(length) if length >= REQUEST_HEADER => {
                        if let Some(answer) = answer(&request[..length]) {
                            // It was interrupted, or unmounted meanwhile.
                            kernel.write_all(&answer).ok();
                        }
                    }
                    // Not mounted yet.
                    Err(error) if error.raw_os_error() == Some(1) => {
                        crate::scene::pause(std::time::Duration::from_millis(1));
                    }
                    _ => return,
                }
            }
        })
    }
}

fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
    let operation = number(4);
    if FORGET.contains(&operation) {
        return None;
    }
    let words: Option<Vec<u32>> = match operation {
        // Version 7.31, nothing special; the greatest write last but two.
        INIT => {
            let mut words = vec![0; 16];
            words[0] = 7;
            words[1] = 31;
            words[5] = 4096;
            Some(words)
        }
        GETATTR => {
            let mut words = vec![0; 26];
            // After 4 words of validity: the inode, and behind 15 words mode
            // and links.
            words[4] = 1;
            words[19] = FOLDER;
            words[20] = 2;
            Some(words)
        }
        OPENDIR => Some(vec![0; 4]),
        STATFS => Some(vec![0; 20]),
        RELEASEDIR => Some(Vec::new()),
        _ => None,
    };
    let error = if words.is_some() { 0 } else { ENOSYS };
    let words = words.unwrap_or_default();
    let length = u32::try_from(16 + 4 * words.len()).unwrap();
    let mut answer = length.to_ne_bytes().to_vec();
    answer.extend(error.to_ne_bytes());
    answer.extend(&request[8..16]);
    answer.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    Some(answer)
}
