//! Rules over every recorded stream: what leaves is what the scanner alone would let go, after each
//! frame and however the stream was cut.

use super::*;
use crate::filter::{
    Action, Cache, Case, Channels, Pattern as Looked, Redaction, Release, Rule, Scanner,
};
use crate::table::rules::Judge;
use crate::wire::event::Channel;
use crate::wire::json;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn rule(id: &str, pattern: Looked, action: Action) -> Rule {
    Rule {
        id: id.to_owned(),
        about: String::new(),
        channels: Channels::ALL,
        pattern,
        case: Case::Any,
        action,
    }
}

pub(super) fn judge(rules: &[Rule]) -> Arc<Judge> {
    Arc::new(Judge::of(rules))
}

/// The channels' texts, in the order of their channels.
type Texts = BTreeMap<Channel, String>;

fn add(texts: &mut Texts, event: &Event<'_>) {
    if let Event::Text { channel, text, .. } = event {
        texts.entry(*channel).or_default().push_str(text);
    }
}

/// The scanner alone, over the texts of each channel.
struct Alone<'j> {
    judge: &'j Judge,
    cache: Cache,
    out: Release,
    scanners: BTreeMap<Channel, Scanner>,
    sent: Texts,
}

impl Alone<'_> {
    fn new(judge: &Judge) -> Alone<'_> {
        Alone {
            judge,
            cache: Cache::default(),
            out: Release::default(),
            scanners: BTreeMap::new(),
            sent: Texts::new(),
        }
    }

    fn push(&mut self, channel: Channel, text: &str) {
        let sent = self.sent.entry(channel).or_default();
        let Some(engine) = self.judge.ruleset.engine(channel.kind) else {
            return sent.push_str(text);
        };
        let is_alone = channel.kind == Kind::Citation;
        let fresh = || Scanner::new(engine);
        let scanner = self.scanners.entry(channel).or_insert_with(fresh);
        // One character at a time: what is released never depends on that.
        for letter in text.chars() {
            let letter = letter.to_string();
            let passage = scanner.push(&mut self.cache, &letter, &mut self.out).passage;
            if passage == crate::filter::Passage::Whole {
                sent.push_str(&letter);
            } else {
                self.out.write(&self.judge.ruleset, sent);
            }
        }
        if is_alone {
            scanner.finish(&mut self.cache, &mut self.out);
            self.out.write(&self.judge.ruleset, sent);
            *scanner = fresh();
        }
    }

    fn finish(&mut self) {
        for (channel, scanner) in &mut self.scanners {
            scanner.finish(&mut self.cache, &mut self.out);
            self.out.write(&self.judge.ruleset, self.sent.entry(*channel).or_default());
        }
    }

    fn sent(&self) -> Texts {
        let mut sent = self.sent.clone();
        sent.retain(|_, text| !text.is_empty());
        sent
    }
}

fn texts(dialect: Dialect, bytes: &[u8]) -> Texts {
    let mut all = Texts::new();
    for event in events(dialect, bytes) {
        add(&mut all, &event);
    }
    all.retain(|_, text| !text.is_empty());
    all
}

fn screened(dialect: Dialect, judges: &[Arc<Judge>]) -> Plan {
    let mut plan = plan(dialect, dialect, KilledTools::default(), CallHold::Never);
    plan.judges = judges.to_vec();
    plan
}

/// Words of a recording: some that are hidden, and starts of others that are held and let go.
fn looked(told: &[Event<'_>]) -> Vec<String> {
    let mut words: Vec<String> = told
        .iter()
        .filter_map(|event| match event {
            Event::Text { text, channel, .. } if channel.kind != Kind::ToolArguments => Some(text),
            _ => None,
        })
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| word.chars().count() >= 3 && word.chars().all(char::is_alphanumeric))
        .collect();
    words.sort();
    words.dedup();
    let step = words.len() / 6 + 1;
    words.into_iter().step_by(step).collect()
}

