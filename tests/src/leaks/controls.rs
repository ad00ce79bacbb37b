//! The broken variant: a secret is let out on purpose, in each kind of place, by the same means by
//! which a program would; the search has to find it there and nowhere else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vault_core::platform::random;
use vault_core::platform::secret::SecretBytes;
use vault_core::platform::store::ItemName;

use super::Failure;
use super::kept::{self, Kind, Place};
use super::machine::{self, folder};
use super::search::{Row, search};
use super::watch::Watch;

/// Lets a secret out everywhere, searches, and gives the rows and the places where nothing was
/// found.
///
/// # Errors
///
/// If it can't be let out.
pub fn check() -> Result<(Vec<Row>, Vec<Place>), Failure> {
    let secret = format!(
        "rt-planted-{}",
        data_encoding::HEXLOWER.encode(&random::bytes::<24>())
    );
    kept::secret(Kind::RefreshToken, &secret);
    plant(&secret)?;
    let rows = search(folder()?)?;
    let found: BTreeSet<Place> = rows
        .iter()
        .filter(|row| !row.hits.is_empty())
        .map(|row| row.place)
        .collect();
    let has_keys = machine::key_ring()?.is_some();
    let missed = Place::ALL
        .into_iter()
        .filter(|place| has_keys || *place != Place::KernelKeys)
        .filter(|place| !found.contains(place));
    Ok((rows, missed.collect()))
}

fn plant(secret: &str) -> Result<(), Failure> {
    let place = tempfile::tempdir()?;
    let (temporary, state) = (place.path().join("tmp"), place.path().join("state"));
    std::fs::create_dir_all(state.join("items"))?;
    std::fs::create_dir(&temporary)?;
    let watch = Watch::of_files(&temporary, &state);

    // A process that has it as an argument, in its environment, and prints it.
    let mut arguments = Command::new("sh");
    arguments.args(["-c", WAITS, secret]).env("PLANTED", secret);
    look_at(&mut arguments, &watch)?;
    let mut executed = Command::new("sh");
    executed.args(["-c", WAITS]).env("ACCESS_TOKEN", secret);
    look_at(&mut executed, &watch)?;
    let mut saying = Command::new("sh")
        .args([
            "-c",
            "read words; echo \"$words\"; echo \"Basic $words\" >&2",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut words) = saying.stdin.take() {
        writeln!(words, "{}", STANDARD.encode(format!("user:{secret}")))?;
    }
    let said = saying.wait_with_output()?;
    for printed in [Place::TokenStdout, Place::AnyStdout, Place::Stdout] {
        kept::output(printed, &said.stdout);
    }
    kept::output(Place::Stderr, &said.stderr);
    kept::output(Place::Page, format!("<p>{secret}</p>"));
    kept::output(Place::Errors, format!("{:?}", secret.as_bytes()));

    kept::log();
    log_it(secret);
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| {
        kept::output(Place::Panics, panic.to_string())
    }));
    let message = secret.to_owned();
    let panicked = std::thread::spawn(move || std::panic::panic_any(message)).join();
    std::panic::set_hook(shown);
    if panicked.is_ok() {
        return Err("a panic does not end its thread".into());
    }

    // Files, one of them there for a moment only.
    std::fs::write(temporary.join("short-lived"), secret)?;
    watch.look_at_files();
    std::fs::remove_file(temporary.join("short-lived"))?;
    for name in [
        "history",
        "profile.json",
        "lock",
        "sealed.1",
        "folder",
        "items/1",
    ] {
        let hex = data_encoding::HEXUPPER.encode(secret.as_bytes());
        std::fs::write(state.join(name), format!("{{\"v\":1}}{hex}"))?;
    }
    drop(watch);
    plant_in_the_kernel(secret)
}

/// As the name of a key.
fn plant_in_the_kernel(secret: &str) -> Result<(), Failure> {
    let Some(ring) = machine::key_ring()? else {
        return Ok(());
    };
    let name = ItemName::new("vault.test.leaks", secret)?;
    ring.set(&name, &SecretBytes::from(b"nothing".to_vec()))?;
    let seen = Watch::of_processes();
    seen.look_at_keys();
    drop(seen);
    Ok(ring.delete(&name)?)
}

/// Tells that it runs, and runs until its input ends.
const WAITS: &str = "echo runs; read end";

/// Looks at a process that runs [`WAITS`] once it does: while a program is being loaded, `/proc` has
/// neither its arguments nor its environment.
fn look_at(command: &mut Command, watch: &Watch) -> Result<(), Failure> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut told = [0];
    if let Some(output) = &mut process.stdout {
        output.read_exact(&mut told)?;
    }
    watch.look_at(process.id());
    process.wait()?;
    Ok(())
}

/// Through the library that others log with, too.
fn log_it(secret: &str) {
    tracing::trace!(target: "some_library", header = %secret.escape_default(), "sent");
}
