//! Names the first item of a request in one line, for the log: which item it was that a backend did not take.
//!
//! Stage: engine, used by `backend`. Owns what is shown and how it is escaped. Assumes nothing about the bytes: they may be
//! the reason why they are shown.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

#[cfg(test)]
mod tests;

use std::iter::from_fn;

use super::{
    key::{Value, find, to_field},
    wire::{
        Messages, Reader, Tag,
        field::{log_record, metric, request, resource, resource_group, scope_group, span},
    },
};
use crate::model::Signal;

/// Bytes that a quoted text takes at most, quotes and ellipsis included.
const TEXT_MAX: usize = 50;
/// So for texts that are short as a rule.
const WORD_MAX: usize = 20;
/// Behind a text that goes on.
const ELLIPSIS: char = '…';

/// Names the first item of an `Export…ServiceRequest`: at most 200 bytes, no line break, no control character.
///
/// ```text
/// service.name="checkout" span="GET /cart" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7
/// service.name="checkout" metric="http.server.request.duration"
/// service.name="checkout" severity="ERROR" body="payment refused: …" trace_id=4bf92f3577b34da6a3ce929d0e0e4736
/// ```
///
/// What an item does not have is left out: a service name or body that is no string, an empty text, an id. Long texts are
/// cut. Quotes, control characters and what is no UTF-8 are escaped as in Rust. Of malformed bytes it says what can be read
/// in front of them; without any item, `no readable item`. Reads no further than to the end of the first item.
pub fn sample(signal: Signal, payload: &[u8]) -> String {
    let groups = messages(Reader::new(payload), request::RESOURCES);
    let first = groups.filter_map(|group| first_item(group).map(|item| (group, item))).next();
    let Some((group, item)) = first else { return "no readable item".to_owned() };
    let mut line = Line::default();
    line.text("service.name", service_name(group), TEXT_MAX);
    match signal {
        Signal::Traces => {
            line.text("span", last(item, span::NAME), TEXT_MAX);
            line.id::<16>("trace_id", last(item, span::TRACE_ID));
            line.id::<8>("span_id", last(item, span::SPAN_ID));
        }
        Signal::Metrics => line.text("metric", last(item, metric::NAME), TEXT_MAX),
        Signal::Logs => {
            line.text("severity", last(item, log_record::SEVERITY_TEXT), WORD_MAX);
            line.text("body", body(item), TEXT_MAX);
            line.id::<16>("trace_id", last(item, log_record::TRACE_ID));
        }
    }
    line.finish(signal)
}

/// The first span, metric or log record of a resource group. Items in the deprecated field count if there are no others.
fn first_item(group: Reader<'_>) -> Option<Reader<'_>> {
    let of = |scopes| messages(group, scopes).find_map(|scope| messages(scope, scope_group::ITEMS).next());
    of(resource_group::SCOPES).or_else(|| of(resource_group::LIBRARIES))
}

/// Empty unless it is a string.
fn service_name(group: Reader<'_>) -> &[u8] {
    let resource = Messages::ahead(group, resource_group::RESOURCE);
    let name = find(&resource, resource::ATTRIBUTES, b"service.name");
    name.ok().flatten().unwrap_or_default().str()
}

/// Empty unless it is a string.
fn body(record: Reader<'_>) -> &[u8] {
    let mut body = Value::default();
    for occurrence in messages(record, log_record::BODY) {
        // What has been read of a malformed one is shown.
        if body.replace(occurrence).is_err() {
            break;
        }
    }
    body.str()
}

/// The occurrences of a message field that can be read.
fn messages(mut message: Reader<'_>, field: Tag) -> impl Iterator<Item = Reader<'_>> {
    from_fn(move || match to_field(&mut message, field) {
        Ok(true) => message.message().ok(),
        _ => None,
    })
    .fuse()
}

/// The last occurrence of a string or bytes field that can be read; empty if there is none.
fn last(mut message: Reader<'_>, field: Tag) -> &[u8] {
    let mut value: &[u8] = &[];
    while let Ok(true) = to_field(&mut message, field)
        && let Ok(bytes) = message.bytes()
    {
        value = bytes;
    }
    value
}

/// What is said, piece by piece.
#[derive(Default)]
struct Line(String);

impl Line {
    /// Appends a text in quotes that has at most `max` bytes with them; nothing if it is empty.
    fn text(&mut self, name: &str, text: &[u8], max: usize) {
        if text.is_empty() {
            return;
        }
        let room = max.saturating_sub("\"\"".len()).saturating_sub(ELLIPSIS.len_utf8());
        let mut shown = String::new();
        let is_cut = pieces(text).any(|piece| {
            let is_full = shown.len().saturating_add(piece.len()) > room;
            if !is_full {
                shown.push_str(&piece);
            }
            is_full
        });
        if is_cut {
            shown.push(ELLIPSIS);
        }
        self.put(name, format_args!("\"{shown}\""));
    }

    /// Appends an id of `N` bytes in hex; of a longer one the first `N`, nothing of an empty one.
    fn id<const N: usize>(&mut self, name: &str, id: &[u8]) {
        let (shown, is_cut) = match id.split_at_checked(N) {
            Some((shown, rest)) => (shown, !rest.is_empty()),
            None => (id, false),
        };
        if shown.is_empty() {
            return;
        }
        let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        self.put(name, format_args!("{hex}{}", if is_cut { "…" } else { "" }));
    }

    fn put(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        let separator = if self.0.is_empty() { "" } else { " " };
        self.0.push_str(&format!("{separator}{name}={value}"));
    }

    fn finish(self, signal: Signal) -> String {
        if self.0.is_empty() { format!("{} without name or id", item_word(signal)) } else { self.0 }
    }
}

const fn item_word(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "span",
        Signal::Metrics => "metric",
        Signal::Logs => "log record",
    }
}

/// The characters of a text, each as it is shown.
fn pieces(text: &[u8]) -> impl Iterator<Item = String> {
    text.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid().chars().map(|character| character.escape_debug().to_string());
        valid.chain(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")))
    })
}
