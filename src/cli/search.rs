//! `firedoor session search`: exchanges, found by the index or by reading the record itself.
//!
//! Without an index, and for texts that only an identity opens, the record is read from its
//! beginning, or from where the filter's times say.

use super::session::{List, short, usd, word};
use super::stored::{self, Stored, moment};
use super::{Common, Exit, output, progress, unseal};
use crate::evidence::FOLDER;
use crate::evidence::index::{Found, Page, Row, Snippet, snippets};
use crate::evidence::query::Query;
use crate::evidence::texts::Part;
use crate::replay::gather::PENDING_BYTES_MAX;
use crate::replay::search;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The most snippets that are shown of an exchange.
const SNIPPETS_MAX: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Search {
    #[command(flatten)]
    list: List,
    /// Read the record itself instead of the index
    #[arg(long)]
    scan: bool,
    /// Also search the sealed originals that this file with a secret key of age opens; reads the
    /// record itself
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// How many threads read the record [default: as many as there are cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
}

impl Search {
    pub(super) fn run(&self, common: &Common) -> Result<Exit, Exit> {
        let query = self.list.query()?;
        if self.scan || self.identity.is_some() {
            return self.read(common, &query);
        }
        let stored = Stored::open(common, self.list.data_dir.as_ref()).inspect_err(|_| {
            output::notice("firedoor: with --scan the record itself is read instead");
        })?;
        let page = Page { before: None, limit: self.list.limit as usize };
        let found = stored.index.find(&query, page);
        let Found { rows, next } = found.map_err(|fault| stored.unusable(&fault))?;
        let has_words = query.words().next().is_some();
        let mut shown = Shown::new(common);
        for row in rows {
            let snippets = if has_words {
                let turn = stored.turn(row.clone(), Part::New)?;
                snippets(&turn.exchange, &query, SNIPPETS_MAX)
            } else {
                Vec::new()
            };
            shown.hit(&row, &snippets)?;
        }
        Ok(shown.end(next.is_some(), None))
    }

    /// Searches without an index.
    fn read(&self, common: &Common, query: &Query) -> Result<Exit, Exit> {
        let identity = unseal::given(self.identity.as_deref())?;
        let folder = stored::data_dir(common, self.list.data_dir.as_ref())?.join(FOLDER);
        let search = search::Search {
            query,
            identity,
            limit: self.list.limit as usize,
            snippets_max: SNIPPETS_MAX,
            threads: progress::threads(self.threads),
            pending_bytes_max: PENDING_BYTES_MAX,
        };
        let far = search::Far::default();
        let tell = || {
            let read =
                usize::try_from(far.disk_bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
            let found = far.found.load(Ordering::Relaxed);
            format!("search: {found} found, {} read", output::bytes(read))
        };
        let found = progress::watched(&far.stop, tell, || search.run(&folder, &far));
        let found = found.map_err(|error| {
            output::notice(&format!("firedoor: {}: {error}", folder.display()));
            Exit::Failed
        })?;
        let mut shown = Shown::new(common);
        for hit in &found.hits {
            shown.hit(&hit.row, &hit.snippets)?;
        }
        if found.closed > 0 {
            output::notice(&format!(
                "firedoor: {} parts are sealed for others than this identity, or damaged",
                found.closed
            ));
        }
        if found.walked.damaged_bytes > 0 {
            output::notice(&format!(
                "firedoor: {} of the record are damaged; `firedoor evidence verify` names the places",
                output::bytes(usize::try_from(found.walked.damaged_bytes).unwrap_or(usize::MAX))
            ));
        }
        let done = shown.end(found.more, Some(&json!(found.walked)));
        if found.walked.is_partial {
            output::notice("firedoor: interrupted; what is told is of the part that was read");
            return Ok(Exit::Partly);
        }
        Ok(done)
    }
}

/// What was found, as it is told: at once to people, in one piece to programs.
struct Shown {
    is_json: bool,
    items: Vec<Value>,
}

impl Shown {
    fn new(common: &Common) -> Shown {
        Shown { is_json: output::is_json(common), items: Vec::new() }
    }

    fn hit(&mut self, row: &Row, snippets: &[Snippet]) -> Result<(), Exit> {
        if self.is_json {
            let mut value = row.as_json();
            value["snippets"] = snippets.iter().map(Snippet::as_json).collect();
            self.items.push(value);
            return Ok(());
        }
        let mut out = line(row);
        let (open, close) = marks();
        for snippet in snippets {
            let text = snippet.marked("\u{2}", "\u{3}").replace(['\n', '\t'], " ");
            // What the text itself has of control characters goes, then marks come.
            let text: String = text
                .chars()
                .filter(|c| !c.is_control() || matches!(c, '\u{2}' | '\u{3}'))
                .collect();
            let text = text.replace('\u{2}', open).replace('\u{3}', close);
            let _ = writeln!(out, "    {}: {text}", snippet.kind.name());
        }
        self.items.push(Value::Null);
        match output::data(&out) {
            Exit::Done => Ok(()),
            _ => Err(Exit::Failed),
        }
    }

    fn end(self, more: bool, read: Option<&Value>) -> Exit {
        if self.is_json {
            let mut value = json!({ "items": self.items, "more": more });
            if let Some(read) = read {
                value["read"] = read.clone();
            }
            return output::json(&value);
        }
        if self.items.is_empty() {
            output::notice("firedoor: no exchange fits");
        } else if more {
            output::notice("firedoor: there are more: narrow the filter, or raise --limit");
        }
        Exit::Done
    }
}

/// An exchange in a line.
pub(super) fn line(row: &Row) -> String {
    let model = row.model_reported.as_deref().or(row.model_asked.as_deref());
    let mut out = format!(
        "{}  {}  {} {} {} -> {}",
        moment(row.began_unix_ms),
        row.exchange(),
        word(row.app.as_deref()),
        word(row.agent.as_deref()),
        word(model),
        word(row.target.as_deref()),
    );
    let _ = write!(out, "  {}", word(row.outcome.as_deref()));
    if let Some(status) = row.status {
        let _ = write!(out, " {status}");
    }
    if let Some(verdict) = row.verdict.as_deref().filter(|verdict| *verdict != "clear") {
        let _ = write!(out, " {}", short(verdict));
    }
    if let Some(us) = row.latency_us {
        let _ = write!(out, "  {:.0} ms", us as f64 / 1e3);
    }
    if let Some(tokens) = row.tokens {
        let _ = write!(out, "  {tokens} tokens");
    }
    if let Some(cost) = row.cost_micro_usd {
        let _ = write!(out, "  {}", usd(cost));
    }
    out.push('\n');
    out
}

/// What stands around matches: colour on a terminal, brackets elsewhere.
fn marks() -> (&'static str, &'static str) {
    use std::io::IsTerminal;
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !no_colour {
        ("\u{1b}[1;33m", "\u{1b}[0m")
    } else {
        ("[", "]")
    }
}
