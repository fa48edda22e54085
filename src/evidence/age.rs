//! Texts that only others can read: the age format, version 1, for X25519 recipients
//! (<https://age-encryption.org/v1>).
//!
//! The gate holds public keys alone: it writes what it cannot read. Whoever has the identity reads it
//! with [`open`], or with any age tool. Each text is a file of its own, so none of them needs
//! another, and what a crash leaves can be read.
//!
//! Own code over our one crypto library: the age crate brings a second one, and a hundred others.

mod header;
#[cfg(test)]
mod tests;

use self::header::{Stanza, VERSION_LINE};
use super::digits::unbase64;
use crate::table::{Recipient, bech32_key};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// The kind of stanza that we write and open.
const KIND: &str = "X25519";
const KEY_BYTES: usize = 32;
const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const FILE_KEY_BYTES: usize = 16;
const PAYLOAD_NONCE_BYTES: usize = 16;
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;

/// What reads what was written for its recipient.
pub struct Identity {
    secret: PrivateKey,
    recipient: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Identity {
    /// Nothing of it: it is a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Identity")
    }
}

impl Identity {
    /// The first identity of a file that `age-keygen` wrote: a line `AGE-SECRET-KEY-1…`; others are
    /// empty or begin with `#`.
    pub fn parse(text: &str) -> Option<Identity> {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
        let bytes = bech32_key(line, "age-secret-key-")?;
        let secret = PrivateKey::from_private_key(&X25519, &bytes).ok()?;
        let recipient = secret.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Identity { secret, recipient })
    }
}

/// `text` as an age file for `recipients`.
///
/// # Errors
/// A recipient's key is none that can be agreed with, or the machine gives no random bytes.
pub fn sealed(text: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, Unspecified> {
    let mut file_key = [0; FILE_KEY_BYTES];
    rand::fill(&mut file_key)?;
    let mut stanzas = String::new();
    for recipient in recipients {
        stanzas.push_str(&stanza(&file_key, *recipient)?);
    }
    let chunks = if text.is_empty() { vec![text] } else { text.chunks(CHUNK_BYTES).collect() };
    joined(&stanzas, &file_key, &chunks)
}

/// The stanza that wraps `file_key` for `recipient`.
fn stanza(file_key: &[u8], recipient: Recipient) -> Result<String, Unspecified> {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let share: [u8; KEY_BYTES] =
        secret.compute_public_key()?.as_ref().try_into().map_err(|_| Unspecified)?;
    let peer = UnparsedPublicKey::new(&X25519, recipient.0);
    let wrap = agreement::agree_ephemeral(secret, peer, Unspecified, |shared| {
        wrap_key(shared, &share, &recipient.0)
    })?;
    let mut body = file_key.to_vec();
    cipher(&wrap)?.seal_in_place_append_tag(nonce([0; 12]), Aad::empty(), &mut body)?;
    Ok(format!("-> {KIND} {}\n{}\n", BASE64.encode(share), BASE64.encode(body)))
}

/// The file of a head with `stanzas` and a payload of `chunks`, of which there is one at least.
fn joined(stanzas: &str, file_key: &[u8], chunks: &[&[u8]]) -> Result<Vec<u8>, Unspecified> {
    let signed = format!("{VERSION_LINE}{stanzas}---");
    let mac = hmac::sign(&mac_key(file_key)?, signed.as_bytes());
    let mut out = format!("{signed} {}\n", BASE64.encode(mac)).into_bytes();
    let mut salt = [0; PAYLOAD_NONCE_BYTES];
    rand::fill(&mut salt)?;
    out.extend_from_slice(&salt);
    let payload = cipher(&derived(&salt, file_key, b"payload")?)?;
    for (number, chunk) in chunks.iter().enumerate() {
        let nonce = chunk_nonce(number as u64, number + 1 == chunks.len());
        let mut chunk = chunk.to_vec();
        payload.seal_in_place_append_tag(nonce, Aad::empty(), &mut chunk)?;
        out.append(&mut chunk);
    }
    Ok(out)
}

/// The text of an age file in base64, as lines of the record have it.
pub fn opened(file: &str, identity: &Identity) -> Option<Vec<u8>> {
    open(&unbase64(file)?, identity)
}

/// The text of an age file; `None` if it is none, is damaged, or was written for somebody else.
pub fn open(file: &[u8], identity: &Identity) -> Option<Vec<u8>> {
    let head = header::read(file)?;
    let file_key = file_key(&head.stanzas, identity)?;
    hmac::verify(&mac_key(&file_key).ok()?, head.signed, &head.mac).ok()?;
    let (salt, mut rest) = head.payload.split_at_checked(PAYLOAD_NONCE_BYTES)?;
    let payload = cipher(&derived(salt, &file_key, b"payload").ok()?).ok()?;
    let mut text = Vec::with_capacity(rest.len());
    let mut number = 0;
    loop {
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK_BYTES + TAG_BYTES));
        let is_last = behind.is_empty();
        let mut chunk = chunk.to_vec();
        let nonce = chunk_nonce(number, is_last);
        let plain = payload.open_in_place(nonce, Aad::empty(), &mut chunk).ok()?;
        if plain.is_empty() && number > 0 {
            return None;
        }
        text.extend_from_slice(plain);
        number += 1;
        rest = behind;
        if is_last {
            return Some(text);
        }
    }
}

