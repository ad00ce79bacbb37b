//! One flow with one feature: what is done, and what must have come of it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::authority::Authority;
use super::machine::{Machine, Said};
use super::matrix::{Bench, Cell, Feature, Flow};
use super::provider::{Answer, Provider};
use super::{Failure, ensure};

/// The person at the provider.
const ACCOUNT: &str = "alice";

const RESOURCES: [&str; 2] = ["https://files.example/", "https://mail.example/"];

/// A machine, and a client of its own at the provider.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) provider: &'a Provider,
    pub(super) machine: Machine,
    authority: &'a Authority,
    client: String,
    flow: Flow,
    feature: Feature,
    /// The machine's own copy of the authority's certificate.
    ca_file: PathBuf,
}

/// What is left out or wrong in a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum But {
    Nothing,
    NoAuthority,
    WrongCredential,
}

/// Runs a cell.
///
/// # Errors
///
/// The first thing that is not as it must be.
pub(super) fn run(bench: &Bench, cell: Cell) -> Result<(), Failure> {
    let scene = Scene::new(bench, cell.flow, cell.feature, &cell.client())?;
    match cell.flow {
        Flow::Browser | Flow::Pushed | Flow::Device => scene.login()?,
        Flow::Import => scene.import()?,
        Flow::Refresh => scene.refresh()?,
        Flow::Logout => scene.logout()?,
    }
    // Of an import with a wrong credential only its first refresh tells.
    let is_confidential = cell.feature.client_authentication() != "none";
    let refused = u64::from(cell.flow == Flow::Import && is_confidential);
    scene.counted("refreshes_refused", refused)?;
    for what in ["reuse_detected", "server_errors"] {
        scene.counted(what, 0)?;
    }
    if cell.feature.is_bound() {
        let requests = scene.count("token_requests")?;
        scene.counted("proofs", requests)?;
    }
    Ok(())
}

impl<'a> Scene<'a> {
    pub(super) fn new(
        bench: &'a Bench,
        flow: Flow,
        feature: Feature,
        client: &str,
    ) -> Result<Self, Failure> {
        let machine = Machine::new()?;
        let ca_file = machine.file("ca.pem");
        std::fs::copy(bench.authority.root_file(), &ca_file)?;
        Ok(Self {
            provider: bench.provider(flow),
            authority: &bench.authority,
            client: client.to_owned(),
            machine,
            flow,
            feature,
            ca_file,
        })
    }

    fn login(&self) -> Result<(), Failure> {
        self.must_refuse(|but| self.log_in(&self.machine, but))?;
        let done = self.log_in(&self.machine, But::Nothing)?.done("login")?;
        let account = &done.json()["account"];
        ensure(account == ACCOUNT, || format!("logged in as {account}"))?;
        self.counted("logins", 1)?;
        let pushed = u64::from(self.flow == Flow::Pushed);
        if self.flow != Flow::Device {
            self.counted("pushed_requests", pushed)?;
        }
        self.tokens_work()?;
        if self.feature == Feature::IdToken {
            self.wrong_id_tokens()?;
        }
        Ok(())
    }

    fn import(&self) -> Result<(), Failure> {
        let elsewhere = Machine::new()?;
        self.log_in(&elsewhere, But::Nothing)?.done("login")?;
        let token = elsewhere.stored_refresh_token()?;
        let import = |but| {
            let mut arguments = vec!["import".to_owned(), "--json".to_owned()];
            arguments.extend(self.client_options(but)?);
            let said = self.machine.run_with_input(&arguments, token.expose())?;
            match but {
                // It asks the server nothing: the first refresh tells, and spends nothing.
                But::WrongCredential => self.machine.run(&["refresh", "--force", "--json"]),
                _ => Ok(said),
            }
        };
        self.must_refuse(import)?;
        import(But::Nothing)?.done("import")?;
        self.tokens_work()?;
        self.machine
            .run(&["refresh", "--force"])?
            .done("refresh")
            .map(drop)
    }

    fn refresh(&self) -> Result<(), Failure> {
        self.log_in(&self.machine, But::Nothing)?.done("login")?;
        if self.feature == Feature::Tls {
            // What is trusted is known with the login.
            std::fs::remove_file(&self.ca_file)?;
        }
        let mut tokens = vec![self.token(&[])?];
        for rotation in 1..=2 {
            self.machine.run(&["refresh", "--force"])?.done("refresh")?;
            self.counted("refreshes_ok", rotation)?;
            self.counted("refresh_tokens_consumed", rotation)?;
            let token = self.token(&[])?;
            ensure(!tokens.contains(&token), || "the same token again".into())?;
            tokens.push(token);
        }
        self.tokens_work()
    }

