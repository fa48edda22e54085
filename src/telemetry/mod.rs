//! Metrics, spans, the log and the feed of finished exchanges.
//!
//! All are made from one [`Facts`] per exchange, so they cannot disagree. Labels are closed sets,
//! queues are bounded, what is given up is counted, and nothing here makes the data path wait.
//! The texts of prompts and answers never come here.

pub mod connect;
pub mod evidence;
pub mod health;
pub mod hits;
pub mod limits;
mod log;
pub mod meters;
pub mod names;
mod process;
pub mod recent;
mod series;
pub mod spans;

pub use evidence::{EvidencePicture, IndexPicture};
pub use health::{Circuit, HealthSource, Lifecycle, Phase, TargetHealth};
pub use hits::RuleHits;
pub use limits::{Allowed, LimitPicture, LimitSource};
pub use log::Format;
pub use meters::{Held, Level, Meters, ReloadOutcome, UpstreamState};
pub use recent::{Batch, Recent, Sequence};
pub use series::LABEL_SETS_MAX;

use crate::exchange::facts::Facts;
use series::Series;
use spans::{Exporter, Spans};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often [`Meters::upkeep`] runs.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// What [`Telemetry::install`] is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How log lines look.
    pub format: Format,
    /// What is logged, in the form of tracing's `EnvFilter`; `None` takes `RUST_LOG`, and where
    /// that is unset, `info`.
    pub filter: Option<String>,
    /// `[server] otlp_endpoint`; the `OTEL_EXPORTER_OTLP_*` variables stand in for it.
    pub otlp_endpoint: Option<String>,
}

/// Why telemetry could not be set up.
#[derive(Debug)]
pub enum InstallFault {
    /// The log.
    Log(String),
    /// The metrics.
    Meters(metrics_exporter_prometheus::BuildError),
    /// The exporter of spans.
    Spans(String),
}

impl fmt::Display for InstallFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallFault::Log(why) => write!(f, "cannot set up the log: {why}"),
            InstallFault::Meters(why) => write!(f, "cannot set up the metrics: {why}"),
            InstallFault::Spans(why) => write!(f, "cannot export spans: {why}"),
        }
    }
}

impl std::error::Error for InstallFault {}

/// Takes what is known of exchanges. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    meters: Meters,
    series: Series,
    hits: RuleHits,
    recent: Recent,
    spans: Option<Spans>,
    log: Option<log::Lines>,
    exchanges: AtomicU64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The work that telemetry does in the background.
