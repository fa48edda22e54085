//! AWS's signature, version 4, over a request as it leaves.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! What is signed is what is sent: the method, the path as it stands in the request line (each
//! segment encoded once more, as all services but S3 want it), the query, the whole body, and of
//! the headers `host`, `content-type` and all of AWS's own. The others may be changed on their way
//! by any hop, so they are not signed. Time is handed in.

use crate::id::hex;
use crate::table::Signer;
use crate::wire::percent::encoded;
use aws_lc_rs::{digest, hmac};
use http::{HeaderName, HeaderValue, Method, header};
use std::fmt::Write as _;

/// The service that signatures are made for.
const SERVICE: &str = "bedrock";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed of a request, but for its headers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r Method,
    /// The value of `host`.
    pub host: &'r HeaderValue,
    /// Path and query as the request line has them.
    pub target: &'r str,
    /// The body as it is sent.
    pub body: &'r [u8],
}

/// Whether an `authorization` is a signature, which holds for one host only.
pub fn is_signature(value: &HeaderValue) -> bool {
    value.as_bytes().starts_with(ALGORITHM.as_bytes())
}

/// Whether a header carries a part of a caller's own signature or credential.
pub fn is_of_signature(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "x-amz-date" | "x-amz-security-token" | "x-amz-content-sha256" | "x-amz-region-set"
    )
}

/// The headers that sign `request`, which leaves with `headers`, at `unix_seconds`.
///
/// `None` if the time has no date, or a credential holds what no header can carry.
pub fn sign(
    signer: &Signer,
    request: &Request<'_>,
    headers: &[(&HeaderName, &HeaderValue)],
    unix_seconds: u64,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut own = vec![(
        HeaderName::from_static("x-amz-date"),
        HeaderValue::from_str(&date_time(unix_seconds)?).ok()?,
    )];
    if let Some(token) = &signer.session_token {
        let mut value = HeaderValue::from_str(token.reveal()).ok()?;
        value.set_sensitive(true);
        own.push((HeaderName::from_static("x-amz-security-token"), value));
    }
    let mut signed: Vec<(String, String)> = vec![("host".to_owned(), trimmed(request.host))];
    let sent: Vec<(&HeaderName, &HeaderValue)> =
        headers.iter().copied().chain(own.iter().map(|(name, value)| (name, value))).collect();
    for (name, value) in sent {
        if *name != header::CONTENT_TYPE && !name.as_str().starts_with("x-amz") {
            continue;
        }
        // Repeated headers are one, in their order.
        match signed.iter_mut().find(|(known, _)| known == name.as_str()) {
            Some((_, all)) => {
                all.push(',');
                all.push_str(&trimmed(value));
            }
            None => signed.push((name.as_str().to_owned(), trimmed(value))),
        }
    }
    signed.sort();
    let authorization = authorization(signer, SERVICE, request, &signed, unix_seconds)?;
    let mut value = HeaderValue::from_str(&authorization).ok()?;
    value.set_sensitive(true);
    own.push((header::AUTHORIZATION, value));
    Some(own)
}

/// The value of `authorization`; `signed` is sorted by name.
fn authorization(
    signer: &Signer,
    service: &str,
    request: &Request<'_>,
    signed: &[(String, String)],
    unix_seconds: u64,
) -> Option<String> {
    let time = date_time(unix_seconds)?;
    let day = time.get(..8)?;
    let names: Vec<&str> = signed.iter().map(|(name, _)| &**name).collect();
    let names = names.join(";");
    let scope = format!("{day}/{}/{service}/aws4_request", signer.region);
    let canonical = canonical(request, signed, &names);
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hash(canonical.as_bytes()));
    let mut key = format!("AWS4{}", signer.secret_access_key.reveal()).into_bytes();
    for part in [day, &*signer.region, service, "aws4_request"] {
        key = hmac(&key, part.as_bytes()).as_ref().to_vec();
    }
    let signature = hex(hmac(&key, to_sign.as_bytes()).as_ref());
    let access = signer.access_key_id.reveal();
    Some(format!(
        "{ALGORITHM} Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
    ))
}

