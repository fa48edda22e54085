//! `firedoor session`: recorded sessions, listed, shown, searched and exported.
//!
//! These read the data folder: the index, and the segments that it points into. So they work when
//! the gateway is down, and beside it while it runs. An index that is behind is said to be.

use super::search::{Search, line};
use super::stored::{Stored, moment, wrong_filter};
use super::{Common, Exit, output, unseal};
use crate::control::clocks;
use crate::evidence::exchange::Wants;
use crate::evidence::export;
use crate::evidence::index::{Page, Row, Session};
use crate::evidence::query::{Query, is_negation, join, parse};
use crate::evidence::texts::{Part, Said};
use crate::evidence::transcript::Turn;
use crate::filter::Kind;
use crate::id::ExchangeId;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How many exchanges are read from the index at once.
const PAGE: usize = 200;

const FILTER_HELP: &str = "Filters: app: agent: session: route: provider: target: model: dialect: outcome: class: verdict:\nrule: lever: tool: status: latency: ttft: cost: tokens: since: until: gaps:yes, words, \"exact words\",\nprompt: document: result: answer: arguments: for words in one kind of text. `-` or `!` in front negates,\n`*` stands for anything, commas stand between alternatives. More in docs/search.md.";

/// Recorded sessions: list, show, search, export
#[derive(Debug, clap::Args)]
pub struct Sessions {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List sessions, the last active first
    #[command(after_help = FILTER_HELP)]
    Ls(List),
    /// Show what was said in a session, each turn once
    Show(Show),
    /// Find exchanges
    #[command(after_help = FILTER_HELP)]
    Search(Search),
    /// Write a session for other programs
    Export(Export),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// What to look for, such as `app:helpdesk status:>=400 since:2h "exact words"`
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// At most so many
    #[arg(long, short, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) limit: u32,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The session, or its beginning; or an exchange, `x_…`
    id: String,
    /// Also read sealed texts that this file with a secret key of age opens
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Export {
    /// The session, or its beginning; or an exchange, `x_…`
    id: String,
    /// As what
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    /// Also read sealed texts that this file with a secret key of age opens
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// An object for each exchange, with all that was said
    Jsonl,
    /// A transcript
    Markdown,
    /// HTTP Archive 1.2: requests and answers as they went
    Har,
}

/// The arguments, with negated terms so that they are not taken for options: `-outcome:cut` is no
/// `-o utcome:cut`.
pub(super) fn with_terms(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    let is_search =
        words.any(|word| word == "session") && words.any(|word| ["ls", "search"].contains(&word));
    if !is_search {
        return arguments;
    }
    let one = |argument: OsString| match argument.to_str() {
        Some(text) if is_negation(text) => format!("!{}", &text[1..]).into(),
        Some(_) | None => argument,
    };
    arguments.into_iter().map(one).collect()
}

impl Sessions {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let done = match &self.what {
            What::Ls(command) => command.list(common),
            What::Search(command) => command.run(common),
            What::Show(command) => command.run(common),
            What::Export(command) => command.run(common),
        };
        done.unwrap_or_else(|exit| exit)
    }
}

impl List {
    pub(super) fn query(&self) -> Result<Query, Exit> {
        parse(&join(&self.filter), clocks::unix_ms()).map_err(|wrong| wrong_filter(&wrong))
    }

    fn list(&self, common: &Common) -> Result<Exit, Exit> {
        let query = self.query()?;
        let stored = Stored::open(common, self.data_dir.as_ref())?;
        let found = stored.index.sessions(&query, None, self.limit as usize);
        let (sessions, next) = found.map_err(|fault| stored.unusable(&fault))?;
        if output::is_json(common) {
            let items: Value = sessions.iter().map(Session::as_json).collect();
            return Ok(output::json(&json!({ "items": items, "more": next.is_some() })));
        }
        let mut out = String::new();
        for session in &sessions {
            let _ = writeln!(
                out,
                "{}  {:>4} exchanges  {:<8} {}  {} {} {}",
                moment(session.last_unix_ms),
                session.exchanges,
                session.verdict.unwrap_or("-"),
                usd(session.cost_micro_usd),
                short(&session.id),
                word(session.app.as_deref()),
                word(session.model.as_deref()),
            );
        }
        if sessions.is_empty() {
            output::notice("firedoor: no session fits");
        } else if next.is_some() {
            output::notice("firedoor: there are more: narrow the filter, or raise --limit");
        }
        Ok(output::data(&out))
    }
}

