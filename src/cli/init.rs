//! `firedoor init`: a commented file to start from.

use super::{Common, Exit, output};
use crate::table;
use std::io::Write;
use std::path::PathBuf;

/// Write a commented routes.toml to start from
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Where to write it
    #[arg(default_value = "routes.toml")]
    file: PathBuf,
    /// Print it instead
    #[arg(long)]
    stdout: bool,
}

impl Init {
    pub(super) fn run(&self, _common: &Common) -> Exit {
        if self.stdout {
            return output::data(table::EMBEDDED);
        }
        let created = std::fs::File::create_new(&self.file)
            .and_then(|mut file| file.write_all(table::EMBEDDED.as_bytes()));
        match created {
            Ok(()) => {
                output::notice(&format!(
                    "wrote {file}; check it with `firedoor check`, run it with `firedoor serve`",
                    file = self.file.display()
                ));
                Exit::Done
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                output::notice(&format!(
                    "firedoor: {} exists and stays as it is; name another file or use --stdout",
                    self.file.display()
                ));
                Exit::Failed
            }
            Err(error) => {
                output::notice(&format!("firedoor: cannot write {}: {error}", self.file.display()));
                Exit::Failed
            }
        }
    }
}
