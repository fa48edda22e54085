//! How files are named in requests.

use super::{Media, MediaKind, Source};
use crate::wire::Dialect;
use crate::wire::loss::Loss;

impl Media {
    /// A file with nothing said of it but what it is and where.
    pub(crate) fn new(kind: MediaKind, source: Source) -> Media {
        Media { kind, source, title: None, origin: None, detail: None }
    }

    /// What is lost where it cannot be sent.
    pub(crate) fn loss(&self) -> Loss {
        match (self.kind, &self.source) {
            (_, Source::File(_)) => Loss::FileIds,
            (MediaKind::Image, _) => Loss::Images,
            (MediaKind::Document, _) => Loss::Documents,
            (MediaKind::Audio, _) => Loss::Audio,
            (MediaKind::Video, _) => Loss::Video,
        }
    }
}

impl MediaKind {
    /// What a media type is; of none that is known a document.
    pub(crate) fn of(media_type: &str) -> MediaKind {
        match media_type.split('/').next() {
            Some("image") => MediaKind::Image,
            Some("audio") => MediaKind::Audio,
            Some("video") => MediaKind::Video,
            Some(_) | None => MediaKind::Document,
        }
    }
}

impl Source {
    /// The file at `url`, which may be a `data:` URL.
    pub(crate) fn of_url(url: String) -> Source {
        let inner = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match inner {
            Some((media_type, data)) => {
                Source::Base64 { media_type: media_type.to_owned(), data: data.to_owned() }
            }
            None => Source::Url { url, media_type: None },
        }
    }

    /// The media type, where it is said, or where the name in the address tells it.
    pub(crate) fn media_type(&self) -> Option<&str> {
        match self {
            Source::Base64 { media_type, .. }
            | Source::Url { media_type: Some(media_type), .. } => Some(media_type),
            Source::Url { url, media_type: None } => by_name(url),
            Source::Text(_) => Some("text/plain"),
            Source::File(_) => None,
        }
    }
}

impl Dialect {
    /// Whether ids of files are those of OpenAI, which two dialects share.
    pub(crate) fn has_openai_files(self) -> bool {
        match self {
            Dialect::OpenaiChat | Dialect::OpenaiResponses => true,
            Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock => false,
        }
    }
}

/// A `data:` URL.
pub(crate) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// A document that becomes text in the prompt: its title, then the text.
pub(crate) fn as_text(media: &Media, text: &str) -> String {
    match &media.title {
        Some(title) => format!("{title}\n\n{text}"),
        None => text.to_owned(),
    }
}

fn by_name(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" | "md" => "text/plain",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
