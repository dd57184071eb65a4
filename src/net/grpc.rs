//! gRPC over HTTP/2 as bytes: message prefix, timeouts, status trailers and their details.
//!
//! Stage: edge. Skeleton: signatures.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// Bytes in front of each message: one flag byte (1: compressed), four bytes of big-endian length.
pub const PREFIX_LEN: usize = 5;

/// gRPC status codes. Source: grpc/grpc `doc/statuscodes.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `grpc-status`.
    pub code: Code,
    /// `grpc-message`, not percent-encoded.
    pub message: String,
    /// `google.rpc.RetryInfo.retry_delay` of the details.
    pub retry_delay: Option<Duration>,
}

impl Status {
    /// A serialized `google.rpc.Status`, with a RetryInfo detail if there is a delay. Also the body of OTLP/HTTP
    /// errors.
    pub fn to_rpc_status(&self) -> Vec<u8> {
        Vec::new()
    }

    /// `grpc-status`, `grpc-message` and, if there is a delay, `grpc-status-details-bin`.
    pub fn to_headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Reads the status out of trailers (or of the headers of a trailers-only response). `None`: no `grpc-status`.
    pub fn from_headers(_headers: &HeaderMap) -> Option<Self> {
        None
    }
}

/// Reads `grpc-timeout`. `None`: not a valid value.
pub fn parse_timeout(_value: &HeaderValue) -> Option<Duration> {
    None
}

/// Writes `grpc-timeout`, rounded up to a unit that fits eight digits.
pub fn format_timeout(_timeout: Duration) -> HeaderValue {
    HeaderValue::from_static("0n")
}
