//! Streams.

use super::ending::{is_cut, tail, wrong_cut};
use super::frames::{Frame, Framing, join, parse};
use super::leaf::{is_structure, leaves};
use super::plant::{Place, Planted, classes, is_arguments, is_delta};
use super::recordings::{Recording, all, framing};
use super::report::{Came, Report};
use super::scan::find;
use super::secret::{Dice, Form, Secret};
use super::stage::{How, Rules, Script, Stage};
use crate::support::{ALL, Answer};
use firedoor::wire::Dialect;
use std::collections::{BTreeMap, BTreeSet};

/// Environment variables as numbers.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A number for a name, so that the dice of a case depend on nothing else.
pub fn seed(name: &str, round: u64) -> u64 {
    let start = setting("FIREDOOR_LEAKS_SEED", 0) ^ (round << 32);
    name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether a case of this name is to run.
pub fn is_wanted(case: &str) -> bool {
    std::env::var("FIREDOOR_LEAKS_ONLY").map_or(true, |only| case.contains(&only))
}

/// Does `work` for all recordings, on as many threads as are worth it.
pub fn over(recordings: &[&Recording], work: impl Fn(&Recording, &mut Report) + Sync) -> Report {
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let half = recordings.len().div_ceil(3).max(1);
        let threads: Vec<_> = recordings
            .chunks(half)
            .map(|some| {
                let work = &work;
                scope.spawn(move || {
                    let mut report = Report::default();
                    for recording in some {
                        work(recording, &mut report);
                    }
                    report
                })
            })
            .collect();
        for thread in threads {
            report.join(thread.join().unwrap());
        }
    });
    report
}

#[test]
fn nothing_that_is_hidden_leaves_a_stream() {
    let recordings = all();
    let streams: Vec<_> = recordings.iter().filter(|one| one.is_stream).collect();
    let stage = Stage::start(&[Rules::Hide, Rules::Stop, Rules::Secrets]);
    let rounds = setting("FIREDOOR_LEAKS_ROUNDS", 1);
    let mut report = Report::default();
    for round in 0..rounds {
        report.join(over(&streams, |recording, report| {
            let frames = recording.frames();
            for place in places(recording.dialect, &frames, &recording.name, round) {
                case(&stage, recording, &frames, &place, round, report);
            }
        }));
    }
    if std::env::var_os("FIREDOOR_LEAKS_ONLY").is_none() {
        assert!(report.cases() > 1000, "{}", report.cases());
    }
    report.check();
}

/// The places of a recording that this round looks at: those outside of texts by turns.
fn places(dialect: Dialect, frames: &[Frame], name: &str, round: u64) -> Vec<Place> {
    let mut dice = Dice(seed(name, round));
    let mut places = Vec::new();
    let mut all = classes(frames);
    // Parts of one place are much alike.
    while all.len() > 6 {
        let gone = dice.below(all.len());
        if !is_delta(&all[gone]) || all.iter().all(|class| is_delta(class)) {
            all.remove(gone);
        }
    }
    for class in all {
        let is_spelled = dialect != Dialect::Anthropic && dialect != Dialect::Bedrock;
        if is_delta(&class) && is_spelled && dice.one_in(3) {
            places.push(Place::Spelled(class.clone()));
        }
        places.push(Place::Text(class));
    }
    let others = [
        Place::Member,
        Place::MemberInPieces,
        Place::Name,
        Place::Event,
        Place::EventInPieces,
        Place::Error,
        Place::Comment,
        Place::EventName,
    ];
    let from = dice.below(others.len());
    places.extend((0..2).map(|more| others[(from + more * 3) % others.len()].clone()));
    places
}

/// One case, of which everything follows from its name and the round.
fn case(
    stage: &Stage,
    recording: &Recording,
    frames: &[Frame],
    place: &Place,
    round: u64,
    report: &mut Report,
) {
    let source = recording.dialect;
    let name = format!("{} {place:?} round {round}", recording.name);
    if !is_wanted(&name) {
        return;
    }
    let mut dice = Dice(seed(&name, round));
    let (form, rules) = *dice.pick(&[
        (Form::Expression, Rules::Hide),
        (Form::Word, Rules::Hide),
        (Form::Expression, Rules::Stop),
        (Form::Word, Rules::Stop),
        (Form::Key, Rules::Secrets),
    ]);
    // The pack has no rule for names, nor for definitions of tools.
    let place_name = format!("{place:?}");
    let is_name = place_name.contains("name\"") || place_name.contains(".tools[]");
    let (form, rules) =
        if is_name && form == Form::Key { (Form::Expression, Rules::Hide) } else { (form, rules) };
    let secret = Secret::new(form, &mut dice);
    let mut caller = source;
    let mut how = How::Stream;
    if dice.one_in(4) {
        caller = *dice.pick(&ALL);
    } else if source == Dialect::Gemini && dice.one_in(3) {
        how = How::Array;
    }
    let told = if how == How::Array { Framing::Array } else { framing(source) };
    let mut own = frames.to_vec();
    if how == How::Array {
        own.retain(|frame| frame.json().is_some());
        for frame in &mut own {
            *frame = Frame::new(told, "", frame.data.clone());
        }
    }
    let Some(planted) = place.plant(source, told, &own, &secret, &mut dice) else { return };
    let body = join(told, &planted.frames);
    let name = format!("{name} ({secret:?} by {rules:?} for {caller:?} {how:?})");
    assert!(find(Some(told), &body, &secret).is_some(), "it is not in: {name}");
    let script = Script {
        status: 200,
        content_type: match told {
            Framing::Sse => "text/event-stream",
            Framing::Array => "application/json",
            Framing::Messages => "application/vnd.amazon.eventstream",
        },
        body,
        cuts: 1 + dice.below(40),
        dice: dice.clone(),
    };
    let answer = stage.ask(caller, source, rules, how, script);
    let got = if how == How::Array { Framing::Array } else { framing(caller) };
    let came = judged(place, &planted, &secret, rules, (source, caller), got, &answer);
    let kind = match (place, caller == source) {
        (place, true) => format!("{source:?} {place:?} by {}", rules.name()),
        (place, false) => {
            let place = format!("{place:?}");
            format!("{source:?} for others {}", place.split('(').next().unwrap_or_default())
        }
    };
    report.add(&kind, &name, came);
}