impl Show {
    fn run(&self, common: &Common) -> Result<Exit, Exit> {
        let stored = Stored::open(common, self.data_dir.as_ref())?;
        let stored = stored.read_by(self.identity.as_deref())?;
        let chosen = Chosen::find(&stored, &self.id)?;
        let is_json = output::is_json(common);
        let mut turns = Vec::new();
        if let Chosen::Session(session) = &chosen
            && !is_json
        {
            head(&stored, session)?;
        }
        chosen.each(&stored, |turn| {
            if is_json {
                turns.push(turn.as_json());
                Ok(())
            } else {
                printed(&shown(turn))
            }
        })?;
        if !is_json {
            return Ok(Exit::Done);
        }
        let session = match &chosen {
            Chosen::Session(session) => session.as_json(),
            Chosen::Exchange(_) => Value::Null,
        };
        let relatives = chosen.relatives(&stored)?;
        Ok(output::json(&json!({ "session": session, "relatives": relatives, "turns": turns })))
    }
}

impl Export {
    fn run(&self, common: &Common) -> Result<Exit, Exit> {
        let stored = Stored::open(common, self.data_dir.as_ref())?;
        let stored = stored.read_by(self.identity.as_deref())?;
        let chosen = Chosen::find(&stored, &self.id)?;
        match self.format {
            Format::Jsonl => chosen.each(&stored, |turn| printed(&export::jsonl(turn)))?,
            Format::Markdown => {
                printed(&export::markdown_head(chosen.id()))?;
                chosen.each(&stored, |turn| printed(&export::markdown(turn)))?;
            }
            Format::Har => {
                printed(&export::har_head())?;
                let mut comma = "\n";
                chosen.each(&stored, |turn| {
                    let entry = format!("{comma}{}", export::har(turn));
                    comma = ",\n";
                    printed(&entry)
                })?;
                printed(export::HAR_TAIL)?;
            }
        }
        Ok(Exit::Done)
    }
}

/// What an id names.
enum Chosen {
    Session(Session),
    Exchange(Box<Row>),
}

impl Chosen {
    fn find(stored: &Stored, id: &str) -> Result<Chosen, Exit> {
        let unusable = |fault| stored.unusable(&fault);
        if let Some(exchange) = ExchangeId::parse(id) {
            return match stored.index.row(exchange).map_err(unusable)? {
                Some(row) => Ok(Chosen::Exchange(Box::new(row))),
                None => Err(not_indexed(exchange)),
            };
        }
        if let Some(session) = stored.index.session(id).map_err(unusable)? {
            return Ok(Chosen::Session(session));
        }
        let like = stored.index.sessions_like(id, 6).map_err(unusable)?;
        match &like[..] {
            [one] => {
                let found = stored.index.session(one).map_err(unusable)?;
                found.map(Chosen::Session).ok_or(Exit::Failed)
            }
            [] => {
                output::notice(&format!(
                    "firedoor: no session `{}` is on record; `firedoor session ls` lists them",
                    short(id)
                ));
                Err(Exit::Failed)
            }
            several => {
                let mut notice = format!("firedoor: several sessions begin with `{}`:", short(id));
                for one in several {
                    let _ = write!(notice, "\n  {}", short(one));
                }
                output::notice(&notice);
                Err(Exit::Failed)
            }
        }
    }

    fn id(&self) -> &str {
        match self {
            Chosen::Session(session) => &session.id,
            Chosen::Exchange(row) => row.session.as_deref().unwrap_or("of one exchange"),
        }
    }

    /// Hands on its turns in their order, read one by one.
    fn each(
        &self,
        stored: &Stored,
        mut take: impl FnMut(&Turn) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let session = match self {
            Chosen::Exchange(row) => {
                let turn = stored.turn((**row).clone(), Part::All)?;
                return take(&turn);
            }
            Chosen::Session(session) => session,
        };
        let (mut after, mut part) = (None, Part::All);
        loop {
            let page = Page { before: None, limit: PAGE };
            let rows = stored.index.exchanges_of(&session.id, after, page);
            let rows = rows.map_err(|fault| stored.unusable(&fault))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.number);
            for row in rows {
                take(&stored.turn(row, part)?)?;
                part = Part::New;
            }
        }
    }

    fn relatives(&self, stored: &Stored) -> Result<Value, Exit> {
        let Chosen::Session(session) = self else { return Ok(json!([])) };
        let found = stored.index.relatives(session).map_err(|fault| stored.unusable(&fault))?;
        let one = |relation: &crate::evidence::index::Relation| {
            json!({
                "session": relation.session,
                "is": if relation.is_parent { "parent" } else { "child" },
                "trace": relation.trace,
            })
        };
        Ok(found.iter().map(one).collect())
    }
}

