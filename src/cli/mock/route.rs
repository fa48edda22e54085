//! Which answer a request gets.

use super::Server;
use super::fixed;
use super::ledger;
use super::peer::Request;
use super::play::{Encoding, Pace, Pieces, Play};
use super::tape;
use crate::exchange::simulated::{Context, Frames, Script};
use crate::wire::event::Event;
use crate::wire::loss::Losses;
use crate::wire::refusal::{Class, Refusal};
use crate::wire::request::tells_usage;
use crate::wire::request::{Surface, surface, view};
use crate::wire::{Dialect, encode_unary};
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

const JSON: &str = "application/json";

/// The answer to `request`.
pub(super) async fn answer(server: &Server, request: Request) -> Play {
    if let Some(name) = request.field("x-tape") {
        let name = String::from_utf8_lossy(name).into_owned();
        return recorded(server, &request, &name).await;
    }
    let body = match (request.method.as_str(), request.path()) {
        ("HEAD" | "GET", "/") => b"{}".to_vec(),
        ("GET", "/stats") => server.ledger.stats().to_string().into_bytes(),
        ("GET", "/requests") => server.ledger.requests().to_string().into_bytes(),
        ("POST", path) => match answer_surface(path) {
            Some((dialect, model, stream)) => {
                let model = model.map(Cow::into_owned);
                return modelled(server, &request, dialect, model, stream);
            }
            None => fixed_body(&request),
        },
        _ => fixed_body(&request),
    };
    plain(&request, 200, JSON, body)
}

/// The answer to what could not be read.
pub(super) fn unreadable(status: u16, what: &str) -> Play {
    let body = fixed::error(Dialect::OpenaiChat, status, what);
    Play { keep_alive: false, ..plain(&Request::default(), status, JSON, body) }
}

fn fixed_body(request: &Request) -> Vec<u8> {
    fixed::body(request).unwrap_or_else(|| ledger::echo(request)).to_string().into_bytes()
}

/// What a path means, under any prefix (`/openai/v1/..`, `/openai/deployments/m/chat/..`).
fn answer_surface(path: &str) -> Option<(Dialect, Option<Cow<'_, str>>, Option<bool>)> {
    path.match_indices('/').find_map(|(at, _)| match surface(&path[at..]) {
        Surface::Answer { dialect, model, stream } => Some((dialect, model, stream)),
        Surface::Other => None,
    })
}

/// A whole answer that nothing happens to.
fn plain(request: &Request, status: u16, content_type: &str, body: Vec<u8>) -> Play {
    Play {
        status,
        content_type: content_type.to_owned(),
        extra: String::new(),
        length: Some(body.len()),
        pieces: Pieces::whole(body),
        pace: Pace::default(),
        fault: None,
        at: 0,
        is_head_only: request.method == "HEAD",
        keep_alive: request.keep_alive,
        takes_chunks: request.takes_chunks,
    }
}

fn pace(script: &Script) -> Pace {
    Pace { first_wait: script.first_wait, between_wait: script.between_wait, batch: script.batch }
}

/// The script of a request, its failures taken out unless they strike it; and its number.
fn script(server: &Server, request: &Request) -> Result<(Script, u64), String> {
    let number = server.ledger.next_answer();
    let header = request.field("x-mock");
    match server.options.script.for_request(&request.body, header) {
        Ok(script) => Ok((script.struck(number), number)),
        Err(error) => Err(error.to_string()),
    }
}

async fn recorded(server: &Server, request: &Request, name: &str) -> Play {
    let bad = |what: &str| plain(request, 400, JSON, fixed::error(Dialect::OpenaiChat, 400, what));
    let Some(folder) = &server.options.tape else {
        return bad("x-tape: the server runs without --tape");
    };
    let script = match script(server, request) {
        Ok((script, _)) => script,
        Err(what) => return bad(&what),
    };
    let how = request.field("x-tape-split").map(String::from_utf8_lossy);
    let recording = match tape::load(folder, name).await {
        Ok(recording) => recording,
        Err(what) => return bad(&what),
    };
    let length = (!recording.is_stream).then_some(recording.body.len());
    match tape::split(recording.body, how.as_deref()) {
        Err(what) => bad(&what),
        Ok(pieces) => Play {
            pieces: Pieces::Ready(pieces),
            length,
            pace: pace(&script),
            fault: script.fault,
            at: script.at,
            ..plain(request, recording.status, &recording.content_type, Vec::new())
        },
    }
}

