//! The format, rule by rule: each file here is right but for the one thing that it breaks.

use super::*;
use proptest::prelude::*;

/// A key pair, and a text that rage sealed for another one and for it.
const SECRET: &str = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
const RECIPIENT: &str = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";
const BY_RAGE: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBGL3FTK1RFdENxRk9ZOVhBbVlNbzQ3eWhUQ2xCOEoyaXV3bnlxSGovcW5vCmFVSEJML1hHcjd3MVRvMTFsVHRhTFhMMU5DbERpMHUvOXJhNENucG5ra3cKLT4gWDI1NTE5IFN6a2U4WThPMkRrczBlU3pjQnBMcjhNbm90cW5ZY1Z2WFhodURqOUNGM0UKYjAzbzJnajYzZUpUSjB4dGJnNU1QMFVYcEZHYXMvRWpKNGljNnZldXpuawotPiBpeT8tZ3JlYXNlCk03Q1oKLS0tIFZEOHYwS3NPM3ZmWmxLalZuWDRDV08xd1RkQTVQVWlLbWgyaUhuaHF4UTAK9nU2AGwSKi+Neap/7i5AzfECRCTAdiyCjXgA/jAVI1i640b8hSrdOXHeBj3klRom";

const FILE_KEY: [u8; FILE_KEY_BYTES] = [5; FILE_KEY_BYTES];
const TEXT: &[u8] = b"an original";

fn identity() -> Identity {
    Identity::parse(SECRET).unwrap()
}

fn recipient() -> Recipient {
    Recipient::parse(RECIPIENT).unwrap()
}

/// A stanza that the identity opens.
fn ours() -> String {
    stanza(&FILE_KEY, recipient()).unwrap()
}

/// Whether a file with these stanzas is opened, all else in it being right.
fn is_opened(stanzas: &str) -> bool {
    let file = joined(stanzas, &FILE_KEY, &[TEXT]).unwrap();
    let text = open(&file, &identity());
    assert!(text.as_deref().is_none_or(|text| text == TEXT));
    text.is_some()
}

#[test]
fn what_is_sealed_is_opened_by_its_identity_alone() {
    let identity = Identity::parse(&format!("# created: today\n{SECRET}\n")).unwrap();
    assert_eq!(identity.recipient, recipient().0);
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let text = vec![7; length];
        let file = sealed(&text, &[recipient()]).unwrap();
        assert_eq!(open(&file, &identity), Some(text.clone()), "{length}");
        assert!(file.len() > length && open(&file[..file.len() - 1], &identity).is_none());
    }
    let by_rage = super::super::digits::unbase64(BY_RAGE).unwrap();
    assert_eq!(open(&by_rage, &identity).as_deref(), Some(&b"sealed elsewhere"[..]));
    let other = Recipient([9; 32]);
    assert_eq!(open(&sealed(TEXT, &[other]).unwrap(), &identity), None);
    let file = sealed(TEXT, &[other, recipient()]).unwrap();
    assert_eq!(open(&file, &identity).as_deref(), Some(TEXT));
}

#[test]
fn stanzas_of_other_kinds_are_for_others() {
    let full = "A".repeat(64);
    for other in [
        "-> other\n\n",
        "-> a/b ~!@# $%\nAAAA\n",
        &format!("-> full\n{full}\n\n"),
        &format!("-> fuller\n{full}\n{full}\nAAAA\n"),
        "-> x25519 AAAA\n\n",
    ] {
        assert!(is_opened(&(ours() + other)), "{other}");
        assert!(is_opened(&(other.to_owned() + &ours())), "{other}");
    }
}

