//! What whole-binary tests need: the gateway and a simulated provider as processes, a provider
//! inside the test's own process, and a client that sees every byte.
//!
//! Nothing here sleeps to wait for another: a condition is looked at until it holds or its
//! deadline passes, and then the test fails with what it was waiting for. Every process is
//! killed when its handle is dropped.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: each test uses a part of it, and a failure here is a failed test"
)]

mod admin;
mod client;
mod dialects;
mod disk;
mod gateway;
mod mock;
mod process;
mod recordings;
mod told;
mod upstream;

pub use admin::admin_send;
pub use client::{Answer, Client, End, Head, get, get_json, post};
pub use dialects::{CASES, Case, SIMULATED, frames, routes_to};
pub use disk::SmallDisk;
pub use gateway::{Ended, Gateway, ZEBRA};
pub use mock::{MockProcess, MockServer, NOBODY};
pub use process::{Process, binary};
pub use recordings::{Recording, recordings};
pub use told::{ALL, Told, ask, send};
pub use upstream::{FullListener, Upstream, flood, read_request};

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Generous: the machine may be loaded.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Allows this process as many descriptors as the machine does.
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Waits until `condition` gives a value, looking again and again; fails after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Where recorded provider traffic lies: `FIREDOOR_DATA`, or `../shared/data`.
pub fn data() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("FIREDOOR_DATA").map_or(beside, PathBuf::from);
    assert!(
        folder.is_dir(),
        "no recorded traffic at {}: set FIREDOOR_DATA to its folder",
        folder.display()
    );
    folder
}
