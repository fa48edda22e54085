//! Judges outside, over every recorded stream: what they are told, and what leaves before they say.

use super::*;
use crate::filter::Channels;
use crate::wire::event::Channel;
use std::collections::BTreeMap;

const TOLD: [Kind; 4] = [Kind::Answer, Kind::Reasoning, Kind::Refusal, Kind::ToolArguments];

/// What leaves of `bytes`, cut at `cuts`, when the question of this number is flagged; and the texts
/// of each question.
fn judged(
    dialect: Dialect,
    bytes: &[u8],
    cuts: &[usize],
    flagged: usize,
) -> (Vec<u8>, Vec<String>) {
    let told: Channels = TOLD.into_iter().collect();
    let judges = [Arc::new(Judge::outside(told))];
    let mut sentences = Sentences::of(&judges, dialect, dialect.framing()).unwrap();
    let (mut out, mut asked, mut from) = (Vec::new(), Vec::new(), 0);
    let mut answer = |sentences: &mut Sentences, out: &mut Vec<u8>| {
        loop {
            let questions = sentences.advance(out);
            let Some(question) = questions.first() else { return true };
            asked.push(String::from_utf8(question.body()).unwrap());
            if asked.len() > flagged {
                return false;
            }
            sentences.clear(out);
        }
    };
    for to in cuts.iter().copied().chain([bytes.len()]) {
        let mut came = bytes[from..to].to_vec();
        sentences.push(&mut came).unwrap();
        out.extend(came);
        from = to;
        if !answer(&mut sentences, &mut out) {
            return (out, asked);
        }
    }
    sentences.end();
    if answer(&mut sentences, &mut out) {
        assert!(sentences.is_idle());
    }
    (out, asked)
}

/// What each channel says, and behind that each second copy that says something else.
fn texts(dialect: Dialect, bytes: &[u8]) -> Vec<String> {
    let (mut first, mut copies) = (BTreeMap::<Channel, String>::new(), Vec::new());
    for event in events(dialect, bytes) {
        let is_copy = matches!(event, Event::Repeat { .. });
        let (Event::Text { channel, text, .. } | Event::Repeat { channel, text, .. }) = event
        else {
            continue;
        };
        if !TOLD.contains(&channel.kind) {
            continue;
        }
        if !is_copy {
            first.entry(channel).or_default().push_str(&text);
        } else if first.get(&channel).is_none_or(|first| *first != text) {
            copies.push(text.into_owned());
        }
    }
    first.into_values().chain(copies).collect()
}

fn told_texts(asked: &[String]) -> Vec<String> {
    let texts = |body: &String| {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let texts = body["input"].as_array().unwrap().clone();
        texts.into_iter().map(|text| text.as_str().unwrap().to_owned())
    };
    asked.iter().flat_map(texts).collect()
}

/// What is left of texts without what was told of them, piece for piece, in order. What is blank
/// between two questions is told to nobody. Channels take turns, and two of them may say the same:
/// a piece is of the one with less left.
fn untold(mut left: Vec<String>, told: &[String]) -> Vec<String> {
    for piece in told {
        let rest = |text: &String| {
            let at = text.find(piece).filter(|at| text[..*at].trim().is_empty())?;
            Some(text[at + piece.len()..].to_owned())
        };
        let rests = left.iter().enumerate().filter_map(|(at, text)| Some((at, rest(text)?)));
        let least = rests.min_by_key(|(_, rest)| rest.len());
        let (at, rest) = least.unwrap_or_else(|| panic!("`{piece}` is not next in {left:#?}"));
        left[at] = rest;
    }
    left
}

#[test]
fn what_leaves_was_judged_and_all_of_it_leaves_as_it_came() {
    let mut several = 0;
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let (out, asked) = judged(dialect, &bytes, &[], usize::MAX);
        assert_eq!(out, bytes, "{name}");
        let told = told_texts(&asked);
        let untold = untold(texts(dialect, &bytes), &told);
        assert!(untold.iter().all(|rest| rest.trim().is_empty()), "{name}: {untold:?}");
        several += usize::from(asked.len() > 2);
        for flagged in 0..asked.len().min(4) {
            let (out, first) = judged(dialect, &bytes, &[], flagged);
            assert_eq!(first[..], asked[..=flagged], "{name}");
            let judged = told_texts(&asked[..flagged]).concat();
            for event in events(dialect, &out) {
                if let Event::Text { channel, text, .. } = event
                    && TOLD.contains(&channel.kind)
                {
                    let is_blank = text.trim().is_empty();
                    assert!(is_blank || judged.contains(&*text), "{name}: `{text}` left unjudged");
                }
            }
        }
    }
    assert!(several >= 5, "{several}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_asked_does_not_depend_on_the_pieces(
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        which in any::<prop::sample::Index>(),
        flagged in 0..6_usize,
    ) {
        let all = recorded(Recorded::Stream);
        let (dialect, name, bytes) = &all[which.index(all.len())];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = judged(*dialect, bytes, &[], flagged);
        prop_assert_eq!(judged(*dialect, bytes, &cuts, flagged), whole, "{}", name);
    }
}
