//! Goes looking for secrets in the memory of real processes. See [`vault_tests::memory`].
//!
//! ```text
//! memory [--verbose]                    everything
//! memory [--verbose] --vault-cli FILE   only the operations of this vault-cli
//! ```
//!
//! Exit status: 0 if nothing is where it should not be, 1 otherwise.

#[cfg(target_os = "linux")]
fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    use vault_tests::memory;

    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has(memory::app::ARGUMENT) {
        memory::app::work()?;
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let verbose = has("--verbose");
    let named = arguments.iter().position(|word| word == "--vault-cli");
    match named.and_then(|at| arguments.get(at + 1)) {
        Some(program) => memory::one(program.as_ref(), verbose),
        None => memory::main(verbose),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