/// A model's answer.
fn modelled(
    server: &Server,
    request: &Request,
    dialect: Dialect,
    model: Option<String>,
    stream: Option<bool>,
) -> Play {
    let refused = |what: String| {
        let refusal = Refusal::new(Class::BadRequest, what);
        let extra = fixed::error_line(dialect, 400);
        Play { extra, ..plain(request, 400, JSON, refusal.body(dialect, "mock")) }
    };
    let view = match view(dialect, &request.body) {
        Ok(view) => view,
        Err(error) => return refused(error.to_string()),
    };
    let (script, number) = match script(server, request) {
        Ok(found) => found,
        Err(what) => return refused(what),
    };
    let length = request.body.len() as u64;
    if length < script.prompt_bytes_min {
        let least = script.prompt_bytes_min;
        return refused(format!("prompt truncated: {length} bytes came of at least {least}"));
    }
    let head = format!("{}: mock-{number}\r\n", fixed::request_id_field(dialect));
    let play = Play { extra: head, ..plain(request, 200, JSON, Vec::new()) };
    if let Some(status) = script.status {
        return failed(play, dialect, status, &script);
    }
    let is_stream = stream.unwrap_or(view.stream);
    let context = Context {
        model: model.or(view.model.map(Cow::into_owned)).unwrap_or_else(|| "simulated".to_owned()),
        id: fixed::answer_id(dialect, number),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        prompt_bytes: length,
        usage: !is_stream || tells_usage(dialect, &request.body),
    };
    let play = Play { pace: pace(&script), fault: script.fault, at: script.at, ..play };
    let frames = Frames::new(script, context);
    if is_stream {
        streamed(play, request, dialect, frames)
    } else {
        unstreamed(play, dialect, frames)
    }
}

fn failed(play: Play, dialect: Dialect, status: u16, script: &Script) -> Play {
    let body = fixed::error(dialect, status, "The simulated provider fails on request.");
    let retry_after = script
        .retry_after
        .map_or_else(String::new, |seconds| format!("retry-after: {seconds}\r\n"));
    let extra = play.extra + &fixed::error_line(dialect, status) + &retry_after;
    let wait = Pace { first_wait: script.first_wait, ..Pace::default() };
    Play {
        status,
        extra,
        pace: wait,
        length: Some(body.len()),
        pieces: Pieces::whole(body),
        ..play
    }
}

fn streamed(play: Play, request: &Request, dialect: Dialect, frames: Frames) -> Play {
    let frames = Encoding::new(dialect, frames);
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let is_array = dialect == Dialect::Gemini && !query.split('&').any(|part| part == "alt=sse");
    let (content_type, pieces) = if is_array {
        (JSON, Pieces::Array { frames, is_open: false })
    } else {
        (dialect.framing().content_type(), Pieces::Frames(frames))
    };
    let extra = play.extra + "cache-control: no-cache\r\n";
    Play { content_type: content_type.to_owned(), extra, length: None, pieces, ..play }
}

/// All at once, when the last piece of the stream would have come.
fn unstreamed(mut play: Play, dialect: Dialect, frames: Frames) -> Play {
    let events: Vec<Event<'static>> = frames.flatten().collect();
    let texts = events.iter().filter(|event| matches!(event, Event::Text { .. })).count();
    let texts = u32::try_from(texts).unwrap_or(u32::MAX);
    play.pace.first_wait += play.pace.between_wait.saturating_mul(texts);
    play.pace.between_wait = std::time::Duration::ZERO;
    let body = encode_unary(dialect, Dialect::OpenaiChat, &events, &mut Losses::default());
    Play { length: Some(body.len()), pieces: Pieces::whole(body), ..play }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_the_same_under_any_prefix() {
        let chat = Some((Dialect::OpenaiChat, None, None));
        for path in [
            "/v1/chat/completions",
            "/openai/v1/chat/completions",
            "/openai/deployments/gpt/chat/completions",
        ] {
            assert_eq!(answer_surface(path), chat, "{path}");
        }
        let gemini = answer_surface("/gemini/v1beta/models/g-2:streamGenerateContent");
        assert_eq!(gemini, Some((Dialect::Gemini, Some("g-2".into()), Some(true))));
        let anthropic = answer_surface("/anthropic/v1/messages");
        assert_eq!(anthropic, Some((Dialect::Anthropic, None, None)));
        let bedrock = answer_surface("/bedrock/model/a.b-v1%3A0/converse-stream");
        assert_eq!(bedrock, Some((Dialect::Bedrock, Some("a.b-v1:0".into()), Some(true))));
        assert_eq!(answer_surface("/v1/messages/count_tokens"), None);
    }
}
