//! Providers that fail, each fault once.

use crate::support::{
    Answer, CASES, Case, FullListener, Gateway, MockServer, NOBODY, Upstream, get_json, routes_to,
    wait_for,
};
use std::io::Write;
use std::net::TcpListener;

/// One try, and waits that end while the test runs.
const PATIENT: &str =
    "retry = { attempts = 1 }\ntimeouts = { first_byte_ms = 15000, idle_ms = 15000 }";
/// The same with short waits.
const HASTY: &str = "retry = { attempts = 1 }\ntimeouts = { first_byte_ms = 300, idle_ms = 300 }";

/// Plays `script` to each dialect, as a stream and whole, and looks at each answer.
fn play(more: &str, script: &str, check: impl Fn(&Gateway, &Case, bool, &Answer)) {
    let mock = MockServer::start();
    let gateway = Gateway::start(&routes_to(&mock.url(), more));
    for case in &CASES {
        for stream in [true, false] {
            let answer = case.ask(&gateway, script, stream).answer();
            check(&gateway, case, stream, &answer);
        }
    }
    nothing_is_left(&gateway, &mock);
}

/// No exchange is open, at the provider neither.
fn nothing_is_left(gateway: &Gateway, mock: &MockServer) {
    gateway.wait_idle();
    wait_for("the provider to have no answer open", || {
        (get_json(mock.address, "/stats")["open"] == 0).then_some(())
    });
}

fn refused(status: u16, code: &str, script: &str) {
    play(PATIENT, script, |gateway, case, _, answer| {
        case.assert_refused(gateway, answer, status, code);
    });
}

/// A stream is cut behind whole frames, a whole answer is refused.
fn broken(more: &str, script: &str, status: u16, code: &str) {
    play(more, script, |gateway, case, stream, answer| {
        if stream {
            let before = case.assert_cut(gateway, answer, code);
            assert!(!before.is_empty(), "{case:?}: the provider's frames went out before");
        } else {
            case.assert_refused(gateway, answer, status, code);
        }
    });
}

#[test]
fn connect_refused() {
    let gateway = Gateway::start(&routes_to(NOBODY, PATIENT));
    for case in &CASES {
        for stream in [true, false] {
            let answer = case.ask(&gateway, "", stream).answer();
            case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
            assert!(!answer.text().contains("127.0.0.1"), "no addresses of the inside");
        }
    }
}

/// A provider that takes no connection, and one that says nothing in the handshake.
#[test]
fn d3_09_connecting_takes_too_long() {
    let full = FullListener::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let secure = format!("https://{}", silent.local_addr().unwrap());
    for url in [format!("http://{}", full.address), secure] {
        let more =
            "retry = { attempts = 1 }\ntimeouts = { connect_ms = 300, first_byte_ms = 600000 }";
        let gateway = Gateway::start(&routes_to(&url, more));
        for case in &CASES {
            for stream in [true, false] {
                let answer = case.ask(&gateway, "", stream).answer();
                case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
                let id = answer.head.field("x-firedoor-exchange").unwrap();
                let fault = gateway.exchange(id)["fault"].clone();
                assert!(fault.as_str().unwrap().contains("time"), "{fault}");
            }
        }
    }
}

#[test]
fn reset_before_an_answer() {
    refused(502, "firedoor_bad_gateway", "fault=refuse");
}

#[test]
fn errors_of_the_provider_are_passed_on_as_they_are() {
    for status in [429, 500, 503] {
        let script = format!("status={status},retry_after=7");
        play(PATIENT, &script, |gateway, case, _, answer| {
            assert_eq!(answer.status(), status, "{case:?}");
            assert_eq!(answer.head.field("retry-after"), Some("7"), "{case:?}");
            assert!(answer.text().contains("simulated provider fails"), "{}", answer.text());
            let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
            assert_eq!(record["outcome"], "provider_error", "{record}");
            assert_eq!(record["attempts"], 1, "{record}");
        });
    }
}

#[test]
fn d3_09_slow_first_byte() {
    play(HASTY, "ttft_ms=60000", |gateway, case, _, answer| {
        case.assert_refused(gateway, answer, 504, "firedoor_timeout");
    });
}

#[test]
fn d3_09_stall() {
    broken(HASTY, "tokens=20,fault=stall,at=4", 504, "firedoor_timeout");
}

#[test]
fn d3_09_total_time() {
    let more = "retry = { attempts = 1 }\ntimeouts = { total_ms = 400 }";
    broken(more, "tokens=2000,itl_ms=20", 504, "firedoor_timeout");
}

#[test]
fn d3_10_reset_mid_stream() {
    broken(PATIENT, "tokens=20,itl_ms=20,fault=reset,at=4", 502, "firedoor_bad_gateway");
}

#[test]
fn d3_10_close_mid_stream() {
    broken(PATIENT, "tokens=20,fault=close,at=4", 502, "firedoor_bad_gateway");
}

#[test]
fn lying_length() {
    broken(PATIENT, "tokens=20,fault=lie_length", 502, "firedoor_bad_gateway");
}

#[test]
fn broken_chunk() {
    broken(PATIENT, "tokens=20,itl_ms=20,fault=bad_chunk,at=4", 502, "firedoor_bad_gateway");
}

#[test]
fn two_lengths() {
    refused(502, "firedoor_bad_gateway", "fault=two_lengths");
}