/// The key of a file, from the stanza that the identity opens. Stanzas of other kinds are for
/// others; one of ours that is malformed spoils the file.
fn file_key(stanzas: &[Stanza<'_>], identity: &Identity) -> Option<[u8; FILE_KEY_BYTES]> {
    let ours = stanzas.iter().filter(|stanza| stanza.kind == KIND);
    let all: Vec<Wrapped> = ours.map(Wrapped::of).collect::<Option<_>>()?;
    for Wrapped { share, mut body } in all {
        let peer = UnparsedPublicKey::new(&X25519, share);
        // A share that makes the secret zero for everybody ends it.
        let wrap = agreement::agree(&identity.secret, peer, Unspecified, |shared| {
            wrap_key(shared, &share, &identity.recipient)
        });
        let cipher = cipher(&wrap.ok()?).ok()?;
        if let Ok(key) = cipher.open_in_place(nonce([0; 12]), Aad::empty(), &mut body) {
            return (&*key).try_into().ok();
        }
    }
    None
}

/// The key of a file, wrapped for an X25519 key.
struct Wrapped {
    share: [u8; KEY_BYTES],
    /// Of one length: in a longer one, keys of several recipients could be tried at once.
    body: [u8; FILE_KEY_BYTES + TAG_BYTES],
}

impl Wrapped {
    fn of(stanza: &Stanza<'_>) -> Option<Wrapped> {
        let [share] = stanza.arguments[..] else { return None };
        let share = BASE64.decode(share).ok()?.try_into().ok()?;
        Some(Wrapped { share, body: stanza.body.as_slice().try_into().ok()? })
    }
}

fn wrap_key(
    shared: &[u8],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<[u8; 32], Unspecified> {
    derived(&[*share, *recipient].concat(), shared, X25519_LABEL)
}

fn mac_key(file_key: &[u8]) -> Result<hmac::Key, Unspecified> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &derived(&[], file_key, b"header")?))
}

/// HKDF-SHA256 (RFC 5869).
fn derived(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; 32], Unspecified> {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)?
        .fill(&mut key)?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?))
}

fn nonce(bytes: [u8; 12]) -> Nonce {
    Nonce::assume_unique_for_key(bytes)
}

/// STREAM: the number of the chunk in eleven bytes, and whether it is the last.
fn chunk_nonce(counter: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&counter.to_be_bytes());
    bytes[11] = u8::from(is_last);
    nonce(bytes)
}
