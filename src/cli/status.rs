//! `firedoor status`: one screen about the running gateway.

use super::{Common, Exit, check, output};
use crate::admin::client::{Address, Answer, Client};
use crate::control;
use crate::table;
use crate::telemetry::connect::ConnectFault;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One screen about the running gateway
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Finds the gateway by its state folder (the unix socket there), or by FIREDOOR_ADMIN\n(unix:PATH or http://HOST:PORT) and FIREDOOR_TOKEN."
)]
pub struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "every command has the same shape")]
    pub(super) fn run(&self, common: &Common) -> Exit {
        match ask(common, "/api/v1/status") {
            Ok(status) if output::is_json(common) => output::json(&status),
            Ok(status) => output::data(&screen(&status)),
            Err(exit) => exit,
        }
    }
}

/// Asks the running gateway; says why where there is no answer.
pub(super) fn ask(common: &Common, path: &str) -> Result<Value, Exit> {
    call(common, async |client| client.get(path).await).map(|(_, value)| value)
}

/// One call of the running gateway: status and JSON of an answer that says yes. Says why where
/// there is none, or where it says no.
pub(super) fn call(
    common: &Common,
    call: impl AsyncFnOnce(&Client) -> Result<Answer, ConnectFault>,
) -> Result<(u16, Value), Exit> {
    let address = address(common)?;
    let runtime = runtime()?;
    match runtime.block_on(call(&Client::new(address.clone()))) {
        Ok(answer) if answer.is_success() => Ok((answer.status, answer.json())),
        Ok(answer) => {
            let problem = answer.json();
            let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("");
            output::notice(&format!("firedoor: the gateway answered {}: {detail}", answer.status));
            Err(Exit::Failed)
        }
        Err(fault) => Err(unreachable(&address, &fault)),
    }
}

/// The runtime of a command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        output::notice(&format!("firedoor: cannot start a runtime: {error}"));
        Exit::Failed
    })
}

/// Says that no gateway answers, and what to do.
pub(super) fn unreachable(address: &Address, fault: &ConnectFault) -> Exit {
    let place = match address {
        Address::Unix(path) => path.display().to_string(),
        Address::Http { base, .. } => base.to_string(),
    };
    output::notice(&format!(
        "firedoor: no gateway answers at {place}: {fault}\n  start one with `firedoor serve`, name its file with --config, or set FIREDOOR_ADMIN and FIREDOOR_TOKEN"
    ));
    Exit::Unreachable
}

/// Where the gateway's API is: the environment, else the socket in the state folder.
pub(super) fn address(common: &Common) -> Result<Address, Exit> {
    if let Ok(text) = std::env::var("FIREDOOR_ADMIN") {
        let token = std::env::var("FIREDOOR_TOKEN").ok();
        return Address::parse(&text, token.as_deref()).map_err(|fault| {
            output::notice(&format!("firedoor: FIREDOOR_ADMIN: {fault}"));
            Exit::Usage
        });
    }
    Ok(Address::Unix(data_dir(common)?.join(crate::admin::folder::SOCKET_FILE)))
}

/// The state folder that the configuration names.
pub(super) fn data_dir(common: &Common) -> Result<PathBuf, Exit> {
    if let Some(folder) = std::env::var_os("FIREDOOR_DATA_DIR") {
        return Ok(folder.into());
    }
    let source = control::source(common.routes_file().as_deref()).map_err(|diagnostics| {
        check::report(&diagnostics);
        Exit::Configuration
    })?;
    if let Some(table) = table::prepare(&source, &control::lookup).table {
        return Ok(table.server.data_dir.clone());
    }
    // A broken file does not hide a running gateway: the default place is tried.
    let file = source.file.as_deref();
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(".")).join("firedoor-data");
    output::notice(&format!(
        "firedoor: {} has errors (`firedoor check` names them); its data folder is taken to be {}",
        file.unwrap_or(Path::new("the configuration")).display(),
        folder.display()
    ));
    Ok(folder)
}

fn screen(status: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "firedoor {}  {}  up {} s  table {}",
        text(&status["version"]),
        text(&status["phase"]),
        status["uptime_s"].as_f64().unwrap_or(0.0) as u64,
        text(&status["epoch"])
    );
    let _ = writeln!(
        out,
        "exchanges {} done, {} open; connections {}",
        text(&status["exchanges_total"]),
        text(&status["open_exchanges"]),
        text(&status["open_connections"])
    );
    for listener in status["listeners"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  {:<6} {}", text(&listener["plane"]), text(&listener["address"]));
    }
    let config = status["config"].as_str().unwrap_or("the built-in file");
    let _ = writeln!(out, "routes from {config}");
    for target in status["targets"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {:<40} {:<9} {} attempts, {} errors{}",
            text(&target["target"]),
            text(&target["state"]),
            text(&target["attempts"]),
            text(&target["errors"]),
            match &target["last_error"] {
                Value::Null => String::new(),
                last => format!(", last: {}", text(last)),
            }
        );
    }
    let levers = status["levers"].as_u64().unwrap_or(0);
    if levers > 0 {
        let _ = writeln!(out, "{levers} levers in force: `firedoor levers` lists them");
    }
    if status["control_log"]["state"] != "up" {
        let _ = writeln!(
            out,
            "the control log is {}: levers stand as they are",
            text(&status["control_log"]["state"])
        );
    }
    if status["last_reload"]["outcome"] == "refused" {
        let _ = writeln!(out, "the last reload was refused: `firedoor check` shows why");
    }
    out
}
