//! The record, read back as anybody could: zstd, lines of JSON, nothing of Firedoor's.

use crate::support::wait_for;
use base64_of_rfc_4648::decode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One exchange, as its lines tell it.
#[derive(Debug, Default)]
pub struct Told {
    pub open: Value,
    pub close: Value,
    pub request: Vec<u8>,
    /// What was sent, by attempt.
    pub sent: BTreeMap<u64, Vec<u8>>,
    /// What the provider answered, by attempt.
    pub received: BTreeMap<u64, Vec<u8>>,
    pub delivered: Vec<u8>,
    /// Bytes that were queued for the client and taken back.
    pub withdrawn: usize,
    pub statuses: Vec<u64>,
    /// Times of all chunks, in the order of the lines of their kind.
    pub times: BTreeMap<&'static str, Vec<u64>>,
}

/// The segments, in order.
pub fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(data_dir.join("evidence"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "zst"))
        .collect();
    files.sort();
    files
}

/// All lines of the frames that are whole, in order: what was written before the last write.
pub fn whole_lines(data_dir: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in segments(data_dir) {
        let mut file = BufReader::new(std::fs::File::open(file).unwrap());
        while !file.fill_buf().unwrap().is_empty() {
            let mut text = Vec::new();
            let mut frame = zstd::Decoder::with_buffer(&mut file).unwrap().single_frame();
            if frame.read_to_end(&mut text).is_err() {
                break;
            }
            assert!(text.ends_with(b"\n"), "a frame ends with a line");
            lines.extend(
                text.split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(|line| serde_json::from_slice::<Value>(line).unwrap()),
            );
        }
    }
    lines
}

/// All lines of all segments, in order.
pub fn lines(data_dir: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in segments(data_dir) {
        // It may have been retired meanwhile.
        let Ok(file) = std::fs::File::open(file) else { continue };
        let mut text = Vec::new();
        let mut reader = zstd::Decoder::new(file).unwrap();
        // A frame that is being written has no end yet.
        let _ = std::io::copy(&mut reader, &mut text);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if line.ends_with(b"\n") {
                lines.push(serde_json::from_slice(line).unwrap());
            }
        }
    }
    lines
}

/// Every exchange on record, by its id.
pub fn exchanges(data_dir: &Path) -> BTreeMap<String, Told> {
    let mut found: BTreeMap<String, Told> = BTreeMap::new();
    for line in lines(data_dir) {
        let Some(id) = line["exchange"].as_str() else { continue };
        found.entry(id.to_owned()).or_default().add(&line);
    }
    found
}

/// The exchange `id`, once its end is on record.
pub fn exchange(data_dir: &Path, id: &str) -> Told {
    wait_for("the end of the record", || {
        let told = exchanges(data_dir).remove(id)?;
        (told.close != Value::Null).then_some(told)
    })
}

fn bytes(line: &Value) -> Vec<u8> {
    match (line["text"].as_str(), line["base64"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(digits)) => decode(digits),
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => panic!("two texts: {line}"),
    }
}

impl Told {
    fn add(&mut self, line: &Value) {
        let attempt = line["attempt"].as_u64().unwrap_or(0);
        match line["kind"].as_str().unwrap() {
            "open" => self.open = line.clone(),
            "close" => self.close = line.clone(),
            "request" => place(&mut self.request, line),
            "sent" if line["same"] == "request" => {
                self.sent.insert(attempt, self.request.clone());
            }
            "sent" => place(self.sent.entry(attempt).or_default(), line),
            "received" => {
                place(self.received.entry(attempt).or_default(), line);
                self.time("received", line);
            }
            "delivered_head" => self.statuses.push(line["status"].as_u64().unwrap()),
            "delivered" => {
                let count = usize::try_from(line["bytes"].as_u64().unwrap()).unwrap();
                let start = usize::try_from(line["offset"].as_u64().unwrap()).unwrap();
                if self.open["capture"] != "metadata" {
                    assert_eq!(start, self.delivered.len() + self.withdrawn, "{line}");
                }
                if let Some(same) = line["same"].as_object() {
                    let of = &self.received[&same["attempt"].as_u64().unwrap()];
                    let at = usize::try_from(same["offset"].as_u64().unwrap()).unwrap();
                    self.delivered.extend_from_slice(&of[at..at + count]);
                } else if self.open["capture"] != "metadata" {
                    let bytes = bytes(line);
                    assert_eq!(bytes.len(), count, "{line}");
                    self.delivered.extend_from_slice(&bytes);
                }
                self.time("delivered", line);
            }
            "undelivered" => {
                let count = usize::try_from(line["bytes"].as_u64().unwrap()).unwrap();
                if line["at_most"] == false {
                    self.delivered.truncate(self.delivered.len() - count);
                    self.withdrawn += count;
                }
            }
            "answer_head" | "original" | "note" | "gap" => {}
            other => panic!("{other}: {line}"),
        }
    }

    fn time(&mut self, what: &'static str, line: &Value) {
        let times = self.times.entry(what).or_default();
        let mut sum = 0;
        for chunk in line["chunks"].as_array().unwrap() {
            let at = chunk[0].as_u64().unwrap();
            assert!(times.last().is_none_or(|last| *last <= at), "{line}");
            times.push(at);
            sum += chunk[1].as_u64().unwrap();
        }
        assert_eq!(sum, line["bytes"].as_u64().unwrap(), "{line}");
    }
}

/// Puts a piece where it says.
fn place(into: &mut Vec<u8>, line: &Value) {
    if line["text"].is_null() && line["base64"].is_null() {
        return;
    }
    assert_eq!(into.len() as u64, line["offset"].as_u64().unwrap_or(0), "{line}");
    into.extend_from_slice(&bytes(line));
}

mod base64_of_rfc_4648 {
    pub fn decode(digits: &str) -> Vec<u8> {
        let value = |digit: u8| match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("{other} is no digit"),
        };
        let digits = digits.trim_end_matches('=').as_bytes();
        let mut bytes = Vec::new();
        for four in digits.chunks(4) {
            let bits = four.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(value(*digit)));
            let bits = bits << (6 * (4 - four.len()));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        bytes
    }
}
