//! Flows and features, all of them run a few at a time, and the table of what passed.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use comfy_table::{Table, presets};
use vault_core::platform::clock::{Clock, SystemClock};

use super::authority::Authority;
use super::provider::{Provider, Pushing, version};
use super::{Failure, attacks, cell, crowd};

/// How many cells are under way at once: they wait for processes most of the time.
const AT_ONCE: usize = 4;

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    /// Authorization code with PKCE.
    Browser,
    /// The same, with a pushed request that the provider insists on.
    Pushed,
    Device,
    Import,
    Refresh,
    Logout,
}

/// What the client and the provider do otherwise than the least of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feature {
    Public,
    Basic,
    Post,
    PrivateKey,
    Dpop,
    /// Both: the client signs with one key, and binds its tokens to another.
    DpopPrivateKey,
    Resources,
    Tls,
    IdToken,
}

const FLOWS: [Flow; 6] = [
    Flow::Browser,
    Flow::Pushed,
    Flow::Device,
    Flow::Import,
    Flow::Refresh,
    Flow::Logout,
];

const FEATURES: [Feature; 9] = [
    Feature::Public,
    Feature::Basic,
    Feature::Post,
    Feature::PrivateKey,
    Feature::Dpop,
    Feature::DpopPrivateKey,
    Feature::Resources,
    Feature::Tls,
    Feature::IdToken,
];

impl Flow {
    fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Pushed => "browser-par",
            Self::Device => "device",
            Self::Import => "import",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Browser => "browser: code, PKCE",
            Self::Pushed => "browser: PAR",
            Self::Device => "device code",
            Self::Import => "import",
            Self::Refresh => "refresh, rotation",
            Self::Logout => "logout, revocation",
        }
    }
}

impl Feature {
    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Basic => "basic",
            Self::Post => "post",
            Self::PrivateKey => "jwt",
            Self::Dpop => "dpop",
            Self::DpopPrivateKey => "dpop-jwt",
            Self::Resources => "resources",
            Self::Tls => "tls",
            Self::IdToken => "id-token",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Public => "public\nclient",
            Self::Basic => "secret\nbasic",
            Self::Post => "secret\npost",
            Self::PrivateKey => "private\nkey JWT",
            Self::Dpop => "DPoP\nnonces",
            Self::DpopPrivateKey => "DPoP +\nkey JWT",
            Self::Resources => "2 resources\nJWT > 4 KB",
            Self::Tls => "TLS\nprivate CA",
            Self::IdToken => "ID token\nchecked",
        }
    }

    /// How its client proves itself, as the provider names it.
    pub(super) fn client_authentication(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKey | Self::DpopPrivateKey => "private_key_jwt",
            _ => "none",
        }
    }

    /// Whether its tokens are bound to a key.
    pub(super) fn is_bound(self) -> bool {
        matches!(self, Self::Dpop | Self::DpopPrivateKey)
    }
}

/// One flow with one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub(super) flow: Flow,
    pub(super) feature: Feature,
}

/// The cell with these names, such as `browser-par` and `dpop`.
#[must_use]
pub fn named(flow: &str, feature: &str) -> Option<Cell> {
    all().find(|cell| cell.flow.name() == flow && cell.feature.name() == feature)
}

impl Cell {
    /// Its own client at the provider.
    pub(super) fn client(self) -> String {
        format!("{}.{}", self.flow.name(), self.feature.name())
    }

    /// Why there is nothing to run.
    fn senseless(self) -> Option<&'static str> {
        match (self.flow, self.feature) {
            (Flow::Import, Feature::Dpop | Feature::DpopPrivateKey) => {
                Some("a bound refresh token is worth nothing without its key, which stays")
            }
            (Flow::Import | Flow::Refresh | Flow::Logout, Feature::IdToken) => {
                Some("an ID token is the answer to a login")
            }
            _ => None,
        }
    }
}

fn all() -> impl Iterator<Item = Cell> {
    FLOWS
        .into_iter()
        .flat_map(|flow| FEATURES.map(|feature| Cell { flow, feature }))
        .filter(|cell| cell.senseless().is_none())
}

/// The authority and the providers that all cells share.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) authority: Authority,
    without_pushing: Provider,
    with_pushing: Provider,
}

