//! Every coding at every split; bombs, cuts and garbage.

use super::*;
use proptest::prelude::*;
use std::io::Write;

const CODINGS: [Coding; 5] =
    [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn compress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        Coding::Identity => bytes.to_vec(),
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 20);
            encoder.write_all(bytes).unwrap();
            drop(encoder);
            out
        }
        Coding::Zstd => zstd::bulk::compress(bytes, 3).unwrap(),
    }
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn inflate(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, CodingError> {
    let mut inflater = Inflater::new(coding, 1 << 24, 200);
    let mut out = Vec::new();
    for piece in pieces {
        inflater.push(piece, &mut out)?;
    }
    inflater.finish()?;
    Ok(out)
}

/// Text that is neither too dull nor too wild, longer than a step.
fn sample() -> Vec<u8> {
    let mut seed = 1u32;
    let mut text = Vec::new();
    while text.len() < 3 * STEP {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("data: {{\"x\":{}}}\n\n", seed >> 12).as_bytes());
    }
    text
}

#[test]
fn headers() {
    assert_eq!(Coding::parse(""), Ok(Coding::Identity));
    assert_eq!(Coding::parse(" GZIP "), Ok(Coding::Gzip));
    assert_eq!(Coding::parse("identity, x-gzip,"), Ok(Coding::Gzip));
    assert_eq!(Coding::parse("deflate"), Ok(Coding::Deflate));
    assert_eq!(Coding::parse("br"), Ok(Coding::Brotli));
    assert_eq!(Coding::parse("zstd"), Ok(Coding::Zstd));
    assert_eq!(Coding::parse("gzip, gzip"), Err(CodingUnread::Several));
    assert_eq!(Coding::parse("br, gzip"), Err(CodingUnread::Several));
    assert_eq!(Coding::parse("compress"), Err(CodingUnread::Unknown));
    assert_eq!(Coding::parse("gzip;q=1"), Err(CodingUnread::Unknown));
}

#[test]
fn every_coding_at_every_split() {
    let text = sample();
    let short = &text[..300];
    for coding in CODINGS {
        let coded = compress(coding, short);
        for cut in 0..=coded.len() {
            let (head, tail) = coded.split_at(cut);
            assert_eq!(inflate(coding, &[head, b"", tail]).unwrap(), short, "{coding:?} {cut}");
        }
        let long = compress(coding, &text);
        let bytes: Vec<&[u8]> = long.chunks(1).collect();
        assert_eq!(inflate(coding, &bytes).unwrap(), text, "{coding:?}");
        assert_eq!(inflate(coding, &[&long]).unwrap(), text, "{coding:?}");
        assert_eq!(inflate(coding, &[]).unwrap(), b"");
        assert_eq!(inflate(coding, &[&compress(coding, b"")]).unwrap(), b"");
    }
    let raw = raw_deflate(short);
    for cut in 0..=raw.len() {
        let (head, tail) = raw.split_at(cut);
        assert_eq!(inflate(Coding::Deflate, &[head, tail]).unwrap(), short, "{cut}");
    }
}

/// Frames flushed one by one come out one by one.
fn flushed<E: Write>(coding: Coding, mut encoder: E, coded: impl Fn(&E) -> &Vec<u8>) {
    let mut inflater = Inflater::new(coding, 1000, 10);
    let (mut out, mut sent) = (Vec::new(), 0);
    for frame in ["data: a\n\n", "data: b\n\n"] {
        encoder.write_all(frame.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let coded = coded(&encoder);
        inflater.push(&coded[sent..], &mut out).unwrap();
        sent = coded.len();
        assert!(out.ends_with(frame.as_bytes()), "{coding:?}");
    }
}

#[test]
fn what_was_flushed_is_given_at_once() {
    let fast = flate2::Compression::fast;
    let gzip = flate2::write::GzEncoder::new(Vec::new(), fast());
    flushed(Coding::Gzip, gzip, flate2::write::GzEncoder::get_ref);
    let zlib = flate2::write::ZlibEncoder::new(Vec::new(), fast());
    flushed(Coding::Deflate, zlib, flate2::write::ZlibEncoder::get_ref);
    let brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    flushed(Coding::Brotli, brotli, brotli::CompressorWriter::get_ref);
    let zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    flushed(Coding::Zstd, zstd, zstd::stream::write::Encoder::get_ref);
}

#[test]
fn members_frames_and_gzip_headers() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let two = [compress(coding, b"one "), compress(coding, b"two")].concat();
        for cut in 0..two.len() {
            assert_eq!(inflate(coding, &[&two[..cut], &two[cut..]]).unwrap(), b"one two");
        }
    }
    let mut encoder = flate2::GzBuilder::new()
        .filename("name")
        .comment("comment")
        .extra(vec![1; 300])
        .write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"text").unwrap();
    let coded = encoder.finish().unwrap();
    for cut in 0..coded.len() {
        assert_eq!(inflate(Coding::Gzip, &[&coded[..cut], &coded[cut..]]).unwrap(), b"text");
    }
}

