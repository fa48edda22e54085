//! The record of a data folder, as commands read it.

use super::{Common, Exit, output, status};
use crate::evidence::FOLDER;
use crate::evidence::age::Identity;
use crate::evidence::disk::Folder;
use crate::evidence::index::{Fault, Index};
use crate::evidence::query::Wrong;
use std::path::PathBuf;
use std::sync::Arc;

/// The record of a data folder, to be read.
pub(super) struct Stored {
    pub(super) index: Index,
    pub(super) disk: Folder,
    /// Whose sealed texts are read too.
    pub(super) identity: Option<Arc<Identity>>,
}

impl Stored {
    /// Opens what a command reads; says what is missing, and whether the index is behind.
    pub(super) fn open(common: &Common, folder: Option<&PathBuf>) -> Result<Stored, Exit> {
        let data_dir = data_dir(common, folder)?;
        let disk = Folder::at(&data_dir.join(FOLDER));
        let index = Index::open(&data_dir).map_err(|fault| {
            let what = match fault {
                Fault::Missing => "make it with",
                Fault::Unusable(_) | Fault::Unavailable(_) | Fault::Interrupted => "mend it with",
            };
            output::notice(&format!(
                "firedoor: {fault} in {}; {what} `firedoor evidence reindex`",
                data_dir.display()
            ));
            Exit::Failed
        })?;
        let behind = index.behind(&disk);
        if behind > BEHIND_BYTES {
            output::notice(&format!(
                "firedoor: the index is {} behind the record; `firedoor evidence reindex` brings it \
                 up to date",
                output::bytes(usize::try_from(behind).unwrap_or(usize::MAX))
            ));
        }
        Ok(Stored { index, disk, identity: None })
    }

    /// Says why a search failed.
    #[expect(clippy::unused_self, reason = "what cannot be used is this")]
    pub(super) fn unusable(&self, fault: &Fault) -> Exit {
        output::notice(&format!("firedoor: {fault}; `firedoor evidence reindex` makes it again"));
        Exit::Failed
    }
}

/// A moment for people: UTC, to the second.
pub(super) fn moment(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok();
    let moment = moment.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment
        .map_or_else(|| "-".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// What a running gateway may be behind by without a word.
const BEHIND_BYTES: u64 = 1 << 20;

/// The data folder that has a record.
pub(super) fn data_dir(common: &Common, named: Option<&PathBuf>) -> Result<PathBuf, Exit> {
    let data_dir = named.cloned().map_or_else(|| status::data_dir(common), Ok)?;
    let path = data_dir.join(FOLDER);
    if path.is_dir() {
        return Ok(data_dir);
    }
    output::notice(&format!(
        "firedoor: there is no evidence in {}; name the data folder with --data-dir, or its file \
         with --config",
        path.display()
    ));
    Err(Exit::Failed)
}

/// Says what is wrong with a filter, and where.
pub(super) fn wrong_filter(wrong: &Wrong) -> Exit {
    output::notice(&format!("firedoor: {wrong}\n  {}", wrong.pointed().replace('\n', "\n  ")));
    Exit::Usage
}
