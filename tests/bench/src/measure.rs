//! How it is measured: in rounds, in each of which every contender has its turn, so that whatever
//! else the machine does falls on all of them; of the rounds the median counts.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use vault_core::platform::random;

use crate::Result;

/// The middle one; of an even number the upper.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One contender's turn of so many calls.
pub type Turn<'a> = Box<dyn FnMut(u32) + 'a>;

/// The nanoseconds of a call, of each contender.
pub fn calls(rounds: usize, calls: u32, mut contenders: Vec<Turn<'_>>) -> Vec<f64> {
    let mut taken = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (turn, taken) in contenders.iter_mut().zip(&mut taken) {
            let began = Instant::now();
            turn(calls);
            // The first round warms.
            if round > 0 {
                taken.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
            }
        }
    }
    taken.into_iter().map(median).collect()
}

/// The milliseconds until the last of `at_once` processes has ended, of each contender. A process
/// that fails, or whose lines begin with other words than those of the first one, is an error.
pub fn processes(
    rounds: usize,
    at_once: usize,
    contenders: &[&dyn Fn() -> Command],
) -> Result<Vec<f64>> {
    let mut taken = vec![Vec::new(); contenders.len()];
    let mut printed = vec![None; contenders.len()];
    for round in 0..=rounds {
        for index in any_order(contenders.len()) {
            let command = contenders[index];
            let mut commands: Vec<Command> = (0..at_once).map(|_| command()).collect();
            let began = Instant::now();
            let children = commands.iter_mut().map(start).collect::<Result<Vec<_>>>()?;
            for child in children {
                let output = child.wait_with_output()?;
                let words = first_words(&output.stdout);
                let first = printed[index].get_or_insert_with(|| words.clone());
                if !output.status.success() || words != *first {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let differs = "ended well, and printed something else";
                    let why = if output.status.success() {
                        differs
                    } else {
                        &said
                    };
                    return Err(format!("{:?}: {why}", command()).into());
                }
            }
            if round > 0 {
                taken[index].push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(taken.into_iter().map(median).collect())
}

/// Another order in each round: what one contender leaves behind, such as a daemon whose code is in
/// the processor's caches, is not always the same one's gain.
fn any_order(contenders: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..contenders).collect();
    order.sort_by_cached_key(|_| random::bytes::<8>());
    order
}

/// A token is one word; the rest of a table's lines may tell how long ago something was.
fn first_words(printed: &[u8]) -> Vec<String> {
    let printed = String::from_utf8_lossy(printed);
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    printed.lines().filter_map(first).collect()
}

fn start(command: &mut Command) -> Result<Child> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command.stderr(Stdio::piped()).spawn()?)
}

/// What the figures were measured on.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} with {cores} cores, Linux {}, load {}",
        processor.unwrap_or("a processor without a name").trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg")
            .split(' ')
            .take(2)
            .collect::<Vec<_>>()
            .join(" "),
    )
}