#[test]
fn a_stanza_has_one_form() {
    let full = "A".repeat(64);
    for other in [
        "->\n\n",
        "-> \n\n",
        "-> a \n\n",
        "-> a  b\n\n",
        " -> a\n\n",
        "->a\n\n",
        "--> a\n\n",
        "-> \u{e4}\n\n",
        "-> a\tb\n\n",
        "-> a\r\n\n",
        "-> a\n\r\n",
        "-> a\n",
        "-> a\nAAAA\nAAAA\n",
        &format!("-> a\n{full}\n"),
        &format!("-> a\n{full}A\n\n"),
        &format!("-> a\n{full}AAAA\n"),
        "-> a\nAA==\n",
        "-> a\nAAA=\n",
        "-> a\nAB\n",
        "-> a\nAAB\n",
        "-> a\nA\n",
        "-> a\nAA-_\n",
        "-> a\n AAAA\n",
        "\n",
        "-> scrypt AAAAAAAAAAAAAAAAAAAAAA 18\n8SHBz/ldWnjyGFQqfjat6uNBarWqqEMDS7W8X7+Xq5Q\n",
    ] {
        assert!(!is_opened(&(ours() + other)), "{other:?}");
        assert!(!is_opened(&(other.to_owned() + &ours())), "{other:?}");
    }
    assert!(!is_opened(""));
}

/// One of our kind that is malformed spoils the file, wherever it stands.
#[test]
fn a_stanza_of_our_kind_has_a_share_and_a_wrapped_key() {
    let ours = ours();
    let (first, body) = ours.trim_end().split_once('\n').unwrap();
    let share = BASE64.decode(&first["-> X25519 ".len()..]).unwrap();
    let body_bytes = BASE64.decode(body).unwrap();
    let long = BASE64.encode([&body_bytes[..], &[0]].concat());
    let other = |share: &[u8]| format!("-> X25519 {}\n{body}\n", BASE64.encode(share));
    for wrong in [
        format!("-> X25519\n{body}\n"),
        format!("{first} more\n{body}\n"),
        format!("{first}=\n{body}\n"),
        format!("{first}\n\n"),
        format!("{first}\n{long}\n"),
        format!("{first}\n{}\n", BASE64.encode(&body_bytes[..31])),
        other(&share[..31]),
        other(&[&share[..], &[0]].concat()),
    ] {
        assert!(!is_opened(&wrong), "{wrong}");
        assert!(!is_opened(&(ours.clone() + &wrong)), "{wrong}");
        assert!(!is_opened(&(wrong.clone() + &ours)), "{wrong}");
    }
    // The other bits of the last character are not zero: base64 that nobody writes.
    let last = first.as_bytes()[first.len() - 1];
    let next = char::from(last + 1);
    assert!(!is_opened(&format!("{}{next}\n{body}\n", &first[..first.len() - 1])));
}

/// A wrapped key of another length opens with a key that fits, but is no key of a file.
#[test]
fn a_wrapped_key_is_as_long_as_keys_of_files_are() {
    for length in [0, 15, 17, 32] {
        let key = vec![5; length];
        let file = joined(&stanza(&key, recipient()).unwrap(), &key, &[TEXT]).unwrap();
        assert_eq!(open(&file, &identity()), None, "{length}");
    }
}

#[test]
fn a_share_that_makes_the_secret_zero_ends_it() {
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one] {
        let body = BASE64.encode([0; FILE_KEY_BYTES + TAG_BYTES]);
        let low = format!("-> X25519 {}\n{body}\n", BASE64.encode(point));
        assert!(!is_opened(&(low + &ours())));
    }
}

