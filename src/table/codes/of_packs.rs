//! The entries about packs of rules. Their examples are packs, not routes files.

use super::Entry;
use super::Severity;

pub(super) const BAD_RULE: Entry = Entry {
    code: super::BAD_RULE,
    severity: Severity::Error,
    title: "a rule that cannot be used",
    explanation: "The pattern cannot be read, matches the empty text, can never match, may hold text \
                 back without end, or is too large. Text waits only while a match could still come of \
                 it, so every pattern needs a longest undecided form: bound each repetition before \
                 the first point where it may match, or write a span with `open`, `close` and `max`.",
    wrong: r#"pack = "own"
[[rule]]
id = "block"
channels = ["answer"]
match = { regex = '<secret>.*</secret>' }
action = "redact"
on_error = "cut"
"#,
    right: r#"pack = "own"
[[rule]]
id = "block"
channels = ["answer"]
match = { span = { open = '<secret>', close = '</secret>', max = 4096 } }
action = "redact"
on_error = "cut"
"#,
};

pub(super) const COSTLY_RULE: Entry = Entry {
    code: super::COSTLY_RULE,
    severity: Severity::Warning,
    title: "a rule that costs more than it needs to",
    explanation: "The rule works, but another rule does all that it does already, or it would hold much \
                 of plain English back: text waits whenever it may be the beginning of a match, so a \
                 pattern that may begin with any letter holds something after most words. Begin it \
                 with a literal or a word boundary, or make it a `flag` rule, which never holds.",
    wrong: r#"pack = "own"
[[rule]]
id = "name-of-the-project"
channels = ["answer"]
match = { regex = '[a-z ]{1,40} is the project' }
action = "redact"
on_error = "cut"
"#,
    right: r#"pack = "own"
[[rule]]
id = "name-of-the-project"
channels = ["answer"]
match = { words = ["Project Halcyon"] }
action = "redact"
on_error = "cut"
"#,
};
