//! A worker of [`vault_tests::fleet`], for the tests.

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    vault_tests::fleet::work()
}
