//! A short cut for the maps that most data points have: a few attributes, all of them short texts or integers, no name
//! twice.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{
    hash::{INT, NAME, STRING, hash},
    value::{Scalar, plain_scalar, to_field},
};
use crate::otlp::wire::{Malformed, Reader, Tag};

/// More attributes than that are sorted in a table.
const MOST: usize = 12;

/// (name, value) in bytewise order of the names.
#[derive(Debug)]
pub(super) struct Scalars<'a> {
    list: [(&'a [u8], Scalar<'a>); MOST],
    len: usize,
}

impl<'a> Scalars<'a> {
    /// Reads the attributes of a message; `None` if it has none, or any that the short cut does not take.
    ///
    /// # Errors
    ///
    /// What is malformed in the message itself.
    #[inline]
    pub(super) fn read(mut message: Reader<'a>, attributes: Tag) -> Result<Option<Self>, Malformed> {
        let mut scalars = Self { list: [(&[], Scalar::Text(&[])); MOST], len: 0 };
        while to_field(&mut message, attributes)? {
            let Some((name, value)) = plain_scalar(message.bytes()?) else { return Ok(None) };
            if !scalars.insert(name, value) {
                return Ok(None);
            }
        }
        Ok(if scalars.len > 0 { Some(scalars) } else { None })
    }

    /// Whether there was room, and no such name yet.
    #[inline]
    fn insert(&mut self, name: &'a [u8], value: Scalar<'a>) -> bool {
        // Senders often sort already: from behind, the place is found at once then.
        let (before, room) = self.list.split_at_mut(self.len.min(MOST));
        let Some(room) = room.first_mut() else { return false };
        let place = match before.iter().rposition(|(other, _)| *other <= name) {
            Some(at) if before.get(at).is_some_and(|(other, _)| *other == name) => return false,
            Some(at) => at.saturating_add(1),
            None => 0,
        };
        *room = (name, value);
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
        for (name, value) in self.list.iter().take(self.len) {
            canonical.push(NAME);
            canonical.extend_from_slice(name);
            match value {
                Scalar::Text(text) => {
                    canonical.push(STRING);
                    canonical.extend_from_slice(text);
                }
                Scalar::Int(number) => {
                    canonical.push(INT);
                    canonical.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        hash(canonical)
    }
}
