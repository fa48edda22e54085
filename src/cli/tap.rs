//! `firedoor tap`: finished exchanges and levers, followed as they happen.

use super::status::{address, runtime, unreachable};
use super::stored::wrong_filter;
use super::{Common, Exit, output};
use crate::admin::client::Client;
use crate::control::clocks;
use crate::evidence::query::{Query, Seen, parse};
use crate::table::lever::{Scope, Subject};
use crate::wire::sse::{Frame, Splitter};
use http_body_util::BodyExt;
use serde_json::Value;

/// Follow finished exchanges and levers as they happen
#[derive(Debug, clap::Args)]
pub struct Tap {
    /// Only exchanges of this scope
    #[arg(long, value_name = "SCOPE", value_parser = |text: &str| Scope::parse(text).map_err(|e| e.to_string()))]
    scope: Option<Scope>,
    /// Only exchanges that fit, such as `app:helpdesk status:>=400 latency:>2s`
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
}

impl Tap {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let query = match self.query() {
            Ok(query) => query,
            Err(exit) => return exit,
        };
        let address = match address(common) {
            Ok(address) => address,
            Err(exit) => return exit,
        };
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(exit) => return exit,
        };
        runtime.block_on(async {
            let mut answer = match Client::new(address.clone()).open("/api/v1/events").await {
                Ok(answer) if answer.status().is_success() => answer.into_body(),
                Ok(answer) => {
                    output::notice(&format!("firedoor: the gateway answered {}", answer.status()));
                    return Exit::Failed;
                }
                Err(fault) => return unreachable(&address, &fault),
            };
            let mut held: Vec<u8> = Vec::new();
            let mut splitter = Splitter::default();
            while let Some(Ok(frame)) = answer.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                held.extend_from_slice(&data);
                while let Some(length) = splitter.next(&held) {
                    let frame: Vec<u8> = held.drain(..length).collect();
                    if self.show(common, &query, &Frame::parse(&frame)) != Exit::Done {
                        return Exit::Failed;
                    }
                }
            }
            output::notice("firedoor: the gateway has ended the feed");
            Exit::Unreachable
        })
    }

    /// The filter; what only the record can tell is refused, instead of finding nothing.
    fn query(&self) -> Result<Query, Exit> {
        let text = self.filter.as_deref().unwrap_or("");
        let query = parse(text, clocks::unix_ms()).map_err(|wrong| wrong_filter(&wrong))?;
        if let Some(term) = query.beyond_the_feed() {
            output::notice(&format!(
                "firedoor: `{}` cannot be told from what the feed says of an exchange; search for it \
                 with `firedoor session search`",
                term.text
            ));
            return Err(Exit::Usage);
        }
        Ok(query)
    }

    fn show(&self, common: &Common, query: &Query, frame: &Frame<'_>) -> Exit {
        let Ok(mut value) = serde_json::from_slice::<Value>(&frame.data) else {
            return Exit::Done;
        };
        let kind = String::from_utf8_lossy(frame.event).into_owned();
        if kind == "exchange" && self.scope.as_ref().is_some_and(|scope| !covers(scope, &value)) {
            return Exit::Done;
        }
        if kind == "exchange" && !query.holds(&Seen::of_event(&value)) {
            return Exit::Done;
        }
        if output::is_json(common) {
            if let Some(object) = value.as_object_mut() {
                object.insert("event".to_owned(), kind.into());
            }
            return output::data(&format!("{value}\n"));
        }
        output::data(&line(&kind, &value))
    }
}

/// Whether a finished exchange is of a scope, by what the feed tells of it.
fn covers(scope: &Scope, value: &Value) -> bool {
    let text = |name: &str| value[name].as_str();
    let model = text("target").and_then(|target| target.split_once('/')).map(|(_, model)| model);
    scope.covers(&Subject {
        provider: text("provider"),
        model: model.or_else(|| text("model_asked")),
        alias: text("model_asked"),
        route: text("route"),
        app: text("app"),
        agent: text("agent"),
        session: text("session"),
    })
}

fn line(kind: &str, value: &Value) -> String {
    let text = |value: &Value| {
        let text = value.as_str().unwrap_or("-");
        text.chars().filter(|c| !c.is_control()).collect::<String>()
    };
    match kind {
        "exchange" => format!(
            "{}  {} {} {} -> {}  {}{}  {:.0} ms\n",
            text(&value["id"]),
            text(&value["app"]),
            text(&value["agent"]),
            text(&value["model_asked"]),
            text(&value["target"]),
            text(&value["outcome"]),
            value["lever"].as_str().map_or_else(String::new, |lever| format!(" by {lever}")),
            value["total_ms"].as_f64().unwrap_or(0.0),
        ),
        "lever" => format!(
            "LEVER {} {} {} {}: {} by {}\n",
            text(&value["change"]),
            text(&value["lever"]["id"]),
            text(&value["lever"]["kind"]),
            text(&value["lever"]["scope"]),
            text(&value["lever"]["reason"]),
            text(&value["lever"]["author"]),
        ),
        other => format!("{} {value}\n", other.to_uppercase()),
    }
}
