//! What the first bytes of a body tell of it, whatever it calls itself.

/// Whether a body may be an object of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Too little has come to tell.
    Unknown,
    /// It may be one.
    Object,
    /// The same in another encoding than UTF-8, or behind a byte order mark. Some readers take
    /// those, and look at no media type.
    Recoded,
    /// It is none.
    Otherwise,
}

impl Looks {
    /// Looks at a body, or as much of it as has come.
    pub fn of(body: &[u8]) -> Looks {
        const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
        let (mut rest, mut is_recoded) = (body, false);
        loop {
            rest = rest.trim_ascii_start();
            match rest {
                [b'{', ..] if is_recoded => return Looks::Recoded,
                [b'{', ..] => return Looks::Object,
                // Beside a letter, in encodings of two or four bytes.
                [0, behind @ ..] => (rest, is_recoded) = (behind, true),
                _ => match MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
                    Some(behind) => (rest, is_recoded) = (behind, true),
                    None if MARKS.iter().any(|mark| mark.starts_with(rest)) => {
                        return Looks::Unknown;
                    }
                    None => return Looks::Otherwise,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        for (body, looks) in [
            (&b""[..], Looks::Unknown),
            (b" \r\n\t", Looks::Unknown),
            (b" {", Looks::Object),
            (b"[{", Looks::Otherwise),
            (b"\xef\xbb", Looks::Unknown),
            (b"\xef\xbb\xbf {", Looks::Recoded),
            (b"\xff\xfe{\0", Looks::Recoded),
            (b"\0\0\0{", Looks::Recoded),
            (b"\0\0\0x", Looks::Otherwise),
            (b"\xff\xd8\xff", Looks::Otherwise),
        ] {
            assert_eq!(Looks::of(body), looks, "{body:?}");
        }
    }
}
