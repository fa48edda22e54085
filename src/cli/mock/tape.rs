//! Recorded bodies, played byte for byte.
//!
//! A recording is two files beside each other: the body as the provider sent it, and
//! `NAME.meta.json` with at least `status`, `content_type` and `body_file`. `x-tape` names the
//! body file by its path under the folder, with or without its ending; `x-tape-split: N` cuts it
//! into pieces of N bytes, `x-tape-split: random:SEED` into pieces of 1 to 64.

use crate::wire::framing::Framing;
use std::collections::VecDeque;
use std::path::{Component, Path};

/// The longest random piece, in bytes.
const RANDOM_PIECE_BYTES_MAX: u64 = 64;

/// One recorded answer.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) is_stream: bool,
    pub(super) body: Vec<u8>,
}

/// What a `.meta.json` must say.
#[derive(serde::Deserialize)]
struct Meta {
    status: u16,
    content_type: Option<String>,
    kind: Option<String>,
    body_file: Option<String>,
}

/// Reads the recording `name` under `folder`.
pub(super) async fn load(folder: &Path, name: &str) -> Result<Recording, String> {
    let name = Path::new(name);
    if !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err("x-tape: a plain path under the tape folder is expected".to_owned());
    }
    let path = folder.join(name);
    // Names hold dots, so only the ending of the body file may be taken off.
    let mut meta = None;
    for stem in [path.clone(), path.with_extension("")] {
        let mut file = stem.into_os_string();
        file.push(".meta.json");
        if let Ok(text) = tokio::fs::read(&file).await {
            meta = Some(text);
            break;
        }
    }
    let shown = name.display();
    let meta = meta.ok_or_else(|| format!("x-tape: no recording `{shown}` in the folder"))?;
    let meta: Meta = serde_json::from_slice(&meta)
        .map_err(|error| format!("x-tape: the .meta.json of `{shown}` is wrong: {error}"))?;
    let body_path = match &meta.body_file {
        Some(file) if is_file_name(file) => path.with_file_name(file),
        Some(_) => return Err(format!("x-tape: the body file of `{shown}` is not beside it")),
        None => path,
    };
    let body = tokio::fs::read(&body_path)
        .await
        .map_err(|error| format!("x-tape: the body of `{shown}` cannot be read: {error}"))?;
    let content_type = meta.content_type.unwrap_or_default();
    Ok(Recording {
        status: meta.status,
        is_stream: meta.kind.as_deref() == Some("stream")
            || Framing::Sse.is_named_by(&content_type),
        content_type,
        body,
    })
}

fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

/// `body`, cut as `x-tape-split` says; whole without it. At least one piece, none empty but of
/// an empty body.
pub(super) fn split(body: Vec<u8>, how: Option<&str>) -> Result<VecDeque<Vec<u8>>, String> {
    let Some(how) = how else { return Ok(VecDeque::from([body])) };
    let expected = || "x-tape-split: a number of bytes from 1, or random:SEED".to_owned();
    let mut pieces = VecDeque::new();
    if let Some(seed) = how.strip_prefix("random:") {
        let mut state: u64 = seed.parse().map_err(|_| expected())?;
        let mut rest = &body[..];
        while !rest.is_empty() {
            let length = (1 + scrambled(&mut state) % RANDOM_PIECE_BYTES_MAX) as usize;
            let (piece, after) = rest.split_at(length.min(rest.len()));
            pieces.push_back(piece.to_vec());
            rest = after;
        }
    } else {
        let length: usize = how.parse().map_err(|_| expected())?;
        if length == 0 {
            return Err(expected());
        }
        pieces.extend(body.chunks(length).map(<[u8]>::to_vec));
    }
    if pieces.is_empty() {
        pieces.push_back(Vec::new());
    }
    Ok(pieces)
}

/// The next number of a fixed sequence (SplitMix64, Steele and others 2014).
fn scrambled(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut number = *state;
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_are_the_body(
            body in proptest::collection::vec(any::<u8>(), 0..500),
            how in "[1-9][0-9]{0,2}|random:[0-9]{1,4}",
        ) {
            let pieces = split(body.clone(), Some(&how)).unwrap();
            prop_assert!(!pieces.is_empty());
            prop_assert!(body.is_empty() || pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(pieces.into_iter().flatten().collect::<Vec<u8>>(), body);
        }
    }

    #[test]
    fn wrong_splits_are_named() {
        for how in ["0", "", "-1", "random:", "random:x"] {
            assert!(split(Vec::new(), Some(how)).unwrap_err().contains("x-tape-split"), "{how}");
        }
    }
}
