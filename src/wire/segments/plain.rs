//! Bodies outside the five dialects that ask a model something: completions, embeddings,
//! moderations, reranking, pictures and sounds from a prompt, and the APIs of those who serve
//! models themselves. Turns stand in them as in Chat Completions, if there are any.

use super::super::event::Kind;
use super::super::openai_chat::segments as chat;
use super::node::{Node, Sense, Top};

/// Members of the body.
pub(super) fn top(name: &str) -> Top {
    let user = Sense::of(Kind::User);
    match name {
        "prompt" | "input" | "inputs" | "texts" | "text" | "inputText" | "query" | "queries"
        | "suffix" | "negative_prompt" | "content" | "contents" => {
            Top::Each(Node::parts(user, chat::part))
        }
        "documents" | "passages" => Top::Each(Node::free(Sense::of(Kind::Document))),
        "system" | "instructions" | "instruction" | "system_instruction" | "template" => {
            Top::Whole(Node::parts(Sense::of(Kind::System), chat::part))
        }
        _ => chat::top(name),
    }
}
