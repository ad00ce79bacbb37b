//! Broken variants: a scanner that can't find anything would be content with everything.

use vault_core::fault::SKIP_WIPE;

use super::looks::{self, Breakage};
use super::table::Row;
use crate::kills::worker::Failure;

/// What is broken, and the looks that have to notice it.
pub(super) fn variants() -> Result<Vec<(&'static str, Vec<Row>)>, Failure> {
    let plain = Breakage {
        wiping: false,
        fault: Some(SKIP_WIPE),
    };
    let without = Breakage {
        wiping: false,
        fault: None,
    };
    // What was freed may have been written over by chance: not in each of the two.
    let mut off = looks::refresh(true, &without)?;
    off.extend(looks::login(true, &without, false)?);
    Ok(vec![
        (
            "a secret text is a plain String, in a program without the allocator",
            looks::show(false, &plain)?,
        ),
        ("the allocator is off in a program that should have it", off),
    ])
}
