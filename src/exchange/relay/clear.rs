//! The stream of an answer that is over, under rules.

use super::pieces::Pieces;
use super::{Broken, Plan, inflater};
use crate::exchange::screen::Skim;
use crate::wire::Decoder;
use crate::wire::event::Event;
use crate::wire::framing::Framing;
use crate::wire::jsonarray::Left as ArrayLeft;
use crate::wire::reframe;
use std::borrow::Cow;

/// Whether the rules of `plan` find nothing in a whole stream. Where it says no, a [`super::Relay`] says
/// what they find.
pub fn is_clear(plan: &Plan, framing: Framing, bytes: &[u8]) -> bool {
    let mut skim = Skim::new(plan.judges.iter().cloned(), plan.source, framing);
    let mut decoder = Decoder::new(plan.source);
    let mut pieces = Pieces::new(framing);
    let mut array = ArrayLeft::default();
    let plain = match inflater(plan.coding) {
        None => Cow::Borrowed(bytes),
        Some(mut inflater) => {
            let mut plain = Vec::new();
            if inflater.push(bytes, &mut plain).is_err() {
                return false;
            }
            Cow::Owned(plain)
        }
    };
    let mut see = |came: &[u8], skim: &mut Skim| {
        let frame = framing.frame(came);
        let whole = reframe::in_one_piece(&frame);
        let frame = whole.as_deref().map_or(frame, |whole| framing.frame(whole));
        decoder.frame(&frame, &mut |event| skim.look(&event, frame.raw));
        if framing == Framing::JsonArray {
            array.take(came);
            if array == ArrayLeft::Whole {
                skim.look(&Event::End, frame.raw);
            }
        }
        skim.pass(&frame);
    };
    let read = pieces.push(&plain, |came| {
        see(came, &mut skim);
        // What else there is does not matter.
        if skim.is_clear() { Ok(()) } else { Err(Broken::Blocked) }
    });
    if read.is_err() {
        return false;
    }
    let rest = pieces.take_rest();
    if !rest.is_empty() {
        see(&rest, &mut skim);
    }
    skim.end()
}
