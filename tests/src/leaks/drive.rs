//! Everything that `vault-cli` does, done once, with servers that are right, wrong and broken.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustix::process::{Pid, Signal, kill_process};

use super::Failure;
use super::echo::{self, Echo};
use super::kept::{self, Kind};
use super::machine::{self, Machine};
use crate::server::{
    AccessTokenFormat, Alteration, AuthorizationServer, Client, ClientAuthentication,
    DeviceApproval, Dpop, Endpoint, Fault, IdTokens, PushedRequests, Reply, ResponseParameter,
    ServerConfig, Stage,
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// Drives the program through everything. Gives what was done, a line each.
///
/// # Errors
///
/// If the program ends otherwise than it should: then it was not driven through everything.
pub fn everything() -> Result<Vec<&'static str>, Failure> {
    type Part = (&'static str, fn(&Machine) -> Result<(), Failure>);
    let parts: [Part; 11] = [
        ("login with a browser, and every command", every_command),
        ("login with a device code", device),
        ("proofs of possession, pushed requests", proofs),
        ("confidential clients", confidential),
        ("import", import),
        ("logins that are refused", refused_logins),
        ("refreshes that fail", failed_refreshes),
        ("servers that repeat what they are sent", echoes),
        ("signals in the middle, files that are damaged", interrupted),
        ("a passphrase, and its change", passphrase),
        ("the kernel's key ring", key_ring),
    ];
    // Most of it is waiting.
    std::thread::scope(|scope| {
        let running = parts.map(|(name, part)| {
            let run = move || {
                Machine::new()
                    .and_then(|machine| part(&machine))
                    .map_err(|error| format!("{name}: {error}"))
            };
            (name, scope.spawn(run))
        });
        let mut done = Vec::new();
        for (name, thread) in running {
            thread.join().map_err(|_| format!("{name}: panicked"))??;
            done.push(name);
        }
        Ok(done)
    })
}

fn server(change: impl FnOnce(&mut ServerConfig)) -> AuthorizationServer {
    let mut config = ServerConfig::default();
    change(&mut config);
    AuthorizationServer::start(config)
}

fn every_command(machine: &Machine) -> Result<(), Failure> {
    for format in [
        AccessTokenFormat::Opaque { length: 43 },
        AccessTokenFormat::JwtShaped { bytes: 1200 },
    ] {
        let server = server(|config| config.access_token_format = format);
        machine.log_in(
            server.issuer(),
            &["--scope", "openid", "--scope", "read"],
            0,
        )?;
        for arguments in [
            &["token"][..],
            &["token", "--json"],
            &["token", "--header"],
            &["token", "--scope", "read"],
            &["token", "--resource", "https://api.example/"],
            &["refresh"],
            &["refresh", "--force"],
            &["refresh", "--force", "--json"],
            &["show"],
            &["show", "--json"],
            &["status"],
            &["list"],
            &["list", "--json"],
            &["history"],
            &["history", "--json"],
            &["doctor"],
            &["doctor", "--json"],
            &["issuers"],
            &["logout"],
        ] {
            machine.run(arguments, 0)?;
        }
        machine.run(&["token"], 3)?;
        machine.log_in(server.issuer(), &["--json"], 0)?;
        machine.run(&["logout", "--json", "--no-revoke"], 0)?;
    }
    Ok(())
}

fn device(machine: &Machine) -> Result<(), Failure> {
    let server = server(|config| {
        config.device_approval = DeviceApproval::AfterPolls(1);
        config.device_interval = Duration::from_millis(1);
    });
    let flow = ["--flow", "device"];
    machine.log_in(server.issuer(), &flow, 0)?;
    machine.run(&["refresh", "--force"], 0)?;
    server.configure(|config| config.device_approval = DeviceApproval::DenyAfterPolls(1));
    machine.log_in(server.issuer(), &flow, 1)?;
    machine.run(&["token"], 0)
}

fn proofs(machine: &Machine) -> Result<(), Failure> {
    let server = server(|config| {
        config.dpop = Dpop::WithNonce;
        config.pushed_requests = PushedRequests::Required;
    });
    machine.log_in(server.issuer(), &["--dpop"], 0)?;
    let api = server.url("/userinfo");
    for arguments in [
        &["token"][..],
        &["token", "--header", "--dpop-url", &api],
        &["refresh", "--force"],
        &["show"],
        &["show", "--json"],
        &["doctor"],
    ] {
        machine.run(arguments, 0)?;
    }
    server.renew_nonces();
    machine.run(&["refresh", "--force"], 0)?;
    let refusal = Fault::oauth_error(400, "invalid_dpop_proof");
    server.fail_always(Endpoint::Token, refusal);
    machine.run(&["refresh", "--force"], 1)?;
    server.clear_faults(Endpoint::Token);
    machine.run(&["logout"], 0)
}

fn confidential(machine: &Machine) -> Result<(), Failure> {
    const SECRET: &str = "a-fake-client-secret-with-a-canary-1f9c27";
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| "no key")?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
        .map_err(|_| "no key")?;
    let public_key = pair.public_key().as_ref().to_vec();
    // Version, algorithm and so on stand before the private part, and say nothing.
    kept::secret(Kind::ClientKey, &pkcs8.as_ref()[36..68]);
    kept::secret(Kind::ClientSecret, SECRET);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(pkcs8.as_ref())
    );
    let secret = machine.private_file("client-secret", SECRET.as_bytes())?;
    let key = machine.private_file("client-key", pem.as_bytes())?;
    for (authentication, option, file) in [
        (
            ClientAuthentication::SecretBasic(SECRET.to_owned()),
            ["--client-secret-file", &secret],
            "client_secret_basic",
        ),
        (
            ClientAuthentication::SecretPost(SECRET.to_owned()),
            ["--client-secret-file", &secret],
            "client_secret_post",
        ),
        (
            ClientAuthentication::PrivateKeyJwt {
                public_key,
                certificate: None,
            },
            ["--client-key-file", &key],
            "private_key_jwt",
        ),
    ] {
        let server = server(|config| {
            config.clients = vec![Client::confidential("vault-cli", authentication)];
        });
        let more = [&option[..], &["--client-auth", file]].concat();
        machine.log_in(server.issuer(), &more, 0)?;
        for arguments in [
            &["refresh", "--force"][..],
            &["show", "--json"],
            &["doctor"],
        ] {
            machine.run(arguments, 0)?;
        }
        let refusal = Fault::oauth_error(401, "invalid_client");
        server.fail_next(Endpoint::Token, 1, refusal);
        machine.run(&["refresh", "--force"], 1)?;
        machine.run(&["logout"], 0)?;
    }
    // The key's file given for the secret's, and the other way round.
    let server = server(|_| {});
    machine.log_in(server.issuer(), &["--client-key-file", &secret], 2)?;
    Ok(())
}