pub struct Upkeep {
    telemetry: Telemetry,
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Sets up the process's log, the metrics, and the export of spans if an endpoint is set.
    ///
    /// # Errors
    /// A filter or endpoint that cannot be read, or a log that is installed already.
    pub fn install(options: &Options) -> Result<(Telemetry, Upkeep), InstallFault> {
        let meters = Meters::new().map_err(InstallFault::Meters)?;
        let filter = match &options.filter {
            Some(filter) => filter.clone(),
            None => std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()),
        };
        let lines = log::install(options.format, &filter, meters.log_dropped.clone())
            .map_err(InstallFault::Log)?;
        let setting = spans::Setting::from_environment(options.otlp_endpoint.as_deref());
        Telemetry::with(meters, Some(lines), setting)
    }

    /// Without a log of the process and without spans: for tests and for commands.
    ///
    /// # Errors
    /// None that is known.
    pub fn quiet() -> Result<(Telemetry, Upkeep), InstallFault> {
        Telemetry::with(Meters::new().map_err(InstallFault::Meters)?, None, None)
    }

    /// Without a log of the process, but with spans to where `setting` says.
    ///
    /// # Errors
    /// An endpoint that cannot be read.
    pub fn exporting(setting: spans::Setting) -> Result<(Telemetry, Upkeep), InstallFault> {
        Telemetry::with(Meters::new().map_err(InstallFault::Meters)?, None, Some(setting))
    }

    fn with(
        meters: Meters,
        log: Option<log::Lines>,
        setting: Option<spans::Setting>,
    ) -> Result<(Telemetry, Upkeep), InstallFault> {
        let (spans, exporter) = match setting {
            None => (None, None),
            Some(setting) => {
                let (spans, exporter) =
                    spans::start(setting, &meters).map_err(InstallFault::Spans)?;
                (Some(spans), Some(exporter))
            }
        };
        let series = Series::new(&meters);
        let telemetry = Telemetry(Arc::new(Inner {
            meters,
            series,
            hits: RuleHits::default(),
            recent: Recent::default(),
            spans,
            log,
            exchanges: AtomicU64::new(0),
        }));
        Ok((telemetry.clone(), Upkeep { telemetry, exporter }))
    }

    /// Takes what is known of a finished exchange. Once per exchange; never blocks.
    pub fn record(&self, facts: Facts) -> Arc<Facts> {
        let inner = &*self.0;
        inner.exchanges.fetch_add(1, Ordering::Relaxed);
        inner.series.record(&inner.meters, &facts);
        inner.hits.record(&facts);
        log::exchange(&facts);
        let facts = Arc::new(facts);
        if let Some(spans) = &inner.spans {
            spans.push(&facts);
        }
        inner.recent.push(Arc::clone(&facts));
        facts
    }

    /// The meters that are not made from facts.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// The last finished exchanges.
    pub fn recent(&self) -> &Recent {
        &self.0.recent
    }

    /// How often rules hit since start.
    pub fn rule_hits(&self) -> &RuleHits {
        &self.0.hits
    }

    /// Exchanges finished since start.
    pub fn exchanges(&self) -> u64 {
        self.0.exchanges.load(Ordering::Relaxed)
    }

    /// Waits until the spans of what was recorded before are sent or given up, at most for
    /// `patience`, and until the log is written. [`Upkeep::run`] must still run.
    pub async fn flush(&self, patience: Duration) {
        if let Some(spans) = &self.0.spans {
            spans.flush(patience).await;
        }
        self.flush_log();
    }

    /// Waits until the log is written, a second at most.
    pub fn flush_log(&self) {
        if let Some(lines) = &self.0.log {
            lines.flush();
        }
    }
}

impl Upkeep {
    /// Runs until dropped. Belongs on the control runtime.
    pub async fn run(self) {
        let Upkeep { telemetry, exporter } = self;
        let upkeep = async {
            let mut ticks = tokio::time::interval(UPKEEP_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                telemetry.0.meters.upkeep();
            }
        };
        let export = async {
            if let Some(exporter) = exporter {
                exporter.run().await;
            }
        };
        tokio::join!(upkeep, export);
    }
}

/// A plain exchange for the tests of this room.
#[cfg(test)]
pub(crate) fn facts_for_tests(id: u128) -> Facts {
    use crate::exchange::facts::{Identity, Outcome};
    use crate::id::{AppName, ExchangeId, ProviderName, RouteName};
    use crate::wire::Dialect;
    use crate::wire::event::{Counts, StopReason};

    Facts {
        identity: Identity { app: Some(AppName::new("helpdesk")), ..Identity::default() },
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("support")),
        provider: Some(ProviderName::new("openai")),
        target: Some("openai/gpt-4o".into()),
        model_asked: Some("gpt-asked".into()),
        model_reported: Some("gpt-4o-2024-08-06".into()),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        request_bytes: 100,
        response_bytes: 2000,
        first_byte: Some(Duration::from_millis(100)),
        first_text: Some(Duration::from_millis(120)),
        total: Duration::from_millis(250),
        text_events: 34,
        stop: Some(StopReason::EndTurn),
        usage: Counts { input: Some(12), output: Some(34), ..Counts::default() },
        cost_micro_usd: Some(370),
        ..Facts::blank(ExchangeId(id), 1_700_000_000_000, "POST /v1/chat/completions".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_reaches_the_metrics_and_the_ring() {
        let (telemetry, _upkeep) = Telemetry::quiet().unwrap();
        telemetry.record(facts_for_tests(3));
        assert_eq!(telemetry.exchanges(), 1);
        assert!(telemetry.recent().find(crate::id::ExchangeId(3)).is_some());
        assert!(telemetry.meters().render().contains("firedoor_exchanges_total{"));
    }
}