    fn logout(&self) -> Result<(), Failure> {
        self.log_in(&self.machine, But::Nothing)?.done("login")?;
        if self.feature == Feature::Tls {
            std::fs::remove_file(&self.ca_file)?;
        }
        self.tokens_work()?;
        let token = self.token(&[])?;
        self.is_introspected_as(&token, true)?;
        let left = self.machine.run(&["logout", "--json"])?.done("logout")?;
        ensure(left.json()["revoked"] == true, || {
            format!("not revoked: {}", left.stdout)
        })?;
        self.counted("revocations", 1)?;
        self.counted("grants_revoked", 1)?;
        ensure(!self.provider.takes(&token)?, || {
            "the access token outlives the login".into()
        })?;
        self.is_introspected_as(&token, false)?;
        let mut asks = vec![vec!["token"]];
        asks.extend(RESOURCES.map(|resource| vec!["token", "--resource", resource]));
        for ask in asks {
            let said = self.machine.run(&ask)?;
            ensure(said.code == Some(3), || format!("after the logout: {said}"))?;
        }
        Ok(())
    }

    /// What the provider tells others of an access token (RFC 7662). A client
    /// that has to prove itself for it is left out.
    fn is_introspected_as(&self, token: &str, active: bool) -> Result<(), Failure> {
        if self.feature.client_authentication() != "none" {
            return Ok(());
        }
        let told = self.provider.introspect(&self.client, token)?;
        let is_as_expected = told.status == 200 && told.json["active"] == active;
        ensure(is_as_expected, || format!("introspected: {told:?}"))?;
        ensure(
            !active || told.json["client_id"] == self.client.as_str(),
            || format!("another client's: {told:?}"),
        )
    }

    /// What the feature protects against, where a person logs in or imports.
    fn must_refuse(&self, attempt: impl Fn(But) -> Result<Said, Failure>) -> Result<(), Failure> {
        let (but, requests) = match self.feature {
            Feature::Tls => (But::NoAuthority, ["token_requests", "pushed_requests"]),
            Feature::Basic | Feature::Post | Feature::PrivateKey | Feature::DpopPrivateKey => {
                (But::WrongCredential, ["refreshes_ok", "server_errors"])
            }
            _ => return Ok(()),
        };
        let mut before = [0; 2];
        for (count, what) in before.iter_mut().zip(requests) {
            *count = self.count(what)?;
        }
        let said = attempt(but)?;
        ensure(!matches!(said.code, Some(0) | None), || {
            format!("{but:?} was taken: {said}")
        })?;
        for (count, what) in before.into_iter().zip(requests) {
            self.counted(what, count)?;
        }
        let words = match but {
            But::WrongCredential => "invalid_client",
            _ => "certificate",
        };
        ensure(said.json()["error"].to_string().contains(words), || {
            format!("{but:?} is not told: {said}")
        })
    }

    /// An ID token that is not the answer to this login, by its nonce or its signature.
    fn wrong_id_tokens(&self) -> Result<(), Failure> {
        // The answer to a device code has no nonce.
        let nonce = (self.flow != Flow::Device).then_some("replayed");
        // Where somebody is logged in nothing is revoked that could end that login, too.
        let another = Machine::new()?;
        let mut given_back = 0;
        for how in ["changed"].into_iter().chain(nonce) {
            for machine in [&self.machine, &another] {
                self.provider.disturb_id_token(&self.client, how)?;
                let said = self.log_in(machine, But::Nothing)?;
                let error = said.error();
                ensure(error == "id_token_refused", || {
                    format!("a {how} ID token: {said}")
                })?;
                given_back += u64::from(std::ptr::eq(machine, &another));
                self.counted("revocations", given_back)?;
            }
        }
        // The login that was there is still the one that counts.
        self.tokens_work()
    }

    /// Logs in by the row's flow, or with a browser, and does what the person would.
    fn log_in(&self, machine: &Machine, but: But) -> Result<Said, Failure> {
        let mut arguments = vec!["login".to_owned(), "--json".to_owned()];
        arguments.extend(self.client_options(but)?);
        match self.feature {
            Feature::Dpop | Feature::DpopPrivateKey => arguments.push("--dpop".to_owned()),
            Feature::Resources => {
                arguments.extend(options(&["--scope", "read"]));
                for resource in RESOURCES {
                    arguments.extend(options(&["--resource", resource]));
                }
            }
            _ => {}
        }
        self.attend(machine, arguments)
    }

    /// Starts this login, and does in a browser what it asks for.
    pub(super) fn attend(
        &self,
        machine: &Machine,
        mut arguments: Vec<String>,
    ) -> Result<Said, Failure> {
        let is_device = self.flow == Flow::Device;
        arguments.extend(options(match is_device {
            true => &["--flow", "device"],
            false => &["--no-browser"],
        }));
        let mut login = machine.start(&arguments)?;
        let shown = login.line_that_starts_with(if is_device { "{" } else { "http" })?;
        match shown {
            Some(code) if is_device => {
                let code: Value = serde_json::from_str(&code)?;
                let code = code["user_code"].as_str().unwrap_or_default();
                self.provider.approve(code)?;
            }
            Some(url) => self.provider.browse(&url)?,
            // Refused before anyone was asked.
            None => {}
        }
        login.finish()
    }