fn import(machine: &Machine) -> Result<(), Failure> {
    let server = server(|_| {});
    let issued = server.issue_login();
    let arguments = [
        "import",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
    ];
    machine.run_with_input(&arguments, issued.refresh_token.as_bytes(), 0)?;
    machine.run(&["token"], 0)?;
    // The same once more, and what is no token.
    let stale = server.issue_login().refresh_token;
    server.revoke_family(&stale);
    machine.run_with_input(&arguments, stale.as_bytes(), 0)?;
    machine.run(&["token"], 3)?;
    let broken = format!("{stale}\n{stale}\u{7f}\n");
    machine.run_with_input(&arguments, broken.as_bytes(), 2)?;
    machine.run_with_input(
        &[&arguments[..], &["--json"]].concat(),
        broken.as_bytes(),
        2,
    )
}

fn refused_logins(machine: &Machine) -> Result<(), Failure> {
    let server = server(|_| {});
    for like in [
        IdTokens::Omitted,
        IdTokens::Unsigned,
        IdTokens::Symmetric,
        IdTokens::WrongSignature,
        IdTokens::UnknownKey,
        IdTokens::OtherIssuer,
        IdTokens::OtherAudience,
        IdTokens::OtherNonce,
        IdTokens::Expired,
    ] {
        server.configure(|config| config.id_token = like);
        machine.log_in(server.issuer(), &["--scope", "openid"], 1)?;
    }
    server.configure(|config| config.state_parameter = ResponseParameter::Altered);
    machine.log_in(server.issuer(), &[], 1)?;
    server.configure(|config| {
        config.state_parameter = ResponseParameter::Right;
        config.iss_parameter = ResponseParameter::Altered;
    });
    machine.log_in(server.issuer(), &["--json"], 1)?;
    server.configure(|config| config.iss_parameter = ResponseParameter::Right);
    server.fail_next(Endpoint::Token, 1, Fault::TruncateBody);
    machine.log_in(server.issuer(), &[], 1)
}

fn failed_refreshes(machine: &Machine) -> Result<(), Failure> {
    let page = Reply::html(502, "Bad Gateway");
    for fault in [
        Fault::status(500),
        Fault::status(400),
        Fault::unavailable(1),
        Fault::oauth_error(400, "invalid_request"),
        Fault::oauth_error(400, "invalid_grant"),
        Fault::oauth_error(500, "server_error"),
        Fault::Instead(page.clone()),
        Fault::ReplaceAnswer(page),
        Fault::Drop,
        Fault::LoseAnswer,
        Fault::CutAnswer,
        Fault::TruncateBody,
        Fault::PadBody(3 << 20),
        Fault::remove("access_token"),
        Fault::remove("refresh_token"),
        Fault::set("access_token", 7),
        Fault::set("refresh_token", serde_json::json!(["a"])),
        Fault::set("token_type", "unknown"),
        Fault::set("expires_in", "soon"),
        Fault::Alter(Alteration::ContentType("text/html")),
        Fault::SameRefreshToken,
    ] {
        for json in [false, true] {
            let server = server(|_| {});
            machine.log_in(server.issuer(), &[], 0)?;
            server.fail_next(Endpoint::Token, 9, fault.clone());
            let more: &[&str] = if json { &["--json"] } else { &[] };
            let refresh = [&["refresh", "--force"], more].concat();
            // How it ends is what the fault matrix is for.
            machine.run_anyhow(&refresh)?;
            machine.run_anyhow(&["show"])?;
        }
    }
    Ok(())
}

