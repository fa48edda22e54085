//! Forms whose model is looked for: what is found stands there, and a form that came in part names
//! no other model than the whole one.

use super::harness;
use firedoor::wire::form::{boundary, model, model_in_pairs};

const FORM: &str = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".wav\"\r\n\
                    content-type: audio/wav\r\n\r\n\0--b\r\n--bx\r\n\r\n\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";

#[test]
fn forms() {
    let seeds = [
        FORM.as_bytes().to_vec(),
        FORM.replace("\r\n", "\n").into_bytes(),
        b"multipart/form-data; charset=utf-8; boundary=\"b\"".to_vec(),
        b"purpose=batch&mod%65l=gpt+4o&x".to_vec(),
    ];
    harness::run("forms", &seeds, |input, _| {
        let whole = model(input, "b", true);
        if let Ok(Some((text, named))) = &whole {
            assert_eq!(input.get(named.range()), Some(text.as_bytes()));
        }
        for cut in [input.len() / 2, input.len()] {
            let part = model(&input[..cut], "b", false);
            if let (Ok(Some(whole)), Ok(Some(part))) = (&whole, part) {
                assert_eq!(part, *whole);
            }
        }
        let _ = boundary(input);
        let _ = model_in_pairs(input);
    });
}
