//! `firedoor replay --live`: recorded requests to a running gateway.

use super::progress::Progress;
use super::record::{Which, go_on, interruption, line, table};
use super::{Common, Exit, output, status};
use crate::evidence::exchange::Exchange;
use crate::replay::gather;
use crate::replay::live::{Aim, Told, again, send};
use crate::replay::walk;
use crate::table::{Money, Table};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// The most requests that are under way at once.
const CONCURRENCY_MAX: usize = 256;
/// The most bytes of exchanges that are held to be sent.
const HELD_BYTES_MAX: u64 = 512 << 20;

/// To a running gateway
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Live {
    /// Send the requests to a running gateway: to PROVIDER or PROVIDER/MODEL, or `as-is`
    #[arg(long = "live", id = "live", value_name = "TARGET", value_parser = target)]
    to: Option<Target>,
    /// The gateway [default: where the configuration listens]
    #[arg(long, value_name = "URL", requires = "live")]
    gate: Option<Uri>,
    /// A field to send too, such as an app's key; may be given several times
    #[arg(long, value_name = "NAME: VALUE", requires = "live", value_parser = field)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// How many requests are under way at once
    #[arg(long, value_name = "NUMBER", requires = "live", default_value_t = 4)]
    concurrency: usize,
    /// No more requests once the answers have cost this, by the prices of the configuration
    #[arg(long, value_name = "USD", requires = "live", default_value = "1", value_parser = usd)]
    max_usd: u64,
    /// The most requests
    #[arg(long, value_name = "NUMBER", requires = "live", default_value_t = 100)]
    requests: usize,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", requires = "live", default_value_t = 120)]
    patience: u64,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    AsIs,
    Other(String, Option<String>),
}