    /// The provider, the client and how it proves itself.
    fn client_options(&self, but: But) -> Result<Vec<String>, Failure> {
        let mut all = options(&[
            "--issuer",
            self.provider.issuer(),
            "--client-id",
            &self.client,
            "--scope",
            "openid",
            "--scope",
            "offline_access",
        ]);
        let mut file = |option: &str, path: PathBuf| {
            let path = path.into_os_string().into_string();
            path.map(|path| all.extend([option.to_owned(), path]))
                .map_err(|_| "a path that is no text")
        };
        if but != But::NoAuthority {
            file("--ca-cert", self.ca_file.clone())?;
        }
        let is_wrong = but == But::WrongCredential;
        match self.feature {
            Feature::Basic | Feature::Post if is_wrong => {
                file("--client-secret-file", self.authority.wrong_client_secret())?;
            }
            Feature::Basic | Feature::Post => {
                file("--client-secret-file", self.authority.client_secret())?;
            }
            Feature::PrivateKey | Feature::DpopPrivateKey if is_wrong => {
                file("--client-key-file", self.authority.wrong_client_key())?;
            }
            Feature::PrivateKey | Feature::DpopPrivateKey => {
                file("--client-key-file", self.authority.client_key())?;
            }
            _ => return Ok(all),
        }
        let method = self.feature.client_authentication();
        all.extend(options(&["--client-auth", method]));
        Ok(all)
    }

    /// The arguments of a login of a public client.
    pub(super) fn login_arguments(&self) -> Result<Vec<String>, Failure> {
        let mut arguments = options(&["login", "--json"]);
        arguments.extend(self.client_options(But::Nothing)?);
        Ok(arguments)
    }

    /// The tokens that vault-cli gives are those that the provider or an API takes.
    fn tokens_work(&self) -> Result<(), Failure> {
        let token = self.token(&[])?;
        let is_taken = self.provider.takes(&token)?;
        match self.feature {
            Feature::Dpop | Feature::DpopPrivateKey => {
                ensure(!is_taken, || "a bound token is a bearer token".into())?;
                let first = self.ask_with_proof(None)?;
                ensure(first.challenge.contains("use_dpop_nonce"), || {
                    format!("no nonce is wanted: {first:?}")
                })?;
                let second = self.ask_with_proof(first.nonce.as_deref())?;
                ensure(second.status == 200, || format!("{second:?}"))
            }
            Feature::Resources => {
                ensure(is_taken, || "the provider refuses its token".into())?;
                RESOURCES.iter().try_for_each(|resource| {
                    let token = self.token(&["--resource", resource])?;
                    is_for(&token, resource, self.provider.issuer())?;
                    let again = self.token(&["--resource", resource])?;
                    ensure(token == again, || "a token was not kept".into())
                })
            }
            _ => ensure(is_taken, || "the provider refuses its token".into()),
        }
    }

    /// Asks the provider's API with the two headers that vault-cli prints.
    pub(super) fn ask_with_proof(&self, nonce: Option<&str>) -> Result<Answer, Failure> {
        let url = self.provider.user_info();
        let mut arguments = vec!["token", "--header", "--dpop-url", &url];
        arguments.extend(nonce.into_iter().flat_map(|nonce| ["--dpop-nonce", nonce]));
        let said = self.machine.run(&arguments)?.done("token")?;
        let headers: Vec<_> = said
            .stdout
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        ensure(headers.len() == 2, || "not two headers".into())?;
        self.provider.ask(&headers)
    }

    pub(super) fn token(&self, more: &[&str]) -> Result<String, Failure> {
        let said = self.machine.run(&[&["token"], more].concat())?;
        Ok(said.done("token")?.stdout.trim_end().to_owned())
    }

    pub(super) fn count(&self, what: &str) -> Result<u64, Failure> {
        self.provider.count(&self.client, what)
    }

    pub(super) fn counted(&self, what: &str, expected: u64) -> Result<(), Failure> {
        let counted = self.count(what)?;
        ensure(counted == expected, || {
            format!("the provider counted {counted} {what}, not {expected}")
        })
    }
}

fn options(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A JWT of more than 4 KB whose audience is this API and nothing else.
pub(super) fn is_for(token: &str, resource: &str, issuer: &str) -> Result<(), Failure> {
    ensure(token.len() > 4096, || {
        format!("a token of {} bytes", token.len())
    })?;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    ensure(
        claims["aud"] == resource && claims["iss"] == issuer && claims["scope"] == "read",
        || format!("a token of {} for {}", claims["iss"], claims["aud"]),
    )
}
