//! The `usage` object, both ways.

use crate::wire::event::Counts;
use crate::wire::json::Raw;

/// The shared counts of a `usage` object. OpenAI's names, then those of imitators (DeepSeek's
/// `prompt_cache_hit_tokens`, OpenRouter's `cache_write_tokens`).
pub(super) fn read(usage: Raw<'_>) -> Counts {
    let mut counts = Counts::default();
    for_each(usage, |key, value| match key {
        "prompt_tokens" => counts.input = number(value),
        "completion_tokens" => counts.output = number(value),
        "prompt_cache_hit_tokens" => counts.cache_read = counts.cache_read.or(number(value)),
        "prompt_tokens_details" => for_each(value, |key, value| match key {
            "cached_tokens" => counts.cache_read = number(value).or(counts.cache_read),
            "cache_write_tokens" | "cache_creation_input_tokens" => {
                counts.cache_write = number(value);
            }
            _ => {}
        }),
        "completion_tokens_details" => for_each(value, |key, value| {
            if key == "reasoning_tokens" {
                counts.reasoning = number(value);
            }
        }),
        _ => {}
    });
    counts
}

fn for_each(object: Raw<'_>, mut each: impl FnMut(&str, Raw<'_>)) {
    object.members().for_each(|(key, value)| each(&key, value));
}

fn number(raw: Raw<'_>) -> Option<u64> {
    raw.get().parse().ok()
}

/// A `usage` object that says `counts`.
pub(super) fn write(counts: Counts) -> String {
    let (input, output) = (counts.input.unwrap_or(0), counts.output.unwrap_or(0));
    let total = input.saturating_add(output);
    let mut json = format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{total}"
    );
    if counts.cache_read.is_some() || counts.cache_write.is_some() {
        let read = counts.cache_read.map(|count| format!("\"cached_tokens\":{count}"));
        let write = counts.cache_write.map(|count| format!("\"cache_write_tokens\":{count}"));
        let both: Vec<String> = read.into_iter().chain(write).collect();
        json.push_str(",\"prompt_tokens_details\":{");
        json.push_str(&both.join(","));
        json.push('}');
    }
    if let Some(count) = counts.reasoning {
        json.push_str(",\"completion_tokens_details\":{\"reasoning_tokens\":");
        json.push_str(&count.to_string());
        json.push('}');
    }
    json.push('}');
    json
}
