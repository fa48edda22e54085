//! Case 5: every limit at n-1, n and n+1.

use crate::support::{Client, Gateway, MockServer, routes_to};

fn status(gateway: &Gateway, bytes: &[u8]) -> u16 {
    let mut client = Client::connect(gateway.data);
    let _ = client.try_send(bytes);
    client.head().status
}

#[test]
fn d3_05_heads_targets_and_bodies_have_sharp_limits() {
    let mock = MockServer::start();
    let routes = "[server]\nbody_bytes_max = 65536\n".to_owned() + &routes_to(&mock.url(), "");
    let gateway = Gateway::start(&routes);

    // 64 KiB of head, the blank line included.
    let head = |bytes: usize| {
        let fixed = "HEAD / HTTP/1.1\r\nhost: t\r\nx-fill: \r\n\r\n".len();
        format!("HEAD / HTTP/1.1\r\nhost: t\r\nx-fill: {}\r\n\r\n", "v".repeat(bytes - fixed))
    };
    for (bytes, expected) in [(65_535, 200), (65_536, 200), (65_537, 431)] {
        assert_eq!(status(&gateway, head(bytes).as_bytes()), expected, "head of {bytes}");
    }

    // 128 fields.
    let fields = |count: usize| {
        let more = (0..count - 1).map(|at| format!("x-{at}: 1\r\n")).collect::<Vec<_>>().concat();
        format!("HEAD / HTTP/1.1\r\nhost: t\r\n{more}\r\n")
    };
    for (count, expected) in [(127, 200), (128, 200), (129, 431)] {
        assert_eq!(status(&gateway, fields(count).as_bytes()), expected, "{count} fields");
    }

    // 16 KiB of target.
    let target =
        |bytes: usize| format!("HEAD /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(bytes - 1));
    for (bytes, expected) in [(16_383, 404), (16_384, 404), (16_385, 414)] {
        assert_eq!(status(&gateway, target(bytes).as_bytes()), expected, "target of {bytes}");
    }

    // The configured body.
    let body = |bytes: usize, chunked: bool| {
        let text = r#"{"model":"gpt-4o","messages":[],"x":""}"#;
        let text =
            text.replace(r#""x":"""#, &format!(r#""x":"{}""#, "v".repeat(bytes - text.len())));
        let start = "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\n";
        if chunked {
            format!("{start}transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{text}\r\n0\r\n\r\n")
        } else {
            format!("{start}content-length: {bytes}\r\n\r\n{text}")
        }
    };
    for chunked in [false, true] {
        for (bytes, expected) in [(65_535, 200), (65_536, 200), (65_537, 413)] {
            let sent = body(bytes, chunked);
            assert_eq!(status(&gateway, sent.as_bytes()), expected, "body of {bytes}, {chunked}");
        }
    }
    // A body that is announced is refused before it is sent.
    let announced = b"POST /v1/messages HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(status(&gateway, announced), 413);
}
