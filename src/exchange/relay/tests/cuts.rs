//! Killed tools at every chunking of every recorded stream in which tools are called.
//!
//! Pieces can change only how [`Pieces`] puts frames together: all else in the relay is given whole
//! frames and no bytes. So two things are shown, for every such recording of every dialect.
//! First, of `Pieces`: wherever a stream is cut in two, at each of its bytes, the same frames come
//! out and the same is held behind them; and it is held there byte by byte too. Second, of the
//! relay as a whole: delivered in one piece, byte by byte, and in pieces of random lengths, the
//! same bytes leave, and no call that is killed.

use super::guarded::{names, run_at_random};
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `check` on every item, on as many threads as there are cores.
fn each<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(item);
                }
            });
        }
    });
}

/// A recorded stream in which tools are called.
struct Calling {
    dialect: Dialect,
    name: String,
    bytes: Vec<u8>,
    /// The tools, each once.
    tools: Vec<String>,
}

/// All of them, the longest first, so that none of them is left to the end.
fn calling() -> Vec<Calling> {
    let mut all: Vec<Calling> = recorded(Recorded::Stream)
        .into_iter()
        .map(|(dialect, name, bytes)| {
            let tools = names(&events(dialect, &bytes));
            Calling { dialect, name, bytes, tools }
        })
        .filter(|one| !one.tools.is_empty())
        .collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.bytes.len()));
    for dialect in Dialect::ALL {
        assert!(all.iter().any(|one| one.dialect == dialect), "{dialect:?}");
    }
    assert!(all.len() >= 140, "{}", all.len());
    all
}

/// The frames that come when `pieces` are pushed, end to end with their lengths.
fn pushed(state: &mut Pieces, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut came = Vec::new();
    for piece in pieces {
        let took = state.push(piece, |frame| {
            came.push(frame.to_vec());
            Ok(())
        });
        assert_eq!(took, Ok(()));
    }
    came
}

/// So far behind the end of a frame that is cut the second piece goes on.
const BEYOND: usize = 200;

/// A frame of a stream, or what is behind the last one.
struct Stretch<'b> {
    name: &'b str,
    /// What an uncut stream has come to where it begins.
    state: Pieces,
    /// From its beginning to the end of the stream.
    rest: &'b [u8],
    length: usize,
}

/// The stretches of a stream; put end to end they are the stream.
fn stretches<'b>(framing: Framing, bytes: &'b [u8], name: &'b str) -> Vec<Stretch<'b>> {
    let mut lengths: Vec<usize> = Vec::new();
    let came = Pieces::new(framing).push(bytes, |frame| {
        lengths.push(frame.len());
        Ok(())
    });
    assert_eq!(came, Ok(()), "{name}");
    lengths.push(bytes.len() - lengths.iter().sum::<usize>());
    let (mut state, mut rest) = (Pieces::new(framing), bytes);
    let mut all = Vec::new();
    for length in lengths {
        all.push(Stretch { name, state: state.clone(), rest, length });
        pushed(&mut state, &[&rest[..length]]);
        rest = &rest[length..];
    }
    all
}

/// Cuts at every byte of a stretch. The bytes up to the cut are one piece, and those behind it, up
/// to somewhere behind the stretch, another: frames and state are those of the uncut stream, and
/// the state at the cut is the one that single bytes lead to. The border behind the stretch is a
/// cut like any other, so going on from one is going on from any piece that ended there.
fn assert_cut_everywhere(stretch: &Stretch<'_>) {
    let Stretch { name, state, rest, length } = stretch;
    let until = rest.len().min(length + BEYOND);
    let mut expected = state.clone();
    let came = pushed(&mut expected, &[&rest[..until]]);
    let mut by_byte = state.clone();
    let mut early = 0;
    for cut in 1..=*length {
        let mut first = state.clone();
        let had = pushed(&mut first, &[&rest[..cut]]);
        early += pushed(&mut by_byte, &[&rest[cut - 1..cut]]).len();
        assert_eq!((&by_byte, early), (&first, had.len()), "{name}: {cut}");
        assert!(cut == *length || had.is_empty(), "{name}: {cut}");
        let behind = pushed(&mut first, &[&rest[cut..until]]);
        assert!(had.iter().chain(&behind).eq(&came) && first == expected, "{name}: {cut}");
    }
}

#[test]
fn wherever_a_stream_is_cut_in_two_the_same_frames_come() {
    let all = calling();
    let arrays: Vec<(&str, Vec<u8>)> = all
        .iter()
        .filter(|one| one.dialect == Dialect::Gemini)
        .map(|one| (&*one.name, as_array(&one.bytes)))
        .collect();
    let mut every: Vec<Stretch<'_>> = Vec::new();
    for one in &all {
        every.extend(stretches(one.dialect.framing(), &one.bytes, &one.name));
    }
    for (name, array) in &arrays {
        every.extend(stretches(Framing::JsonArray, array, name));
    }
    let bytes = all.iter().map(|one| one.bytes.len()).sum::<usize>()
        + arrays.iter().map(|(_, array)| array.len()).sum::<usize>();
    assert_eq!(every.iter().map(|stretch| stretch.length).sum::<usize>(), bytes, "all is cut");
    // The longest first, so that none of them is left to the end.
    every.sort_by_key(|stretch| std::cmp::Reverse(stretch.length));
    each(&every, assert_cut_everywhere);
}

#[test]
fn in_any_pieces_the_same_leaves_and_no_killed_call() {
    let killed = AtomicUsize::new(0);
    each(&calling(), |one| {
        let Calling { dialect, name, bytes, tools } = one;
        for (number, tool) in tools.iter().enumerate() {
            // Itself, and each other dialect in turn.
            let others = Dialect::ALL.into_iter().filter(|other| other != dialect);
            let other = others.cycle().nth(bytes.len() + number).unwrap();
            for (client, calls) in [
                (*dialect, CallHold::Never),
                (*dialect, CallHold::UntilWhole),
                (other, CallHold::Never),
                (other, CallHold::UntilWhole),
            ] {
                let plan = plan(client, *dialect, killing(tool), calls);
                let whole = run(&plan, bytes, bytes.len());
                let at = format!("{name} for {client:?}, {calls:?}, {tool}");
                assert!(run(&plan, bytes, 1) == whole, "{at}: byte by byte");
                for seed in 0..4 {
                    let random = run_at_random(&plan, bytes, seed);
                    assert!(random == whole, "{at}: seed {seed}");
                }
                let left = names(&events(client, &whole.0));
                assert!(!left.contains(tool), "{at}: {left:?}");
                killed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let killed = killed.into_inner();
    assert!(killed > 600, "{killed}");
}

/// What is shown of frames above, at each byte of the shortest stream of each dialect, through all
/// of the relay.
#[test]
fn short_streams_cut_in_two_at_every_byte() {
    let all = calling();
    let shortest: Vec<&Calling> = Dialect::ALL
        .iter()
        .map(|dialect| {
            let mut own = all.iter().filter(|one| one.dialect == *dialect);
            own.next_back().unwrap()
        })
        .collect();
    each(&shortest, |one| {
        let plan = plan(one.dialect, one.dialect, killing(&one.tools[0]), CallHold::Never);
        let whole = run(&plan, &one.bytes, one.bytes.len());
        for cut in 1..one.bytes.len() {
            let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
            let (first, second) = one.bytes.split_at(cut);
            let ended = relay
                .bytes(first, NOW, &mut out)
                .and_then(|()| relay.bytes(second, NOW, &mut out))
                .and_then(|()| relay.end(NOW, &mut out));
            assert!((out, ended) == whole, "{}: {cut}", one.name);
        }
    });
}
