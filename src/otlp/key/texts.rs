//! A short cut for the maps that most data points have: a few attributes, all of them short texts, no name twice.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{
    hash::{NAME, STRING, hash},
    value::{plain_text, to_field},
};
use crate::otlp::wire::{Malformed, Reader, Tag};

/// More attributes than that are sorted in a table.
const MOST: usize = 12;

/// (name, text) in bytewise order of the names.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    list: [(&'a [u8], &'a [u8]); MOST],
    len: usize,
}

impl<'a> Texts<'a> {
    /// Reads the attributes of a message; `None` if it has none, or any that the short cut does not take.
    ///
    /// # Errors
    ///
    /// What is malformed in the message itself.
    #[inline]
    pub(super) fn read(mut message: Reader<'a>, attributes: Tag) -> Result<Option<Self>, Malformed> {
        let mut texts = Self::default();
        while to_field(&mut message, attributes)? {
            let Some((name, text)) = plain_text(message.bytes()?) else { return Ok(None) };
            if !texts.insert(name, text) {
                return Ok(None);
            }
        }
        Ok(if texts.len > 0 { Some(texts) } else { None })
    }

    /// Whether there was room, and no such name yet.
    #[inline]
    fn insert(&mut self, name: &'a [u8], text: &'a [u8]) -> bool {
        // Senders often sort already: from behind, the place is found at once then.
        let (before, room) = self.list.split_at_mut(self.len.min(MOST));
        let Some(room) = room.first_mut() else { return false };
        let place = match before.iter().rposition(|(other, _)| *other <= name) {
            Some(at) if before.get(at).is_some_and(|(other, _)| *other == name) => return false,
            Some(at) => at.saturating_add(1),
            None => 0,
        };
        *room = (name, text);
        self.len = self.len.saturating_add(1);
        if let Some(moved) = self.list.get_mut(place..self.len) {
            moved.rotate_right(1);
        }
        true
    }

    /// The hash; `canonical` is scratch space.
    #[inline]
    pub(super) fn hash(&self, canonical: &mut Vec<u8>) -> [u8; 16] {
        canonical.clear();
        for (name, text) in self.list.iter().take(self.len) {
            canonical.push(NAME);
            canonical.extend_from_slice(name);
            canonical.push(STRING);
            canonical.extend_from_slice(text);
        }
        hash(canonical)
    }
}
