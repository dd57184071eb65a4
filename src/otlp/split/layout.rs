//! Lays out parts as lists of frames with exact lengths, and writes them.
//!
//! A frame is a group as it goes out: tag, length, own fields, and the runs of its items if it is the innermost group
//! around them. A frame is followed by the frames inside it. Lengths are summed from the records before anything is
//! written, so headers have their final size and nothing is moved or padded.
//!
//! A part has at least one item. What comes without any (metrics that have no points) goes along with items of its part, or
//! is left out and counted.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

mod open;

use self::open::{LEVELS, Level, Open, OpenFrame, Path, Stretch};
use super::{
    groups::Groups,
    index::{Index, Leaf, NONE, trim, wide},
};
use crate::otlp::wire::{Tag, put_len_prefix};

/// The parts of one request.
#[derive(Debug)]
pub(super) struct Layout {
    parts: Vec<Part>,
    frames: Vec<Frame>,
    /// Scratch: shares of one slot.
    shares: Vec<u32>,
    open: Open,
}

/// What goes to one slot.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) slot: usize,
    pub(super) items: usize,
    /// Exact length.
    pub(super) bytes: usize,
    /// Its frames; `None`: the request as it came.
    frames: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    level: Level,
    tag: Tag,
    /// Index of the group whose fields it gets.
    group: u32,
    /// Length of everything inside.
    body: usize,
    /// Its items.
    first_run: u32,
}

/// What a part may hold.
#[derive(Clone, Copy, Debug)]
struct Limits {
    max_bytes: usize,
    max_items: usize,
}

// === impl Layout ===

impl Layout {
    pub(super) const fn new() -> Self {
        Self { parts: Vec::new(), frames: Vec::new(), shares: Vec::new(), open: Open::new(0, 0, 0) }
    }

