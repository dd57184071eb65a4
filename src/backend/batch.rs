//! A batch: serialized parts behind each other, with the memory of where each came from.
//!
//! Stage: backend. The buffer begins with the five bytes of the gRPC prefix, so that sealing an uncompressed batch
//! copies nothing. Behind them stand the parts, each a complete export request; together they are one.

use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Ack, Buffers, Parcel};
use crate::{
    admission::Permit,
    model::{Delivered, Metadata, Outcome, settings::Sizer},
    net::grpc::PREFIX_LEN,
};

/// One part inside a batch.
#[derive(Debug)]
pub(super) struct Source {
    /// Offset in the buffer at which it ends; it begins where the one before ends.
    end: usize,
    items: usize,
    /// What it occupies in the queue, in the queue's unit.
    cost: usize,
    ack: Option<Ack>,
    /// The memory that it holds.
    permit: Permit,
    /// Who sent it.
    client: Option<IpAddr>,
}

/// A batch that still grows, or waits.
#[derive(Debug)]
pub(super) struct Batch {
    buffer: Vec<u8>,
    sources: Vec<Source>,
    items: usize,
    /// What every part came with.
    pub(super) metadata: Metadata,
    /// When the first part came.
    pub(super) opened: Instant,
}

impl Batch {
    /// An empty batch over an empty buffer.
    pub(super) fn open(mut buffer: Vec<u8>, metadata: Metadata, now: Instant) -> Self {
        buffer.resize(PREFIX_LEN, 0);
        Self { buffer, sources: Vec::new(), items: 0, metadata, opened: now }
    }

    /// Appends one part, which `append` writes behind what the buffer holds.
    pub(super) fn push(
        &mut self,
        items: usize,
        cost: usize,
        ack: Option<Ack>,
        permit: Permit,
        client: Option<IpAddr>,
        append: impl FnOnce(&mut Vec<u8>),
    ) {
        append(&mut self.buffer);
        self.items = self.items.saturating_add(items);
        self.sources.push(Source { end: self.buffer.len(), items, cost, ack, permit, client });
    }

    /// Serialized bytes, without the prefix.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len().saturating_sub(PREFIX_LEN)
    }

    /// Size in the unit of a batch limit.
    pub(super) fn size(&self, sizer: Sizer) -> usize {
        match sizer {
            Sizer::Requests => self.sources.len(),
            Sizer::Items => self.items,
            Sizer::Bytes => self.bytes(),
        }
    }

    /// Ends its growth: writes the prefix and makes the bytes immutable.
    pub(super) fn seal(mut self, buffers: &Buffers) -> Sealed {
        write_prefix(&mut self.buffer, false);
        let Self { buffer, sources, items, metadata, .. } = self;
        Sealed { message: buffers.freeze(buffer), sources, items, metadata, is_tainted: false }
    }
}

/// Writes the gRPC prefix over the first five bytes of a buffer that left room for it.
pub(super) fn write_prefix(buffer: &mut [u8], compressed: bool) {
    // Message limits keep every batch far below 4 GiB.
    let length = u32::try_from(buffer.len().saturating_sub(PREFIX_LEN)).unwrap_or(u32::MAX);
    if let Some((prefix, _)) = buffer.split_first_chunk_mut::<PREFIX_LEN>() {
        let [a, b, c, d] = length.to_be_bytes();
        *prefix = [u8::from(compressed), a, b, c, d];
    }
}

/// A batch that is being sent.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Prefix and uncompressed request.
    pub(super) message: Bytes,
    pub(super) items: usize,
    pub(super) metadata: Metadata,
    /// Whether an attempt ended without an answer after the message may have arrived: the endpoint may have taken it.
    pub(super) is_tainted: bool,
    sources: Vec<Source>,
}

impl Sealed {
    /// Parts inside.
    pub(super) fn sources(&self) -> usize {
        self.sources.len()
    }

    /// What the batch occupies in the queue.
    pub(super) fn cost(&self) -> usize {
        self.sources.iter().map(|source| source.cost).sum()
    }

    /// Whether everyone who asked for the outcome of this batch has gone away. False if somebody's data was
    /// accepted without waiting: it is ours to deliver.
    pub(super) fn abandoned(&self) -> bool {
        self.sources.iter().all(|source| source.ack.as_ref().is_some_and(Ack::is_closed))
    }

    /// Cuts a batch of several sources into two, for sending each half by itself.
    pub(super) fn halves(self, buffers: &Buffers) -> [Self; 2] {
        let mut first = self.sources;
        let second = first.split_off(first.len() / 2);
        let cut = first.last().map_or(PREFIX_LEN, |source| source.end);
        let half = |mut sources: Vec<Source>, start: usize, end: usize| {
            let mut buffer = buffers.take();
            buffer.resize(PREFIX_LEN, 0);
            buffer.extend_from_slice(self.message.get(start..end).unwrap_or_default());
            write_prefix(&mut buffer, false);
            let shift = start.saturating_sub(PREFIX_LEN);
            for source in &mut sources {
                source.end = source.end.saturating_sub(shift);
            }
            let items = sources.iter().map(|source| source.items).sum();
            let metadata = self.metadata.clone();
            Self { message: buffers.freeze(buffer), items, metadata, is_tainted: self.is_tainted, sources }
        };
        [half(first, PREFIX_LEN, cut), half(second, cut, self.message.len())]
    }