#[test]
fn interim_storm() {
    refused(502, "firedoor_bad_gateway", "fault=interim_storm");
}

#[test]
fn garbage_in_place_of_http() {
    refused(502, "firedoor_bad_gateway", "fault=garbage,at=0");
}

/// What is no frame of the dialect is not ours to judge: it passes, and the stream goes on.
#[test]
fn garbage_inside_is_passed_on_as_it_is() {
    play(PATIENT, "tokens=20,fault=garbage,at=4", |gateway, case, stream, answer| {
        assert!(answer.body.windows(4).any(|bytes| bytes == b"\x00\x01ga"), "{case:?}");
        if stream {
            case.assert_whole(answer);
        }
        let record = gateway.exchange(answer.head.field("x-firedoor-exchange").unwrap());
        assert_eq!(record["outcome"], "completed", "{record}");
    });
}

#[test]
fn invalid_utf8_is_passed_on_as_it_is() {
    play(PATIENT, "tokens=20,fault=invalid_utf8,at=4", |_, case, stream, answer| {
        assert!(answer.body.contains(&0xFF), "{case:?}");
        if stream {
            case.assert_whole(answer);
        }
    });
}

/// Inside a stream the cut is told from the end; a whole body is as long as it says, and its
/// content is not ours to judge.
#[test]
fn d3_10_truncated() {
    play(PATIENT, "tokens=20,fault=truncate,at=4", |gateway, case, stream, answer| {
        if stream {
            case.assert_cut(gateway, answer, "firedoor_bad_gateway");
        } else {
            assert_eq!(answer.status(), 200, "{case:?}");
            assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
        }
    });
}

/// Neither a frame of 17 MiB nor an answer of that size makes memory grow without bound.
#[test]
fn oversized() {
    let mock = MockServer::start();
    // What waits for the disk has a bound of its own.
    let record = "[evidence]\nqueue_mb = 1\n\n";
    let gateway = Gateway::start(&(record.to_owned() + &routes_to(&mock.url(), PATIENT)));
    const ROUNDS: usize = 4;
    for case in CASES.iter().cycle().take(ROUNDS * CASES.len()) {
        for stream in [true, false] {
            let answer = case.ask(&gateway, "tokens=20,fault=oversize,at=4", stream).answer();
            if stream {
                case.assert_cut(&gateway, &answer, "firedoor_bad_gateway");
            } else {
                assert_eq!(answer.status(), 200, "{case:?}");
                assert!(answer.body.len() > 17 << 20, "{case:?}");
            }
        }
    }
    nothing_is_left(&gateway, &mock);
    // While a buffer grows from 16 to 32 MiB both are there, and the allocator keeps freed blocks
    // of that size for a while, for each worker. Kept whole, what came would take twice the bound.
    let peak = gateway.process.peak_memory_bytes() >> 20;
    assert!(peak < 256, "{peak} MiB at the peak, for frames of at most 16 MiB");
    assert!(ROUNDS * CASES.len() * 2 * 17 > 2 * 256);
}

#[test]
fn the_providers_own_error_event_is_passed_on() {
    play(PATIENT, "tokens=20,fault=error_event,at=4", |_, case, stream, answer| {
        assert!(!answer.text().contains("firedoor_"), "{case:?}: {}", answer.text());
        if stream {
            assert!(answer.text().contains("error"), "{case:?}: {}", answer.text());
        }
    });
}

/// Streams that break off at any byte: inside a character, inside JSON, inside a line end. Whole
/// frames go out, the half one does not, and the dialect's ending follows.
#[test]
fn d3_10_streams_cut_at_any_byte_end_in_their_dialect() {
    let mock = MockServer::start();
    let direct = Gateway::start(&routes_to(&mock.url(), PATIENT));
    for case in &CASES {
        let script = "text=na%C3%AFve%20caf%C3%A9%20%F0%9F%9A%AA";
        let whole = case.ask(&direct, script, true).answer();
        case.assert_whole(&whole);
        let body = whole.body;
        let utf8 = body.iter().position(|byte| *byte >= 0x80).unwrap_or(body.len() / 2) + 1;
        let step = (body.len() / 12).max(1);
        for cut in (step..body.len() - 2).step_by(step).chain([utf8]) {
            let half = body[..cut].to_vec();
            let first = half.windows(2).position(|pair| pair == b"\n\n");
            let upstream = Upstream::start(move |_, stream| {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\n\r\n";
                let chunk = format!("{head}{:x}\r\n", half.len());
                let all = [chunk.as_bytes(), &half, b"\r\n"].concat();
                // Closed without the last chunk.
                let _ = stream.write_all(&all);
            });
            let gateway = Gateway::start(&routes_to(&upstream.url(), PATIENT));
            let answer = case.ask(&gateway, "", true).answer();
            if first.is_none() || answer.status() != 200 {
                // Nothing to say had come yet.
                case.assert_refused(&gateway, &answer, 502, "firedoor_bad_gateway");
                continue;
            }
            let before = case.assert_cut(&gateway, &answer, "firedoor_bad_gateway").concat();
            assert!(body.starts_with(before.as_bytes()), "{case:?} cut at {cut}: {before}");
            let end = body[..cut].windows(2).rposition(|pair| pair == b"\n\n").unwrap() + 2;
            assert_eq!(before.len(), end, "{case:?} cut at {cut}");
        }
    }
}
