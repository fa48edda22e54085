//! The head of an age file: a version line, stanzas, and a line with the MAC, read as the format's
//! grammar has them and in no other way, so that a file that is opened has one form alone.
//!
//! What it cannot do: say whether the MAC is right, which takes the key that a stanza wraps.

use super::BASE64;
use base64::Engine as _;

pub(super) const VERSION_LINE: &str = "age-encryption.org/v1\n";
/// A line of a stanza's body that is shorter is its last.
const COLUMNS: usize = 64;

/// The key of the file, wrapped for one recipient.
pub(super) struct Stanza<'f> {
    /// The kind of the recipient; it has a character.
    pub(super) kind: &'f str,
    pub(super) arguments: Vec<&'f str>,
    pub(super) body: Vec<u8>,
}

/// A head, and what stands behind it.
pub(super) struct Header<'f> {
    pub(super) stanzas: Vec<Stanza<'f>>,
    /// What the MAC is about.
    pub(super) signed: &'f [u8],
    pub(super) mac: [u8; 32],
    pub(super) payload: &'f [u8],
}

/// Reads the head of `file`.
pub(super) fn read(file: &[u8]) -> Option<Header<'_>> {
    let mut rest = file.strip_prefix(VERSION_LINE.as_bytes())?;
    let mut stanzas = Vec::new();
    loop {
        let begin = file.len() - rest.len();
        let first = line(&mut rest)?;
        if let Some(mac) = first.strip_prefix("--- ") {
            // A passphrase vouches for the sender too, but not beside others.
            let has_passphrase = stanzas.iter().any(|stanza: &Stanza<'_>| stanza.kind == "scrypt");
            if stanzas.is_empty() || (has_passphrase && stanzas.len() > 1) {
                return None;
            }
            let mac = BASE64.decode(mac).ok()?.try_into().ok()?;
            return Some(Header { stanzas, signed: &file[..begin + 3], mac, payload: rest });
        }
        stanzas.push(stanza(first, &mut rest)?);
    }
}

/// The stanza that `first` begins, its body taken off `rest`.
fn stanza<'f>(first: &'f str, rest: &mut &'f [u8]) -> Option<Stanza<'f>> {
    let mut arguments = first.strip_prefix("-> ")?.split(' ');
    let is_argument =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !arguments.clone().all(is_argument) {
        return None;
    }
    let kind = arguments.next()?;
    let mut body = String::new();
    loop {
        let line = line(rest)?;
        body.push_str(line);
        if line.len() > COLUMNS {
            return None;
        }
        if line.len() < COLUMNS {
            let body = BASE64.decode(body).ok()?;
            return Some(Stanza { kind, arguments: arguments.collect(), body });
        }
    }
}

/// Takes a line off `rest`, without its end.
fn line<'f>(rest: &mut &'f [u8]) -> Option<&'f str> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    std::str::from_utf8(line).ok()
}
