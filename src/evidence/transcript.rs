//! A session as people read it: each turn once.
//!
//! Clients send the whole conversation with every request; of each exchange only what was new is
//! told, and its answer. Where the client got another answer than the provider gave, both are.

use super::disk::Disk;
use super::exchange::{Exchange, Wants, read_with};
use super::index::{Row, contexts_at};
use super::line::moment;
use super::texts::{Answer, Part, Said, asked, delivered, received};
use serde_json::{Value, json};
use std::io;

/// One exchange of a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What the index has of it.
    pub row: Row,
    /// The exchange itself.
    pub exchange: Exchange,
    /// What was new in its request.
    pub asked: Vec<Said>,
    /// What the client got.
    pub answer: Answer,
    /// What the provider answered, where the client got something else.
    pub withheld: Option<Answer>,
}

impl Turn {
    /// Reads an exchange back.
    ///
    /// # Errors
    /// The segments cannot be read.
    pub fn read(disk: &dyn Disk, row: Row, part: Part, wanted: Wants) -> io::Result<Turn> {
        let identity = wanted.identity.clone();
        let mut exchange = read_with(disk, row.exchange(), &row.places, wanted)?;
        exchange.notes.splice(..0, contexts_at(disk, &row.contexts, identity.as_deref())?);
        let answer = delivered(&exchange);
        let withheld = received(&exchange).filter(|received| *received != answer);
        Ok(Turn { row, asked: asked(&exchange, part), answer, withheld, exchange })
    }

    /// Why there are no texts, where there are none.
    pub fn silence(&self) -> Option<&'static str> {
        if !self.asked.is_empty() || !self.answer.said.is_empty() {
            return None;
        }
        let exchange = &self.exchange;
        if exchange.seqs.is_none() {
            Some("its lines are gone: retention took them, or they are damaged")
        } else if exchange.sealed.closed > 0 {
            Some(
                "its texts are sealed: --identity FILE reads them, with a secret key of a recipient",
            )
        } else if exchange.request.body.is_only_counted {
            Some("its route records no texts")
        } else {
            Some("it has no texts")
        }
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let mut value = self.row.as_json();
        let said =
            |said: &Said| json!({ "kind": said.kind.name(), "text": said.text, "tool": said.tool });
        let list = |list: &[Said]| list.iter().map(said).collect::<Value>();
        let closed = self.exchange.closed();
        let more = json!({
            "path": self.exchange.request.path,
            "asked": list(&self.asked),
            "answer": list(&self.answer.said),
            "tools": self.answer.tools,
            "provider_answer": self.withheld.as_ref().map(|answer| list(&answer.said)),
            "findings": closed["findings"],
            "lever": closed["lever"],
            "limit": closed["limit"],
            "loops": closed["loops"],
            "seams": closed["seams"],
            "losses": closed["losses"],
            "stop": closed["stop"],
            "usage": closed["usage"],
            "fault": closed["fault"],
            "attempt_targets": self.exchange.attempts.iter().map(|attempt| json!({
                "attempt": attempt.number,
                "target": attempt.target,
                "status": attempt.status,
            })).collect::<Value>(),
            "notes": self.exchange.notes.iter().map(|note| json!({
                "at": moment(note.at_unix_ms),
                "what": note.what,
                "about": note.about(),
            })).collect::<Value>(),
            "whole": self.exchange.is_whole(),
        });
        if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
            object.extend(more);
        }
        value
    }
}