fn head(stored: &Stored, session: &Session) -> Result<(), Exit> {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "session {}\n{} to {}  {} exchanges, {} tokens, {}",
        short(&session.id),
        moment(session.began_unix_ms),
        moment(session.last_unix_ms),
        session.exchanges,
        session.tokens,
        usd(session.cost_micro_usd),
    );
    let relatives = stored.index.relatives(session).map_err(|fault| stored.unusable(&fault))?;
    for relation in relatives {
        let is = if relation.is_parent { "began by" } else { "began" };
        let _ =
            writeln!(out, "{is} {} (trace {})", short(&relation.session), short(&relation.trace));
    }
    printed(&out)
}

/// A turn for people.
fn shown(turn: &Turn) -> String {
    let mut out = format!("\n{}", line(&turn.row));
    for said in &turn.asked {
        paragraph(&mut out, ">", said);
    }
    for said in &turn.answer.said {
        paragraph(&mut out, "<", said);
    }
    for said in turn.withheld.iter().flat_map(|answer| &answer.said) {
        paragraph(&mut out, "(provider)", said);
    }
    if let Some(why) = turn.silence() {
        let _ = writeln!(out, "  -- {why}");
    }
    let known = &turn.exchange.known;
    for finding in &known.findings {
        let _ = writeln!(
            out,
            "  -- rule {} in {} at {}..{}: {}",
            short(&finding.rule),
            short(&finding.channel),
            finding.start,
            finding.end,
            short(&finding.action)
        );
    }
    for attempt in turn.exchange.attempts.iter().filter(|_| turn.exchange.attempts.len() > 1) {
        let status = attempt.status.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
        let _ = writeln!(
            out,
            "  -- attempt {}: {} {status}",
            attempt.number,
            word(attempt.target.as_deref())
        );
    }
    for seam in &known.seams {
        let _ = writeln!(out, "  -- another provider went on behind {} bytes", seam.at_text_bytes);
    }
    for (what, text) in [("lever", &known.lever), ("limit", &known.limit), ("fault", &known.fault)]
    {
        if let Some(text) = text {
            let _ = writeln!(out, "  -- {what} {}", short(text));
        }
    }
    for note in &turn.exchange.notes {
        let _ =
            writeln!(out, "  -- note {}: {}", short(&note.what), short(&note.about().to_string()));
    }
    if !turn.exchange.is_whole() {
        out.push_str("  -- lines of its record are missing\n");
    }
    out
}

fn paragraph(out: &mut String, mark: &str, said: &Said) {
    let kind = match (said.kind, &said.tool) {
        (Kind::ToolArguments, Some(tool)) => format!("calls {}", short(tool)),
        (kind, _) => kind.name().to_owned(),
    };
    let _ = writeln!(out, "  {mark} {kind}");
    for line in export::shown(&said.text).lines() {
        let _ = writeln!(out, "      {line}");
    }
}

pub(super) fn usd(micro: u64) -> String {
    format!("${:.4}", micro as f64 / 1e6)
}

pub(super) fn word(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), short)
}

/// A word of a caller's in a line of ours.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn not_indexed(id: ExchangeId) -> Exit {
    output::notice(&format!(
        "firedoor: the index has no exchange {id}; if it was recorded just now, ask again, or bring \
         the index up to date with `firedoor evidence reindex`"
    ));
    Exit::Failed
}

fn printed(text: &str) -> Result<(), Exit> {
    match output::data(text) {
        Exit::Done => Ok(()),
        other => Err(other),
    }
}

impl Stored {
    /// The same, with the texts that are sealed for the identity in `file`.
    fn read_by(self, file: Option<&Path>) -> Result<Stored, Exit> {
        Ok(Stored { identity: unseal::given(file)?, ..self })
    }

    pub(super) fn turn(&self, row: Row, part: Part) -> Result<Turn, Exit> {
        let wanted = Wants { identity: self.identity.clone(), ..Wants::default() };
        Turn::read(&self.disk, row, part, wanted).map_err(|error| {
            output::notice(&format!("firedoor: the segments cannot be read: {error}"));
            Exit::Failed
        })
    }
}
