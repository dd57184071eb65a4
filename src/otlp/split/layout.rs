//! Lays out parts as lists of frames with exact lengths, and writes them.
//!
//! A frame is a group as it goes out: tag, length, own fields, and for a scope group the runs of its items. A resource
//! frame is followed by the frames of its scope groups. Lengths are summed from the records before anything is
//! written, so headers have their final size and nothing is moved or padded.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use super::index::{Groups, Index, NONE, Share, trim, wide};
use crate::otlp::wire::{
    Tag,
    field::{request, resource_group},
    framed_len, put_len_prefix,
};

/// The parts of one request.
#[derive(Debug, Default)]
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
    /// Index of the group whose fields it gets.
    group: u32,
    /// Length of everything inside.
    body: usize,
    /// Items of a scope group.
    first_run: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Resource,
    Scope,
}

/// The part, and the frames in it, whose lengths still grow.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    slot: usize,
    items: usize,
    first_frame: usize,
    /// Length of what is closed.
    bytes: usize,
    resource: Option<OpenFrame>,
    scope: Option<OpenFrame>,
}

#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    frame: usize,
    group: u32,
    /// Own fields and what is closed inside.
    body: usize,
    last_run: u32,
}

/// Items of one scope group that stay together.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    resource: u32,
    scope: u32,
    first_run: u32,
    last_run: u32,
    items: usize,
    bytes: usize,
}

// === impl Layout ===

impl Layout {
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
        if let ([slot], false) = (index.touched.as_slice(), index.altered) {
            self.whole(wide(*slot), index.items, payload_bytes);
            return;
        }
        let touched = std::mem::take(&mut index.touched);
        let mut shares = std::mem::take(&mut self.shares);
        for &slot in &touched {
            collect_shares(index, slot, &mut shares);
            self.begin(index, wide(slot));
            for &share in &shares {
                let Some(&share) = index.shares.get(wide(share)) else { break };
                let (resource, scope) = origin(index, share.scope);
                let Share { first_run, last_run, items, bytes, .. } = share;
                let (items, bytes) = (wide(items), wide(bytes));
                self.add(index, Stretch { resource, scope, first_run, last_run, items, bytes });
            }
            self.finish();
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
        if index.items == 0 {
            return;
        }
        if payload_bytes <= max_bytes && index.items <= max_items && !index.altered {
            self.whole(0, index.items, payload_bytes);
            return;
        }
        self.begin(index, 0);
        let mut share = index.first_share(0);
        while let Some(&Share { scope, first_run, next, .. }) = index.shares.get(wide(share)) {
            share = next;
            let Some(resource) = index.scopes.get(scope).map(|group| group.parent) else { break };
            let mut run = first_run;
            while let Some(this) = index.runs.get_mut(wide(run)) {
                // The list is cut behind each item and joined again for those that stay together.
                let next = std::mem::replace(&mut this.next, NONE);
                let bytes = this.len();
                let item = Stretch { resource, scope, first_run: run, last_run: run, items: 1, bytes };
                let is_full = self.open.items >= max_items || self.bytes_with(index, item) > max_bytes;
                if self.open.items > 0 && is_full {
                    let slot = self.open.slot.saturating_add(1);
                    self.finish();
                    self.begin(index, slot);
                }
                self.add(index, item);
                run = next;
            }
        }
        self.finish();
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
            put_len_prefix(out, frame.level.tag(), frame.body);
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
        self.open = Open {
            slot,
            items: 0,
            first_frame: self.frames.len(),
            bytes: index.request_bytes,
            resource: None,
            scope: None,
        };
    }

    /// Adds items to the open part, in the frames that are open if their groups are.
    fn add(&mut self, index: &mut Index, stretch: Stretch) {
        if !self.open.is_in_resource(stretch) {
            self.close_resource();
            self.open.resource = Some(self.open_frame(index, Level::Resource, stretch.resource));
        }
        if !self.open.is_in_scope(stretch) {
            self.close_scope();
            self.open.scope = Some(self.open_frame(index, Level::Scope, stretch.scope));
        }
        self.open.items = self.open.items.saturating_add(stretch.items);
        let Some(scope) = &mut self.open.scope else { return };
        scope.body = scope.body.saturating_add(stretch.bytes);
        if let Some(last) = index.runs.get_mut(wide(scope.last_run)) {
            last.next = stretch.first_run;
        } else if let Some(frame) = self.frames.get_mut(scope.frame) {
            frame.first_run = stretch.first_run;
        }
        scope.last_run = stretch.last_run;
    }

