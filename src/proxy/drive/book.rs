//! The facts of an exchange in the making: handed on once, whatever happens.

use super::Received;
use super::counting::Counting;
use crate::clock::Tick;
use crate::exchange::facts::{Facts, Outcome};
use crate::exchange::identity::cut;
use crate::exchange::relay::Seen;
use crate::id::ExchangeId;
use crate::proxy::Gate;
use crate::proxy::client::Closing;
use http::Method;

/// The facts of an exchange in the making; handed on when dropped.
pub(super) struct Book<'g> {
    gate: &'g Gate,
    pub(super) facts: Facts,
    pub(super) began: Tick,
    /// What is counted when it is over; `None` until it is admitted.
    pub(super) counting: Option<Box<Counting>>,
    /// Where the record waits for the facts; `None` while there is no record.
    pub(super) closing: Option<Closing>,
    /// Whether the exchange rather waits than leaves a gap in the record.
    pub(super) waits_for_record: bool,
}

impl<'g> Book<'g> {
    pub(super) fn open(
        gate: &'g Gate,
        request: &Received,
        id: ExchangeId,
        unix_ms: u64,
    ) -> Book<'g> {
        let facts = Facts::blank(id, unix_ms, cut_path(&request.method, request.target.path()));
        Book {
            gate,
            facts,
            began: request.began,
            counting: None,
            closing: None,
            waits_for_record: false,
        }
    }

    pub(super) fn learn(&mut self, seen: &Seen) {
        let began = self.began;
        if let Some(counting) = &mut self.counting {
            counting.calls = seen.calls.list();
        }
        self.facts.model_reported = seen.model.as_deref().map(cut);
        self.facts.usage = seen.usage;
        self.facts.stop = seen.stop;
        self.facts.seams.clone_from(&seen.seams);
        self.facts.text_events = seen.text_events;
        self.facts.first_text = seen.first_text.map(|at| at.since(began));
        if let Some(error) = &seen.error {
            self.facts.fault = Some(error.to_string());
        }
    }
}

impl Drop for Book<'_> {
    fn drop(&mut self) {
        let nothing = Facts::blank(self.facts.id, 0, Box::default());
        let mut facts = std::mem::replace(&mut self.facts, nothing);
        facts.total = self.gate.clock.now().since(self.began);
        if std::thread::panicking() {
            facts.outcome = Outcome::Torn;
            facts.fault = Some("a panic ended this exchange".to_owned());
            self.gate.telemetry.meters().panicked();
        }
        if let Some(counting) = self.counting.take() {
            counting.settle(self.gate, &mut facts);
        }
        let facts = self.gate.finish(facts);
        if let Some(closing) = &self.closing {
            let _ = closing.set(facts);
        }
    }
}

fn cut_path(method: &Method, path: &str) -> Box<str> {
    let mut end = path.len().min(256);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    let mut text = String::with_capacity(method.as_str().len() + 1 + end);
    text.push_str(method.as_str());
    text.push(' ');
    text.push_str(&path[..end]);
    text.into()
}
