//! Tests that start real processes against real servers and stores.

mod contention;
