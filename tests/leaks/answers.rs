//! Whole answers, and the provider's errors.

use super::ending::{is_cut, tail, wrong_cut};
use super::frames::Framing;
use super::plant::{Place, classes};
use super::recordings::{Recording, all};
use super::report::{Came, Report};
use super::scan::find;
use super::secret::{Dice, Form, Secret};
use super::stage::{How, Rules, Script, Stage};
use super::streams::{is_wanted, over, seed, setting};
use crate::support::ALL;

#[test]
fn nothing_that_is_hidden_leaves_a_whole_answer() {
    let recordings = all();
    let answers: Vec<_> = recordings.iter().filter(|one| !one.is_stream).collect();
    let stage = Stage::start(&[Rules::Hide, Rules::Stop]);
    let mut report = Report::default();
    for round in 0..setting("FIREDOOR_LEAKS_ROUNDS", 1) {
        report.join(over(&answers, |recording, report| {
            let mut places: Vec<Place> =
                classes(&recording.frames()).into_iter().map(Place::Text).collect();
            places.extend([Place::Member, Place::Name]);
            for place in places {
                case(&stage, recording, &place, round, report);
            }
        }));
    }
    report.check();
}

fn case(stage: &Stage, recording: &Recording, place: &Place, round: u64, report: &mut Report) {
    let source = recording.dialect;
    let name = format!("{} {place:?} round {round}", recording.name);
    if !is_wanted(&name) {
        return;
    }
    let mut dice = Dice(seed(&name, round));
    let form = *dice.pick(&[Form::Expression, Form::Word]);
    let rules = *dice.pick(&[Rules::Hide, Rules::Stop]);
    let secret = Secret::new(form, &mut dice);
    let caller = if dice.one_in(4) { *dice.pick(&ALL) } else { source };
    let frames = recording.frames();
    let planted = place.plant(source, Framing::Array, &frames, &secret, &mut dice);
    let Some(planted) = planted else { return };
    let body = planted.frames[0].raw.clone();
    let name = format!("{name} ({secret:?} by {rules:?} for {caller:?})");
    assert!(find(None, &body, &secret).is_some(), "it is not in: {name}");
    let cuts = dice.below(6);
    let status = recording.status;
    let script =
        Script { status, content_type: "application/json", body, cuts, dice: dice.clone() };
    let answer = stage.ask(caller, source, rules, How::Whole, script);
    let came = if let Some(found) = find(None, &answer.body, &secret) {
        Came::Wrong(format!("LEAK of {found}; {} end: {}", answer.status(), tail(&answer)))
    } else if is_cut(&answer) {
        wrong_cut(caller, None, &answer).map_or(Came::Cut, Came::Wrong)
    } else if answer.status() != status && status == 200 {
        Came::Wrong(format!("status {}: {}", answer.status(), tail(&answer)))
    } else {
        Came::Whole
    };
    let others = if caller == source { "" } else { " for others" };
    report.add(&format!("{source:?} {place:?} {status}{others}"), &name, came);
}