#[test]
fn what_leaves_is_what_the_scanner_lets_go() {
    let (mut streams, mut hidden, mut held) = (0, 0, 0);
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let told = events(dialect, &bytes);
        if !is_one_answer(&bytes) || told.iter().any(|e| matches!(e, Event::Error { .. })) {
            continue;
        }
        let words = looked(&told);
        if words.is_empty() {
            continue;
        }
        let longer: Vec<String> = words.iter().map(|word| format!("{word} xyzzy-never")).collect();
        let mut hide = rule("hide", Looked::Literals(words), Action::Redact(Redaction::Marker));
        let mut wait = rule("wait", Looked::Literals(longer), Action::Redact(Redaction::Marker));
        // Signed reasoning is not changed but cut.
        let is_signed = matches!(dialect, Dialect::Anthropic | Dialect::Bedrock);
        for rule in [&mut hide, &mut wait] {
            rule.channels =
                [Kind::Answer, Kind::Reasoning, Kind::Refusal, Kind::Citation, Kind::Other]
                    .into_iter()
                    .filter(|kind| *kind != Kind::Reasoning || !is_signed)
                    .collect();
        }
        let judges = [judge(&[hide, wait])];
        let plan = screened(dialect, &judges);
        let mut relay = Relay::with(&plan);
        let mut out = Vec::new();
        let (mut came, mut left) = (Decoder::new(dialect), Decoder::new(dialect));
        let (mut alone, mut texts_left) = (Alone::new(&judges[0]), Texts::new());
        let mut ends = false;
        for frame in frames(dialect, &bytes) {
            let from = out.len();
            relay.bytes(frame, NOW, &mut out).unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
            for frame in frames(dialect, &out[from..]) {
                left.frame(&dialect.framing().frame(frame), &mut |e| add(&mut texts_left, &e));
            }
            came.frame(&dialect.framing().frame(frame), &mut |event| {
                // A second copy in Responses says that its text is whole.
                ends |= match event {
                    Event::Close { .. } | Event::Stop { .. } | Event::End => true,
                    Event::Repeat { .. } => dialect == Dialect::OpenaiResponses,
                    _ => false,
                };
                if let Event::Text { channel, text, .. } = event {
                    alone.push(channel, &text);
                }
            });
            if !ends {
                texts_left.retain(|_, text| !text.is_empty());
                assert_eq!(texts_left, alone.sent(), "{name}");
            }
        }
        let ended = relay.end(NOW, &mut out);
        assert_eq!(ended.is_ok(), run(&plan_of(dialect), &bytes, bytes.len()).1.is_ok(), "{name}");
        alone.finish();
        assert_eq!(texts(dialect, &out), alone.sent(), "{name}");
        assert_numbers(dialect, &name, &out);
        let before = texts(dialect, &bytes);
        hidden += usize::from(texts(dialect, &out) != before);
        held += usize::from(out != bytes);
        for step in steps(bytes.len()) {
            assert_eq!(run(&plan, &bytes, step).0, out, "{name} in pieces of {step}");
        }
        streams += 1;
    }
    assert!(streams > 150 && hidden > 100 && held >= hidden, "{streams} {hidden} {held}");
}

fn plan_of(dialect: Dialect) -> Plan {
    plan(dialect, dialect, KilledTools::default(), CallHold::Never)
}

/// The frames of a Responses stream are numbered without a gap if those of the provider are.
fn assert_numbers(dialect: Dialect, name: &str, bytes: &[u8]) {
    if dialect != Dialect::OpenaiResponses {
        return;
    }
    let numbers: Vec<u64> = frames(dialect, bytes)
        .into_iter()
        .filter_map(|frame| crate::wire::reframe::number(&dialect.framing().frame(frame)))
        .map(|(number, _)| number)
        .collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{name}: {numbers:?}");
}

#[test]
fn what_no_rule_touches_leaves_as_it_came() {
    let never = rule("never", Looked::Literals(vec!["\u{E123}never".into()]), Action::Cut);
    let judges = [judge(&[never])];
    let (mut plain, mut split) = (0, 0);
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let (out, ended) = run(&screened(dialect, &judges), &bytes, 61);
        let (expected, expected_end) = run(&plan_of(dialect), &bytes, 61);
        assert_eq!(ended, expected_end, "{name}");
        // An escape may be the beginning of any character, and a lookalike of any letter: they wait,
        // and leave in a later frame.
        if out == expected {
            plain += 1;
        } else {
            assert_eq!(texts(dialect, &out), texts(dialect, &expected), "{name}");
            assert_same_but_for_texts(dialect, &name, &out, &expected);
            split += 1;
        }
    }
    assert!(split < plain / 2, "{split} {plain}");
    assert!(plain > 100, "{plain}");
}

