//! The record as a provider: a request is answered as it was answered then.
//!
//! A request is found by what it asks: the same API and the same body. It may be the client's body,
//! for an application that asks the tape in place of the gateway, or the body that the gateway sent,
//! for a gateway whose provider the tape is. Where several requests were the same they are answered
//! in their order, from the first again after the last. A request of another body is answered by
//! its place in its session: the tape goes on where the session is. Nothing else is guessed; what
//! is not on tape is said with what is.
//!
//! The answer is the provider's, byte for byte, where the one who asks speaks its dialect; a client
//! whose exchange was translated gets what the gateway had made of it.
//!
//! What always holds: answers that are held have a bound ([`TAPE_BYTES_MAX`]); what does not fit is
//! counted and said.

use super::said::spoken;
use crate::evidence::exchange::{Answer, Exchange};
use crate::exchange::identity;
use crate::table::IdentityHeaders;
use crate::wire::Dialect;
use crate::wire::request::{Surface, surface, view};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most bytes of answers that are held.
pub const TAPE_BYTES_MAX: u64 = 1 << 30;

/// Fields of an answer that belong to the connection it came by.
const OF_THE_CONNECTION: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is asked: an API, and whether its path asks for a stream; or a plain path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Api {
    Answer(&'static str, Option<bool>),
    Path(String),
}

impl Api {
    /// What a path asks, under any prefix.
    fn of(method: &str, path: &str) -> (Api, Option<Dialect>) {
        let path = path.split('?').next().unwrap_or("");
        if method == "POST" {
            let found = path.match_indices('/').find_map(|(at, _)| match surface(&path[at..]) {
                Surface::Answer { dialect, stream, .. } => Some((dialect, stream)),
                Surface::Other => None,
            });
            if let Some((dialect, stream)) = found {
                return (Api::Answer(dialect.name(), stream), Some(dialect));
            }
        }
        (Api::Path(format!("{method} {path}")), None)
    }

    /// What a gateway asks a provider of `dialect`.
    fn asked_in(dialect: Dialect, is_stream: bool) -> Api {
        let in_path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock);
        Api::Answer(dialect.name(), in_path.then_some(is_stream))
    }
}

type BodyHash = [u8; 32];

/// One answer on tape.
#[derive(Clone, Debug)]
pub struct Played {
    /// The exchange that it was recorded in.
    pub exchange: Arc<str>,
    /// When that began.
    began_unix_ms: u64,
    /// Its status.
    pub status: u16,
    /// Its fields, without those of the connection.
    pub headers: Arc<[(String, String)]>,
    /// Its pieces, and when each came: microseconds since the request.
    pub pieces: Arc<[(u64, Vec<u8>)]>,
    /// Whether its length was told beforehand.
    pub has_length: bool,
}

/// A tape.
#[derive(Debug, Default)]
pub struct Tape {
    answers: Vec<Played>,
    by_body: HashMap<(Api, BodyHash), Line>,
    by_session: HashMap<String, Line>,
    apis: BTreeMap<Api, u64>,
    bytes: u64,
    /// Exchanges that have no answer of a provider, or not all of it.
    pub left_out: u64,
    /// Exchanges whose answers did not fit.
    pub over_bound: u64,
}

/// Answers in the order in which they were asked for, and which is the next.
#[derive(Debug, Default)]
struct Line {
    answers: Vec<usize>,
    next: usize,
}

impl Line {
    /// The record tells exchanges in the order in which they ended.
    fn add(&mut self, at: usize, all: &[Played]) {
        let began = |at: usize| all.get(at).map(|answer| answer.began_unix_ms);
        let place = self.answers.partition_point(|known| began(*known) <= began(at));
        self.answers.insert(place, at);
    }

    fn next(&mut self) -> Option<usize> {
        let at = *self.answers.get(self.next % self.answers.len().max(1))?;
        self.next += 1;
        Some(at)
    }
}

/// A request to the tape.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The method.
    pub method: &'w str,
    /// Path and query.
    pub path: &'w str,
    /// The fields.
    pub headers: &'w HeaderMap,
    /// The body.
    pub body: &'w [u8],
}

impl Tape {
    /// Puts an exchange on the tape, if it has an answer that is whole on record.
    pub fn add(&mut self, recorded: &Exchange) {
        if recorded.missing().is_some() {
            self.left_out += 1;
            return;
        }
        let caller = recorded.dialect();
        let request = &recorded.request;
        let (asked, _) = Api::of(&request.method, &request.path);
        let Some(attempt) = recorded.answered() else {
            let outcome = recorded.known.outcome.as_deref();
            // Firedoor's own answer is one; its refusal is none of a provider.
            if outcome == Some("completed") && recorded.delivered.status.is_some() {
                self.keep(
                    recorded,
                    recorded.delivered.answer(),
                    &[(asked, hash(&request.body.bytes))],
                );
            } else {
                self.left_out += 1;
            }
            return;
        };
        let answer = attempt.answer();
        let source =
            caller.map(
                |caller| {
                    if recorded.passed_on(attempt) { caller } else { spoken(caller, answer) }
                },
            );
        let sent = hash(&recorded.sent(attempt).bytes);
        match (caller, source) {
            (Some(caller), Some(source)) if caller != source => {
                let of_provider = Api::asked_in(source, recorded.known.stream);
                self.keep(recorded, answer, &[(of_provider, sent)]);
                self.keep(
                    recorded,
                    recorded.delivered.answer(),
                    &[(asked, hash(&request.body.bytes))],
                );
            }
            (_, _) => {
                let keys = [(asked.clone(), hash(&request.body.bytes)), (asked, sent)];
                self.keep(recorded, answer, &keys);
            }
        }
    }

