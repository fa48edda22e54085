//! Originals that are sealed, as they are found in a record or a bundle: what opens is what was
//! sealed, byte for byte, and had no other form.

use super::harness;
use firedoor::evidence::age::{Identity, open, sealed};
use firedoor::table::Recipient;

const SECRET: &str = "AGE-SECRET-KEY-1XMWWC06LY3EE5RYTXM9MFLAZ2U56JJJ36S0MYPDRWSVLUL66MV4QX3S7F6";
const RECIPIENT: &str = "age1w3tyke4gev25vaxxsvcgqu4484rf6ejpmavs57p6yz6lhy2sfs5swrvwyn";

#[test]
fn sealed_original() {
    let identity = Identity::parse(SECRET).unwrap();
    let ours = Recipient::parse(RECIPIENT).unwrap();
    let other = Recipient([9; 32]);
    let texts = [Vec::new(), b"an original".to_vec(), "words ".repeat(2000).into_bytes()];
    let all: Vec<(Vec<u8>, Vec<u8>)> = texts
        .iter()
        .flat_map(|text| [(text, vec![ours]), (text, vec![other, ours, ours])])
        .map(|(text, to)| (sealed(text, &to).unwrap(), text.clone()))
        .collect();
    let seeds: Vec<Vec<u8>> = all.iter().map(|(file, _)| file.clone()).collect();
    harness::run("sealed_original", &seeds, |input, _| {
        let opened = open(input, &identity);
        let whole = all.iter().find(|(file, _)| file == input).map(|(_, text)| text);
        assert_eq!(opened.as_ref(), whole);
    });
}
