//! The three framings: the same frames at every cut, and nothing lost.

use super::corpus::streams;
use super::harness::{pieces, run};
use firedoor::wire::framing::{FRAME_BYTES_MAX, Framing, Splitter};
use firedoor::wire::{Dialect, eventstream};

/// The frames of `all`, the bytes behind them, and whether the bytes can be no frames.
fn cut(framing: Framing, all: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>, bool) {
    let mut splitter = Splitter::new(framing);
    let (mut held, mut frames): (Vec<u8>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for piece in all {
        held.extend_from_slice(piece);
        loop {
            match splitter.next(&held) {
                Ok(Some(length)) => {
                    assert!(length > 0 && length <= held.len(), "{length} of {}", held.len());
                    let frame: Vec<u8> = held.drain(..length).collect();
                    // It is read, whatever it is.
                    let read = framing.frame(&frame);
                    assert!(read.data.len() <= frame.len());
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(_) => return (frames, Vec::new(), true),
            }
        }
        assert!(held.len() <= FRAME_BYTES_MAX + piece.len());
    }
    (frames, held, false)
}

fn target(framing: Framing, corpus: &[Vec<u8>]) {
    run(&format!("framing-{framing:?}"), corpus, |input, dice| {
        let whole = cut(framing, &[input]);
        let parts = pieces(input, dice);
        let by_parts = cut(framing, &parts);
        assert_eq!(whole.2, by_parts.2, "damage depends on the cut");
        assert_eq!(whole.0, by_parts.0, "frames depend on the cut");
        if !whole.2 {
            assert_eq!(whole.1, by_parts.1);
            let all = [whole.0.concat(), whole.1].concat();
            assert_eq!(all, input, "bytes were lost");
        }
    });
}

#[test]
fn framing_sse() {
    let all = [Dialect::OpenaiChat, Dialect::Anthropic, Dialect::Gemini];
    target(Framing::Sse, &all.into_iter().flat_map(streams).collect::<Vec<_>>());
}

#[test]
fn framing_eventstream() {
    let mut corpus = streams(Dialect::Bedrock);
    // A message of our own, so that some seeds are short.
    let mut short = Vec::new();
    eventstream::push_exception(&mut short, "validationException", b"{\"message\":\"x\"}");
    corpus.push(short);
    target(Framing::EventStream, &corpus);
}

#[test]
fn framing_array() {
    target(Framing::JsonArray, &super::streams::arrays());
}