/// The bytes of each frame without its texts and its number, and whether it has nothing else.
fn without_texts(dialect: Dialect, bytes: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut decoder = Decoder::new(dialect);
    let mut all = Vec::new();
    for raw in frames(dialect, bytes) {
        let frame = dialect.framing().frame(raw);
        let (mut spans, mut is_text) = (Vec::new(), true);
        decoder.frame(&frame, &mut |event| match event {
            Event::Text { span: Some(span), .. } => spans.push((span.start, span.end)),
            Event::Text { span: None, .. } => {}
            _ => is_text = false,
        });
        let number = crate::wire::reframe::number(&frame);
        spans.extend(number.map(|(_, span)| (span.start, span.end)));
        spans.sort_unstable();
        // The lengths and the checksums of a message follow from the rest.
        let is_message = dialect == Dialect::Bedrock;
        let (mut at, end) = if is_message { (12, raw.len() - 4) } else { (0, raw.len()) };
        let mut rest = Vec::new();
        for (start, end) in spans {
            rest.extend_from_slice(raw.get(at..start as usize).unwrap_or_default());
            at = end as usize;
        }
        rest.extend_from_slice(raw.get(at..end).unwrap_or_default());
        all.push((rest, is_text));
    }
    all
}

/// Every frame that came has left, in order and with the same bytes around its texts; only frames
/// of text alone are more or fewer.
fn assert_same_but_for_texts(dialect: Dialect, name: &str, out: &[u8], expected: &[u8]) {
    let out = without_texts(dialect, out);
    let mut left = out.as_slice();
    for (rest, is_text) in without_texts(dialect, expected) {
        let place = left.iter().position(|frame| frame.0 == rest);
        let place = place.filter(|place| left[..*place].iter().all(|frame| frame.1));
        match place {
            Some(place) => left = &left[place + 1..],
            None => assert!(is_text, "{name}: {} has not left", rest.escape_ascii()),
        }
    }
    assert!(left.iter().all(|frame| frame.1), "{name}: frames that did not come");
}

#[test]
fn a_cut_lets_go_what_stands_before_it_and_nothing_else() {
    let mut cut = 0;
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let told = events(dialect, &bytes);
        let Some(word) = looked(&told).into_iter().nth(1) else { continue };
        if !is_one_answer(&bytes) {
            continue;
        }
        let judges = [judge(&[rule("cut", Looked::Literals(vec![word.clone()]), Action::Cut)])];
        let plan = screened(dialect, &judges);
        let (out, ended) = run(&plan, &bytes, bytes.len());
        if ended != Err(Broken::Blocked) {
            continue;
        }
        let word = word.to_lowercase();
        for (channel, text) in texts(dialect, &out) {
            assert!(!text.to_lowercase().contains(&word), "{name}: {channel:?} {text}");
        }
        for step in steps(bytes.len()) {
            let (again, ended) = run(&plan, &bytes, step);
            assert_eq!((again, ended), (out.clone(), Err(Broken::Blocked)), "{name}");
        }
        cut += 1;
    }
    assert!(cut > 100, "{cut}");
}

/// A word that stands anywhere in what a provider sends, second copies and unknown members
/// included, leaves nowhere.
#[test]
fn a_hidden_word_leaves_in_no_frame() {
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let told = events(dialect, &bytes);
        let Some(word) = looked(&told).into_iter().max_by_key(String::len) else { continue };
        if word.len() < 6 || !is_one_answer(&bytes) {
            continue;
        }
        let hide =
            rule("hide", Looked::Literals(vec![word.clone()]), Action::Redact(Redaction::Marker));
        let judges = [judge(&[hide])];
        let (out, _) = run(&screened(dialect, &judges), &bytes, bytes.len());
        let mut all = String::new();
        for event in events(dialect, &out) {
            match event {
                Event::Repeat { text, .. } => all.push_str(&text),
                Event::Extra { key, json, .. } if !key.starts_with("response.") => {
                    json::strings(&json).for_each(|inner| all.push_str(inner.text));
                }
                Event::Opaque { data, .. } => {
                    let data = String::from_utf8_lossy(&data);
                    json::strings(&data).for_each(|inner| all.push_str(inner.text));
                }
                _ => {}
            }
            all.push('\n');
        }
        for text in texts(dialect, &out).values() {
            all.push_str(text);
        }
        let word = word.to_lowercase();
        assert!(!all.to_lowercase().contains(&word), "{name}: {word}");
    }
}