#[test]
fn the_lines_around_the_stanzas_have_one_form() {
    let file = joined(&ours(), &FILE_KEY, &[TEXT]).unwrap();
    let changed = |from: &[u8], to: &[u8]| {
        let at = file.windows(from.len()).position(|window| window == from).unwrap();
        let changed = [&file[..at], to, &file[at + from.len()..]].concat();
        assert_ne!(changed, file);
        open(&changed, &identity())
    };
    assert_eq!(changed(b"v1\n", b"v1\r\n"), None);
    assert_eq!(changed(b"v1\n", b"v2\n"), None);
    assert_eq!(changed(b"age", b"\nage"), None);
    assert_eq!(changed(b"age", b"Age"), None);
    assert_eq!(changed(b"\n--- ", b"\n---"), None);
    assert_eq!(changed(b"\n--- ", b"\n---  "), None);
    assert_eq!(changed(b"\n--- ", b"\n\n--- "), None);
    let line = file.windows(5).position(|window| window == b"\n--- ").unwrap() + 5;
    let mac = &file[line..line + 43];
    let line_of = |mac: &[u8], end: &str| [b"--- ", mac, end.as_bytes()].concat();
    let is_none = |to: &[u8]| assert_eq!(changed(&line_of(mac, "\n"), to), None, "{to:?}");
    is_none(&line_of(mac, " \n"));
    is_none(&line_of(mac, "\r\n"));
    is_none(&line_of(mac, "=\n"));
    is_none(&line_of(mac, "A\n"));
    is_none(&line_of(&mac[..42], "\n"));
    // The first 16 bytes of the MAC.
    is_none(&line_of(BASE64.encode(&BASE64.decode(mac).unwrap()[..16]).as_bytes(), "\n"));
    is_none(&line_of(b"", "\n"));
    is_none(&line_of(&[&mac[..42], &[mac[42] + 1]].concat(), "\n"));
}

/// The last chunk is empty where there is no other, and nowhere else.
#[test]
fn a_payload_has_one_form() {
    let full = vec![7; CHUNK_BYTES];
    let opened = |chunks: &[&[u8]]| {
        open(&joined(&ours(), &FILE_KEY, chunks).unwrap(), &identity()).map(|text| text.len())
    };
    assert_eq!(opened(&[b""]), Some(0));
    assert_eq!(opened(&[&full]), Some(CHUNK_BYTES));
    assert_eq!(opened(&[&full, b"x"]), Some(CHUNK_BYTES + 1));
    assert_eq!(opened(&[&full, b""]), None);
    assert_eq!(opened(&[&full, &full, b""]), None);
    assert_eq!(opened(&[b"x", b"x"]), None);
    assert_eq!(opened(&[&vec![7; CHUNK_BYTES + 1]]), None);
}

#[test]
fn a_payload_that_is_cut_or_goes_on_is_damaged() {
    let full = vec![7; CHUNK_BYTES];
    let file = joined(&ours(), &FILE_KEY, &[&full, &full, TEXT]).unwrap();
    let payload = file.len() - (2 * (CHUNK_BYTES + TAG_BYTES) + TEXT.len() + TAG_BYTES);
    for chunks in 0..=2 {
        let end = payload + chunks * (CHUNK_BYTES + TAG_BYTES);
        assert_eq!(open(&file[..end], &identity()), None, "{chunks}");
    }
    for end in [payload - PAYLOAD_NONCE_BYTES, payload - 1] {
        assert_eq!(open(&file[..end], &identity()), None);
    }
    for chunks in [&[TEXT][..], &[&full], &[&full, &full]] {
        let file = joined(&ours(), &FILE_KEY, chunks).unwrap();
        for more in [&b"\n"[..], &[0; TAG_BYTES], &full] {
            assert_eq!(open(&[&file, more].concat(), &identity()), None);
        }
    }
    // The second chunk as the first.
    let at = |number: usize| payload + number * (CHUNK_BYTES + TAG_BYTES);
    let swapped =
        [&file[..at(0)], &file[at(1)..at(2)], &file[at(0)..at(1)], &file[at(2)..]].concat();
    assert_eq!(open(&swapped, &identity()), None);
}

#[test]
fn an_identity_is_a_line_of_its_own() {
    for text in ["", "# a comment\n", RECIPIENT, &SECRET[..SECRET.len() - 1]] {
        assert!(Identity::parse(text).is_none(), "{text}");
    }
    assert!(Identity::parse(&SECRET.to_lowercase()).is_some());
    assert!(Identity::parse(&SECRET.replacen('K', "k", 1)).is_none());
}

proptest! {
    #[test]
    fn damage_is_found(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut file = sealed(TEXT, &[recipient()]).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert_eq!(open(&file, &identity()), None);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = open(&bytes, &identity());
        let _ = open(&[VERSION_LINE.as_bytes(), &bytes].concat(), &identity());
    }
}
