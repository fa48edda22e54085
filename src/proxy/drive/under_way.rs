//! An answer whose head is out and whose provider is gone: another one goes on with it, or it is
//! ended in its dialect.

use super::book::Book;
use super::{After, Attempted, Exchange};
use crate::exchange::relay::{Relay, Resume};
use crate::exchange::simulated::{self, Frames, Script};
use crate::id::LeverId;
use crate::proxy::client::Client;
use crate::proxy::relay::{self, Counted, End};
use crate::table::Provider;
use crate::wire::coding::Coding;
use crate::wire::refusal::Refusal;
use crate::wire::{Dialect, Encoder};
use http::StatusCode;
use std::time::Duration;
use tokio::time::Instant;

/// How long the rest of an answer may take to reach the client.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(30);

/// An answer that waits for another provider.
pub(super) struct UnderWay {
    /// Knows what the client has, and writes on from there.
    pub(super) relay: Relay,
    /// The status that the client got.
    pub(super) status: StatusCode,
    /// What was counted so far.
    pub(super) counted: Counted,
    /// The lever that took the provider away.
    pub(super) lever: Option<LeverId>,
}

impl UnderWay {
    /// The text that the client has.
    pub(super) fn delivered(&self) -> Option<&str> {
        self.relay.delivered().map(|delivered| delivered.text)
    }
}

impl Exchange<'_> {
    /// Ends an answer that nobody goes on with.
    pub(super) async fn end<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        mut begun: UnderWay,
        refusal: Refusal,
    ) -> After {
        let mut out = Vec::new();
        begun.relay.cut(&refusal, self.id.as_str(), &mut out);
        client.data(&out);
        client.finish();
        begun.counted.sent += out.len() as u64;
        book.learn(&begun.relay.seen);
        let end = End::Cut(refusal, begun.lever);
        let until = Instant::now() + CLIENT_TIME_MAX;
        let end = relay::flush(&self.orders, client, until, end).await;
        self.seat.ended();
        Self::close_book(book, begun.status, end, begun.counted)
    }

    /// A provider that answers in the process goes on: what it says stands behind what was said, in
    /// a paragraph of its own.
    pub(super) async fn go_on_locally<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        provider: &Provider,
        mut begun: UnderWay,
    ) -> Attempted {
        let script = match &provider.answer {
            Some(answer) => Script::saying(&format!("\n\n{answer}")),
            None => Script::default(),
        };
        let context = simulated::Context {
            model: provider.name.as_str().to_owned(),
            id: self.id.as_str().to_owned(),
            created: self.gate.clock.unix_ms() / 1000,
            prompt_bytes: 0,
            usage: true,
        };
        let source = Dialect::OpenaiChat;
        let mut encoder = Encoder::new(source, source);
        let mut frames = Vec::new();
        for events in Frames::new(script, context) {
            encoder.frame(&events, &mut frames);
        }
        let now = self.gate.clock.now();
        let mut out = Vec::new();
        let went_on = begun
            .relay
            .go_on(source, Coding::Identity, Resume::Prompt)
            .and_then(|_| begun.relay.bytes(&frames, now, &mut out))
            .and_then(|()| begun.relay.end(now, &mut out));
        if let Err(broken) = went_on {
            let class = crate::wire::refusal::Class::BadGateway;
            let refusal = Refusal::new(class, broken.message());
            return Attempted::done(self.end(client, book, begun, refusal).await);
        }
        client.data(&out);
        client.finish();
        begun.counted.sent += out.len() as u64;
        book.learn(&begun.relay.seen);
        let until = Instant::now() + CLIENT_TIME_MAX;
        let end = relay::flush(&self.orders, client, until, End::Whole).await;
        Attempted::done(Self::close_book(book, begun.status, end, begun.counted))
    }
}
