//! `firedoor evidence unseal`: originals that only their recipients can read.

use super::{Common, Exit, output, stored};
use crate::evidence::age::Identity;
use crate::evidence::disk::Folder;
use crate::evidence::exchange::{Place, scan};
use crate::evidence::export::shown;
use crate::evidence::index::Index;
use crate::evidence::originals::{self, Originals};
use crate::evidence::{FOLDER, text_or_base64};
use crate::id::ExchangeId;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Show the texts of an exchange that are sealed
#[derive(Debug, clap::Args)]
#[command(
    after_help = "For routes with `originals_to`. The identity is a file of age-keygen and need not\nbe on the gateway's machine: the data folder, or an imported bundle, is enough.\nExample:\n  firedoor evidence unseal x_01a2… --identity key.txt"
)]
pub(super) struct Unseal {
    /// The exchange
    #[arg(value_name = "EXCHANGE")]
    exchange: String,
    /// The file with the secret key of age
    #[arg(long, short, value_name = "FILE")]
    identity: PathBuf,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Unseal {
    pub(super) fn run(&self, common: &Common) -> Result<Exit, Exit> {
        let failed = |why: String| {
            output::notice(&format!("firedoor: {why}"));
            Exit::Failed
        };
        let id = ExchangeId::parse(&self.exchange).ok_or_else(|| {
            output::notice(&format!("firedoor: `{}` is not the id of an exchange", self.exchange));
            Exit::Usage
        })?;
        let identity = Arc::new(identity(&self.identity).map_err(failed)?);
        let data_dir = stored::data_dir(common, self.data_dir.as_ref())?;
        let disk = Folder::at(&data_dir.join(FOLDER));
        let unreadable = |error: std::io::Error| {
            failed(format!("cannot read {}: {error}", data_dir.join(FOLDER).display()))
        };
        let places = match places(&data_dir, id) {
            Some(places) => places,
            None => scan(&disk, id).map_err(unreadable)?,
        };
        if places.is_empty() {
            return Err(failed(format!("there is no exchange {id} on record")));
        }
        let found = originals::read(&disk, id, &places, &identity).map_err(unreadable)?;
        if found.closed > 0 {
            output::notice(&format!(
                "firedoor: {} parts are sealed for others than this identity, or damaged",
                found.closed
            ));
        }
        if found.has_holes {
            output::notice("firedoor: parts are missing; gaps of the record say when");
        }
        if found.request.is_none() && found.answers.is_empty() {
            if found.closed == 0 {
                output::notice("firedoor: nothing of this exchange was sealed (`originals_to`)");
            }
            return Err(Exit::Failed);
        }
        if output::is_json(common) {
            Ok(output::json(&told(id, &found)))
        } else {
            Ok(output::data(&words(&found)))
        }
    }
}

/// The identity in a file, where one is given; says what is wrong with it.
pub(super) fn given(file: Option<&Path>) -> Result<Option<Arc<Identity>>, Exit> {
    let Some(file) = file else { return Ok(None) };
    let identity = identity(file).map_err(|why| {
        output::notice(&format!("firedoor: {why}"));
        Exit::Failed
    })?;
    Ok(Some(Arc::new(identity)))
}

/// The identity in a file.
fn identity(file: &Path) -> Result<Identity, String> {
    let path = file.display();
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("cannot read {path}: {error}"))?;
    Identity::parse(&text).ok_or_else(|| {
        format!("{path} has no identity: a line `AGE-SECRET-KEY-1…`, as age-keygen writes it")
    })
}

/// Where the index says that an exchange stands.
fn places(data_dir: &Path, id: ExchangeId) -> Option<Vec<Place>> {
    let row = Index::open(data_dir).ok()?.row(id).ok()??;
    // Of one that has not ended it may not know all.
    row.outcome.is_some().then_some(row.places)
}

fn body(bytes: &[u8]) -> Value {
    match text_or_base64(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(base64) => json!({ "base64": base64 }),
    }
}

fn told(id: ExchangeId, found: &Originals) -> Value {
    let answers = found.answers.iter().map(|(attempt, bytes)| {
        let mut told = body(bytes);
        told["attempt"] = (*attempt).into();
        told
    });
    json!({
        "exchange": id.to_string(),
        "request": found.request.as_deref().map(body),
        "answers": answers.collect::<Value>(),
        "delivered": found.delivered.as_deref().map(body),
        "closed": found.closed,
        "has_holes": found.has_holes,
    })
}

fn words(found: &Originals) -> String {
    let mut out = String::new();
    let shown = |bytes| shown(&String::from_utf8_lossy(bytes));
    if let Some(request) = &found.request {
        let _ = writeln!(out, "request\n{}\n", shown(request));
    }
    for (attempt, answer) in &found.answers {
        let _ = writeln!(out, "answer to attempt {attempt}\n{}\n", shown(answer));
    }
    if let Some(delivered) = &found.delivered {
        let _ = writeln!(out, "what the client got\n{}\n", shown(delivered));
    }
    out
}
