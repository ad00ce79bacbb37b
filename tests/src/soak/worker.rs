//! One of the processes: threads that ask for tokens until its input ends.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::{Token, TokenOptions};
use vault_core::{Error, ErrorKind, Session};

use super::dice::Dice;
use super::tally::{FailedCall, Tallies, Tally};
use super::{Failure, pause, place, stopwatch, wall_ms};
use crate::server::plain_http;

/// How long a thread waits between two calls, on average.
const PAUSE: Duration = Duration::from_millis(120);
/// All threads of all processes meet at the full seconds, so often.
const MEET_ONCE_IN: usize = 16;
/// So many tokens are shown to the resource.
const SHOW_ONCE_IN: usize = 50;
/// Not those that may expire on the way.
const SHOWN_LIFE: Duration = Duration::from_millis(300);
/// How often a worker tells.
const TELL: Duration = Duration::from_millis(200);

/// What a worker is told, in one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) state_root: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) threads: usize,
    pub(super) seed: u64,
    /// Faults to put into the process, of [`vault_core::fault`].
    pub(super) faults: Vec<String>,
    /// Each login's profile, and the resource that takes its tokens.
    pub(super) logins: Vec<(String, String)>,
}

struct Caller {
    sessions: Vec<(Session, String)>,
    tallies: Mutex<Tallies>,
    over: AtomicBool,
}

/// Reads the orders and asks until the input ends.
pub(super) fn work() -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    let orders: Orders = serde_json::from_str(&line)?;
    for fault in &orders.faults {
        vault_core::fault::inject(fault);
    }
    let vault = place::open(
        &orders.state_root,
        &orders.key_file,
        RotationPolicy::default(),
    )?;
    let mut sessions = Vec::new();
    for (profile, resource) in orders.logins {
        sessions.push((vault.session(&profile)?, resource));
    }
    let caller = Caller {
        tallies: Mutex::new(vec![Tally::default(); sessions.len()]),
        sessions,
        over: AtomicBool::new(false),
    };
    let mut dice = Dice::new(orders.seed);
    let (caller, told) = (&caller, &AtomicBool::new(false));
    std::thread::scope(|scope| {
        let telling = scope.spawn(move || {
            while !told.load(Ordering::Acquire) {
                pause(TELL);
                caller.tell()?;
            }
            caller.tell()
        });
        let asking: Vec<_> = (0..orders.threads)
            .map(|number| {
                let dice = dice.another();
                scope.spawn(move || caller.ask_until_over(number, dice))
            })
            .collect();
        // Its end is the sign, whoever gives it.
        input.read_line(&mut String::new()).ok();
        caller.over.store(true, Ordering::Release);
        let panicked = asking.into_iter().filter_map(|thread| thread.join().err());
        let panicked = panicked.count();
        told.store(true, Ordering::Release);
        match telling.join() {
            Ok(told) if panicked == 0 => Ok(told?),
            _ => Err("a thread of a worker has panicked".into()),
        }
    })
}

impl Caller {
    /// Threads differ in how they call: one blocks, the next has a runtime of
    /// its own.
    fn ask_until_over(&self, number: usize, mut dice: Dice) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = match number % 2 {
            0 => None,
            _ => runtime.enable_all().build().ok(),
        };
        let ask = |session: &Session| {
            let options = TokenOptions::default();
            match &runtime {
                Some(runtime) => runtime.block_on(session.token(&options)),
                None => session.blocking().token(&options),
            }
        };
        while !self.over.load(Ordering::Acquire) {
            if dice.once_in(MEET_ONCE_IN) {
                pause(Duration::from_millis(1000 - wall_ms() % 1000));
            } else {
                pause(dice.wait(PAUSE));
            }
            let which = dice.below(self.sessions.len());
            let shown = dice.once_in(SHOW_ONCE_IN);
            self.call(which, shown, false, &ask);
        }
        for which in 0..self.sessions.len() {
            self.call(which, true, true, &ask);
        }
    }

    fn call(
        &self,
        which: usize,
        shown: bool,
        last: bool,
        ask: &impl Fn(&Session) -> Result<Token, Error>,
    ) {
        let Some((session, resource)) = self.sessions.get(which) else {
            return;
        };
        let (from_ms, began) = (wall_ms(), stopwatch());
        let answer = ask(session);
        let took = began.elapsed();
        let mut tally = Tally {
            last: u64::from(last),
            ..Tally::default()
        };
        match answer {
            Ok(token) => {
                tally
                    .served_us
                    .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                if shown && let Some(alive) = show(&token, resource) {
                    tally.shown = 1;
                    tally.dead = u64::from(!alive);
                }
            }
            Err(error) => tally.failures.push(FailedCall {
                from_ms,
                to_ms: wall_ms(),
                transient: error.is_transient(),
                login_lost: error.is_login_required() || error.kind() == ErrorKind::ItemMissing,
                last,
                error: format!("{error:?}"),
            }),
        }
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = tallies.get_mut(which) {
            sum.add(tally);
        }
    }

    fn tell(&self) -> std::io::Result<()> {
        let told = {
            let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
            let none = vec![Tally::default(); tallies.len()];
            std::mem::replace(&mut *tallies, none)
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(&told)?)?;
        stdout.flush()
    }
}

/// Whether the resource takes the token; `None` where that says nothing.
fn show(token: &Token, resource: &str) -> Option<bool> {
    let life = token.expires_in.unwrap_or(Duration::MAX);
    if life < SHOWN_LIFE {
        return None;
    }
    let began = stopwatch();
    let bearer = format!("Bearer {}", token.access_token.expose());
    let answer = plain_http::fetch(resource, &[("Authorization", &bearer)]).ok()?;
    // On a busy machine it may have expired on the way.
    (began.elapsed() + SHOWN_LIFE / 3 < life).then_some(answer.status == 200)
}
