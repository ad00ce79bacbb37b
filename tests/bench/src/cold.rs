//! A valid token for a process that has just been started, one and eight of them at once, beside
//! other programs that fetch one secret.

use std::io::Write;
use std::process::{Command, Stdio};

use vault_core::platform::store::StoreKind;

use crate::agent::OidcAgent;
use crate::place::{Place, Server, installed};
use crate::table::{Row, Table, Unit};
use crate::{Result, measure};

const ROUNDS: usize = 201;
const ROUNDS_AT_ONCE: usize = 41;

pub fn measure(table: &mut Table) -> Result<()> {
    let mut server = Server::start(&[])?;
    let place = Place::new(StoreKind::SecretService)?;
    place.log_in(&mut server, "default")?;
    let files = Place::new(StoreKind::EncryptedFile)?;
    files.log_in(&mut server, "default")?;
    keep_with_secret_tool()?;
    run(Command::new(installed("keyring_entry")?).arg("fake-refresh-token"))?;
    let agent = OidcAgent::start()?;
    let nothing = installed("nothing")?;
    let keyring = installed("keyring_entry")?;
    let remembered = || {
        let mut command = place.vault_cli(&["token"]);
        command.env("VAULT_REMEMBER", "10min");
        command
    };
    let is_remembered = is_remembered(&remembered)?;

    let secret_service = || place.vault_cli(&["token"]);
    let secret_tool = || lookup();
    let keyring = || Command::new(&keyring);
    let oidc_token = || agent.token();
    let encrypted_file = || files.vault_cli(&["token"]);
    let nothing = || Command::new(&nothing);
    let mut contenders: Vec<&dyn Fn() -> Command> = vec![
        &secret_service,
        &secret_tool,
        &keyring,
        &oidc_token,
        &encrypted_file,
        &nothing,
    ];
    if is_remembered {
        contenders.push(&remembered);
    } else {
        table.note("`--remember` keeps no key of the Secret Service: there is no figure for that.");
    }

    let one = measure::processes(ROUNDS, 1, &contenders)?;
    let row = |what: &str, ours: f64| Row::new(what, Unit::Milliseconds, ours);
    let what = "cold `vault-cli token`, Secret Service";
    table.add(
        row(what, one[0])
            .beside("secret-tool", one[1])
            .at_most_times(0.5),
    );
    table.add(
        row(what, one[0])
            .beside("keyring 4", one[2])
            .at_most_times(0.6),
    );
    table.add(row(what, one[0]).beside("oidc-token", one[3]));
    if let Some(remembered) = one.get(6) {
        let what = "the same, key in the kernel's keyring";
        table.add(
            row(what, *remembered)
                .beside("oidc-token", one[3])
                .at_most_times(1.0),
        );
    }
    let what = "cold `vault-cli token`, encrypted file";
    table.add(row(what, one[4]).beside("oidc-token", one[3]));
    table.add(row(what, one[4]).beside("a program that does nothing", one[5]));

    // What no client of it can save, nor share with others that come at the same moment.
    let daemon = daemon()?;
    let what = "of it, gnome-keyring's own time on a processor";
    table.add(
        row(what, time_of(daemon, &secret_service)?)
            .beside("for secret-tool", time_of(daemon, &secret_tool)?),
    );

    let eight = measure::processes(ROUNDS_AT_ONCE, 8, &contenders)?;
    let what = "8 at once, to the last, Secret Service";
    table.add(
        row(what, eight[0])
            .beside("secret-tool", eight[1])
            .at_most(20.0),
    );
    table.add(row(what, eight[0]).beside("keyring 4", eight[2]));
    table.add(row(what, eight[0]).beside("oidc-token", eight[3]));
    if let Some(remembered) = eight.get(6) {
        let what = "the same, key in the kernel's keyring";
        table.add(row(what, *remembered).beside("oidc-token", eight[3]));
    }
    let what = "8 at once, to the last, encrypted file";
    table.add(row(what, eight[4]).beside("8 programs that do nothing", eight[5]));
    Ok(())
}

/// Whether the kernel holds the key once it was asked to: without a bus there is a token still.
fn is_remembered(command: &dyn Fn() -> Command) -> Result<bool> {
    run(&mut command())?;
    let mut without = command();
    without.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    Ok(without.output()?.status.success())
}

/// The process that is the Secret Service.
fn daemon() -> Result<u32> {
    let output = Command::new("dbus-send")
        .args(["--session", "--print-reply=literal"])
        .args(["--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"])
        .arg("org.freedesktop.DBus.GetConnectionUnixProcessID")
        .arg("string:org.freedesktop.secrets")
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let number = said.split_whitespace().last();
    Ok(number.ok_or("nobody is the Secret Service")?.parse()?)
}

/// The milliseconds on a processor that each of many calls costs that process.
fn time_of(process: u32, call: &dyn Fn() -> Command) -> Result<f64> {
    const CALLS: u32 = 200;
    // In hundredths of a second: see proc_pid_stat(5).
    let spent = || -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (_, fields) = status.rsplit_once(") ").ok_or("a status")?;
        let mut spent = 0.0;
        for time in fields.split(' ').skip(11).take(2) {
            spent += 10.0 * time.parse::<f64>()?;
        }
        Ok(spent)
    };
    let before = spent()?;
    for _ in 0..CALLS {
        run(&mut call())?;
    }
    Ok((spent()? - before) / f64::from(CALLS))
}

fn keep_with_secret_tool() -> Result<()> {
    let mut command = Command::new("secret-tool");
    command.args(["store", "--label", "bench", "service", "vault-bench-tool"]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    child
        .stdin
        .take()
        .ok_or("a pipe")?
        .write_all(b"fake-refresh-token")?;
    if !child.wait()?.success() {
        return Err("secret-tool could not store".into());
    }
    Ok(())
}

pub fn lookup() -> Command {
    let mut command = Command::new("secret-tool");
    command.args(["lookup", "service", "vault-bench-tool"]);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {output:?}").into());
    }
    Ok(())
}
