//! Counts what a backend received: copies of each span, messages and bytes.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::arrival::Arrivals;
use super::script;
use crate::load;

/// What arrived at a backend.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Copies by span number; shorter than the script if late spans did not come here.
    copies: Vec<u8>,
    /// Spans, copies included.
    pub(crate) spans: usize,
    /// Bytes of the messages.
    pub(crate) bytes: u64,
    /// Requests.
    pub(crate) messages: usize,
}

impl Tally {
    /// Enters a message: an `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// When it is none, or has a span that no script made.
    pub(crate) fn enter(&mut self, message: &[u8]) -> anyhow::Result<()> {
        let request = Request::decode(message).context("not an export request")?;
        self.bytes += message.len() as u64;
        let scopes = request.resources.iter().flat_map(|resource| &resource.scopes);
        self.enter_ids(scopes.flat_map(|scope| &scope.spans).map(|span| span.id.as_slice()), |_| {})
    }

    /// Enters a request that is decoded already, and tells the number of each span.
    ///
    /// # Errors
    ///
    /// When it has a span that no script made.
    pub(crate) fn enter_request(
        &mut self,
        request: &ExportTraceServiceRequest,
        each: impl FnMut(usize),
    ) -> anyhow::Result<()> {
        self.bytes += request.encoded_len() as u64;
        self.enter_ids(load::spans(request).map(|span| span.span_id.as_slice()), each)
    }

    fn enter_ids<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a [u8]>,
        mut each: impl FnMut(usize),
    ) -> anyhow::Result<()> {
        self.messages += 1;
        for id in ids {
            let number = script::number(id).context("a span of nobody's")?;
            if self.copies.len() <= number {
                self.copies.resize(number + 1, 0);
            }
            self.copies[number] = self.copies[number].saturating_add(1);
            self.spans += 1;
            each(number);
        }
        Ok(())
    }

    /// Marks the spans of which there is a copy.
    pub(crate) fn mark(&self, arrived: &mut [bool]) {
        for (arrived, copies) in arrived.iter_mut().zip(&self.copies) {
            *arrived |= *copies > 0;
        }
    }

    /// Copies of a span.
    pub(crate) fn copies(&self, number: usize) -> u8 {
        self.copies.get(number).copied().unwrap_or_default()
    }
}

// The published types without what is not counted: a fifth of the time.

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
}

/// A growing file of messages, each behind its length in four bytes, most significant first: the Collector's file exporter
/// with `format: proto`.
#[derive(Debug)]
pub(crate) struct Tape {
    path: PathBuf,
    offset: u64,
    /// A message that is not complete yet.
    rest: Vec<u8>,
    /// What the messages so far come to.
    pub(crate) tally: Tally,
}

impl Tape {
    /// Starts at the beginning of a file that may not exist yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, rest: Vec::new(), tally: Tally::default() }
    }

    /// Enters what was written since the last time. A message cut short at the end, by a kill, was not acknowledged.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is something else.
    pub(crate) fn read(&mut self) -> anyhow::Result<&Tally> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(&self.tally),
            Err(error) => return Err(error).with_context(|| format!("opening {}", self.path.display())),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += u64::try_from(file.read_to_end(&mut self.rest)?)?;
        let mut left = self.rest.as_slice();
        while let Some((length, rest)) = left.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length))?;
            let Some((message, rest)) = rest.split_at_checked(length) else { break };
            self.tally.enter(message).with_context(|| format!("{}", self.path.display()))?;
            left = rest;
        }
        let read = self.rest.len() - left.len();
        self.rest.drain(..read);
        Ok(&self.tally)
    }
}

impl Arrivals for Tape {
    fn mark(&mut self, arrived: &mut [bool]) -> anyhow::Result<usize> {
        let tally = self.read()?;
        tally.mark(arrived);
        Ok(tally.spans)
    }
}

#[test]
fn a_tape_is_read_once_and_a_cut_message_waits() {
    // Scenario: two messages of three spans, the second written in two pieces, then one of them again.
    // Guarantees: complete messages are counted, once each; a second copy of a span is seen; spans of others are an error.
    let script =
        script::Script { seed: 1, first: 0, requests: 2, request_spans: 3, traces: script::Traces::Small };
    let framed = |request| {
        let message = script.request(request).encode_to_vec();
        [u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), &message].concat()
    };
    let workspace = crate::workspace::Workspace::new("tape").unwrap();
    let path = workspace.path("tape");
    let mut tape = Tape::new(&path);
    assert_eq!(tape.read().unwrap().messages, 0);

    let whole = [framed(0), framed(1), framed(0)].concat();
    for (written, messages, copies) in
        [(framed(0).len() + 9, 1, [1, 0]), (framed(0).len() * 2, 2, [1, 1]), (whole.len(), 3, [2, 1])]
    {
        std::fs::write(&path, &whole[..written]).unwrap();
        let tally = tape.read().unwrap();
        assert_eq!((tally.messages, tally.copies(0), tally.copies(3)), (messages, copies[0], copies[1]));
    }
    assert_eq!(tape.tally.bytes, whole.len() as u64 - 12);
    assert_eq!((tape.tally.spans, tape.tally.copies(6)), (9, 0));

    let mut tally = Tally::default();
    let mut foreign = script.request(0);
    foreign.resource_spans[0].scope_spans[0].spans[0].span_id.clear();
    assert!(tally.enter(&foreign.encode_to_vec()).is_err());
    assert!(tally.enter(b"nonsense").is_err());
    workspace.remove().unwrap();
}
