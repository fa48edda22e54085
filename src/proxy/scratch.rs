//! One read buffer a worker, so that an idle stream holds none.

use std::cell::RefCell;

/// Its size in bytes: what one read takes at most.
pub const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Lends the worker's read buffer. Calls do not nest; one that did would get a buffer of its own.
pub fn with<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SPACE.with(|space| match space.try_borrow_mut() {
        Ok(mut space) => work(&mut space),
        Err(_) => work(&mut vec![0; SCRATCH_BYTES]),
    })
}
