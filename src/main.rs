//! The `firedoor` command.

use std::process::ExitCode;

/// A third of the system allocator's time per request, at some megabytes of idle memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firedoor::cli::run()
}
