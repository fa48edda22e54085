//! Judges outside of the gate, asked about an answer while it goes out.
//!
//! One question is under way at a time, and the provider is not read meanwhile: what waits is one
//! sentence and what one read gave. A kill, or the client's leaving, ends the wait with the answer.

use crate::exchange::relay::{Broken, Sentences};
use crate::exchange::screen::{Found, Question};
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::wire::jsonarray::Left as ArrayLeft;
use futures_util::future::join;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The answer to a question, to come.
pub type Answering<'o> = Pin<Box<dyn Future<Output = Found> + Send + 'o>>;

/// Asks questions.
pub type Ask<'o> = dyn Fn(Vec<Question>) -> Answering<'o> + Sync + 'o;

/// What stands between an answer and its client.
pub struct Outside<'o> {
    sentences: Box<Sentences>,
    ask: &'o Ask<'o>,
    under_way: Option<Answering<'o>>,
    /// Whether all of the provider's answer is here.
    is_over: bool,
    /// What has left of a stream that is an array.
    left: ArrayLeft,
}

impl<'o> Outside<'o> {
    /// Over what comes from now on.
    pub fn new(sentences: Box<Sentences>, ask: &'o Ask<'o>) -> Outside<'o> {
        Outside { sentences, ask, under_way: None, is_over: false, left: ArrayLeft::default() }
    }

    /// Adds what is told of what comes from now on.
    pub fn judge_by(&mut self, judge: Arc<Judge>) {
        let questions = self.sentences.judge_by(judge);
        if questions.is_empty() {
            return;
        }
        let more = (self.ask)(questions);
        self.under_way = match self.under_way.take() {
            None => Some(more),
            Some(first) => Some(Box::pin(async move {
                let (mut found, more) = join(first, more).await;
                found.join(more);
                found
            })),
        };
    }

    /// Whether what waits may leave when `tools` are killed.
    ///
    /// # Errors
    /// It may not.
    pub fn may_leave(&self, tools: &KilledTools) -> Result<(), Broken> {
        self.sentences.may_leave(tools)
    }

    /// What `judges` find in what waits.
    pub fn judged(&self, judges: &[Arc<Judge>]) -> Found {
        self.sentences.judged(judges)
    }

    /// What has left of a stream that is an array.
    pub fn array_left(&self) -> ArrayLeft {
        self.left
    }

    /// Whether a question is under way.
    pub fn is_asking(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.sentences.is_idle()
    }

    /// Whether the answer is here, and all of it may leave.
    pub fn is_done(&self) -> bool {
        self.is_over && self.is_idle()
    }

    /// Whether all of the provider's answer is here.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the provider is to be read.
    pub fn may_read(&self) -> bool {
        !self.is_over && !self.is_asking()
    }

    /// Takes what would leave, and leaves in `out` what may at once.
    ///
    /// # Errors
    /// It is no stream of frames.
    pub fn take(&mut self, out: &mut Vec<u8>, is_last: bool) -> Result<(), Broken> {
        self.sentences.push(out)?;
        if is_last {
            self.sentences.end();
            self.is_over = true;
        }
        self.begin(out);
        self.left.take(out);
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        let questions = self.sentences.advance(out);
        if !questions.is_empty() {
            self.under_way = Some((self.ask)(questions));
        }
    }

    /// Ready once the question under way has its answer, which is added to `found`; puts what may
    /// leave then into `out`.
    ///
    /// # Errors
    /// A rule ends the answer here.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        found: &mut Found,
        out: &mut Vec<u8>,
    ) -> Poll<Result<(), Broken>> {
        let Some(asking) = &mut self.under_way else { return Poll::Ready(Ok(())) };
        let met = ready!(asking.as_mut().poll(cx));
        self.under_way = None;
        let (is_cut, is_reroute) = (met.is_cut(), met.is_reroute());
        found.join(met);
        if is_reroute {
            return Poll::Ready(Err(Broken::Rerouted));
        }
        if is_cut {
            return Poll::Ready(Err(Broken::Blocked));
        }
        out.clear();
        self.sentences.clear(out);
        self.begin(out);
        self.left.take(out);
        Poll::Ready(Ok(()))
    }
}
