//! Runs that are kept: one that is under way at most, and what the last ones came to.

use super::asked::Plan;
use super::work::{Far, Kind};
use crate::admin::view;
use crate::control::clocks;
use crate::id::RunId;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How many are kept; the oldest gives way.
const KEPT_MAX: usize = 16;
/// How many bytes what they came to may have together; the oldest gives way, the newest stays.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// One of them.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) author: Box<str>,
    pub(super) began_unix_ms: u64,
    pub(super) far: Far,
    pub(super) over: OnceLock<Over>,
}

/// How one ended.
pub(super) struct Over {
    pub(super) at_unix_ms: u64,
    pub(super) came_to: Result<CameTo, String>,
}

/// What one came to.
pub(super) struct CameTo {
    /// Whether it was ended before its end.
    pub(super) is_partial: bool,
    pub(super) result: Box<RawValue>,
}

/// Those that run and ran.
#[derive(Default)]
pub(in crate::admin) struct Runs(Mutex<VecDeque<Arc<Run>>>);

impl Runs {
    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        // It holds whole entries at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in, unless another runs.
    pub(super) fn begin(&self, run: Arc<Run>) -> Result<(), Arc<Run>> {
        let mut runs = self.lock();
        if let Some(other) = runs.iter().find(|run| run.over.get().is_none()) {
            return Err(Arc::clone(other));
        }
        if runs.len() == KEPT_MAX {
            runs.pop_front();
        }
        runs.push_back(run);
        Ok(())
    }

    /// Says how one ended, and lets the oldest give way to it.
    pub(super) fn end(&self, run: &Run, came_to: Result<CameTo, String>) {
        let mut runs = self.lock();
        let _ = run.over.set(Over { at_unix_ms: clocks::unix_ms(), came_to });
        while runs.len() > 1 && kept_bytes(&runs) > KEPT_BYTES_MAX {
            runs.pop_front();
        }
    }

    /// How many bytes what the kept ones came to has.
    pub(in crate::admin) fn kept_bytes(&self) -> usize {
        kept_bytes(&self.lock())
    }

    pub(super) fn find(&self, kind: Kind, id: &str) -> Option<Arc<Run>> {
        let is_it = |run: &&Arc<Run>| run.plan.kind() == kind && run.id.to_string() == id;
        self.lock().iter().find(is_it).cloned()
    }

    pub(super) fn forget(&self, id: RunId) {
        self.lock().retain(|run| run.id != id);
    }
}

fn kept_bytes(runs: &VecDeque<Arc<Run>>) -> usize {
    runs.iter().map(|run| run.bytes()).sum()
}

impl Run {
    pub(super) fn state(&self) -> &'static str {
        match self.over.get().map(|over| &over.came_to) {
            None => "running",
            Some(Ok(CameTo { is_partial: false, .. })) => "done",
            Some(Ok(CameTo { is_partial: true, .. })) => "ended",
            Some(Err(_)) => "failed",
        }
    }

    pub(super) fn as_json(&self) -> Value {
        let over = self.over.get();
        json!({
            "id": self.id.to_string(),
            "kind": self.plan.kind().name(),
            "state": self.state(),
            "error": over.and_then(|over| over.came_to.as_ref().err()),
            "author": self.author,
            "began": view::moment(self.began_unix_ms),
            "over": over.map(|over| view::moment(over.at_unix_ms)),
            "asked": self.plan.as_json(),
            "progress": self.far.as_json(),
        })
    }

    pub(super) fn result(&self) -> Option<&RawValue> {
        Some(&self.over.get()?.came_to.as_ref().ok()?.result)
    }

    fn bytes(&self) -> usize {
        self.result().map_or(0, |result| result.get().len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::Asked;
    use super::*;

    fn run(at: u64) -> Arc<Run> {
        let asked: Asked = serde_json::from_value(json!({})).unwrap();
        let plan = asked.replay().ok().unwrap();
        Arc::new(Run {
            id: RunId::new(at, 1),
            far: Far::of(plan.kind()),
            plan,
            author: "ann".into(),
            began_unix_ms: at,
            over: OnceLock::new(),
        })
    }

    fn over(runs: &Runs, at: u64, bytes: usize) {
        let run = run(at);
        assert!(runs.begin(Arc::clone(&run)).is_ok());
        let text = serde_json::to_string(&"r".repeat(bytes - 2)).unwrap();
        let result = RawValue::from_string(text).unwrap();
        runs.end(&run, Ok(CameTo { is_partial: false, result }));
    }

    fn kept(runs: &Runs) -> Vec<u64> {
        runs.lock().iter().map(|run| run.began_unix_ms).collect()
    }

    #[test]
    fn the_oldest_gives_way_to_what_is_too_much_and_the_newest_stays() {
        let runs = Runs::default();
        let third = KEPT_BYTES_MAX / 3;
        (1..=3).for_each(|at| over(&runs, at, third));
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![1, 2, 3], 3 * third));
        over(&runs, 4, third);
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![2, 3, 4], 3 * third));
        over(&runs, 5, KEPT_BYTES_MAX + 1);
        assert_eq!((kept(&runs), runs.kept_bytes()), (vec![5], KEPT_BYTES_MAX + 1));
        (6..30).for_each(|at| over(&runs, at, 10));
        assert_eq!((kept(&runs).len(), runs.kept_bytes()), (KEPT_MAX, 10 * KEPT_MAX));
    }
}