    fn keep(&mut self, recorded: &Exchange, answer: Answer<'_>, keys: &[(Api, BodyHash)]) {
        let size = answer.body.bytes.len() as u64;
        if self.bytes.saturating_add(size) > TAPE_BYTES_MAX {
            self.over_bound += 1;
            return;
        }
        self.bytes += size;
        let headers = answer
            .headers
            .iter()
            .filter(|(name, _)| !OF_THE_CONNECTION.contains(&&*name.to_ascii_lowercase()))
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let at = self.answers.len();
        self.answers.push(Played {
            exchange: recorded.id.as_str().into(),
            began_unix_ms: recorded.began_unix_ms,
            status: answer.status.unwrap_or(0),
            headers: headers.collect(),
            pieces: answer.body.pieces().map(|(at_us, piece)| (at_us, piece.to_vec())).collect(),
            has_length: answer.field("content-length").is_some(),
        });
        for (index, key) in keys.iter().enumerate() {
            if index > 0 && keys.get(index - 1) == Some(key) {
                continue;
            }
            *self.apis.entry(key.0.clone()).or_default() += u64::from(index == 0);
            self.by_body.entry(key.clone()).or_default().add(at, &self.answers);
        }
        if let Some(session) = &recorded.known.session {
            self.by_session.entry(session.clone()).or_default().add(at, &self.answers);
        }
    }

    /// How many answers are on it.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// It is not on tape; in words, with what is.
    pub fn find(&mut self, wanted: &Wanted<'_>) -> Result<Played, String> {
        let (api, dialect) = Api::of(wanted.method, wanted.path);
        let session = session(wanted, dialect);
        let by_body = self.by_body.get_mut(&(api.clone(), hash(wanted.body)));
        let found = match by_body.and_then(Line::next) {
            Some(at) => {
                // The session is where its last answer was.
                if let Some(line) = session.as_ref().and_then(|name| self.by_session.get_mut(name))
                    && let Some(place) = line.answers.iter().position(|known| *known == at)
                {
                    line.next = place + 1;
                }
                Some(at)
            }
            None => session.as_ref().and_then(|session| {
                let line = self.by_session.get_mut(session)?;
                // A session that is over is not begun again by a request that was never made.
                (line.next < line.answers.len()).then(|| line.next())?
            }),
        };
        let answer = found.and_then(|at| self.answers.get(at)).cloned();
        answer.ok_or_else(|| self.missing(&api, session.as_deref(), wanted.body))
    }

    /// What is on tape, for who asks for what is not.
    fn missing(&self, api: &Api, session: Option<&str>, body: &[u8]) -> String {
        let name = |api: &Api| match api {
            Api::Answer(dialect, None) => (*dialect).to_owned(),
            Api::Answer(dialect, Some(true)) => format!("{dialect} (stream)"),
            Api::Answer(dialect, Some(false)) => format!("{dialect} (whole)"),
            Api::Path(path) => path.clone(),
        };
        let all: Vec<String> = self
            .apis
            .iter()
            .take(12)
            .map(|(api, count)| format!("{} of {}", count, name(api)))
            .collect();
        let of_session = match session {
            None => "and it names no session by which its turn could be found".to_owned(),
            Some(session) => match self.by_session.get(session) {
                None => "and its session is not on tape".to_owned(),
                Some(line) => {
                    format!("and its session has no more than {} answers", line.answers.len())
                }
            },
        };
        format!(
            "not on tape: no recorded request of {} has this body (BLAKE3 {}..), {of_session}; on tape: {}",
            name(api),
            crate::id::hex(&hash(body)[..4]),
            if all.is_empty() { "nothing".to_owned() } else { all.join(", ") },
        )
    }
}

/// The session that a request declares.
fn session(wanted: &Wanted<'_>, dialect: Option<Dialect>) -> Option<String> {
    let hints = dialect.and_then(|dialect| Some(view(dialect, wanted.body).ok()?.hints));
    let who = identity::read(
        wanted.headers,
        &IdentityHeaders::default(),
        &hints.unwrap_or_default(),
        |_| Box::default(),
        |_| None,
    );
    who.session.map(|session| session.to_string())
}

fn hash(body: &[u8]) -> BodyHash {
    *blake3::hash(body).as_bytes()
}

/// Fields as a map; those that are none are left out.
pub fn header_map<'h>(fields: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    map
}
