//! How words of a file are shown to the person who wrote them, and which ones were probably meant.

/// The word that was probably meant.
pub fn nearest<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if wrong.len() > 64 {
        return None;
    }
    let lower = wrong.to_ascii_lowercase();
    let scored = words.into_iter().map(|word| {
        let right = word.to_ascii_lowercase();
        let distance = strsim::osa_distance(&lower, &right);
        let likeness = strsim::jaro_winkler(&lower, &right);
        (word, distance, likeness, distance <= 1 + right.len() / 6 || likeness >= 0.85)
    });
    scored
        .filter(|(.., is_near)| *is_near)
        .min_by(|(_, a, x, _), (_, b, y, _)| a.cmp(b).then(y.total_cmp(x)))
        .map(|(word, ..)| word)
}

/// Words as a list for a person, cut after a dozen.
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let cut = words.len().saturating_sub(16);
    let mut list: Vec<String> =
        words[..words.len() - cut].iter().map(|word| format!("`{word}`")).collect();
    if cut > 0 {
        list.push(format!("and {cut} more"));
    }
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// A text of the file as a message shows it: short, and without control characters.
pub(super) fn shown(raw: &str) -> String {
    let mut out: String = raw
        .chars()
        .take(80)
        .map(|character| if character.is_control() { '\u{FFFD}' } else { character })
        .collect();
    if raw.chars().nth(80).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let words = ["base_url", "api_key", "dialect", "connections_max"];
        assert_eq!(nearest("api_kye", words), Some("api_key"));
        assert_eq!(nearest("base-url", words), Some("base_url"));
        assert_eq!(nearest("Dialect", words), Some("dialect"));
        assert_eq!(nearest("max_connections", words), None);
        assert_eq!(nearest("zzz", words), None);
    }
}