#[test]
fn what_is_cut_off_or_goes_on_is_malformed() {
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let coded = compress(coding, &sample()[..1000]);
        for cut in 1..coded.len() {
            let error = inflate(coding, &[&coded[..cut]]);
            assert_eq!(error, Err(CodingError::Malformed), "{coding:?} {cut}");
        }
        let longer = [&coded[..], b"more"].concat();
        assert_eq!(inflate(coding, &[&longer]), Err(CodingError::Malformed), "{coding:?}");
        let later = inflate(coding, &[&coded, b"more"]);
        assert_eq!(later, Err(CodingError::Malformed), "{coding:?}");
    }
    let mut wrong = compress(Coding::Gzip, b"text");
    let last = wrong.len() - 5;
    wrong[last] ^= 1;
    assert_eq!(inflate(Coding::Gzip, &[&wrong]), Err(CodingError::Malformed));
}

#[test]
fn bombs_are_refused_with_bounded_memory() {
    let zeros = vec![0; 64 << 20];
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let bomb = compress(coding, &zeros);
        let mut inflater = Inflater::new(coding, 32 << 20, 200);
        let mut out = Vec::new();
        let error = inflater.push(&bomb, &mut out);
        assert_eq!(error, Err(CodingError::Bomb { ratio: 200 }), "{coding:?}");
        assert!(out.len() as u64 <= RATIO_FREE_BYTES.max(bomb.len() as u64 * 200) + STEP as u64);
        assert_eq!(inflater.push(b"", &mut out), error);
        assert_eq!(inflater.finish(), error);

        let mut inflater = Inflater::new(coding, 100_000, u32::MAX);
        let mut out = Vec::new();
        let error = inflater.push(&bomb, &mut out);
        assert_eq!(error, Err(CodingError::TooLarge { limit: 100_000 }), "{coding:?}");
        assert_eq!(out.len(), 100_000);
        assert!(out.capacity() <= 2 * 100_000 + STEP);
    }
}

#[test]
fn a_limit_is_the_last_byte_that_is_given() {
    let text = sample();
    for coding in CODINGS {
        let coded = compress(coding, &text);
        for (limit, fits) in [(text.len(), true), (text.len() - 1, false), (0, false)] {
            let mut inflater = Inflater::new(coding, limit as u64, 200);
            let mut out = Vec::new();
            let pushed = inflater.push(&coded, &mut out);
            assert_eq!(pushed.is_ok(), fits, "{coding:?} {limit}");
            assert_eq!(out, text[..limit.min(text.len())]);
        }
    }
}

#[test]
fn large_windows_are_refused() {
    // Frame headers that ask for 2 GiB, 16 MiB and 8 MiB (RFC 8878, section 3.1.1.1.2), then
    // an empty last block.
    for (exponent, fits) in [(21u8, false), (14, false), (13, true)] {
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0, exponent << 3, 1, 0, 0];
        let error = inflate(Coding::Zstd, &[&frame]);
        if fits {
            assert_eq!(error, Ok(Vec::new()));
        } else {
            assert_eq!(error, Err(CodingError::Window { limit: 8 << 20 }), "{exponent}");
        }
    }
    // The mark of Brotli's large windows, and a window of 1 GiB.
    let large = [0x11, 30, 0x03];
    assert_eq!(inflate(Coding::Brotli, &[&large]), Err(CodingError::Malformed));
}

proptest! {
    #[test]
    fn random_splits(
        length in 0usize..60_000,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let text = sample();
        let text = &text[..length.min(text.len())];
        for coding in CODINGS {
            let coded = compress(coding, text);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(coded.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(coded.len());
            let mut from = 0;
            let pieces: Vec<&[u8]> = cuts
                .iter()
                .map(|&cut| &coded[std::mem::replace(&mut from, cut)..cut])
                .collect();
            prop_assert_eq!(&inflate(coding, &pieces).unwrap()[..], text);
        }
    }

    #[test]
    fn garbage_is_an_error_or_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        for coding in CODINGS {
            let _ = inflate(coding, &[&bytes]);
            let mut coded = compress(coding, &sample()[..2000]);
            let at = at.index(coded.len());
            coded[at] ^= flip;
            let whole = inflate(coding, &[&coded]);
            let pieces: Vec<&[u8]> = coded.chunks(7).collect();
            prop_assert_eq!(whole, inflate(coding, &pieces), "{:?}", coding);
            coded.extend_from_slice(&bytes);
            let _ = inflate(coding, &[&coded]);
        }
    }
}