/// The request as both sides write it down to sign it.
fn canonical(request: &Request<'_>, signed: &[(String, String)], names: &str) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let path: Vec<String> = path.split('/').map(encoded).collect();
    let path = if path.len() < 2 { "/".to_owned() } else { path.join("/") };
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut out = format!("{}\n{path}\n{}\n", request.method, query.join("&"));
    for (name, value) in signed {
        let _ = writeln!(out, "{name}:{value}");
    }
    let _ = write!(out, "\n{names}\n{}", hash(request.body));
    out
}

/// A header's value as it is signed: runs of spaces are one.
fn trimmed(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `20150830T123600Z`.
fn date_time(unix_seconds: u64) -> Option<String> {
    let time = jiff::Timestamp::from_second(i64::try_from(unix_seconds).ok()?).ok()?;
    Some(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

fn hmac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Secret;

    /// 30 August 2015, 12:36:00 UTC, the time of AWS's published test suite.
    const WHEN: u64 = 1_440_938_160;

    /// The credentials of AWS's published test suite.
    fn signer() -> Signer {
        Signer {
            region: "us-east-1".into(),
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    /// Cases of the suite: method, target, further signed headers, body, signature.
    #[test]
    fn the_published_vectors() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        type Case<'c> = (Method, &'c str, &'c [(&'c str, &'c str)], &'c str, &'c str);
        let cases: [Case<'_>; 6] = [
            (
                Method::GET,
                "/",
                &[],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                Method::POST,
                "/",
                &[],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                Method::GET,
                "/?Param2=value2&Param1=value1",
                &[],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                Method::GET,
                "/?Param1=value2&Param1=Value1",
                &[],
                "",
                "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
            ),
            (
                Method::POST,
                "/",
                &[form],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                Method::GET,
                "/",
                &[("my-header1", "value1"), ("my-header2", "\"a   b   c\"")],
                "",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
        ];
        for (method, target, headers, body, signature) in cases {
            let host = HeaderValue::from_static("example.amazonaws.com");
            let request = Request { method: &method, host: &host, target, body: body.as_bytes() };
            let mut signed = vec![
                ("host".to_owned(), trimmed(&host)),
                ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
            ];
            for (name, value) in headers {
                let value = HeaderValue::from_str(value).unwrap();
                signed.push(((*name).to_owned(), trimmed(&value)));
            }
            signed.sort();
            let value = authorization(&signer(), "service", &request, &signed, WHEN).unwrap();
            assert!(value.ends_with(&format!("Signature={signature}")), "{target}: {value}");
        }
    }

    #[test]
    fn what_is_sent_is_what_is_signed() {
        let host = HeaderValue::from_static("bedrock-runtime.us-east-1.amazonaws.com");
        let target = "/model/a.b-v1%3A0/converse";
        let request = Request { method: &Method::POST, host: &host, target, body: b"{}" };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::USER_AGENT, HeaderValue::from_static("x")),
            (HeaderName::from_static("x-amzn-bedrock-trace"), HeaderValue::from_static("ENABLED")),
        ];
        let with_token = Signer { session_token: Some(Secret::new("token")), ..signer() };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name, value)).collect();
        let own = sign(&with_token, &request, &headers, WHEN).unwrap();
        let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-amz-date", "x-amz-security-token", "authorization"]);
        let value = own[2].1.to_str().unwrap();
        assert!(value.contains(
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amzn-bedrock-trace,"
        ));
        assert!(value.contains("/20150830/us-east-1/bedrock/aws4_request"));
        assert!(own[1].1.is_sensitive() && own[2].1.is_sensitive());
        assert!(canonical(&request, &[], "").contains("\n/model/a.b-v1%253A0/converse\n"));
        assert!(is_signature(&own[2].1));
    }
}
