//! What a provider row means for one request: which dialects it takes, and under which path.

use super::{Family, Provider};
use crate::wire::Dialect;
use crate::wire::bedrock::model_in_path;
use crate::wire::{models, percent};

/// Calls of the OpenAI API that stand under a deployment in Azure's classic form; the rest stands
/// under `/openai`. Source: Azure OpenAI data plane reference, 2024-10-21.
const UNDER_DEPLOYMENT: [&str; 8] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/generations",
    "/images/edits",
    "/audio/speech",
    "/audio/transcriptions",
    "/audio/translations",
];

/// Calls of the OpenAI API that clients also send without `/v1`, because their base URL lacks it.
const WITHOUT_VERSION: [&str; 5] =
    ["/chat/completions", "/completions", "/responses", "/embeddings", "/models"];

impl Provider {
    /// Whether it has a credential of its own, so that a caller's is not passed through.
    pub fn has_credential(&self) -> bool {
        self.key.is_some() || self.signer.is_some()
    }

    /// Whether it answers in `dialect` by itself.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        let is_missing = self.quirks.lacks.is_some_and(|api| api.dialect() == dialect);
        self.family.speaks(dialect) && !is_missing
    }

    /// The dialect in which it is asked on behalf of a caller of `dialect`: that one if it speaks
    /// it, else its own.
    pub fn dialect_for(&self, dialect: Dialect) -> Dialect {
        if self.speaks(dialect) {
            return dialect;
        }
        match self.family {
            Family::Openai => self.translate_to.dialect(),
            Family::Anthropic => Dialect::Anthropic,
            Family::Gemini => Dialect::Gemini,
            Family::Bedrock => Dialect::Bedrock,
            Family::Canned | Family::Simulated => dialect,
        }
    }

    /// The path to ask at the provider for what a caller asks at `client_path`: percent-encoded as
    /// the caller sent it, without query and without the `/{provider}` prefix.
    ///
    /// `model` is the one to ask for; it replaces the model where the path names one. The result
    /// never leaves the base URL's path: dot segments are resolved first, and a model's name is one
    /// segment whatever characters it has.
    pub fn upstream_path(&self, client_path: &str, model: Option<&str>) -> String {
        let base = self.base.as_ref().map_or("", |base| &*base.path);
        let model = model.filter(|model| !model.is_empty());
        let resolved;
        let path = if is_plain_path(client_path) {
            client_path
        } else {
            resolved = resolve(client_path);
            &resolved
        };
        match self.family {
            Family::Openai if self.quirks.azure_deployments => azure(base, path, model),
            Family::Openai => {
                let rest = without_version(path);
                if self.quirks.versioned_base {
                    format!("{base}{rest}")
                } else if rest.len() == path.len() && is_call(path, &WITHOUT_VERSION) {
                    format!("{base}/v1{path}")
                } else {
                    format!("{base}{path}")
                }
            }
            Family::Gemini => match gemini_model(path).zip(model) {
                Some(((before, _, after), model)) => {
                    format!("{base}{before}{}{after}", segment(models::id(model)))
                }
                None => format!("{base}{path}"),
            },
            Family::Bedrock => bedrock(base, client_path, path, model),
            Family::Anthropic | Family::Canned | Family::Simulated => format!("{base}{path}"),
        }
    }
}

/// Whether a path is in the form that every server reads alike: it begins with one slash, and has
/// no empty or dot segments and no hidden slashes. Another is best refused.
pub fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains(['\\', '?', '#'])
        && !path.contains("//")
        && !path.split('/').any(is_dots)
        && !has_hidden_slash(path)
}

fn is_dots(piece: &str) -> bool {
    matches!(undotted(piece).as_deref().unwrap_or(piece), "." | "..")
}

/// `piece` with `%2e` as `.`, if it has one.
fn undotted(piece: &str) -> Option<String> {
    let bytes = piece.as_bytes();
    let has = bytes.windows(3).any(|three| three.eq_ignore_ascii_case(b"%2e"));
    has.then(|| piece.replace("%2e", ".").replace("%2E", "."))
}

