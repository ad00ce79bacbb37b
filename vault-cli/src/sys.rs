//! How the program starts where the C library is glibc.
//!
//! Before `main`, Rust's standard library finds out where the stack ends, so
//! that its overflow is told in words beside the signal. The C library knows it
//! by reading `/proc/self/maps`, and all of that is a tenth of a call that
//! asks no store. So the C library starts this program itself, and what else
//! the standard library would have done is done here.

use std::ffi::{c_char, c_int};
use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::panic::catch_unwind;

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};
use vault_core::platform::exit::ignore_closed_pipes;

use crate::exit::Exit;
use crate::program;

/// The exit code of a Rust program that has panicked.
const PANICKED: c_int = 101;

/// What the C library calls. The standard library has the arguments from where
/// the C library keeps them for all.
#[expect(unsafe_code, reason = "only the program has a function of this name")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    if open_standard_streams().is_err() {
        return Exit::Failed.code().into();
    }
    ignore_closed_pipes();
    let code = catch_unwind(program::run).map_or(PANICKED, |exit| exit.code().into());
    // What is printed gets out, which a return would not see to.
    std::process::exit(code)
}

/// Opens those that whoever started the program has closed: the next file that
/// is opened would be taken for one.
fn open_standard_streams() -> io::Result<()> {
    for stream in [stdin(), stdout(), stderr()] {
        if fcntl_getfd(stream) == Err(Errno::BADF) {
            // It gets the lowest number that is free, the stream's, and stays open.
            let nothing = File::options().read(true).write(true).open("/dev/null")?;
            let _ = nothing.into_raw_fd();
        }
    }
    Ok(())
}
