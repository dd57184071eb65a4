//! All occurrences of one message field, which are read as one message.
//!
//! Protobuf merges them: repeated fields append, of single ones the last counts. Senders write one; the type exists so
//! that two are read as every other reader reads them.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{Reader, Tag};

/// The occurrences, in order. Allocates from the second one on.
#[derive(Clone, Debug, Default)]
pub struct Messages<'a> {
    first: Option<Reader<'a>>,
    rest: Vec<Reader<'a>>,
}

impl<'a> Messages<'a> {
    /// Looks ahead: the occurrences of `tag` in a message. Ends at what is malformed; whoever reads the message itself
    /// reports that.
    pub fn ahead(mut message: Reader<'a>, tag: Tag) -> Self {
        let mut messages = Self::default();
        while let Ok(Some(next)) = message.tag() {
            if next == tag {
                let Ok(found) = message.message() else { break };
                messages.push(found);
            } else if next.wire().is_none_or(|wire| message.skip(wire).is_err()) {
                break;
            }
        }
        messages
    }

    /// Adds an occurrence.
    pub fn push(&mut self, message: Reader<'a>) {
        match self.first {
            None => self.first = Some(message),
            Some(_) => self.rest.push(message),
        }
    }

    /// The occurrences, in order.
    pub fn iter(&self) -> impl Iterator<Item = Reader<'a>> + '_ {
        self.first.iter().chain(&self.rest).copied()
    }
}

impl<'a> From<Reader<'a>> for Messages<'a> {
    fn from(message: Reader<'a>) -> Self {
        Self { first: Some(message), rest: Vec::new() }
    }
}
