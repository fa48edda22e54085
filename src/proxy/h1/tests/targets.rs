use super::*;
use crate::wire::percent;
use proptest::prelude::*;

fn parse(target: &[u8]) -> Result<RequestHead, Reject> {
    let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: Api.example:8080\r\n\r\n"].concat();
    match parse_request(&bytes, &Limits::default()) {
        ParsedRequest::Head { head, .. } => Ok(head),
        ParsedRequest::Reject(reject) => Err(reject),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_becomes_of_a_target() {
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/v1/messages", "/v1/messages", None),
        ("/v1/messages/", "/v1/messages/", None),
        ("/V1/Messages", "/V1/Messages", None),
        ("/v1/%6Dessages", "/v1/messages", None),
        ("/a%2Db%7e%5F", "/a-b~_", None),
        ("/model/anthropic.claude%3a0/invoke", "/model/anthropic.claude%3A0/invoke", None),
        (
            "/v1beta/models/gemini:streamGenerateContent?alt=sse",
            "/v1beta/models/gemini:streamGenerateContent",
            Some("alt=sse"),
        ),
        ("/a;b=c/d%3be", "/a;b=c/d%3Be", None),
        ("/a%20%C3%A9%3F%23", "/a%20%C3%A9%3F%23", None),
        ("/...", "/...", None),
        ("/.well-known/x", "/.well-known/x", None),
        ("/..a/b..", "/..a/b..", None),
        ("/%25zz", "/%25zz", None),
        ("/!$&'()*+,=:@", "/!$&'()*+,=:@", None),
        ("/p?a=/../%2f//&b[]={}|^`?%5C", "/p", Some("a=/../%2f//&b[]={}|^`?%5C")),
        ("http://api.example:8080", "/", None),
        ("HTTPS://api.EXAMPLE:8080?x=1", "/", Some("x=1")),
        ("http://api.example:8080/%61?b", "/a", Some("b")),
    ];
    for (target, path, query) in cases {
        let head = parse(target.as_bytes()).unwrap_or_else(|reject| panic!("{target}: {reject}"));
        assert_eq!((head.target.path(), head.target.query()), (*path, *query), "{target}");
        assert!(!head.target.is_asterisk());
    }
}

#[test]
fn what_is_refused_of_a_target() {
    let cases: &[(&[u8], Reject)] = &[
        (b"/a#b", Reject::TargetFragment),
        (b"/a?b#c", Reject::TargetFragment),
        (b"#", Reject::TargetForm),
        (b"*", Reject::TargetForm),
        (b"a/b", Reject::TargetForm),
        (b"?a", Reject::TargetForm),
        (b"api.example:8080", Reject::TargetForm),
        (b"ftp://api.example:8080/", Reject::TargetForm),
        (b"http:/api.example:8080/", Reject::TargetForm),
        (b"//", Reject::TargetSegment),
        (b"//api.example/x", Reject::TargetSegment),
        (b"/a//b", Reject::TargetSegment),
        (b"/a/b//", Reject::TargetSegment),
        (b"http://api.example:8080//a", Reject::TargetSegment),
        (b"/.", Reject::TargetSegment),
        (b"/..", Reject::TargetSegment),
        (b"/a/../b", Reject::TargetSegment),
        (b"/a/./b", Reject::TargetSegment),
        (b"/a/..", Reject::TargetSegment),
        (b"/a/%2e%2E/b", Reject::TargetSegment),
        (b"/a/.%2e/b", Reject::TargetSegment),
        (b"/a/%2e", Reject::TargetSegment),
        (b"/a/..;x/b", Reject::TargetSegment),
        (b"/a/.;/b", Reject::TargetSegment),
        (b"/a/..%3bx/b", Reject::TargetSegment),
        (b"/a%2fb", Reject::TargetEncoding),
        (b"/a%2Fb", Reject::TargetEncoding),
        (b"/model/a%2Fb/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%2F..%2Fb/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%2F%2e%2e/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%2F%2Fb/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%2Fb", Reject::TargetEncoding),
        (b"/a/b/model/arn%3Aa%2Fb/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%2Fb/c%2Fd", Reject::TargetEncoding),
        (b"/model/arn%3Aa%252Fb/converse", Reject::TargetEncoding),
        (b"/model/arn%3Aa%5Cb/converse", Reject::TargetEncoding),
        (b"/a%5cb", Reject::TargetEncoding),
        (b"/a%00", Reject::TargetEncoding),
        (b"/a%0d%0ab", Reject::TargetEncoding),
        (b"/a%7F", Reject::TargetEncoding),
        (b"/a%", Reject::TargetEncoding),
        (b"/a%4", Reject::TargetEncoding),
        (b"/a%zz", Reject::TargetEncoding),
        (b"/a%+1", Reject::TargetEncoding),
        (b"/a%u002f", Reject::TargetEncoding),
        (b"/a%252fb", Reject::TargetEncoding),
        (b"/a%25%32%46b", Reject::TargetEncoding),
        (b"/%252e%252e/", Reject::TargetEncoding),
        (b"/a%c0%af", Reject::TargetEncoding),
        (b"/a%ff", Reject::TargetEncoding),
        (b"/a?b=%", Reject::TargetEncoding),
        (b"/a\\b", Reject::TargetCharacter),
        (b"/\\..\\b", Reject::TargetCharacter),
        (b"/a\0", Reject::TargetCharacter),
        (b"/a\tb", Reject::TargetCharacter),
        (b"/a\rb", Reject::TargetCharacter),
        (b"/a\x7f", Reject::TargetCharacter),
        (b"/\xc3\xa9", Reject::TargetCharacter),
        (b"/\xff", Reject::TargetCharacter),
        (b"/a{b}", Reject::TargetCharacter),
        (b"/a[b]", Reject::TargetCharacter),
        (b"/a\"", Reject::TargetCharacter),
        (b"/%41<", Reject::TargetCharacter),
        (b"/a?\\", Reject::TargetCharacter),
        (b"/a?\xc3\xa9", Reject::TargetCharacter),
        (b"/a?\0", Reject::TargetCharacter),
        (b"/a?<", Reject::TargetCharacter),
    ];
    for (target, reject) in cases {
        let found = parse(target).map(|head| head.target);
        assert_eq!(found, Err(*reject), "{}", String::from_utf8_lossy(target));
    }
}

#[test]
fn an_arn_behind_model_keeps_its_slashes_encoded() {
    for (target, path) in [
        ("/model/arn%3Aaws%3Ab%2Fx.y/converse", "/model/arn%3Aaws%3Ab%2Fx.y/converse"),
        ("/bedrock/model/arn:aws:b%2fx/invoke", "/bedrock/model/arn:aws:b%2Fx/invoke"),
    ] {
        assert_eq!(parse(target.as_bytes()).unwrap().target.path(), path);
    }
}

#[test]
fn an_asterisk_is_for_options_alone() {
    let head = request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.target.is_asterisk());
    assert_eq!(head.target.segments().count(), 0);
    let bytes = b"OPTIONS a:80 HTTP/1.1\r\nHost: a\r\n\r\n";
    let parsed = parse_request(bytes, &Limits::default());
    assert_eq!(parsed, ParsedRequest::Reject(Reject::TargetForm));
}