fn echoes(machine: &Machine) -> Result<(), Failure> {
    for (number, echo) in Echo::ALL.into_iter().enumerate() {
        let endpoint = echo::serve(echo)?;
        let token = format!("rt-a-fake-token-that-is-repeated-{number}-5b1e0d9a7c34");
        kept::secret(Kind::RefreshToken, &token);
        let profile = format!("echo-{number}");
        let import = [
            "--profile",
            &profile,
            "import",
            "--token-endpoint",
            &endpoint,
            "--client-id",
            "vault-cli",
        ];
        machine.run_with_input(&import, token.as_bytes(), 0)?;
        for more in [&[][..], &["--json"]] {
            let refresh = [&["--profile", &profile, "refresh", "--force"], more].concat();
            if machine.run_anyhow(&refresh)?.success() {
                return Err(format!("a refresh that was refused succeeds: {echo:?}").into());
            }
        }
        machine.run(&["--profile", &profile, "show", "--json"], 0)?;
        machine.run(&["--profile", &profile, "history"], 0)?;
    }
    machine.run(&["list"], 0)
}

fn interrupted(machine: &Machine) -> Result<(), Failure> {
    let server = server(|_| {});
    let refresh = ["refresh", "--force"];
    for (signal, stage, ends) in [
        (Signal::INT, Stage::Answered, -2),
        (Signal::TERM, Stage::Arrived, -15),
        (Signal::KILL, Stage::Answered, -9),
        (Signal::ABORT, Stage::Answered, -6),
    ] {
        machine.log_in(server.issuer(), &[], 0)?;
        let hold = server.hold(Endpoint::Token, stage);
        let child = machine.start(machine.command(&refresh), b"")?;
        if !hold.wait_for(1, LONG) {
            return Err("nothing was sent".into());
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no process")?, signal)?;
        if matches!(signal, Signal::KILL | Signal::ABORT) {
            machine.finish(child, &refresh, ends)?;
            drop(hold);
        } else {
            drop(hold);
            machine.finish(child, &refresh, ends)?;
        }
        machine.run(&["show"], 0)?;
    }
    machine.log_in(server.issuer(), &[], 0)?;
    for path in kept::below(&machine.path("state")) {
        // What was set aside on the way is gone.
        let Ok(whole) = std::fs::read(&path) else {
            continue;
        };
        std::fs::write(&path, &whole[..whole.len() / 2])?;
        for arguments in [&["token"][..], &["show", "--json"], &["doctor"]] {
            machine.run_anyhow(arguments)?;
        }
        // What was set aside or written anew stays as it is.
        std::fs::write(&path, whole).ok();
    }
    Ok(())
}

fn passphrase(machine: &Machine) -> Result<(), Failure> {
    const WORDS: &str = "a fake passphrase of canary words 77";
    const OTHERS: &str = "another fake passphrase, 31 canaries";
    kept::secret(Kind::Passphrase, WORDS);
    kept::secret(Kind::Passphrase, OTHERS);
    let words = machine.private_file("words", WORDS.as_bytes())?;
    let others = machine.private_file("others", OTHERS.as_bytes())?;
    let server = server(|_| {});
    let issued = server.issue_login();
    let import = [
        "import",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
    ];
    let run = |file: &str, arguments: &[&str], input: &[u8], ends| {
        let mut command = machine.command(arguments);
        command.env_remove("VAULT_KEY_FILE");
        command.env("VAULT_PASSPHRASE_FILE", file);
        machine.finish(machine.start(command, input)?, arguments, ends)
    };
    run(&words, &import, issued.refresh_token.as_bytes(), 0)?;
    run(&words, &["token"], b"", 0)?;
    run(&others, &["refresh", "--force"], b"", 4)?;
    run(
        &words,
        &["passphrase", "--new-passphrase-file", &others],
        b"",
        0,
    )?;
    run(&others, &["refresh", "--force"], b"", 0)?;
    run(&words, &["show"], b"", 4)?;
    run(&others, &["logout"], b"", 0)
}

/// Items and a remembered key in the kernel, whose names anybody of the user's may list.
fn key_ring(machine: &Machine) -> Result<(), Failure> {
    let Some(ring) = machine::key_ring()? else {
        return Ok(());
    };
    let application = format!("vault.test.leaks.{}", std::process::id());
    let server = server(|config| config.dpop = Dpop::Offered);
    let here = ["--store", "keyutils", "--app", &application];
    machine.log_in(server.issuer(), &[&here[..], &["--dpop"]].concat(), 0)?;
    machine::tell_secrets_in(&*ring, &application)?;
    let run = |arguments: &[&str]| {
        let mut command = machine.command(&[&here[..], arguments].concat());
        command
            .env_remove("VAULT_STORE")
            .env_remove("VAULT_KEY_FILE");
        machine.finish(machine.start(command, b"")?, arguments, 0)
    };
    run(&["token"])?;
    run(&["refresh", "--force"])?;
    run(&["doctor"])?;
    run(&["logout"])
}