impl Bench {
    fn new() -> Result<Self, Failure> {
        let authority = Authority::new()?;
        let cells = all().map(|cell| {
            let method = cell.feature.client_authentication();
            authority.client(&cell.client(), method)
        });
        let others = [attacks::STOLEN, attacks::REPLAYED, crowd::CLIENT];
        let others = others.map(|id| authority.client(id, "none"));
        let clients: Vec<_> = cells.chain(others).collect();
        let start = |pushing| Provider::start(&authority, &clients, pushing);
        Ok(Self {
            without_pushing: start(Pushing::Off)?,
            with_pushing: start(Pushing::Required)?,
            authority,
        })
    }

    /// The provider that pushes nothing where that is the point, and the one that insists.
    pub(super) fn provider(&self, flow: Flow) -> &Provider {
        match flow {
            Flow::Browser => &self.without_pushing,
            _ => &self.with_pushing,
        }
    }
}

/// A run beside the table.
type Beyond = (&'static str, fn(&Bench) -> Result<String, Failure>);

const BEYOND: [Beyond; 3] = [
    (
        "a refresh token taken out of the store of a --dpop login",
        attacks::stolen_refresh_token,
    ),
    (
        "an authorization response that comes again",
        attacks::replayed_response,
    ),
    ("20 resources for 8 processes", crowd::twenty_resources),
];

/// Runs all cells, or this one, and prints what passed.
///
/// # Errors
///
/// If the provider can't be started.
pub fn main(only: Option<Cell>) -> Result<ExitCode, Failure> {
    let began = SystemClock.since_boot();
    let version = version()?;
    let bench = Bench::new()?;
    let mut cells: Vec<Cell> = all()
        .filter(|cell| only.is_none_or(|only| only == *cell))
        .collect();
    cells.reverse();
    let made = run(&bench, cells);
    let mut wrong = made.values().filter(|outcome| outcome.is_err()).count();
    let mut out = std::io::stdout().lock();
    writeln!(out, "vault-cli against {version}\n\n{}", table(&made))?;
    if only.is_none() {
        writeln!(out, "\n-: {}", reasons().join(";\n   "))?;
    }
    for (cell, outcome) in &made {
        if let Err(why) = outcome {
            writeln!(out, "FAILED {}: {why}", cell.client())?;
        }
    }
    if only.is_none() {
        writeln!(out)?;
        for (what, run) in BEYOND {
            match run(&bench) {
                Ok(figures) => writeln!(out, "{what}: passed; {figures}")?,
                Err(why) => {
                    wrong += 1;
                    writeln!(out, "{what}: FAILED: {why}")?;
                }
            }
        }
    }
    let took = SystemClock.since_boot().saturating_sub(began);
    writeln!(
        out,
        "\n{} of {} cells passed, {wrong} failures, {} s",
        made.values().filter(|outcome| outcome.is_ok()).count(),
        made.len(),
        took.as_secs(),
    )?;
    Ok(ExitCode::from(u8::from(wrong > 0 || made.is_empty())))
}

type Outcomes = BTreeMap<Cell, Result<(), Failure>>;

fn run(bench: &Bench, cells: Vec<Cell>) -> Outcomes {
    let queue = Mutex::new(cells);
    let made = Mutex::new(Outcomes::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(next) = next else { return };
                    let outcome = cell::run(bench, next);
                    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                    made.insert(next, outcome);
                }
            });
        }
    });
    made.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn table(made: &Outcomes) -> Table {
    let mut table = Table::new();
    let titles = FEATURES.map(Feature::title);
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(["flow"].into_iter().chain(titles));
    for flow in FLOWS {
        let cells = FEATURES.map(|feature| {
            let cell = Cell { flow, feature };
            match (made.get(&cell), cell.senseless()) {
                (Some(Ok(())), _) => "passed",
                (Some(Err(_)), _) => "FAILED",
                (None, Some(_)) => "-",
                (None, None) => "",
            }
        });
        table.add_row([flow.title()].into_iter().chain(cells));
    }
    table
}

fn reasons() -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for cell in FLOWS
        .into_iter()
        .flat_map(|flow| FEATURES.map(|feature| Cell { flow, feature }))
    {
        if let Some(why) = cell.senseless() {
            reasons.entry(why).or_default().push(cell.client());
        }
    }
    let line = |(why, cells): (&str, Vec<String>)| format!("{}: {why}", cells.join(", "));
    reasons.into_iter().map(line).collect()
}
