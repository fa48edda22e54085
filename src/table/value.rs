//! Reads the strings of the file that have a grammar of their own: addresses, URLs, patterns,
//! names, hashes, headers.
//!
//! Each returns the value, or what is wrong with it and what was expected.

use super::{BaseUrl, Pattern};
use http::HeaderValue;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

fn wrong<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    let help = help.into();
    Err(Wrong { message: message.into(), help: (!help.is_empty()).then_some(help) })
}

/// A name as a header's value; one that no header can carry is left out.
pub(super) fn header_value(name: &str) -> HeaderValue {
    HeaderValue::from_str(name).unwrap_or(HeaderValue::from_static(""))
}

/// The longest name of a provider, app or route, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;
/// The most stars of a pattern.
const STARS_MAX: usize = 8;

/// First pieces of paths that mean something at the root, so that no provider can take them:
/// provider APIs, what Firedoor itself answers, and what it may need.
const RESERVED: [&str; 21] = [
    "v1",
    "v1beta",
    "v1beta1",
    "v1alpha",
    "v2",
    "model",
    "models",
    "chat",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "upload",
    "api",
    "healthz",
    "readyz",
    "livez",
    "metrics",
    "status",
    "firedoor",
    "favicon",
];

/// A provider's name: it stands in paths.
pub(super) fn provider_name(name: &str) -> Result<(), Wrong> {
    let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    check_name(name, is_right, "lower-case letters, digits, `-` and `_`")?;
    if RESERVED.contains(&name) {
        return wrong(
            format!("a provider cannot be called `{name}`: paths under `/{name}` mean something"),
            format!("call it `{name}-provider`, or anything else"),
        );
    }
    Ok(())
}

/// The name of an app or a route: it stands in headers, labels and scopes of levers.
pub(super) fn plain_name(name: &str) -> Result<(), Wrong> {
    let is_right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    check_name(name, is_right, "letters, digits, `-`, `_` and `.`")
}

fn check_name(name: &str, is_right: impl Fn(char) -> bool, of: &str) -> Result<(), Wrong> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(&is_right) {
        let close: String = name
            .to_lowercase()
            .chars()
            .take(NAME_BYTES_MAX)
            .map(|c| if is_right(c) { c } else { '-' })
            .collect();
        let help = if close.is_empty() { String::new() } else { format!("such as `{close}`") };
        return wrong(format!("a name is 1 to {NAME_BYTES_MAX} characters of {of}"), help);
    }
    Ok(())
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port.parse::<u16>().map_or_else(|_| "4800".to_owned(), |port| port.to_string());
    let help = if host == "localhost" {
        format!("write `127.0.0.1:{port}`: names are not looked up")
    } else if host.is_empty() || host == "*" {
        format!("write `127.0.0.1:{port}` for this machine, `0.0.0.0:{port}` for every network")
    } else if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        format!("write `[{text}]:4800`")
    } else if text.parse::<IpAddr>().is_ok() {
        format!("write `{text}:4800`")
    } else {
        "such as `127.0.0.1:4800` or `[::1]:4800`".to_owned()
    };
    wrong("an address is an IP address, a colon and a port", help)
}