    /// Length of the open part if it got these items too.
    fn bytes_with(&self, index: &Index, stretch: Stretch) -> usize {
        // Plain numbers: a copy is closed to see how long it would get.
        let mut open = self.open;
        if !open.is_in_resource(stretch) {
            open.close_scope();
            open.close_resource();
            open.resource = Some(OpenFrame::new(index, Level::Resource, stretch.resource, 0));
        }
        if !open.is_in_scope(stretch) {
            open.close_scope();
            open.scope = Some(OpenFrame::new(index, Level::Scope, stretch.scope, 0));
        }
        if let Some(scope) = &mut open.scope {
            scope.body = scope.body.saturating_add(stretch.bytes);
        }
        open.close_scope();
        open.close_resource();
        open.bytes
    }

    fn finish(&mut self) {
        self.close_resource();
        let Open { slot, items, first_frame, bytes, .. } = self.open;
        self.parts.push(Part { slot, items, bytes, frames: Some(first_frame..self.frames.len()) });
    }

    fn open_frame(&mut self, index: &Index, level: Level, group: u32) -> OpenFrame {
        self.frames.push(Frame { level, group, body: 0, first_run: NONE });
        OpenFrame::new(index, level, group, self.frames.len().saturating_sub(1))
    }

    fn close_scope(&mut self) {
        let closed = self.open.close_scope();
        self.set_body(closed);
    }

    fn close_resource(&mut self) {
        self.close_scope();
        let closed = self.open.close_resource();
        self.set_body(closed);
    }

    fn set_body(&mut self, closed: Option<OpenFrame>) {
        if let Some(closed) = closed
            && let Some(frame) = self.frames.get_mut(closed.frame)
        {
            frame.body = closed.body;
        }
    }
}

// === impl Open ===

impl Open {
    fn is_in_resource(&self, stretch: Stretch) -> bool {
        self.resource.is_some_and(|open| open.group == stretch.resource)
    }

    fn is_in_scope(&self, stretch: Stretch) -> bool {
        self.scope.is_some_and(|open| open.group == stretch.scope)
    }

    fn close_scope(&mut self) -> Option<OpenFrame> {
        let scope = self.scope.take()?;
        if let Some(resource) = &mut self.resource {
            resource.body = resource.body.saturating_add(framed_len(Level::Scope.tag(), scope.body));
        }
        Some(scope)
    }

    fn close_resource(&mut self) -> Option<OpenFrame> {
        let resource = self.resource.take()?;
        self.bytes = self.bytes.saturating_add(framed_len(Level::Resource.tag(), resource.body));
        Some(resource)
    }
}

// === impl OpenFrame ===

impl OpenFrame {
    fn new(index: &Index, level: Level, group: u32, frame: usize) -> Self {
        let body = level.groups(index).get(group).map_or(0, |group| wide(group.bytes));
        Self { frame, group, body, last_run: NONE }
    }
}

// === impl Level ===

impl Level {
    /// The tag of a frame. Items out of the deprecated field leave as ordinary scope groups.
    const fn tag(self) -> Tag {
        match self {
            Self::Resource => request::RESOURCES,
            Self::Scope => resource_group::SCOPES,
        }
    }

    const fn groups(self, index: &Index) -> &Groups {
        match self {
            Self::Resource => &index.resources,
            Self::Scope => &index.scopes,
        }
    }
}

/// The groups whose fields stand for those of a scope group: the first equal ones.
fn origin(index: &Index, scope: u32) -> (u32, u32) {
    let Some(scope) = index.scopes.get(scope) else { return (NONE, NONE) };
    let resource = index.resources.get(scope.parent).map_or(NONE, |resource| resource.first);
    (resource, scope.first)
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
            (index.shares.get(wide(share)).map(|this| origin(index, this.scope)), share)
        });
    }
}
