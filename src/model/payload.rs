//! The unit that travels: a serialized export request with what is known about it.
//!
//! Stage: vocabulary. A payload in a queue is always a valid OTLP request of its signal.

use bytes::Bytes;

use super::Signal;

/// One serialized `Export…ServiceRequest`, uncompressed and without any framing.
#[derive(Clone, Debug)]
pub struct Payload {
    /// What the bytes hold.
    pub signal: Signal,
    /// The protobuf message.
    pub bytes: Bytes,
    /// Spans, data points or log records inside.
    pub items: usize,
}