    /// The request, without the prefix.
    pub(super) fn payload(&self) -> Bytes {
        self.message.slice(PREFIX_LEN.min(self.message.len())..)
    }

    /// Becomes pieces of these items and bytes, written by `append`: all of them complete requests. Their outcome is that of
    /// the batch's single source; its cost and memory stay with the first piece, since they are given back together.
    ///
    /// `None`, and nothing has changed, if there is not exactly one source.
    pub(super) fn pieces(&mut self, pieces: Vec<(usize, Bytes)>, buffers: &Buffers) -> Option<Vec<Self>> {
        if self.sources.len() != 1 || pieces.is_empty() {
            return None;
        }
        let source = self.sources.pop()?;
        let mut acks = source.ack.map(|ack| ack.split(pieces.len())).unwrap_or_default();
        let (mut cost, mut permit) = (source.cost, source.permit);
        let sealed = pieces.into_iter().rev().map(|(items, payload)| {
            let mut buffer = buffers.take();
            buffer.resize(PREFIX_LEN, 0);
            buffer.extend_from_slice(&payload);
            write_prefix(&mut buffer, false);
            let end = buffer.len();
            let part = permit.split(payload.len());
            let (cost, ack, client) = (std::mem::take(&mut cost), acks.pop(), source.client);
            let source = Source { end, items, cost, ack, permit: part, client };
            Self {
                message: buffers.freeze(buffer),
                items,
                metadata: self.metadata.clone(),
                is_tainted: self.is_tainted,
                sources: vec![source],
            }
        });
        Some(sealed.collect())
    }

    /// Becomes what is handed back: each source by itself.
    pub(super) fn into_parcels(self) -> impl Iterator<Item = Parcel> {
        let Self { message, sources, metadata, .. } = self;
        let mut start = PREFIX_LEN;
        sources.into_iter().map(move |source| {
            let payload = message.slice(start.min(message.len())..source.end.min(message.len()));
            start = source.end;
            let Source { items, ack, permit, client, .. } = source;
            Parcel { payload, items, metadata: metadata.clone().from_client(client), ack, permit }
        })
    }

    /// Who sent it, or the first part of it.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.sources.first().and_then(|source| source.client)
    }

    /// Items whose owner keeps them, so that giving them up at the end of the process loses nothing.
    pub(super) fn kept_items(&self) -> usize {
        let is_kept = |source: &&Source| source.ack.as_ref().is_some_and(Ack::keeps);
        self.sources.iter().filter(is_kept).map(|source| source.items).sum()
    }

    /// Tells everyone who waits. A client that is gone does not hear it; that is not an error.
    pub(super) fn answer(self, outcome: &Outcome) {
        // A backend reports rejected items for the whole message. With several sources inside nobody knows whose
        // they were: they are counted, and told only to a client that was alone.
        let alone = self.sources.len() == 1;
        for ack in self.sources.into_iter().filter_map(|source| source.ack) {
            let outcome = match outcome {
                Ok(_) if !alone => Ok(Delivered::default()),
                other => other.clone(),
            };
            ack.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(parts: &[&[u8]], buffers: &Buffers) -> Sealed {
        let metadata = Metadata::new(vec![("tenant".into(), b"a".as_slice().into())]);
        let mut batch = Batch::open(buffers.take(), metadata, Instant::now());
        for part in parts {
            let permit = crate::admission::Budget::new(1 << 20).account().force(part.len());
            batch.push(part.len(), 1, None, permit, None, |buffer| buffer.extend_from_slice(part));
        }
        batch.seal(buffers)
    }

    // Scenario: a batch of five parts is halved until every batch holds one.
    // Guarantees: the parts come out in order, complete, each with a right prefix, its own item count and the metadata.
    #[tokio::test]
    async fn halving_ends_at_single_sources() {
        let buffers = Buffers::new();
        let parts: [&[u8]; 5] = [b"a", b"bb", b"ccc", b"dddd", b"eeeee"];
        let mut pending = vec![sealed(&parts, &buffers)];
        assert_eq!(pending[0].message[..PREFIX_LEN], [0, 0, 0, 0, 15]);
        let mut seen = Vec::new();
        while let Some(batch) = pending.pop() {
            if batch.sources() > 1 {
                let [first, second] = batch.halves(&buffers);
                pending.extend([second, first]);
            } else {
                assert_eq!(batch.metadata.values("tenant").collect::<Vec<_>>(), [b"a"]);
                let length = batch.items as u8;
                assert_eq!(batch.message[..PREFIX_LEN], [0, 0, 0, 0, length]);
                seen.push(batch.message.slice(PREFIX_LEN..));
            }
        }
        assert_eq!(seen, parts);
    }
}
