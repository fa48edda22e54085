//! Texts that only others can read: the age format, version 1, for X25519 recipients
//! (<https://age-encryption.org/v1>).
//!
//! The gate holds public keys alone: it writes what it cannot read. Whoever has the identity reads it
//! with [`open`], or with any age tool. Each text is a file of its own, so none of them needs
//! another, and what a crash leaves can be read.
//!
//! Own code over our one crypto library: the age crate brings a second one, and a hundred others.

use crate::table::Recipient;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bech32::Hrp;
use bech32::primitives::decode::CheckedHrpstring;
use std::fmt::Write as _;

const VERSION_LINE: &str = "age-encryption.org/v1\n";
const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const FILE_KEY_BYTES: usize = 16;
const PAYLOAD_NONCE_BYTES: usize = 16;
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;

/// What reads what was written for its recipient.
pub struct Identity {
    secret: PrivateKey,
    recipient: [u8; 32],
}

impl Identity {
    /// The first identity of a file that `age-keygen` wrote: a line `AGE-SECRET-KEY-1…`; others are
    /// empty or begin with `#`.
    pub fn parse(text: &str) -> Option<Identity> {
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
        let parsed = CheckedHrpstring::new::<bech32::Bech32>(line).ok()?;
        if parsed.hrp() != Hrp::parse("age-secret-key-").ok()? {
            return None;
        }
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        let secret = PrivateKey::from_private_key(&X25519, &bytes).ok()?;
        let recipient = secret.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(Identity { secret, recipient })
    }
}

/// `text` as an age file for `recipients`.
///
/// # Errors
/// A recipient's key is none that can be agreed with, or the machine gives no random bytes.
pub(super) fn sealed(text: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, Unspecified> {
    let random = SystemRandom::new();
    let mut file_key = [0; FILE_KEY_BYTES];
    rand::fill(&mut file_key)?;
    let mut header = VERSION_LINE.to_owned();
    for recipient in recipients {
        let secret = EphemeralPrivateKey::generate(&X25519, &random)?;
        let share: [u8; 32] =
            secret.compute_public_key()?.as_ref().try_into().map_err(|_| Unspecified)?;
        let peer = UnparsedPublicKey::new(&X25519, recipient.0);
        let wrap = agreement::agree_ephemeral(secret, peer, Unspecified, |shared| {
            Ok(wrap_key(shared, &share, &recipient.0))
        })?;
        let mut body = file_key.to_vec();
        cipher(&wrap?)?.seal_in_place_append_tag(nonce([0; 12]), Aad::empty(), &mut body)?;
        // Writing to a string cannot fail.
        let _ = write!(header, "-> X25519 {}\n{}\n", BASE64.encode(share), BASE64.encode(body));
    }
    header.push_str("---");
    let tag = hmac::sign(&mac_key(&file_key)?, header.as_bytes());
    let _ = writeln!(header, " {}", BASE64.encode(tag));
    let mut salt = [0; PAYLOAD_NONCE_BYTES];
    rand::fill(&mut salt)?;
    let payload = cipher(&derived(&salt, &file_key, b"payload")?)?;
    let mut out = header.into_bytes();
    out.extend_from_slice(&salt);
    let mut counter = 0;
    let mut chunks = text.chunks(CHUNK_BYTES).peekable();
    loop {
        let mut chunk = chunks.next().unwrap_or_default().to_vec();
        let is_last = chunks.peek().is_none();
        payload.seal_in_place_append_tag(
            chunk_nonce(counter, is_last),
            Aad::empty(),
            &mut chunk,
        )?;
        out.append(&mut chunk);
        counter += 1;
        if is_last {
            return Ok(out);
        }
    }
}

/// The text of an age file; `None` if it is none, is damaged, or was written for somebody else.
pub fn open(file: &[u8], identity: &Identity) -> Option<Vec<u8>> {
    let end = file.windows(5).position(|window| window == b"\n--- ")? + 1;
    let line_end = end + file[end..].iter().position(|byte| *byte == b'\n')?;
    let header = std::str::from_utf8(&file[..end]).ok()?;
    let tag = BASE64.decode(file.get(end + 4..line_end)?).ok()?;
    let file_key = file_key(header.strip_prefix(VERSION_LINE)?, identity)?;
    hmac::verify(&mac_key(&file_key).ok()?, &file[..end + 3], &tag).ok()?;
    let (salt, mut rest) = file[line_end + 1..].split_at_checked(PAYLOAD_NONCE_BYTES)?;
    let payload = cipher(&derived(salt, &file_key, b"payload").ok()?).ok()?;
    let mut text = Vec::with_capacity(rest.len());
    let mut counter = 0;
    loop {
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK_BYTES + TAG_BYTES));
        let is_last = behind.is_empty();
        let mut chunk = chunk.to_vec();
        let nonce = chunk_nonce(counter, is_last);
        let plain = payload.open_in_place(nonce, Aad::empty(), &mut chunk).ok()?;
        text.extend_from_slice(plain);
        counter += 1;
        rest = behind;
        if is_last {
            return Some(text);
        }
    }
}

