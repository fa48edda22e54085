//! The frames of a story: where each belongs, and the response object that the first and the last
//! ones hold.

use super::super::item::{
    Part, is_summary, push_item, push_member, push_number, push_part, push_usage, response_code,
};
use super::Story;
use crate::wire::event::StopReason;
use crate::wire::{Tail, json, sse};

impl Story {
    pub(super) fn frame(
        &self,
        name: &str,
        tail: &mut Tail,
        out: &mut Vec<u8>,
        rest: impl FnOnce(&Story, &mut Vec<u8>),
    ) {
        self.top_frame(&format!("response.{name}"), tail, out, rest);
    }

    pub(super) fn top_frame(
        &self,
        name: &str,
        tail: &mut Tail,
        out: &mut Vec<u8>,
        rest: impl FnOnce(&Story, &mut Vec<u8>),
    ) {
        let mut data = Vec::with_capacity(256);
        data.extend_from_slice(b"{\"type\":");
        json::push_string(&mut data, name);
        push_number(&mut data, "sequence_number", tail.sequence);
        tail.sequence = tail.sequence.saturating_add(1);
        rest(self, &mut data);
        data.push(b'}');
        sse::push_frame(out, name, &data);
    }

    pub(super) fn response_frame(
        &self,
        name: &str,
        status: &str,
        tail: &mut Tail,
        out: &mut Vec<u8>,
    ) {
        let head = Tail { sequence: 0, ..tail.clone() };
        self.frame(name, tail, out, |story, data| {
            data.extend_from_slice(b",\"response\":");
            story.push_response(data, &head, status);
        });
    }

    pub(super) fn item_frame(&self, at: usize, verb: &str, tail: &mut Tail, out: &mut Vec<u8>) {
        self.frame(&format!("output_item.{verb}"), tail, out, |story, data| {
            push_number(data, "output_index", at as u64);
            data.extend_from_slice(b",\"item\":");
            push_item(data, &story.items[at]);
        });
    }

    pub(super) fn part_frame(
        &self,
        at: usize,
        part: usize,
        verb: &str,
        tail: &mut Tail,
        out: &mut Vec<u8>,
    ) {
        let item = &self.items[at];
        let Part { channel, text, .. } = &item.parts()[part];
        let name = if is_summary(*channel) { "reasoning_summary_part" } else { "content_part" };
        self.frame(&format!("{name}.{verb}"), tail, out, |story, data| {
            story.push_place(data, at, Some(part));
            data.extend_from_slice(b",\"part\":");
            push_part(data, *channel, text);
        });
    }

    /// Where in the answer a frame belongs.
    pub(super) fn push_place(&self, data: &mut Vec<u8>, at: usize, part: Option<usize>) {
        let item = &self.items[at];
        push_member(data, "item_id", &item.id);
        push_number(data, "output_index", at as u64);
        if let Some(part) = part {
            let parts = item.parts();
            let is_of_summary = is_summary(parts[part].channel);
            // Summary and raw text count apart.
            let alike = |other: &&Part| is_summary(other.channel) == is_of_summary;
            let number = parts[..part].iter().filter(alike).count();
            let name = if is_of_summary { "summary_index" } else { "content_index" };
            push_number(data, name, number as u64);
        }
    }

    pub(super) fn push_response(&self, data: &mut Vec<u8>, tail: &Tail, status: &str) {
        data.extend_from_slice(b"{\"id\":");
        json::push_string(data, tail.id.as_deref().unwrap_or("resp_firedoor"));
        push_member(data, "object", "response");
        push_number(data, "created_at", tail.created.unwrap_or(0));
        push_member(data, "status", status);
        data.extend_from_slice(b",\"error\":");
        match &self.error {
            Some((code, message)) if status == "failed" => {
                data.extend_from_slice(b"{\"code\":");
                json::push_string(data, response_code(code));
                push_member(data, "message", message);
                data.push(b'}');
            }
            Some(_) | None => data.extend_from_slice(b"null"),
        }
        data.extend_from_slice(b",\"incomplete_details\":");
        if status == "incomplete" {
            let is_filtered =
                matches!(self.reason, Some(StopReason::ContentFilter | StopReason::Refusal));
            let reason = if is_filtered { "content_filter" } else { "max_output_tokens" };
            data.extend_from_slice(b"{\"reason\":");
            json::push_string(data, reason);
            data.push(b'}');
        } else {
            data.extend_from_slice(b"null");
        }
        data.extend_from_slice(b",\"instructions\":null,\"max_output_tokens\":null");
        push_member(data, "model", tail.model.as_deref().unwrap_or(""));
        data.extend_from_slice(b",\"output\":[");
        if status != "in_progress" && status != "failed" {
            for (number, item) in self.items.iter().enumerate() {
                if number > 0 {
                    data.push(b',');
                }
                push_item(data, item);
            }
        }
        data.extend_from_slice(
            b"],\"parallel_tool_calls\":true,\"previous_response_id\":null,\"temperature\":null,\
              \"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"usage\":",
        );
        match &self.counts {
            Some(counts) if status != "in_progress" => push_usage(data, counts),
            Some(_) | None => data.extend_from_slice(b"null"),
        }
        data.extend_from_slice(b",\"metadata\":{}}");
    }
}