fn has_hidden_slash(path: &str) -> bool {
    path.as_bytes()
        .windows(3)
        .any(|three| three.eq_ignore_ascii_case(b"%2f") || three.eq_ignore_ascii_case(b"%5c"))
}

/// `path` without dot segments (RFC 3986, section 5.2.4) and empty segments. Hidden slashes are
/// encoded once more, so that no server takes them for slashes.
fn resolve(path: &str) -> String {
    let mut pieces: Vec<String> = Vec::new();
    for piece in path.split(['/', '\\']) {
        match undotted(piece).as_deref().unwrap_or(piece) {
            "" | "." => {}
            ".." => {
                pieces.pop();
            }
            _ => pieces.push(reencoded(piece)),
        }
    }
    let slash = if path.ends_with('/') && !pieces.is_empty() { "/" } else { "" };
    format!("/{}{slash}", pieces.join("/"))
}

fn reencoded(piece: &str) -> String {
    let mut out = piece.replace('?', "%3F").replace('#', "%23");
    for hidden in ["%2f", "%2F", "%5c", "%5C"] {
        out = out.replace(hidden, &format!("%25{}", &hidden[1..]));
    }
    out
}

/// `/v1/x` as `/x`; other paths as they are.
fn without_version(path: &str) -> &str {
    match path.strip_prefix("/v1") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        Some(_) | None => path,
    }
}