/// The key of a file, from the stanza that the identity opens.
fn file_key(stanzas: &str, identity: &Identity) -> Option<[u8; FILE_KEY_BYTES]> {
    let mut lines = stanzas.lines();
    while let Some(line) = lines.next() {
        let Some(share) = line.strip_prefix("-> X25519 ") else { continue };
        let share: [u8; 32] = BASE64.decode(share).ok()?.try_into().ok()?;
        let mut body = BASE64.decode(lines.next()?).ok()?;
        let peer = UnparsedPublicKey::new(&X25519, share);
        let wrap = agreement::agree(&identity.secret, peer, Unspecified, |shared| {
            wrap_key(shared, &share, &identity.recipient)
        });
        let Ok(wrap) = wrap else { continue };
        let opened = cipher(&wrap)
            .ok()?
            .open_in_place(nonce([0; 12]), Aad::empty(), &mut body)
            .map(|key| key.to_vec());
        if let Ok(key) = opened {
            return key.try_into().ok();
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A key pair, and a text that rage sealed for another one and for it.
    const SECRET: &str =
        "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
    const RECIPIENT: &str = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";
    const BY_RAGE: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBGL3FTK1RFdENxRk9ZOVhBbVlNbzQ3eWhUQ2xCOEoyaXV3bnlxSGovcW5vCmFVSEJML1hHcjd3MVRvMTFsVHRhTFhMMU5DbERpMHUvOXJhNENucG5ra3cKLT4gWDI1NTE5IFN6a2U4WThPMkRrczBlU3pjQnBMcjhNbm90cW5ZY1Z2WFhodURqOUNGM0UKYjAzbzJnajYzZUpUSjB4dGJnNU1QMFVYcEZHYXMvRWpKNGljNnZldXpuawotPiBpeT8tZ3JlYXNlCk03Q1oKLS0tIFZEOHYwS3NPM3ZmWmxLalZuWDRDV08xd1RkQTVQVWlLbWgyaUhuaHF4UTAK9nU2AGwSKi+Neap/7i5AzfECRCTAdiyCjXgA/jAVI1i640b8hSrdOXHeBj3klRom";

    #[test]
    fn what_is_sealed_is_opened_by_its_identity_alone() {
        let recipient = Recipient::parse(RECIPIENT).unwrap();
        let identity = Identity::parse(&format!("# created: today\n{SECRET}\n")).unwrap();
        assert_eq!(identity.recipient, recipient.0);
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let text = vec![7; length];
            let file = sealed(&text, &[recipient]).unwrap();
            assert_eq!(open(&file, &identity), Some(text.clone()), "{length}");
            assert!(file.len() > length && open(&file[..file.len() - 1], &identity).is_none());
        }
        let by_rage = super::super::digits::unbase64(BY_RAGE).unwrap();
        assert_eq!(open(&by_rage, &identity).as_deref(), Some(&b"sealed elsewhere"[..]));
        let other = Recipient([9; 32]);
        let file = sealed(b"text", &[other]).unwrap();
        assert_eq!(open(&file, &identity), None);
        let file = sealed(b"text", &[other, recipient]).unwrap();
        assert_eq!(open(&file, &identity).as_deref(), Some(&b"text"[..]));
    }

    proptest! {
        #[test]
        fn damage_is_found(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let identity = Identity::parse(SECRET).unwrap();
            let mut file = sealed(b"an original", &[Recipient::parse(RECIPIENT).unwrap()]).unwrap();
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            prop_assert_eq!(open(&file, &identity), None);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let identity = Identity::parse(SECRET).unwrap();
            let _ = open(&bytes, &identity);
            let _ = open(&[VERSION_LINE.as_bytes(), &bytes].concat(), &identity);
        }
    }
}
