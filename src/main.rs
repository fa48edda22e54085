//! The `firedoor` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    firedoor::cli::run()
}
