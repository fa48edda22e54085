use super::*;
use proptest::prelude::*;

/// What reading a body gives: payload, how much of the input it took, and how it ended.
type Outcome = (Vec<u8>, usize, Result<bool, BodyError>);

/// Reads `bytes` in pieces that end at `cuts`.
fn read(mut reader: BodyReader, bytes: &[u8], cuts: &[usize]) -> Outcome {
    let (mut out, mut used, mut done) = (Vec::new(), 0, reader.is_done());
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let cut = cut.min(bytes.len());
        if done || cut < used {
            continue;
        }
        let before = out.len();
        match reader.decode(&bytes[used..cut], &mut out) {
            Ok(decoded) => {
                assert!(out.len() - before <= cut - used);
                used += decoded.bytes_used;
                done = decoded.done;
                assert!(done || used == cut, "all is taken until the end");
            }
            Err(error) => {
                assert_eq!(reader.decode(b"x", &mut out), Err(error), "an error is final");
                assert_eq!(reader.finish(), Err(error));
                return (out, 0, Err(error));
            }
        }
    }
    assert_eq!(reader.payload_bytes(), out.len() as u64);
    (out, used, Ok(done))
}

fn chunked() -> BodyReader {
    BodyReader::new(BodyLength::Chunked, u64::MAX)
}

/// Every single cut, and every byte by itself.
fn read_all_ways(reader: &BodyReader, bytes: &[u8]) -> Outcome {
    let whole = read(reader.clone(), bytes, &[]);
    for cut in 0..=bytes.len() {
        assert_eq!(read(reader.clone(), bytes, &[cut]), whole, "cut at {cut}");
    }
    let cuts: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(read(reader.clone(), bytes, &cuts), whole, "byte by byte");
    whole
}

