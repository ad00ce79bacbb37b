//! Does nothing: what a Rust program costs by itself.

fn main() {}