#[test]
fn segments_are_what_lies_between_the_slashes() {
    let head = parse(b"/model/a%3Ab%20%C3%A9/").unwrap();
    let segments: Vec<_> = head.target.segments().map(percent::text).collect();
    assert_eq!(segments, ["model", "a:b \u{e9}", ""]);
}

#[test]
fn every_character_is_decided_here() {
    // The type that holds the target must not refuse what the rules let through.
    for byte in 0x21..=0x7eu8 {
        let path = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        let query = !b"\"<>\\#%".contains(&byte);
        assert_eq!(parse(&[b'/', b'a', byte, b'a']).is_ok(), path, "{}", char::from(byte));
        assert_eq!(parse(&[b'/', b'?', byte, b'a']).is_ok(), query, "{}", char::from(byte));
    }
}

proptest! {
    #[test]
    fn a_canonical_target_is_its_own_canon(
        pieces in proptest::collection::vec(prop::sample::select(vec![
            "/", "a", ".", "..", "%2e", "%41", "%25", "%3b", ";", "%C3", "%A9", "41", "?", "2", "f", "%2f", "%",
        ]), 0..12),
    ) {
        let text = format!("/{}", pieces.concat());
        if let Ok(head) = parse(text.as_bytes()) {
            let canon = head.target.path_and_query().as_str().to_owned();
            prop_assert_eq!(parse(canon.as_bytes()).unwrap().target, head.target.clone());
            for segment in head.target.segments() {
                let decoded = percent::text(segment);
                prop_assert!(decoded != "." && decoded != ".." && !decoded.contains('/'));
                prop_assert!(!decoded.contains(char::REPLACEMENT_CHARACTER));
            }
        }
    }
}
