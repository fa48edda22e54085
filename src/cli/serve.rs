//! `firedoor serve`: the gateway itself.

use super::check::report;
use super::{Common, Exit, output};
use crate::app::{self, Bound, StartFault};
use crate::control::WithoutLog;
use crate::telemetry::Format;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run the gateway
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a file the built-in routes serve OpenAI, Anthropic and Gemini with the caller's own\ncredentials, and the simulated model `firedoor-sim`, which needs none.\nSIGHUP or a change of the file reloads; a file with errors never replaces a good table.\nSIGTERM drains; a second one cuts what is left."
)]
pub struct Serve {
    /// Listen here instead of where the file says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Serve the admin plane here instead of where the file says
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Keep state here instead of where the file says
    #[arg(long, value_name = "FOLDER", env = "FIREDOOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
    /// Where the control log cannot be read, start from the levers that were last seen in force
    #[arg(long)]
    last_known: bool,
}

impl Serve {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let options = app::Options {
            config: common.routes_file(),
            format: if self.log_json { Format::Json } else { Format::Human },
            listen: self.listen,
            admin: self.admin,
            data_dir: self.data_dir.clone(),
            without_log: if self.last_known { WithoutLog::LastKnown } else { WithoutLog::Refuse },
        };
        match app::serve(&options, banner) {
            Ok(()) => Exit::Done,
            Err(StartFault::Configuration(diagnostics)) => {
                report(&diagnostics);
                Exit::Configuration
            }
            Err(StartFault::Other(why)) => {
                output::notice(&format!("firedoor: {why}"));
                Exit::Failed
            }
        }
    }
}

/// At most eight lines about what runs and what to try.
fn banner(bound: &Bound) {
    report(&bound.warnings);
    let scheme = if bound.is_tls { "https" } else { "http" };
    let all: Vec<String> = bound.data.iter().map(|at| format!("{scheme}://{at}")).collect();
    let data = all.first().cloned().unwrap_or_default();
    let config = match &bound.config {
        Some(file) => file.display().to_string(),
        None => "built-in (no routes.toml here; `firedoor init` writes one)".to_owned(),
    };
    output::notice(&format!(
        "firedoor {} ready in {} ms",
        env!("CARGO_PKG_VERSION"),
        bound.took.as_millis()
    ));
    output::notice(&format!("  routes   {config}"));
    let admin = bound.admin.map_or_else(|| "off".to_owned(), |at| format!("http://{at}"));
    output::notice(&format!("  data     {}", all.join(" ")));
    output::notice(&format!(
        "  admin    {admin}  and {}",
        bound.data_dir.join("admin.sock").display()
    ));
    output::notice(&format!(
        "  record   {}  (what passes, with its texts; `capture = \"off\"` keeps a route out of it)",
        bound.data_dir.join(crate::evidence::FOLDER).display()
    ));
    if let Some(token) = &bound.first_token {
        output::notice(&format!(
            "  token    {token}  (admin; shown once, kept in {})",
            bound.data_dir.join("admin.token").display()
        ));
    }
    let model = if bound.serves_simulated { "firedoor-sim" } else { "MODEL" };
    output::notice(&format!(
        "  try      curl {data}/v1/chat/completions -H 'content-type: application/json' -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'"
    ));
    output::notice("  then     firedoor env openai    firedoor status    firedoor check");
}