fn judged(
    place: &Place,
    planted: &Planted,
    secret: &Secret,
    rules: Rules,
    (source, caller): (Dialect, Dialect),
    framing: Framing,
    answer: &Answer,
) -> Came {
    let in_stream = (answer.status() == 200).then_some(framing);
    if let Some(found) = find(in_stream, &answer.body, secret) {
        return Came::Wrong(format!("LEAK of {found}; end: {}", tail(answer)));
    }
    if is_cut(answer) {
        if let Some(wrong) = wrong_cut(caller, in_stream, answer) {
            return Came::Wrong(wrong);
        }
        if rules == Rules::Hide && may_be_hidden(place, source) {
            return Came::Wrong(format!("cut, not hidden: {}", tail(answer)));
        }
        return Came::Cut;
    }
    if answer.status() != 200 {
        // The provider's own words on an error, before anything else.
        return if *place == Place::Error {
            Came::Whole
        } else {
            Came::Wrong(format!("status {}: {}", answer.status(), tail(answer)))
        };
    }
    if caller != source || *place == Place::Error {
        return Came::Whole;
    }
    let is_text = matches!(place, Place::Text(_) | Place::Spelled(_));
    if rules == Rules::Stop && is_text {
        return Came::Wrong(format!("not cut: {}", tail(answer)));
    }
    if is_text && let Some(wrong) = differs(planted, framing, answer) {
        return Came::Wrong(wrong);
    }
    Came::Whole
}

/// Whether a rule that hides must not end the answer.
fn may_be_hidden(place: &Place, source: Dialect) -> bool {
    let (Place::Text(class) | Place::Spelled(class)) = place else { return false };
    let is_signed = matches!(source, Dialect::Anthropic | Dialect::Bedrock)
        && (class.contains("thinking") || class.contains("reasoningContent"));
    let is_run = ["call_code", "call_input", "call_command", "_diff"]
        .iter()
        .any(|part| class.contains(part))
        || is_arguments(class);
    is_delta(class) && !is_run && !is_signed
}

/// What is not as it was played, apart from what had to be hidden.
fn differs(planted: &Planted, framing: Framing, answer: &Answer) -> Option<String> {
    let played = told(&planted.frames, |text| text.replace(&planted.spelled, "\u{25ae}"));
    let came = told(&parse(framing, &answer.body), unmarked);
    for (place, texts) in &played {
        let have = came.get(place);
        if have != Some(texts) && !place.contains("ogprobs") {
            let empty = texts.iter().all(String::is_empty) && have.is_none();
            if !empty {
                return Some(format!("{place}: {have:?}, not {texts:?}"));
            }
        }
    }
    let new = came.keys().find(|place| !played.contains_key(*place))?;
    Some(format!("{new} was not played"))
}

/// Markers as one sign.
fn unmarked(text: &str) -> String {
    let mut parts = text.split("[redacted:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('\u{25ae}');
        out.push_str(part.split_once(']').map_or("", |(_, rest)| rest));
    }
    out
}

/// Texts that SDKs put together, each as one; of the others which there are.
fn told(frames: &[Frame], clean: impl Fn(&str) -> String) -> BTreeMap<String, BTreeSet<String>> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for leaf in frames.iter().flat_map(leaves) {
        if is_structure(&leaf.class) {
            continue;
        }
        if is_delta(&leaf.class) {
            joined.entry(leaf.key).or_default().push_str(&leaf.text);
        } else {
            all.entry(leaf.class).or_default().insert(clean(&leaf.text));
        }
    }
    all.extend(joined.into_iter().map(|(key, text)| (key, BTreeSet::from([clean(&text)]))));
    all
}