    /// Parts ascending by slot.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Frees what an unusually large request needed. The parts are gone then.
    pub(super) fn trim(&mut self) {
        trim(&mut self.parts);
        trim(&mut self.frames);
        trim(&mut self.shares);
    }

    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 3] {
        [self.parts.capacity(), self.frames.capacity(), self.shares.capacity()]
    }

    /// One part for each slot with items.
    pub(super) fn by_slot(&mut self, index: &mut Index, payload_bytes: usize) {
        self.clear();
        index.touched.sort_unstable();
        if let ([slot], false) = (index.touched.as_slice(), index.altered)
            && index.items > 0
        {
            self.whole(wide(*slot), index.items, payload_bytes);
            return;
        }
        let touched = std::mem::take(&mut index.touched);
        let mut shares = std::mem::take(&mut self.shares);
        for &slot in &touched {
            collect_shares(index, slot, &mut shares);
            self.begin(index, wide(slot));
            for &share in &shares {
                let Some(share) = index.shares.get(wide(share)) else { break };
                let stretch = Stretch::of(share, origin(index, share.leaf));
                self.add(index, stretch);
            }
            self.finish(index);
        }
        self.shares = shares;
        index.touched = touched;
    }

    /// Consecutive items, as many for each part as the limits allow but at least one.
    ///
    /// The index was made with one slot and one run for each item.
    pub(super) fn by_size(
        &mut self,
        index: &mut Index,
        payload_bytes: usize,
        max_bytes: usize,
        max_items: usize,
    ) {
        self.clear();
        if (1..=max_items).contains(&index.items) && payload_bytes <= max_bytes && !index.altered {
            self.whole(0, index.items, payload_bytes);
            return;
        }
        let limits = Limits { max_bytes, max_items };
        self.begin(index, 0);
        let mut share = index.first_share(0);
        while let Some(&this) = index.shares.get(wide(share)) {
            share = this.next;
            let whole = Stretch::of(&this, path(index, this.leaf));
            if this.first_run == NONE {
                self.add_within(index, whole, limits);
            }
            let mut run = this.first_run;
            while let Some(this) = index.runs.get_mut(wide(run)) {
                // The list is cut behind each item and joined again for those that stay together.
                let next = std::mem::replace(&mut this.next, NONE);
                let bytes = this.len();
                let item = Stretch { first_run: run, last_run: run, items: 1, bytes, ..whole };
                self.add_within(index, item, limits);
                run = next;
            }
        }
        self.finish(index);
    }

    /// Appends the part of a slot; nothing if it has none.
    pub(super) fn append(&self, index: &Index, payload: &[u8], slot: usize, out: &mut Vec<u8>) {
        let part = self.parts.binary_search_by_key(&slot, |part| part.slot);
        let Some(part) = part.ok().and_then(|part| self.parts.get(part)) else { return };
        out.reserve(part.bytes);
        let Some(frames) = &part.frames else {
            out.extend_from_slice(payload);
            return;
        };
        index.append_request(payload, out);
        for frame in self.frames.get(frames.clone()).unwrap_or_default() {
            put_len_prefix(out, frame.tag, frame.body);
            frame.level.groups(index).append(frame.group, payload, out);
            let mut run = frame.first_run;
            while let Some(this) = index.runs.get(wide(run)) {
                out.extend_from_slice(this.of(payload));
                run = this.next;
            }
        }
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.frames.clear();
    }

    fn whole(&mut self, slot: usize, items: usize, bytes: usize) {
        self.parts.push(Part { slot, items, bytes, frames: None });
    }

    fn begin(&mut self, index: &Index, slot: usize) {
        self.open = Open::new(slot, self.frames.len(), index.request_bytes);
    }

    /// Adds items to the open part, or to a new one if it would get too large with them.
    fn add_within(&mut self, index: &mut Index, item: Stretch, limits: Limits) {
        let is_full = self.open.items.saturating_add(item.items) > limits.max_items
            || self.bytes_with(index, item) > limits.max_bytes;
        if is_full && !self.open.is_empty() {
            let slot = self.open.slot.saturating_add(usize::from(self.open.items > 0));
            self.finish(index);
            self.begin(index, slot);
        }
        self.add(index, item);
    }

    /// Adds items to the open part, in the frames that are open if their groups are.
    fn add(&mut self, index: &mut Index, stretch: Stretch) {
        let Stretch { path, first_run, last_run, items, empty_metrics, bytes } = stretch;
        if self.open.path != path {
            self.go_to(index, path);
        }
        self.open.items = self.open.items.saturating_add(items);
        self.open.empty_metrics = self.open.empty_metrics.saturating_add(empty_metrics);
        if first_run == NONE {
            return;
        }
        let Some(innermost) = self.open.innermost() else { return };
        innermost.body = innermost.body.saturating_add(bytes);
        if let Some(last) = index.runs.get_mut(wide(innermost.last_run)) {
            last.next = first_run;
        } else if let Some(frame) = self.frames.get_mut(innermost.frame) {
            frame.first_run = first_run;
        }
        innermost.last_run = last_run;
    }

    /// Opens the frames of a path, and closes those of others.
    fn go_to(&mut self, index: &Index, path: Path) {
        let depth = self.open.depth_in(path);
        self.close_to(depth);
        for (level, group) in LEVELS.into_iter().zip(path).skip(depth) {
            let Some(tag) = level.groups(index).get(group).and_then(|group| group.tag) else { break };
            let frame = self.frames.len();
            self.frames.push(Frame { level, tag, group, body: 0, first_run: NONE });
            self.open.push(OpenFrame::new(index, level, tag, group, frame));
        }
        self.open.path = path;
    }

    /// Length of the open part if it got these items too.
    fn bytes_with(&self, index: &Index, stretch: Stretch) -> usize {
        if self.open.path == stretch.path {
            return self.open.bytes_with(stretch.bytes);
        }
        // Plain numbers: a copy is closed to see how long it would get.
        let mut open = self.open;
        let depth = open.depth_in(stretch.path);
        while open.depth() > depth {
            open.pop();
        }
        for (level, group) in LEVELS.into_iter().zip(stretch.path).skip(depth) {
            let Some(tag) = level.groups(index).get(group).and_then(|group| group.tag) else { break };
            open.push(OpenFrame::new(index, level, tag, group, 0));
        }
        open.bytes_with(stretch.bytes)
    }

    fn finish(&mut self, index: &mut Index) {
        self.close_to(0);
        let Open { slot, items, empty_metrics, first_frame, bytes, .. } = self.open;
        if items > 0 {
            self.parts.push(Part { slot, items, bytes, frames: Some(first_frame..self.frames.len()) });
        } else {
            self.frames.truncate(first_frame);
            index.dropped.empty_metrics = index.dropped.empty_metrics.saturating_add(empty_metrics);
        }
    }

    /// Closes the frames inside the outermost `depth`.
    fn close_to(&mut self, depth: usize) {
        while self.open.depth() > depth
            && let Some(closed) = self.open.pop()
        {
            if let Some(frame) = self.frames.get_mut(closed.frame) {
                frame.body = closed.body;
            }
        }
    }
}

/// The groups around a leaf.
fn path(index: &Index, leaf: Leaf) -> Path {
    let resource = index.scopes.get(leaf.scope).map_or(NONE, |scope| scope.parent);
    [resource, leaf.scope, leaf.metric, leaf.metric]
}

/// The first groups of the request that are equal to those around a leaf: their fields stand for all of them.
fn origin(index: &Index, leaf: Leaf) -> Path {
    let [resource, scope, metric, _] = path(index, leaf);
    let first = |groups: &Groups, group| groups.get(group).map_or(NONE, |group| group.first);
    let metric = first(&index.metrics, metric);
    [first(&index.resources, resource), first(&index.scopes, scope), metric, metric]
}

/// Lists the shares of a slot so that those of equal groups are neighbours.
fn collect_shares(index: &Index, slot: u32, shares: &mut Vec<u32>) {
    shares.clear();
    let mut share = index.first_share(slot);
    while let Some(this) = index.shares.get(wide(share)) {
        shares.push(share);
        share = this.next;
    }
    // Without repeated groups the order of the request is that order.
    if index.repeats {
        shares.sort_unstable_by_key(|&share| {
            (index.shares.get(wide(share)).map(|this| origin(index, this.leaf)), share)
        });
    }
}
