//! The processes, seen from the one that starts and kills them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use vault_core::fault;

use super::arguments::{Soak, WORKER};
use super::dice::Dice;
use super::place::Place;
use super::tally::{self, Tallies};
use super::worker::Orders;
use super::{Failure, pause, stopwatch};

/// How long the last calls may take: longer than anybody waits for a lock.
const END: std::time::Duration = std::time::Duration::from_secs(60);

/// A token is looked at, others refresh, and then it is sent.
const SABOTAGE: [&str; 2] = [fault::PAUSE_BEFORE_LOCK, fault::SKIP_READ_UNDER_LOCK];

/// How the processes ended, in numbers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Processes {
    pub(super) started: usize,
    /// Ended by themselves when they were told to.
    pub(super) ended_well: usize,
    /// Did not, and were not killed on purpose either.
    pub(super) ended_badly: usize,
}

/// The processes. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Crew {
    orders: Orders,
    workers: Mutex<Vec<Worker>>,
    dice: Mutex<Dice>,
    told: Arc<Mutex<Tallies>>,
    started: Mutex<usize>,
}

/// One process.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    reading: Option<JoinHandle<()>>,
}

impl Crew {
    pub(super) fn start(soak: &Soak, place: &Place) -> Result<Self, Failure> {
        let resource = |login: &super::place::Login| {
            let resource = login.server.url("/userinfo");
            (login.profile.to_owned(), resource)
        };
        let crew = Self {
            orders: Orders {
                state_root: place.state_root(),
                key_file: place.key_file(),
                threads: soak.threads,
                seed: 0,
                faults: match soak.sabotage {
                    true => SABOTAGE.map(str::to_owned).to_vec(),
                    false => Vec::new(),
                },
                logins: place.logins().iter().map(resource).collect(),
            },
            workers: Mutex::default(),
            dice: Mutex::new(Dice::new(soak.seed)),
            told: Arc::default(),
            started: Mutex::default(),
        };
        for _ in 0..soak.processes {
            crew.add()?;
        }
        Ok(crew)
    }

    /// Starts one more process.
    pub(super) fn add(&self) -> Result<(), Failure> {
        let orders = Orders {
            seed: lock(&self.dice).seed(),
            ..self.orders.clone()
        };
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORKER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let told = self.told.clone();
        let reading = output.map(|output| {
            std::thread::spawn(move || {
                // A line that a kill cut in two says nothing.
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Ok(tallies) = serde_json::from_str(&line) {
                        tally::add(&mut lock(&told), tallies);
                    }
                }
            })
        });
        if let Some(input) = &mut input {
            writeln!(input, "{}", serde_json::to_string(&orders)?)?;
        }
        *lock(&self.started) += 1;
        lock(&self.workers).push(Worker {
            child,
            input,
            reading,
        });
        Ok(())
    }

    /// The process ids.
    pub(super) fn process_ids(&self) -> Vec<u32> {
        let workers = lock(&self.workers);
        workers.iter().map(|worker| worker.child.id()).collect()
    }

    /// Takes a process out, to be killed, unless it is gone.
    pub(super) fn take(&self, process: u32) -> Option<Worker> {
        let mut workers = lock(&self.workers);
        let at = workers
            .iter()
            .position(|worker| worker.child.id() == process)?;
        Some(workers.swap_remove(at))
    }

    /// Puts a process back that was spared.
    pub(super) fn put_back(&self, worker: Worker) {
        lock(&self.workers).push(worker);
    }

    /// Has every process make its last calls and end.
    pub(super) fn end(self) -> Result<(Processes, Tallies), Failure> {
        let mut processes = Processes {
            started: *lock(&self.started),
            ..Processes::default()
        };
        let mut workers = std::mem::take(&mut *lock(&self.workers));
        for worker in &mut workers {
            worker.input = None;
        }
        let began = stopwatch();
        for mut worker in workers {
            let well = loop {
                match worker.child.try_wait()? {
                    Some(status) => break status.success(),
                    None if began.elapsed() > END => {
                        worker.kill();
                        break false;
                    }
                    None => pause(std::time::Duration::from_millis(10)),
                }
            };
            worker.read_to_the_end();
            *match well {
                true => &mut processes.ended_well,
                false => &mut processes.ended_badly,
            } += 1;
        }
        let tallies = std::mem::take(&mut *lock(&self.told));
        Ok((processes, tallies))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in lock(&self.workers).iter_mut() {
            worker.kill();
        }
    }
}

impl Worker {
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and nothing is left of it.
    pub(super) fn kill(&mut self) {
        // It fails for one that has ended, which is as good.
        self.child.kill().ok();
        self.child.wait().ok();
        self.read_to_the_end();
    }

    fn read_to_the_end(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.join().ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