#[test]
fn chunks_are_taken_strictly() {
    let accepted: &[(&[u8], &[u8], usize)] = &[
        (b"0\r\n\r\n", b"", 5),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", 13),
        (b"00003\r\nabc\r\n0\r\n\r\n", b"abc", 17),
        (b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\nGET", b"abc", 20),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", 20),
        (b"a;x=\"y;\\\"\";z\r\n0123456789\r\n0;last\r\n\r\n", b"0123456789", 36),
        (b"1;\r\na\r\n0\r\n\r\n", b"a", 12),
        (b"1; x = y\r\n\r\r\n0\r\n\r\n", b"\r", 18),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", 12),
        (b"0\r\nX: y\r\n\r\n0\r\n\r\n", b"", 11),
    ];
    for (bytes, payload, used) in accepted {
        let expected = (payload.to_vec(), *used, Ok(true));
        assert_eq!(read_all_ways(&chunked(), bytes), expected, "{}", bytes.escape_ascii());
    }
    let refused: &[(&[u8], BodyError)] = &[
        (b"\r\n", BodyError::ChunkSize),
        (b";x\r\n", BodyError::ChunkSize),
        (b" 3\r\nabc\r\n", BodyError::ChunkSize),
        (b"3 \r\nabc\r\n", BodyError::ChunkSize),
        (b"3\t\r\nabc\r\n", BodyError::ChunkSize),
        (b"3 ;x\r\nabc\r\n", BodyError::ChunkSize),
        (b"+3\r\nabc\r\n", BodyError::ChunkSize),
        (b"-3\r\nabc\r\n", BodyError::ChunkSize),
        (b"0x3\r\nabc\r\n", BodyError::ChunkSize),
        (b"3_0\r\nabc\r\n", BodyError::ChunkSize),
        (b"g\r\nabc\r\n", BodyError::ChunkSize),
        (b"3\nabc\r\n", BodyError::ChunkSize),
        (b"3\rabc\r\n", BodyError::ChunkSize),
        (b"3\r\rabc\r\n", BodyError::ChunkSize),
        (b"00000000000000003\r\n", BodyError::ChunkSize),
        (b"10000000000000000\r\n", BodyError::ChunkSize),
        (b"1\r\na\r\nffffffffffffffff\r\n", BodyError::TooLong(u64::MAX)),
        (b"3;x\nabc\r\n", BodyError::ChunkExtension),
        (b"3;x\0\r\nabc\r\n", BodyError::ChunkExtension),
        (b"3;x\ry\r\nabc\r\n", BodyError::ChunkSize),
        (b"3\r\nabcd\r\n", BodyError::ChunkEnd),
        (b"3\r\nabc\n0\r\n\r\n", BodyError::ChunkEnd),
        (b"3\r\nabc\r0\r\n\r\n", BodyError::ChunkEnd),
        (b"3\r\nabc0\r\n\r\n", BodyError::ChunkEnd),
        (b"0\r\n\n", BodyError::Trailer),
        (b"0\r\nX: y\n\r\n", BodyError::Trailer),
        (b"0\r\nX : y\r\n\r\n", BodyError::Trailer),
        (b"0\r\nX: y\r\n z\r\n\r\n", BodyError::Trailer),
        (b"0\r\nX: y\rz\r\n\r\n", BodyError::Trailer),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", BodyError::Trailer),
    ];
    for (bytes, error) in refused {
        let (_, _, end) = read_all_ways(&chunked(), bytes);
        assert_eq!(end, Err(*error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn trailers_are_kept_apart_and_rid_of_what_comes_too_late() {
    let mut reader = chunked();
    let bytes =
        b"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n\
        Authorization: c\r\nX-Sum: 2\r\n\r\n";
    let mut out = Vec::new();
    assert!(reader.decode(bytes, &mut out).unwrap().done);
    let trailers = reader.trailers().unwrap();
    assert_eq!(trailers.len(), 2);
    assert_eq!(trailers.get_all("x-sum").iter().count(), 2);
    assert_eq!(out, b"a");
    let mut reader = chunked();
    reader.decode(b"0\r\n\r\n", &mut out).unwrap();
    assert_eq!(reader.trailers(), None);
}

#[test]
fn extensions_and_trailers_are_limited() {
    for (length, ok) in [(255, true), (256, true), (257, false)] {
        let bytes = format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(length));
        let (_, _, end) = read_all_ways(&chunked(), bytes.as_bytes());
        assert_eq!(end, if ok { Ok(true) } else { Err(BodyError::ChunkExtension) }, "{length}");
    }
    let chunk = format!("1;{}\r\na\r\n", "e".repeat(256));
    for (last, end) in [("0\r\n\r\n", Ok(true)), ("0;e\r\n\r\n", Err(BodyError::ChunkExtension))] {
        let bytes = chunk.repeat(64) + last;
        assert_eq!(read(chunked(), bytes.as_bytes(), &[]).2, end);
    }
    for (length, ok) in [(8191, true), (8192, true), (8193, false)] {
        let bytes = format!("0\r\nX: {}\r\n\r\n", "v".repeat(length - "X: \r\n\r\n".len()));
        for cuts in [vec![], (0..bytes.len()).collect()] {
            let (_, _, end) = read(chunked(), bytes.as_bytes(), &cuts);
            assert_eq!(end, if ok { Ok(true) } else { Err(BodyError::Trailer) }, "{length}");
        }
    }
    for (count, ok) in [(128, true), (129, false)] {
        let bytes = format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
        let (_, _, end) = read(chunked(), bytes.as_bytes(), &[]);
        assert_eq!(end.is_ok(), ok, "{count}");
    }
}

#[test]
fn payload_is_limited() {
    let lengths = [
        ResponseLength::Framed(BodyLength::Length(5)),
        ResponseLength::Framed(BodyLength::Chunked),
        ResponseLength::UntilClose,
    ];
    let bodies: [&[u8]; 3] = [b"abcde", b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", b"abcde"];
    for (length, bytes) in lengths.into_iter().zip(bodies) {
        for (max, ok) in [(6, true), (5, true), (4, false)] {
            let (out, _, end) = read_all_ways(&BodyReader::response(length, max), bytes);
            assert!(out.len() as u64 <= max);
            assert_eq!(end.is_ok(), ok, "{length:?} {max}");
            assert!(ok || end == Err(BodyError::TooLong(4)));
        }
    }
}

#[test]
fn the_end_of_the_connection_is_the_end_of_one_kind_only() {
    let mut until_close = BodyReader::response(ResponseLength::UntilClose, 10);
    assert!(!until_close.next(b"abc").unwrap().done);
    assert_eq!(until_close.finish(), Ok(()));
    assert!(until_close.is_done());
    let mut none = BodyReader::new(BodyLength::None, 10);
    assert!(none.is_done());
    assert_eq!(none.finish(), Ok(()));
    assert_eq!(none.decode(b"next", &mut Vec::new()), Ok(Decoded { bytes_used: 0, done: true }));
    let mut length = BodyReader::new(BodyLength::Length(4), 10);
    assert_eq!(length.next(b"abc").unwrap().payload, b"abc");
    assert_eq!(length.finish(), Err(BodyError::Truncated));
    let bytes = b"1;x\r\na\r\n0\r\nX: y\r\n\r\n";
    for known in 0..bytes.len() {
        let mut reader = chunked();
        reader.decode(&bytes[..known], &mut Vec::new()).unwrap();
        assert_eq!(reader.finish(), Err(BodyError::Truncated), "{known}");
    }
}

#[test]
fn payload_is_a_part_of_the_input() {
    let mut reader = chunked();
    let input = b"3\r\nabc\r\n2\r\nde";
    let one = reader.next(input).unwrap();
    assert_eq!((one.payload, one.bytes_used, one.done), (&b"abc"[..], 6, false));
    let two = reader.next(&input[6..]).unwrap();
    assert_eq!((two.payload, two.bytes_used, two.done), (&b"de"[..], 7, false));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_splits_do_not_matter(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            proptest::collection::vec(prop::sample::select(b"0123aF;x:\r\n\r\n\r\n".to_vec()), 0..60),
        ],
        mut cuts in proptest::collection::vec(0usize..60, 0..6),
        max in 0u64..40,
    ) {
        cuts.sort_unstable();
        for length in [
            ResponseLength::Framed(BodyLength::Chunked),
            ResponseLength::Framed(BodyLength::Length(max / 2)),
            ResponseLength::UntilClose,
        ] {
            let reader = BodyReader::response(length, max);
            let whole = read(reader.clone(), &bytes, &[]);
            prop_assert!(whole.0.len() as u64 <= max);
            prop_assert_eq!(read(reader, &bytes, &cuts), whole);
        }
    }

    #[test]
    fn written_chunks_are_read(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..8),
        mut cuts in proptest::collection::vec(0usize..3000, 0..8),
    ) {
        let mut wire = Vec::new();
        for payload in &payloads {
            write_chunk(&mut wire, payload);
        }
        write_last_chunk(&mut wire, None);
        cuts.sort_unstable();
        let used = wire.len();
        wire.extend_from_slice(b"GET / HTTP/1.1\r\n");
        prop_assert_eq!(read(chunked(), &wire, &cuts), (payloads.concat(), used, Ok(true)));
    }
}
