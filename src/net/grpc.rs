//! gRPC over HTTP/2 as bytes: message prefix, timeouts, status trailers and their details.
//!
//! Stage: edge. Owns the text and binary forms that both sides of the gateway share; neither the receiver nor a
//! backend's client writes a `grpc-…` value itself. Assumes nothing about a peer: every reader is tolerant, none
//! panics, and what cannot be read is treated as absent.
//!
//! Sources: grpc/grpc `doc/PROTOCOL-HTTP2.md`, `doc/statuscodes.md`, `doc/http-grpc-status-mapping.md`;
//! googleapis/googleapis `google/rpc/status.proto`, `google/rpc/error_details.proto`.

mod details;

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

/// Bytes in front of each message: one flag byte (1: compressed), four bytes of big-endian length.
pub const PREFIX_LEN: usize = 5;

/// The media type of a call and of its answer. A suffix (`+proto`) may follow.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// Name of the compression of messages whose flag is set.
pub const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Names of the compressions that a peer can read, joined with commas.
pub const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The time that a caller gives a call; see [`parse_timeout`].
pub const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Bytes of a status message that go into trailers.
///
/// Peers limit all trailers together, some to 8 KiB (grpc-java's default). A message stands there twice: percent-
/// encoded (at most 3 times its length) and inside the details (4/3), so this keeps the sum below 5 KiB.
const MESSAGE_LIMIT_BYTES: usize = 1024;

/// What `grpc-message` escapes: everything but space to `~`, and the escape character.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The prefix of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Whether the message is compressed as `grpc-encoding` says.
    pub compressed: bool,
    /// Bytes of the message that follow. A peer may announce up to 4 GiB: check before reserving.
    pub len: u32,
}

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

/// What a server says in the body of an HTTP failure: a `google.rpc.Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcStatus {
    /// Its message, cut after 1,024 bytes.
    pub message: String,
    /// The type URLs of its details, with blanks between them, cut likewise.
    pub details: String,
}

// === impl RpcStatus ===

impl RpcStatus {
    /// Reads a serialized status. `None`: the bytes are something else, as a rule a page for people.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (message, details) = details::read_status(body)?;
        let short = |text: &str| cut(text, MESSAGE_LIMIT_BYTES).to_owned();
        Some(Self { message: short(&message), details: short(&details.join(" ")) })
    }
}

// === impl Prefix ===

impl Prefix {
    /// Reads a prefix.
    ///
    /// # Errors
    ///
    /// The flag byte, if it is neither 0 nor 1.
    pub const fn parse(bytes: [u8; PREFIX_LEN]) -> Result<Self, u8> {
        let [flag, a, b, c, d] = bytes;
        match flag {
            0 | 1 => Ok(Self { compressed: flag == 1, len: u32::from_be_bytes([a, b, c, d]) }),
            flag => Err(flag),
        }
    }

    /// The prefix of a message of `len` bytes. `None`: gRPC cannot carry that many.
    pub fn new(compressed: bool, len: usize) -> Option<Self> {
        u32::try_from(len).ok().map(|len| Self { compressed, len })
    }

    /// The prefix as it stands in front of the message.
    pub const fn to_bytes(self) -> [u8; PREFIX_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [if self.compressed { 1 } else { 0 }, a, b, c, d]
    }
}

// === impl Code ===

impl Code {
    /// The code of a number; numbers that have none are [`Code::Unknown`], as the specification asks.
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// The number of the code.
    #[expect(clippy::as_conversions, reason = "the discriminant of a `repr(u32)` enum")]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code that stands for the HTTP status of a reply without `grpc-status`: what a proxy in between answers.
    ///
    /// Source: grpc/grpc `doc/http-grpc-status-mapping.md`.
    pub const fn from_http(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::Internal,
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::PermissionDenied,
            StatusCode::NOT_FOUND => Self::Unimplemented,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

// === impl Status ===

impl Status {
    /// A status without a delay.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_delay: None }
    }

    /// Success.
    pub const fn ok() -> Self {
        Self { code: Code::Ok, message: String::new(), retry_delay: None }
    }

    /// A serialized `google.rpc.Status`, with a RetryInfo detail if there is a delay. Also the body of OTLP/HTTP
    /// errors.
    pub fn to_rpc_status(&self) -> Vec<u8> {
        details::write_status(self.code.number(), &self.message, self.retry_delay)
    }

    /// `grpc-status`, `grpc-message` and, if there is a delay, `grpc-status-details-bin`.
    ///
    /// A message is cut after 1,024 bytes, so that the trailers fit into what peers accept.
    pub fn to_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(STATUS, HeaderValue::from(self.code.number()));
        let message = cut(&self.message, MESSAGE_LIMIT_BYTES);
        if !message.is_empty() {
            insert_text(&mut headers, MESSAGE, &utf8_percent_encode(message, ESCAPED).to_string());
        }
        if self.retry_delay.is_some() {
            let status = details::write_status(self.code.number(), message, self.retry_delay);
            insert_text(&mut headers, DETAILS, &details::to_base64(&status));
        }
        headers
    }

    /// Reads the status out of trailers (or of the headers of a trailers-only response). `None`: no `grpc-status`.
    ///
    /// A status that is no known number is [`Code::Unknown`]. Details that cannot be read are ignored: they add to
    /// a status, they do not replace it.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let code = headers.get(STATUS)?.to_str().ok().and_then(|text| text.parse().ok());
        let message = headers.get(MESSAGE).map(HeaderValue::as_bytes).unwrap_or_default();
        let retry_delay = headers
            .get(DETAILS)
            .and_then(|value| details::from_base64(value.as_bytes()))
            .and_then(|status| details::read_retry_delay(&status));
        Some(Self {
            code: code.map_or(Code::Unknown, Code::from_number),
            message: percent_decode(message).decode_utf8_lossy().into_owned(),
            retry_delay,
        })
    }
}

/// The longest start of `text` that has at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    // A character has at most four bytes, and 0 is a boundary: this ends.
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

/// Adds a value that was escaped to printable ASCII before.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(error) => tracing::error!(%name, %error, "a trailer was left out"),
    }
}

/// Units of `grpc-timeout`, from the finest, with their length in nanoseconds.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The largest number of `grpc-timeout`: eight digits.
const TIMEOUT_MAX: u128 = 99_999_999;

/// Reads `grpc-timeout`: one to eight digits and a unit (`H M S m u n`). `None`: not a valid value.
pub fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // At most 99,999,999 of at most 3,600 s: no product below overflows.
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number.saturating_mul(3600))),
        b'M' => Some(Duration::from_secs(number.saturating_mul(60))),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Writes `grpc-timeout`, rounded up to the finest unit that fits eight digits; at most 99,999,999 hours.
pub fn format_timeout(timeout: Duration) -> HeaderValue {
    let nanos = timeout.as_nanos();
    let fitting = UNITS.iter().map(|(unit, length)| (*unit, nanos.div_ceil(*length)));
    let (unit, number) =
        fitting.into_iter().find(|(_, number)| *number <= TIMEOUT_MAX).unwrap_or((b'H', TIMEOUT_MAX));
    let text = format!("{number}{}", char::from(unit));
    // Digits and a letter are a valid value; the fallback is never reached, and would be the safe side: no time.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0n"))
}
