//! The work itself, and how far it is.

use super::kept::{CameTo, Run};
use crate::evidence::exchange::Wants;
use crate::replay::backtest::{self, Options, Report};
use crate::replay::compare::{Compared, Fared, compare};
use crate::replay::engine::replay;
use crate::replay::gather::Select;
use crate::replay::rules::Rules;
use crate::replay::tally::{Listing, Tally};
use crate::replay::walk::walk;
use crate::table::rules::Rulebook;
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// What kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Kind {
    Backtest,
    Replay,
}

impl Kind {
    pub(in crate::admin) fn name(self) -> &'static str {
        match self {
            Kind::Backtest => "backtest",
            Kind::Replay => "replay",
        }
    }
}

/// Work that is ready to be done.
pub(super) enum Work {
    Backtest {
        book: Arc<Rulebook>,
        options: Options,
        before: Option<Box<Report>>,
    },
    Replay {
        rules: Rules,
        folder: PathBuf,
        select: Select,
        listing: Listing,
        pending_bytes_max: usize,
    },
}

/// What a replay comes to.
#[derive(Serialize)]
struct Listed<'t> {
    summary: Value,
    exchanges: &'t [Compared],
}

/// How far it is.
pub(super) enum Far {
    Backtest(backtest::Progress),
    Replay(Replaying),
}

/// How far a replay is.
#[derive(Default)]
pub(super) struct Replaying {
    exchanges: AtomicU64,
    differ: AtomicU64,
    disk_bytes: AtomicU64,
    stop: AtomicBool,
}

impl Far {
    pub(super) fn of(kind: Kind) -> Far {
        match kind {
            Kind::Backtest => Far::Backtest(backtest::Progress::default()),
            Kind::Replay => Far::Replay(Replaying::default()),
        }
    }

    /// Asks it to end.
    pub(super) fn end(&self) {
        match self {
            Far::Backtest(far) => far.stop.store(true, Relaxed),
            Far::Replay(far) => far.stop.store(true, Relaxed),
        }
    }

    pub(super) fn as_json(&self) -> Value {
        match self {
            Far::Backtest(far) => json!({
                "disk_bytes": far.disk_bytes.load(Relaxed),
                "disk_bytes_all": far.disk_bytes_all.load(Relaxed),
                "text_bytes": far.text_bytes.load(Relaxed),
                "exchanges": far.exchanges.load(Relaxed),
                "hits": far.hits.load(Relaxed),
            }),
            Far::Replay(far) => json!({
                "disk_bytes": far.disk_bytes.load(Relaxed),
                "exchanges": far.exchanges.load(Relaxed),
                "differ": far.differ.load(Relaxed),
            }),
        }
    }
}

impl Run {
    /// Does the work to its end, whatever becomes of it.
    pub(super) fn carry_out(&self, work: Work) -> Result<CameTo, String> {
        let came_to = catch_unwind(AssertUnwindSafe(|| self.come_to(work)));
        let came_to = came_to.unwrap_or_else(|_| {
            Err("it broke off by a fault of Firedoor's own; the log says where".to_owned())
        });
        if let Err(why) = &came_to {
            tracing::warn!(run = %self.id, why, "a run over the record failed");
        }
        came_to
    }

    fn come_to(&self, work: Work) -> Result<CameTo, String> {
        match (work, &self.far) {
            (Work::Backtest { book, options, before }, Far::Backtest(far)) => {
                let began = Instant::now();
                let seconds_before = before.as_ref().map_or(0.0, |before| before.seconds);
                let before = before.map(|before| *before);
                let report = backtest::run(&book, &options, far, before);
                let mut report = report.map_err(|error| error.to_string())?;
                report.seconds = seconds_before + began.elapsed().as_secs_f64();
                let result = to_raw_value(&report).map_err(|error| error.to_string())?;
                Ok(CameTo { is_partial: report.is_partial, result })
            }
            (
                Work::Replay { rules, folder, select, listing, pending_bytes_max },
                Far::Replay(far),
            ) => {
                let mut tally = Tally::new(listing);
                let walked = walk(
                    &folder,
                    &select,
                    Wants::default(),
                    pending_bytes_max,
                    &mut |recorded, walked| {
                        tally.take(compare(&recorded, &replay(&recorded, &rules)));
                        far.exchanges.store(tally.exchanges(), Relaxed);
                        far.differ.store(tally.count(Fared::Differs), Relaxed);
                        far.disk_bytes.store(walked.disk_bytes, Relaxed);
                        let ends = far.stop.load(Relaxed);
                        if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    },
                );
                let walked = walked.map_err(|error| error.to_string())?;
                let summary = tally.summary(&walked, rules.has_candidates());
                let result = Listed { summary, exchanges: tally.listed() };
                let result = to_raw_value(&result).map_err(|error| error.to_string())?;
                Ok(CameTo { is_partial: walked.is_partial, result })
            }
            (Work::Backtest { .. } | Work::Replay { .. }, _) => {
                Err("its progress is of another kind".to_owned())
            }
        }
    }
}
