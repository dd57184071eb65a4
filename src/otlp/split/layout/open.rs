//! A part that is being laid out: which frames are open, and how long they are so far.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::otlp::{
    split::{
        groups::Groups,
        index::{Index, NONE, Share, wide},
    },
    wire::{Tag, framed_len},
};

/// The levels of groups, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Resource,
    Scope,
    Metric,
    Data,
}

pub(super) const LEVELS: [Level; 4] = [Level::Resource, Level::Scope, Level::Metric, Level::Data];

/// The groups around items, one for each level; [`NONE`] from where there are no more.
///
/// Of equal groups it names the first one, so that paths are equal where the groups are.
pub(super) type Path = [u32; LEVELS.len()];

/// The part, and the frames in it, whose lengths still grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) slot: usize,
    pub(super) items: usize,
    pub(super) empty_metrics: usize,
    pub(super) first_frame: usize,
    /// Length of what is closed.
    pub(super) bytes: usize,
    /// The groups of the open frames.
    pub(super) path: Path,
    /// Frames inside each other; `None` from where there are no more.
    pub(super) frames: [Option<OpenFrame>; LEVELS.len()],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFrame {
    pub(super) frame: usize,
    pub(super) group: u32,
    pub(super) tag: Tag,
    /// Own fields and what is closed inside.
    pub(super) body: usize,
    pub(super) last_run: u32,
}

/// Items of one leaf that stay together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) path: Path,
    pub(super) first_run: u32,
    pub(super) last_run: u32,
    pub(super) items: usize,
    pub(super) empty_metrics: usize,
    pub(super) bytes: usize,
}

// === impl Open ===

impl Open {
    pub(super) const fn new(slot: usize, first_frame: usize, bytes: usize) -> Self {
        let (path, frames) = ([NONE; LEVELS.len()], [None; LEVELS.len()]);
        Self { slot, items: 0, empty_metrics: 0, first_frame, bytes, path, frames }
    }

    /// Length with so many bytes more in the innermost frame, all frames closed.
    pub(super) fn bytes_with(&self, more: usize) -> usize {
        let inside = self
            .frames
            .iter()
            .rev()
            .flatten()
            .fold(more, |inside, frame| framed_len(frame.tag, frame.body.saturating_add(inside)));
        self.bytes.saturating_add(inside)
    }

    /// Whether nothing was added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.depth() == 0 && self.items == 0
    }

    /// How many frames are open.
    pub(super) fn depth(&self) -> usize {
        self.frames.iter().flatten().count()
    }

    /// How many of them, from the outermost one on, are groups of this path.
    pub(super) fn depth_in(&self, path: Path) -> usize {
        let open = self.frames.iter().zip(path);
        open.take_while(|(frame, group)| frame.is_some_and(|frame| frame.group == *group)).count()
    }

    pub(super) fn innermost(&mut self) -> Option<&mut OpenFrame> {
        self.frames.iter_mut().flatten().last()
    }

    pub(super) fn push(&mut self, frame: OpenFrame) {
        if let Some(free) = self.frames.iter_mut().find(|frame| frame.is_none()) {
            *free = Some(frame);
        }
    }

    /// Closes the innermost frame: its length counts for the one around it.
    pub(super) fn pop(&mut self) -> Option<OpenFrame> {
        let closed = self.frames.iter_mut().rev().find_map(Option::take)?;
        let bytes = framed_len(closed.tag, closed.body);
        match self.innermost() {
            Some(outer) => outer.body = outer.body.saturating_add(bytes),
            None => self.bytes = self.bytes.saturating_add(bytes),
        }
        Some(closed)
    }
}

// === impl OpenFrame ===

impl OpenFrame {
    pub(super) fn new(index: &Index, level: Level, tag: Tag, group: u32, frame: usize) -> Self {
        let body = level.groups(index).get(group).map_or(0, |group| wide(group.bytes));
        Self { frame, group, tag, body, last_run: NONE }
    }
}

// === impl Stretch ===

impl Stretch {
    pub(super) fn of(share: &Share, path: Path) -> Self {
        let &Share { first_run, last_run, items, empty_metrics, bytes, .. } = share;
        let (items, empty_metrics, bytes) = (wide(items), wide(empty_metrics), wide(bytes));
        Self { path, first_run, last_run, items, empty_metrics, bytes }
    }
}

// === impl Level ===

impl Level {
    pub(super) const fn groups(self, index: &Index) -> &Groups {
        match self {
            Self::Resource => &index.resources,
            Self::Scope => &index.scopes,
            Self::Metric => &index.metrics,
            Self::Data => &index.data,
        }
    }
}
