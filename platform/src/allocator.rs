//! An allocator that wipes what it takes back.
//!
//! The types of [`crate::secret`] wipe their own memory. What libraries copy
//! while they work (a buffer of the HTTP client, a message on the bus, the
//! scratch space of a parser) is freed as it is, and lies in the heap until
//! something else is written there. A program that installs this allocator
//! has all of it wiped:
//!
//! ```
//! use vault_platform::allocator::ZeroizingAllocator;
//!
//! #[global_allocator]
//! static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();
//! # fn main() {}
//! ```
//!
//! It is the program's to install, for there is one in a process. It costs one
//! pass over each block when it is freed, and a copy when a block grows.
//!
//! Not covered: stacks and statics, blocks that are never freed, and what
//! libraries in other languages allocate for themselves.

mod sys;

use std::alloc::System;

/// Wipes each block before it is given back to the allocator beneath.
#[derive(Debug, Clone, Copy, Default)]
pub struct ZeroizingAllocator<A = System>(A);

impl ZeroizingAllocator {
    /// Above the system's allocator.
    #[must_use]
    pub const fn new() -> Self {
        Self::above(System)
    }
}

impl<A> ZeroizingAllocator<A> {
    /// Above another allocator.
    pub const fn above(allocator: A) -> Self {
        Self(allocator)
    }
}
