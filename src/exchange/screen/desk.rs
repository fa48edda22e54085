//! What a thread keeps for scanning. It never changes what is found, only how fast.

use crate::filter::{Cache, Release};
use std::cell::RefCell;

#[derive(Default)]
struct Desk {
    cache: Cache,
    release: Release,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// One step with what this thread keeps for scanning.
pub(super) fn with_desk<T>(step: impl FnOnce(&mut Cache, &mut Release) -> T) -> T {
    DESK.with_borrow_mut(|desk| step(&mut desk.cache, &mut desk.release))
}