/// A base URL: `http` or `https`, a host, perhaps a port and a path, and nothing else.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, Wrong> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => {
            return wrong(
                "a base URL begins with `http://` or `https://`",
                "such as `https://api.openai.com/v1`",
            );
        }
    };
    let tls = match scheme.as_str() {
        "https" => true,
        "http" => false,
        _ => return wrong("a base URL is `http` or `https`", ""),
    };
    if rest.contains('#') {
        return wrong("a base URL has no fragment (`#..`)", "take it away");
    }
    if rest.contains('?') {
        return wrong("a base URL has no query (`?..`)", "write it as `query = \"..\"`");
    }
    if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"')) {
        return wrong("a base URL is plain ASCII without spaces", "");
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return wrong(
            "a base URL carries no user name or password",
            "write the credential as `api_key = \"${..}\"`",
        );
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        None => {
            if tls {
                443
            } else {
                80
            }
        }
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => port,
            Ok(_) | Err(_) => return wrong("the port is a number from 1 to 65535", ""),
        },
    };
    check_host(host)?;
    check_path(path)?;
    let host_text = host.to_ascii_lowercase();
    let bare = host_text.trim_start_matches('[').trim_end_matches(']');
    let is_usual = port == if tls { 443 } else { 80 };
    let shown = if is_usual { host_text.clone() } else { format!("{host_text}:{port}") };
    let Ok(authority) = HeaderValue::from_str(&shown) else {
        return wrong("the host has characters that a header cannot carry", "");
    };
    Ok(BaseUrl {
        tls,
        host: Arc::from(bare),
        port,
        authority,
        path: Arc::from(path.trim_end_matches('/')),
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), Wrong> {
    if authority.starts_with('[') {
        let Some(end) = authority.find(']') else {
            return wrong("an IPv6 address stands in `[` and `]`", "such as `http://[::1]:8000`");
        };
        let (host, tail) = authority.split_at(end + 1);
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => wrong("behind `]` comes a port or the path", ""),
        };
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn check_host(host: &str) -> Result<(), Wrong> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.trim_end_matches(']');
        return match inner.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => wrong("what stands in `[` and `]` is not an IPv6 address", ""),
        };
    }
    if host.is_empty() {
        return wrong("a base URL needs a host", "such as `https://api.openai.com/v1`");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 || !name.split('.').all(is_label) {
        return wrong("the host is neither a name nor an address", "");
    }
    // What ends in a number is an address to every resolver, also in forms such as `127.1`.
    let last = name.rsplit('.').next().unwrap_or("");
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && name.parse::<std::net::Ipv4Addr>().is_err() {
        return wrong("the host looks like an IPv4 address and is none", "write all four numbers");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Wrong> {
    let is_dots = |piece: &str| {
        let piece = piece.to_ascii_lowercase().replace("%2e", ".");
        piece == "." || piece == ".."
    };
    let trimmed = path.trim_end_matches('/');
    let lower = trimmed.to_ascii_lowercase();
    if trimmed.contains("//") || trimmed.split('/').any(is_dots) || lower.contains("%2f") {
        return wrong("the path has empty pieces, dots or hidden slashes", "write it plainly");
    }
    Ok(())
}

/// A time: a whole number and `s`, `m`, `h` or `d`; from a second to `seconds_max`.
pub(super) fn duration(text: &str, seconds_max: u64) -> Result<Duration, Wrong> {
    let help = "such as `30s`, `2m` or `1h`";
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let found = units.iter().find_map(|(unit, seconds)| {
        let digits = text.strip_suffix(unit)?;
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| digits.parse::<u64>().ok()?.checked_mul(*seconds))?
    });
    let Some(seconds) = found else {
        return wrong("a time is a whole number and `s`, `m`, `h` or `d`", help);
    };
    if !(1..=seconds_max).contains(&seconds) {
        return wrong(format!("the time must be from 1 to {seconds_max} seconds"), help);
    }
    Ok(Duration::from_secs(seconds))
}

/// A pattern: text with `*` for any run of characters.
pub(super) fn pattern(text: &str) -> Result<Pattern, Wrong> {
    if text.len() > PATTERN_BYTES_MAX {
        return wrong(format!("a pattern is at most {PATTERN_BYTES_MAX} bytes"), "");
    }
    if text.chars().any(char::is_control) {
        return wrong("a pattern has no control characters", "");
    }
    if text != text.trim() {
        return wrong("a pattern with space at its ends matches nothing", "take the space away");
    }
    let compiled = Pattern::new(text);
    if matches!(&compiled, Pattern::Glob(pieces) if pieces.len() > STARS_MAX + 1) {
        return wrong(format!("a pattern has at most {STARS_MAX} stars"), "");
    }
    Ok(compiled)
}

/// A pattern of names (models, paths), in which the signs of other pattern languages are a slip.
pub(super) fn name_pattern(text: &str) -> Result<Pattern, Wrong> {
    if let Some(sign) = text.chars().find(|c| "^$[](){}|\\?".contains(*c)) {
        return wrong(
            format!("`{sign}` stands for itself here, and such names have none"),
            "only `*` is special: it stands for any run of characters",
        );
    }
    pattern(text)
}

/// A pattern of paths.
pub(super) fn path_pattern(text: &str) -> Result<Pattern, Wrong> {
    if !text.starts_with(['/', '*']) {
        return wrong("a path begins with `/`", format!("write `/{text}`"));
    }
    name_pattern(text)
}

/// The SHA-256 of an app's key, in hexadecimal.
pub(super) fn key_hash(text: &str) -> Result<[u8; 32], Wrong> {
    const HOW: &str = "`printf %s \"$KEY\" | sha256sum` writes it";
    /// SHA-256 of nothing, and of a line end.
    const EMPTY: [&str; 2] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
    ];
    let lower = text.to_ascii_lowercase();
    let digits = lower.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return wrong(
            format!("the SHA-256 of a key is 64 hexadecimal digits, and these are {}", text.len()),
            format!("store the hash, never the key: {HOW}"),
        );
    }
    if EMPTY.contains(&lower.as_str()) {
        return wrong("this is the hash of an empty key", HOW);
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (nibble(pair[0]) << 4) | nibble(pair[1]);
    }
    Ok(hash)
}

fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit.wrapping_sub(b'a').wrapping_add(10) }
}

/// A query to add to every request: `name=value`, joined by `&`.
pub(super) fn query(text: &str) -> Result<(), Wrong> {
    if let Some(without) = text.strip_prefix('?') {
        return wrong("a query is written without its `?`", format!("write `{without}`"));
    }
    let is_plain = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'`' | b'?')
    };
    if !text.bytes().all(is_plain) || text.split('&').any(|pair| pair.find('=').unwrap_or(0) == 0) {
        return wrong(
            "a query is `name=value`, joined by `&`, other characters percent-encoded",
            "such as `api-version=2024-10-21`",
        );
    }
    Ok(())
}

/// A header that a provider row may add.
pub(super) fn header_name(text: &str) -> Result<http::HeaderName, Wrong> {
    let Ok(name) = http::HeaderName::from_bytes(text.as_bytes()) else {
        return wrong("this is not the name of a header", "letters, digits and `-`");
    };
    Ok(name)
}

/// Why a provider row may not set `name`.
pub(super) fn forbidden_header(name: &http::HeaderName) -> Option<Wrong> {
    let (message, help) = match name.as_str() {
        "authorization" | "x-api-key" | "x-goog-api-key" | "api-key" | "cookie" => (
            "a credential is not written as a header",
            "write it as `api_key`, and how it is sent as `auth`",
        ),
        "host"
        | "content-length"
        | "transfer-encoding"
        | "content-encoding"
        | "accept-encoding"
        | "connection"
        | "keep-alive"
        | "te"
        | "trailer"
        | "upgrade"
        | "expect"
        | "proxy-connection"
        | "proxy-authorization"
        | "proxy-authenticate" => ("this header belongs to the connection", "take it away"),
        _ => return None,
    };
    Some(Wrong { message: message.to_owned(), help: Some(help.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base_urls() {
        for (text, tls, host, port, authority, path) in [
            ("https://api.openai.com/v1", true, "api.openai.com", 443, "api.openai.com", "/v1"),
            ("http://127.0.0.1:11434/v1/", false, "127.0.0.1", 11434, "127.0.0.1:11434", "/v1"),
            ("HTTP://[::1]:80", false, "::1", 80, "[::1]", ""),
            ("https://Example.com:8443/", true, "example.com", 8443, "example.com:8443", ""),
        ] {
            let url = base_url(text).unwrap();
            assert_eq!((url.tls, &*url.host, url.port), (tls, host, port), "{text}");
            assert_eq!((url.authority.to_str().unwrap(), &*url.path), (authority, path), "{text}");
        }
        for text in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://",
            "https:///v1",
            "https://:80",
            "https://u:p@x",
            "https://x?y",
            "https://x#y",
            "https://x:0",
            "https://x:99999",
            "https://x:",
            "https://x y",
            "https://ü.de",
            "https://x/../y",
            "https://x/%2e%2E/y",
            "https://x//y",
            "https://x/a%2fb",
            "http://127.1",
            "http://[::g]",
            "http://[::1",
            "http://[::1]x",
            "http://a..b",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_and_their_help() {
        assert!(address("127.0.0.1:4800").is_ok());
        for (text, part) in [
            ("localhost:80", "`127.0.0.1:80`"),
            (":4800", "`0.0.0.0:4800`"),
            ("::1", "`[::1]:4800`"),
            ("10.0.0.1", "`10.0.0.1:4800`"),
            ("4800", "such as"),
        ] {
            let help = address(text).unwrap_err().help.unwrap();
            assert!(help.contains(part), "{text}: {help}");
        }
    }

    #[test]
    fn hashes() {
        let hash = key_hash(&"0aF".repeat(21).chars().chain(['9']).collect::<String>()).unwrap();
        assert_eq!(hash[..3], [0x0a, 0xf0, 0xaf]);
        assert!(key_hash("sk-1").is_err());
        let empty = "E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(key_hash(empty).unwrap_err().message.contains("empty key"));
    }

    #[test]
    fn queries() {
        assert!(query("api-version=2024-10-21&x=").is_ok());
        for text in ["?a=b", "a", "=b", "a=b&", "a=b c", "a=b#c"] {
            assert!(query(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), tail in "[a-z0-9\\[\\]:/@.%?#*]{0,30}") {
            for text in [text.clone(), format!("http://{tail}"), format!("{tail}{text}")] {
                let _ = (address(&text), base_url(&text), query(&text), key_hash(&text));
                let _ = (provider_name(&text), plain_name(&text), header_name(&text).is_ok());
                let _ = (pattern(&text), name_pattern(&text), path_pattern(&text));
            }
        }
    }
}
