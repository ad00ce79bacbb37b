//! Goes looking for secrets in the memory of real processes. See [`vault_tests::memory`].
//!
//! ```text
//! memory [--verbose]
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
    memory::main(has("--verbose"))
}

#[cfg(not(target_os = "linux"))]
fn main() {}
