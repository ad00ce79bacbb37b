//! Runs the strict authorization server for shell scripts, until standard input ends.
//!
//! ```text
//! authorization_server [--port N] [--issuer-path PATH] [--client-id ID]
//!     [--access-token-lifetime SECONDS] [--rotation strict|none|same|grace=SECONDS]
//!     [--refresh-token-prefix TEXT] [--refresh-token-length BYTES]
//!     [--device-approval by-hand|after=POLLS|deny-after=POLLS] [--latency SECONDS]
//! ```
//!
//! Seconds may be fractions. The first line of standard output is `{"issuer":…}`. Each line of
//! standard input is a command, answered by one line of JSON: `counts`, `log`, `login` (makes a
//! login without a flow and prints its tokens), `approve CODE` and `deny CODE` for device codes,
//! `current TOKEN` and `alive TOKEN`, `follow URL` (a browser stand-in).

#![expect(
    clippy::print_stdout,
    reason = "a script reads the answers from standard output"
)]

use std::error::Error;
use std::io::{self, BufRead as _};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use vault_tests::server::{
    AuthorizationServer, Client, DeviceApproval, Rotation, ServerConfig, browser,
};

fn main() -> Result<(), Box<dyn Error>> {
    let config = configuration(std::env::args().skip(1))?;
    let server = AuthorizationServer::start(config);
    println!("{}", json!({ "issuer": server.issuer() }));
    for line in io::stdin().lock().lines() {
        println!("{}", answer(&server, line?.trim())?);
    }
    Ok(())
}

fn answer(server: &AuthorizationServer, line: &str) -> Result<Value, Box<dyn Error>> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match command {
        "counts" => serde_json::to_value(server.counts())?,
        "log" => serde_json::to_value(server.refresh_log())?,
        "login" => {
            let login = server.issue_login();
            json!({ "refresh_token": login.refresh_token, "access_token": login.access_token })
        }
        "approve" => json!({ "approved": server.approve_device(argument) }),
        "deny" => json!({ "denied": server.deny_device(argument) }),
        "current" => json!({ "current": server.is_current_refresh_token(argument) }),
        "alive" => json!({ "alive": server.family_alive(argument) }),
        "follow" => match browser::follow(argument) {
            Ok(page) => json!({ "url": page.url, "status": page.status }),
            Err(error) => json!({ "error": error.to_string() }),
        },
        _ => json!({ "error": "unknown command" }),
    })
}

fn configuration(
    mut arguments: impl Iterator<Item = String>,
) -> Result<ServerConfig, Box<dyn Error>> {
    let mut config = ServerConfig::default();
    while let Some(option) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--port" => config.port = value.parse()?,
            "--issuer-path" => config.issuer_path = value,
            "--client-id" => config.clients = vec![Client::public(&value)],
            "--access-token-lifetime" => config.access_token_lifetime = seconds(&value)?,
            "--rotation" => config.rotation = rotation(&value)?,
            "--refresh-token-prefix" => config.refresh_token_prefix = value,
            "--refresh-token-length" => config.refresh_token_length = value.parse()?,
            "--device-approval" => config.device_approval = approval(&value)?,
            "--latency" => config.latency = seconds(&value)?,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    Ok(config)
}

fn seconds(text: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::try_from_secs_f64(f64::from_str(text)?)?)
}

fn rotation(text: &str) -> Result<Rotation, Box<dyn Error>> {
    Ok(match text.split_once('=') {
        None if text == "strict" => Rotation::Strict,
        None if text == "none" => Rotation::None,
        None if text == "same" => Rotation::Same,
        Some(("grace", window)) => Rotation::Grace(seconds(window)?),
        _ => return Err(format!("unknown rotation {text}").into()),
    })
}

fn approval(text: &str) -> Result<DeviceApproval, Box<dyn Error>> {
    Ok(match text.split_once('=') {
        None if text == "by-hand" => DeviceApproval::ByHand,
        Some(("after", polls)) => DeviceApproval::AfterPolls(polls.parse()?),
        Some(("deny-after", polls)) => DeviceApproval::DenyAfterPolls(polls.parse()?),
        _ => return Err(format!("unknown approval {text}").into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ServerConfig, Box<dyn Error>> {
        configuration(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn options_become_the_configuration() {
        let config = parsed("--access-token-lifetime 0.5 --rotation grace=10 --port 0");
        let config = config.expect("well-formed");
        assert_eq!(config.access_token_lifetime, Duration::from_millis(500));
        assert_eq!(config.rotation, Rotation::Grace(Duration::from_secs(10)));
        let config = parsed("--device-approval after=3").expect("well-formed");
        assert_eq!(config.device_approval, DeviceApproval::AfterPolls(3));
    }

    #[test]
    fn a_wrong_option_is_an_error() {
        for line in ["--port", "--rotation loose", "--speed 3", "--latency -1"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
