//! Prompts, looked at where they arrive.

use super::ending::is_cut;
use super::frames::{Frame, Framing};
use super::plant::{Place, classes};
use super::recordings::{Recording, all};
use super::report::{Came, Report};
use super::scan::find;
use super::secret::{Dice, Form, Secret};
use super::stage::{Rules, Script, Stage, model};
use super::streams::{is_wanted, over, seed, setting};
use crate::support::Case;
use firedoor::wire::Dialect;

/// Settings of a request: the provider takes only words of its own there, or names of things that
/// it has. They are sent as they are, and so are places of files, which it fetches itself, and
/// words at which a model is to stop.
fn is_setting(class: &str) -> bool {
    let last = class.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
    matches!(
        last,
        "ttl"
            | "include"
            | "stop"
            | "stop_sequences"
            | "stopSequences"
            | "search_context_size"
            | "reasoning_effort"
            | "context"
            | "order"
            | "responseModalities"
            | "mime_type"
            | "responseMimeType"
            | "thinkingLevel"
            | "guardrailIdentifier"
            | "guardrailVersion"
            | "trace"
            | "qualifiers"
            | "detail"
            | "threshold"
            | "category"
            | "enable_web_search"
            | "vector_store_ids"
            | "prompt_template_name"
            | "response_template_name"
            | "allowed_function_names"
            | "conversation"
            | "prompt_cache_key"
            | "authorization"
            | "server_name"
            | "thought_signature"
            | "_elided"
    ) || class.ends_with(".reasoning.summary")
        || ["image_url.url", "video_url.url", "document_url", "file_url", "s3Location.uri"]
            .iter()
            .any(|end| class.ends_with(end))
}

#[test]
fn nothing_that_is_hidden_reaches_a_provider() {
    let recordings = all();
    let asked: Vec<_> = recordings.iter().filter(|one| one.request.is_object()).collect();
    let stage = Stage::start(&[Rules::Hide, Rules::Stop]);
    let mut report = Report::default();
    for round in 0..setting("FIREDOOR_LEAKS_ROUNDS", 1) {
        report.join(over(&asked, |recording, report| {
            let frame = Frame::new(Framing::Array, "", recording.request.to_string());
            let mut dice = Dice(seed(&recording.name, round));
            let mut places: Vec<Place> = classes(&[frame])
                .into_iter()
                .filter(|class| !is_setting(class))
                .map(Place::Text)
                .collect();
            while places.len() > 5 {
                places.remove(dice.below(places.len()));
            }
            for place in places {
                case(&stage, recording, &place, round, report);
            }
        }));
    }
    report.check();
}

fn case(stage: &Stage, recording: &Recording, place: &Place, round: u64, report: &mut Report) {
    let source = recording.dialect;
    let name = format!("{} asked {place:?} round {round}", recording.name);
    if !is_wanted(&name) {
        return;
    }
    let mut dice = Dice(seed(&name, round));
    let form = *dice.pick(&[Form::Expression, Form::Word]);
    let rules = *dice.pick(&[Rules::Hide, Rules::Stop]);
    let secret = Secret::new(form, &mut dice);
    let mut request = recording.request.clone();
    let model = model(source, rules);
    if matches!(source, Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Anthropic) {
        request["model"] = model.as_str().into();
    }
    let frame = Frame::new(Framing::Array, "", request.to_string());
    let Some(planted) = place.plant(source, Framing::Array, &[frame], &secret, &mut dice) else {
        return;
    };
    let body = planted.frames[0].raw.clone();
    let target = Case { dialect: source, provider: "" }.target(&model, false);
    let answered = Script {
        status: 200,
        content_type: "application/json",
        body: b"{}".to_vec(),
        cuts: 0,
        dice: dice.clone(),
    };
    let (answer, arrived) = stage.send(&target, &body, answered);
    let name = format!("{name} ({secret:?} by {rules:?})");
    let arrived = arrived.unwrap_or_default();
    let from = arrived.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let came = if let Some(found) = find(None, &arrived[from..], &secret) {
        Came::Wrong(format!("LEAK of {found}"))
    } else if is_cut(&answer) {
        if arrived.is_empty() { Came::Cut } else { Came::Wrong("sent, then cut".to_owned()) }
    } else {
        Came::Whole
    };
    report.add(&format!("{source:?} {place:?}"), &name, came);
}
