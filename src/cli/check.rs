//! `firedoor check` and `firedoor explain`: what is wrong with a file, and what a code means.
//!
//! `check` builds the very table that `serve` would run; nothing is only parsed.

use super::{Common, Exit, output};
use crate::proxy::upstream::{Origin, dial};
use crate::table::diagnostic::{self, Colour, Diagnostic, Severity};
use crate::table::{self, Prepared, Source, Table, codes};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long a provider may take to accept a connection with `--online`.
const ONLINE_TIME_MAX: Duration = Duration::from_secs(5);

/// Check a configuration and say all that is wrong with it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 good, 78 the file has errors, 1 a provider cannot be reached (--online).\nLearn more about a code: firedoor explain FD0102"
)]
pub struct Check {
    /// The routes file, instead of --config
    file: Option<std::path::PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Also connect to every provider
    #[arg(long)]
    online: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON array
    Json,
    /// SARIF 2.1.0, for code review tools
    Sarif,
}

/// Explain an error code, such as FD0102
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The code; without one, all codes are listed
    code: Option<String>,
}

/// Reads the configuration that counts; a file that cannot be read is a diagnostic too.
pub(super) fn prepared(common: &Common) -> (Source, Prepared) {
    let file = common.routes_file();
    match &file {
        None => {
            let source = Source { file, text: table::EMBEDDED.to_owned() };
            let prepared = table::prepare(&source, &crate::control::lookup);
            (source, prepared)
        }
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => {
                let source = Source { file, text };
                let prepared = table::prepare(&source, &crate::control::lookup);
                (source, prepared)
            }
            Err(error) => {
                let diagnostics = vec![Diagnostic::unreadable(path, &error.to_string())];
                let source = Source { file, text: String::new() };
                (source, Prepared { table: None, diagnostics })
            }
        },
    }
}

/// Writes diagnostics for people to standard error.
pub(super) fn report(diagnostics: &[Diagnostic]) {
    if !diagnostics.is_empty() {
        output::notice(diagnostic::render(diagnostics, colour()).trim_end());
    }
}

fn colour() -> Colour {
    if output::is_colourful() { Colour::Always } else { Colour::Never }
}

impl Check {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let mut common = common.clone();
        if self.file.is_some() {
            common.config.clone_from(&self.file);
        }
        let (source, prepared) = prepared(&common);
        let found = &prepared.diagnostics;
        let said = match self.format {
            Format::Human => {
                report(found);
                Exit::Done
            }
            Format::Json => {
                let list: Vec<_> = found.iter().map(diagnostic::json).collect();
                output::json(&list.into())
            }
            Format::Sarif => output::json(&diagnostic::sarif(found)),
        };
        let Some(table) = prepared.table else { return Exit::Configuration };
        if self.strict && found.iter().any(|one| one.severity == Severity::Warning) {
            return Exit::Configuration;
        }
        if self.format == Format::Human {
            let name = source.file.as_deref().unwrap_or(Path::new(table::EMBEDDED_NAME));
            let routes =
                table.routes.iter().filter(|route| route.matcher.provider.is_none()).count();
            output::notice(&format!(
                "{}: good; {}, {}, {}",
                name.display(),
                counted(table.providers.len(), "provider"),
                counted(routes, "route"),
                counted(table.apps.len(), "app")
            ));
        }
        if self.online { online(&table) } else { said }
    }
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Connects to every provider, and says who could not be reached.
fn online(table: &Table) -> Exit {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        output::notice("firedoor: cannot start a runtime");
        return Exit::Failed;
    };
    let mut exit = Exit::Done;
    for provider in &table.providers {
        let Some(base) = &provider.base else { continue };
        let dialed =
            runtime.block_on(tokio::time::timeout(ONLINE_TIME_MAX, dial(&Origin::from(base))));
        let outcome = match dialed {
            Ok(Ok(_)) => "ok".to_owned(),
            Ok(Err(fault)) => {
                exit = Exit::Failed;
                fault.message()
            }
            Err(_) => {
                exit = Exit::Failed;
                "no connection in time".to_owned()
            }
        };
        output::notice(&format!("  {:<20} {}:{}  {outcome}", provider.name, base.host, base.port));
    }
    exit
}

impl Explain {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let Some(asked) = &self.code else {
            let mut text = String::new();
            for entry in codes::ALL {
                text.push_str(entry.code);
                text.push_str("  ");
                text.push_str(entry.title);
                text.push('\n');
            }
            return output::data(&text);
        };
        match codes::explain(asked) {
            Some(entry) if common.output == Some(output::Form::Json) => output::json(&json!({
                "code": entry.code,
                "severity": entry.severity.name(),
                "title": entry.title,
                "explanation": entry.explanation,
                "wrong": entry.wrong,
                "right": entry.right,
            })),
            Some(entry) => output::data(&format!(
                "{} ({}): {}\n\n{}\n\nWrong:\n{}\n\nRight:\n{}\n",
                entry.code,
                entry.severity.name(),
                entry.title,
                entry.explanation,
                indent(entry.wrong),
                indent(entry.right)
            )),
            None => {
                let hint = codes::nearest(asked)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                output::notice(&format!(
                    "firedoor: no code `{asked}`{hint} `firedoor explain` lists all"
                ));
                Exit::Usage
            }
        }
    }
}

fn indent(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
