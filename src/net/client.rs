//! One HTTP/2 connection to one address, made again when it breaks, for unary gRPC calls with a ready message.
//!
//! Stage: edge. Skeleton: signatures.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::grpc::Status;
use crate::tasks::Tasks;

/// Why a call has no status from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No connection, REFUSED_STREAM, or a stream above the GOAWAY id: the peer certainly did not process it.
    NotSent(String),
    /// The connection or stream broke after the request may have arrived.
    Broken(String),
    /// The deadline passed after the request may have been sent.
    Deadline,
}

/// The end of a call: its status and, for OK, the response message without prefix, decompressed.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What the peer answered.
    pub status: Status,
    /// The response message.
    pub message: Bytes,
}

/// A client for one address (`host:port`). Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Channel {}

impl Channel {
    /// A channel that connects at its first call. `headers` go with every call.
    pub fn new(_address: &str, _headers: HeaderMap, _tasks: Tasks) -> Self {
        Self {}
    }

    /// Sends one message and waits for the end of the call.
    ///
    /// `body` is the message *with* its five-byte prefix; `encoding` is the `grpc-encoding` if it is compressed.
    /// `timeout` bounds everything, connecting included, and is sent as `grpc-timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the peer sent no status.
    pub async fn unary(
        &self,
        _path: &'static str,
        _encoding: Option<&'static str>,
        _body: Bytes,
        _timeout: Option<Duration>,
    ) -> Result<Reply, CallError> {
        Err(CallError::NotSent(String::new()))
    }
}
