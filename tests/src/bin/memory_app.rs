//! The application that `memory` looks into, with the zeroizing allocator. See
//! [`vault_tests::memory::app`].

use vault_core::ZeroizingAllocator;

#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    vault_tests::memory::app::work()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