fn target(text: &str) -> Result<Target, String> {
    if text == "as-is" {
        return Ok(Target::AsIs);
    }
    let (provider, model) = match text.split_once('/') {
        Some((provider, model)) => (provider, Some(model.to_owned())),
        None => (text, None),
    };
    if provider.is_empty() || model.as_deref() == Some("") {
        return Err("a target is PROVIDER, PROVIDER/MODEL, or `as-is`".to_owned());
    }
    Ok(Target::Other(provider.to_owned(), model))
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "a field is written NAME: VALUE".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// In micro-USD.
fn usd(text: &str) -> Result<u64, String> {
    let money = text.parse().ok().and_then(Money::from_usd);
    money
        .map(Money::micro_usd)
        .ok_or_else(|| "an amount is a number of USD, such as 0.5".to_owned())
}

impl Live {
    pub(super) fn is_asked(&self) -> bool {
        self.to.is_some()
    }

    pub(super) fn run(&self, which: &Which, common: &Common) -> Exit {
        match self.tried(which, common) {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn tried(&self, which: &Which, common: &Common) -> Result<Exit, Exit> {
        let table = table(common)?;
        let aim = self.aim(&table)?;
        let folder = which.folder(common)?;
        let (stop, mut progress) = (interruption(), Progress::new());
        let (mut held, mut bytes, mut left_out) = (Vec::new(), 0_u64, BTreeMap::new());
        let walked = walk::walk(
            &folder,
            &which.select(),
            which.wants()?,
            gather::PENDING_BYTES_MAX,
            &mut |recorded, _| {
                match again(&recorded, &table, &aim) {
                    Ok(request) if bytes < HELD_BYTES_MAX => {
                        bytes += recorded.request.body.len + recorded.delivered.body.len;
                        held.push((recorded, request));
                    }
                    Ok(_) => *left_out.entry("too_many").or_insert(0_u64) += 1,
                    Err(why) => *left_out.entry(why.name()).or_insert(0) += 1,
                }
                go_on(held.len() < self.requests && !stop.load(Ordering::Relaxed))
            },
        );
        walked.map_err(|error| {
            output::notice(&format!("firedoor: {}: {error}", folder.display()));
            Exit::Failed
        })?;
        let runtime = status::runtime()?;
        let all = held.len();
        let run = Run { told: Vec::new(), micro_usd: 0, unpriced: 0, unsent: 0, left_out };
        let run = runtime.block_on(self.send_all(
            held,
            run,
            &table,
            &aim,
            &mut || stop.load(Ordering::Relaxed),
            &mut |run: &Run| {
                progress.tell(|| {
                    format!(
                        "replay: {} of {all} answers, {:.4} USD",
                        run.told.len(),
                        run.micro_usd as f64 / 1e6
                    )
                });
            },
        ));
        progress.end();
        let summary = run.summary();
        let said = if output::is_json(common) {
            output::json(&json!({ "summary": summary, "exchanges": run.told }))
        } else {
            output::data(&run.screen())
        };
        if run.unsent > 0 {
            let why =
                if run.micro_usd >= self.max_usd { "--max-usd is spent" } else { "interrupted" };
            output::notice(&format!("firedoor: {} requests were not sent: {why}", run.unsent));
            return Ok(Exit::Partly);
        }
        let is_failed = run.told.iter().any(|one| one.why.is_some());
        Ok(if is_failed { Exit::Failed } else { said })
    }

    fn aim(&self, table: &Table) -> Result<Aim, Exit> {
        let target = match &self.to {
            None | Some(Target::AsIs) => None,
            Some(Target::Other(provider, model)) => {
                let known = table.providers.iter().any(|one| one.name.as_str() == provider);
                if !known {
                    let names: Vec<&str> =
                        table.providers.iter().map(|one| one.name.as_str()).collect();
                    output::notice(&format!(
                        "firedoor: the configuration has no provider `{}`; it has {}",
                        line(provider, 60),
                        names.join(", ")
                    ));
                    return Err(Exit::Usage);
                }
                Some((provider.clone(), model.clone()))
            }
        };
        let gate = match (&self.gate, table.server.listen.first()) {
            (Some(gate), _) => gate.clone(),
            (None, Some(address)) => format!("http://{address}").parse().unwrap_or_default(),
            (None, None) => Uri::default(),
        };
        if gate.host().is_none() {
            output::notice("firedoor: name the gateway with --gate http://HOST:PORT");
            return Err(Exit::Usage);
        }
        let patience = Duration::from_secs(self.patience);
        Ok(Aim { gate, target, headers: self.header.clone(), patience })
    }

    async fn send_all(
        &self,
        held: Vec<(Exchange, crate::replay::live::Again)>,
        mut run: Run,
        table: &Arc<Table>,
        aim: &Aim,
        is_stopped: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(&Run),
    ) -> Run {
        let mut under_way = JoinSet::new();
        let mut held = held.into_iter();
        loop {
            while under_way.len() < self.concurrency.clamp(1, CONCURRENCY_MAX)
                && run.micro_usd < self.max_usd
                && !is_stopped()
                && let Some((recorded, request)) = held.next()
            {
                let (table, patience) = (Arc::clone(table), aim.patience);
                under_way.spawn(async move { send(&recorded, request, &table, patience).await });
            }
            let Some(joined) = under_way.join_next().await else { break };
            if let Ok(told) = joined {
                run.unpriced += u64::from(told.why.is_none() && told.cost_micro_usd.is_none());
                run.micro_usd = run.micro_usd.saturating_add(told.cost_micro_usd.unwrap_or(0));
                run.told.push(told);
            }
            tell(&run);
        }
        run.unsent = held.len() as u64;
        run.told.sort_by(|a, b| a.exchange.cmp(&b.exchange));
        run
    }
}

struct Run {
    told: Vec<Told>,
    micro_usd: u64,
    unpriced: u64,
    unsent: u64,
    left_out: BTreeMap<&'static str, u64>,
}

impl Run {
    fn summary(&self) -> Value {
        let count = |is: &dyn Fn(&Told) -> bool| self.told.iter().filter(|one| is(one)).count();
        let answered = || self.told.iter().filter(|one| one.why.is_none());
        let mean = |of: &dyn Fn(&Told) -> u64| {
            answered().map(of).sum::<u64>() / (answered().count() as u64).max(1)
        };
        let tokens = |of: &dyn Fn(&Told) -> Option<u64>| answered().filter_map(of).sum::<u64>();
        json!({
            "requests": self.told.len(),
            "unanswered": count(&|one| one.why.is_some()),
            "unsent": self.unsent,
            "left_out": self.left_out,
            "text_differs": count(&|one| one.text_differs),
            "calls_differ": count(&|one| one.calls_differ),
            "status_differs": count(&|one| !one.status.is_none()),
            "verdict_differs": count(&|one| !one.verdict.is_none()),
            "cost_usd": self.micro_usd as f64 / 1e6,
            "unpriced": self.unpriced,
            "total_ms_mean": { "then": mean(&|one| one.total_ms.then), "now": mean(&|one| one.total_ms.now) },
            "output_tokens": {
                "then": tokens(&|one| one.said.then.output_tokens),
                "now": tokens(&|one| one.said.now.output_tokens),
            },
        })
    }

    fn screen(&self) -> String {
        let mut out = String::new();
        for one in &self.told {
            let _ = writeln!(
                out,
                "{}  {} -> {}  {} -> {} ms{}{}",
                one.exchange,
                one.status.then,
                one.why.as_ref().map_or_else(|| one.status.now.to_string(), |why| line(why, 120)),
                one.total_ms.then,
                one.total_ms.now,
                if one.text_differs { "  text differs" } else { "" },
                if one.calls_differ { "  calls differ" } else { "" },
            );
            if one.text_differs {
                let _ = writeln!(
                    out,
                    "    then  {}\n    now   {}",
                    line(&one.said.then.text, 160),
                    line(&one.said.now.text, 160)
                );
            }
        }
        let summary = self.summary();
        let _ = writeln!(
            out,
            "{} requests: {} texts differ, {} calls differ, {} statuses differ, {} without an answer; {} USD, {} without a price",
            summary["requests"],
            summary["text_differs"],
            summary["calls_differ"],
            summary["status_differs"],
            summary["unanswered"],
            summary["cost_usd"],
            summary["unpriced"],
        );
        for (name, count) in &self.left_out {
            let _ = writeln!(out, "  {count:>8} not sent: {name}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_fields_and_amounts() {
        assert_eq!(target("as-is"), Ok(Target::AsIs));
        assert_eq!(target("p"), Ok(Target::Other("p".to_owned(), None)));
        assert_eq!(target("p/a/b"), Ok(Target::Other("p".to_owned(), Some("a/b".to_owned()))));
        assert!(target("").is_err() && target("p/").is_err() && target("/m").is_err());
        assert_eq!(field("x-key: a:b").unwrap().1.to_str().unwrap(), "a:b");
        assert!(field("no field").is_err() && field("a b: c").is_err());
        assert_eq!(usd("0.5"), Ok(500_000));
        assert!(usd("-1").is_err() && usd("much").is_err());
    }
}