/// Whether `path` is one of `calls` or lies under one.
fn is_call(path: &str, calls: &[&str]) -> bool {
    calls.iter().any(|call| {
        path.strip_prefix(call).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn azure(base: &str, path: &str, model: Option<&str>) -> String {
    let rest = without_version(path);
    let base = base.strip_suffix("/openai").unwrap_or(base);
    match model {
        Some(model) if UNDER_DEPLOYMENT.contains(&rest) => {
            format!("{base}/openai/deployments/{}{rest}", segment(model))
        }
        // A client made for Azure already writes it so.
        Some(_) | None if rest.starts_with("/openai/") => format!("{base}{rest}"),
        Some(_) | None => format!("{base}/openai{rest}"),
    }
}

/// A Gemini path around its model: `/v1beta/models/`, `{model}`, `:generateContent`.
fn gemini_model(path: &str) -> Option<(&str, &str, &str)> {
    let start = path.rfind("/models/")? + "/models/".len();
    let end = start + path[start..].find([':', '/']).unwrap_or(path.len() - start);
    path[end..].starts_with(':').then(|| (&path[..start], &path[start..end], &path[end..]))
}

/// `/model/{id}/..`, with the model as one segment whatever it holds: an ARN has slashes.
fn bedrock(base: &str, client_path: &str, path: &str, model: Option<&str>) -> String {
    let form = client_path.strip_prefix("/model/").and_then(|rest| rest.split_once('/'));
    let Some((id, call)) = form else { return format!("{base}{path}") };
    let own = percent::text(id);
    let model = if model_in_path(client_path).is_some() { model.unwrap_or(&own) } else { &own };
    // What stands behind the model is a plain path, or the whole is not this form.
    if call.is_empty() || !is_plain_path(&format!("/{call}")) || is_dots(id) || model.is_empty() {
        return format!("{base}{path}");
    }
    format!("{base}/model/{}/{call}", segment(model))
}

/// `text` as one path segment: what is not unreserved (RFC 3986, section 2.3) is percent-encoded.
///
/// Dots alone between slashes are encoded twice: once would mean a folder to a server that decodes
/// before it resolves, and no model is called that.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(['/', '\\']) {
        let dot = match piece.trim_end_matches(['/', '\\']) {
            "." | ".." => "%252E",
            _ => ".",
        };
        for byte in piece.bytes() {
            match byte {
                b'.' => out.push_str(dot),
                other => percent::push(&mut out, other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProviderName;
    use crate::table::{Auth, OpenaiApi, Quirks, value};
    use proptest::prelude::*;

    fn provider(family: Family, base: &str, quirks: Quirks) -> Provider {
        let base = value::base_url(base).unwrap();
        let versioned_base = quirks.versioned_base || !base.path.is_empty();
        Provider {
            credential: None,
            signer: None,
            name: ProviderName::new("p"),
            family,
            base: Some(base),
            key: None,
            key_variable: None,
            auth: Auth::Bearer,
            quirks: Quirks { versioned_base: family == Family::Openai && versioned_base, ..quirks },
            translate_to: OpenaiApi::default(),
            headers: Vec::new(),
            query: None,
            answer: None,
        }
    }

    #[test]
    fn openai_bases() {
        for (base, path) in [
            ("https://api.openai.com/v1", "/v1/chat/completions"),
            ("http://127.0.0.1:11434/v1", "/v1/chat/completions"),
            ("http://127.0.0.1:8000/v1/", "/v1/chat/completions"),
            ("http://127.0.0.1:8080", "/v1/chat/completions"),
            ("https://api.groq.com/openai/v1", "/openai/v1/chat/completions"),
            ("https://api.x.ai/v1", "/v1/chat/completions"),
            ("https://api.mistral.ai/v1", "/v1/chat/completions"),
            ("https://api.deepseek.com/v1", "/v1/chat/completions"),
            ("https://api.deepseek.com", "/v1/chat/completions"),
            ("https://openrouter.ai/api/v1", "/api/v1/chat/completions"),
            ("https://api.fireworks.ai/inference/v1", "/inference/v1/chat/completions"),
            ("https://r.openai.azure.com/openai/v1", "/openai/v1/chat/completions"),
            (
                "https://generativelanguage.googleapis.com/v1beta/openai",
                "/v1beta/openai/chat/completions",
            ),
        ] {
            let row = provider(Family::Openai, base, Quirks::default());
            for asked in ["/v1/chat/completions", "/chat/completions"] {
                assert_eq!(row.upstream_path(asked, Some("m")), path, "{base} {asked}");
            }
        }
    }

    #[test]
    fn other_paths_are_passed_through() {
        let bare = provider(Family::Openai, "http://127.0.0.1:11434", Quirks::default());
        assert_eq!(bare.upstream_path("/api/chat", None), "/api/chat");
        assert_eq!(bare.upstream_path("/responses/r_1/cancel", None), "/v1/responses/r_1/cancel");
        let openai = provider(Family::Openai, "https://api.openai.com/v1", Quirks::default());
        assert_eq!(openai.upstream_path("/v1/models/ft%3Ax", None), "/v1/models/ft%3Ax");
        assert_eq!(openai.upstream_path("/v1", None), "/v1");
        let root = Quirks { versioned_base: true, ..Quirks::default() };
        let root = provider(Family::Openai, "https://api.perplexity.ai", root);
        assert_eq!(root.upstream_path("/v1/chat/completions", None), "/chat/completions");
    }

    #[test]
    fn anthropic_and_gemini_keep_the_callers_path() {
        let row =
            provider(Family::Anthropic, "https://api.deepseek.com/anthropic/", Quirks::default());
        assert_eq!(row.upstream_path("/v1/messages", Some("m")), "/anthropic/v1/messages");
        let row = provider(
            Family::Gemini,
            "https://generativelanguage.googleapis.com",
            Quirks::default(),
        );
        let asked = "/v1beta/models/gemini-2.5-flash:streamGenerateContent";
        assert_eq!(row.upstream_path(asked, None), asked);
        assert_eq!(row.upstream_path(asked, Some("gemini-2.5-flash")), asked);
        assert_eq!(
            row.upstream_path(asked, Some("models/gemini-2.5-pro")),
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent"
        );
        assert_eq!(row.upstream_path("/v1beta/models/x", Some("y")), "/v1beta/models/x");
    }

    #[test]
    fn bedrock_models_are_one_segment() {
        let base = "https://bedrock-runtime.us-east-1.amazonaws.com";
        let row = provider(Family::Bedrock, base, Quirks::default());
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/x.y";
        for (asked, model, path) in [
            ("/model/a.b-v1%3A0/converse", Some("a.b-v1:0"), "/model/a.b-v1%3A0/converse"),
            ("/model/a:0/converse-stream", None, "/model/a%3A0/converse-stream"),
            (
                "/model/a/converse",
                Some(arn),
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx.y/converse",
            ),
            ("/model/arn%3Aa%2Fb/invoke", Some("other"), "/model/arn%3Aa%2Fb/invoke"),
            ("/model/a/converse", Some("../../x"), "/model/%252E%252E%2F%252E%252E%2Fx/converse"),
            ("/model/..%2F../converse", None, "/model/%252E%252E%2F%252E%252E/converse"),
            ("/guardrail/g/version/1/apply", None, "/guardrail/g/version/1/apply"),
        ] {
            assert_eq!(row.upstream_path(asked, model), path, "{asked}");
        }
    }

    #[test]
    fn azure_deployments() {
        let quirks = Quirks { azure_deployments: true, ..Quirks::default() };
        for base in ["https://r.openai.azure.com", "https://r.openai.azure.com/openai"] {
            let row = provider(Family::Openai, base, quirks);
            for (asked, model, path) in [
                (
                    "/v1/chat/completions",
                    Some("gpt-4o"),
                    "/openai/deployments/gpt-4o/chat/completions",
                ),
                ("/embeddings", Some("emb"), "/openai/deployments/emb/embeddings"),
                ("/v1/models", Some("gpt-4o"), "/openai/models"),
                ("/v1/responses", Some("gpt-4o"), "/openai/responses"),
                (
                    "/openai/deployments/d/chat/completions",
                    None,
                    "/openai/deployments/d/chat/completions",
                ),
                (
                    "/v1/chat/completions",
                    Some("a/../b?c#d"),
                    "/openai/deployments/a%2F%252E%252E%2Fb%3Fc%23d/chat/completions",
                ),
                (
                    "/v1/chat/completions",
                    Some(".."),
                    "/openai/deployments/%252E%252E/chat/completions",
                ),
            ] {
                assert_eq!(row.upstream_path(asked, model), path, "{base} {asked}");
            }
        }
    }

    #[test]
    fn no_path_climbs_out_of_the_base() {
        let row = provider(Family::Openai, "https://h/tenant/v1", Quirks::default());
        for (asked, path) in [
            ("/v1/../../admin", "/tenant/v1/admin"),
            ("/v1/%2e%2E/%2e./x", "/tenant/v1/x"),
            ("//evil.example/x", "/tenant/v1/evil.example/x"),
            ("/v1/a%2fb", "/tenant/v1/a%252fb"),
            ("/v1/a\\..\\..\\b", "/tenant/v1/b"),
            ("", "/tenant/v1/"),
        ] {
            assert!(!is_plain_path(asked));
            assert_eq!(row.upstream_path(asked, None), path, "{asked}");
        }
    }

    proptest! {
        #[test]
        fn a_model_stays_one_segment(model in "[./\\\\%?#a2eEfF:]{0,8}|.{0,8}", asked in "[/a-c.%2eEfF5\\\\?#]{0,24}") {
            let quirks = Quirks { azure_deployments: true, ..Quirks::default() };
            let azure = provider(Family::Openai, "https://h/b", quirks);
            let path = azure.upstream_path("/v1/chat/completions", Some(&model));
            prop_assert_eq!(path.matches('/').count(), if model.is_empty() { 4 } else { 6 });
            // Also to a server that decodes once before it resolves.
            let decoded = path.replace("%2F", "/").replace("%5C", "/").replace("%2E", ".");
            prop_assert!(!decoded.split('/').any(is_dots), "{}", path);
            let gemini = provider(Family::Gemini, "https://h/b", Quirks::default());
            let path = gemini.upstream_path("/v1beta/models/x:y", Some(&model));
            prop_assert_eq!(path.matches('/').count(), 4);
            let bedrock = provider(Family::Bedrock, "https://h/b", Quirks::default());
            let path = bedrock.upstream_path("/model/x/converse", Some(&model));
            prop_assert_eq!(path.matches('/').count(), 4);
            let path = bedrock.upstream_path(&format!("/model/{asked}"), None);
            prop_assert!(path.starts_with("/b/") && !path.contains(['?', '#']), "{}", path);
            for row in [&azure, &gemini] {
                let path = row.upstream_path(&asked, Some("m"));
                prop_assert!(path.starts_with("/b/") && !path.contains(['?', '#']), "{}", path);
                prop_assert!(is_plain_path(path.trim_end_matches('/')), "{}", path);
            }
        }
    }
}
