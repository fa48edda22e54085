//! Media types, as `content-type` names them (RFC 9110, section 8.3.1): a name in either case, and
//! parameters, which say nothing that we ask.

/// The name of a media type.
#[derive(Clone, Copy, Debug)]
pub struct MediaType<'t>(&'t str);

impl<'t> MediaType<'t> {
    /// What the value of a field names; nothing, where it has no name.
    pub fn of(value: &'t str) -> MediaType<'t> {
        MediaType(value.split(';').next().unwrap_or("").trim())
    }

    /// Whether it is `name`, which is in lower case.
    pub fn is(self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// Whether it is JSON, or says that it is written in it (RFC 6839, section 3.1).
    pub fn is_json(self) -> bool {
        let suffix = self.0.len().checked_sub("+json".len());
        let suffix = suffix.and_then(|at| self.0.get(at..)).unwrap_or_default();
        self.is("application/json") || suffix.eq_ignore_ascii_case("+json")
    }

    /// Whether there is no name.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Its name in lower case: a family, `/`, and a member.
    pub fn name(self) -> String {
        self.0.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_case_nor_parameters_count() {
        for value in [
            "application/json",
            "Application/JSON",
            " application/json ; charset=utf-8",
            "application/json;a=\"b;c\"",
        ] {
            assert!(MediaType::of(value).is("application/json"), "{value}");
            assert!(MediaType::of(value).is_json(), "{value}");
            assert_eq!(MediaType::of(value).name(), "application/json");
        }
        for value in
            ["", "application/jsonl", "application/json-seq", "json", "a, application/json"]
        {
            assert!(!MediaType::of(value).is("application/json"), "{value}");
        }
        assert!(MediaType::of("application/problem+JSON; a=b").is_json());
        assert!(!MediaType::of("+jsonx").is_json());
        assert!(MediaType::of(" ; charset=utf-8").is_empty());
    }
}
