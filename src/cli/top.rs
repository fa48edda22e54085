//! `firedoor top`: what runs through the gateway, as it changes.

use super::status::ask;
use super::{Common, Exit, output};
use serde_json::Value;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// What runs through the gateway, as it changes
#[derive(Debug, clap::Args)]
pub struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// How many looks; 0 for no end [default: 0 on a terminal, else 1]
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
}

/// Clears a terminal and goes to its top left (ECMA-48).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

impl Top {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let is_terminal = std::io::stdout().is_terminal() && !output::is_json(common);
        let count = self.count.unwrap_or(u64::from(!is_terminal));
        let mut looks = 0;
        loop {
            let (live, levers) = match (ask(common, "/api/v1/live"), ask(common, "/api/v1/levers"))
            {
                (Ok(live), Ok(levers)) => (live, levers),
                (Err(exit), _) | (_, Err(exit)) => return exit,
            };
            let shown = if output::is_json(common) {
                output::json(&serde_json::json!({ "live": live, "levers": levers["items"] }))
            } else {
                let clear = if is_terminal { CLEAR } else { "" };
                output::data(&format!("{clear}{}", screen(&live, &levers)))
            };
            looks += 1;
            if shown != Exit::Done || looks == count {
                return shown;
            }
            std::thread::sleep(Duration::from_secs(self.every));
        }
    }
}

fn screen(live: &Value, levers: &Value) -> String {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or("-");
        text.chars().filter(|c| !c.is_control()).take(24).collect::<String>()
    };
    let mut out = String::new();
    let items = levers["items"].as_array().map_or(&[][..], Vec::as_slice);
    let _ = writeln!(out, "{} exchanges open, {} levers in force", live["exchanges"], items.len());
    for lever in items.iter().take(10) {
        let _ = writeln!(
            out,
            "  {} {}  {} refused",
            text(&lever["kind"]),
            text(&lever["scope"]),
            lever["refused"]
        );
    }
    let _ = writeln!(
        out,
        "{:>6}  {:<24} {:<24} {:<24} {:<16} {:<24}",
        "open", "app", "agent", "route", "provider", "model"
    );
    for group in live["items"].as_array().into_iter().flatten().take(40) {
        let _ = writeln!(
            out,
            "{:>6}  {:<24} {:<24} {:<24} {:<16} {:<24}",
            group["exchanges"],
            text(&group["app"]),
            text(&group["agent"]),
            text(&group["route"]),
            text(&group["provider"]),
            text(&group["model"]),
        );
    }
    out
}
