//! What a client is told: the only file that chooses status codes and texts for clients.
//!
//! Stage: receiver. Three total functions: a [`Failure`] to a gRPC status, a gRPC status to an HTTP one, and a
//! refusal of one of the two transports to its answer. Codes and texts are the Collector's (v0.161.0) except where
//! a comment says why not, because they decide what Collector clients do next: retry, wait, or drop.
//!
//! Which gRPC codes a client retries is the OTLP specification's ("Failures", OTLP/gRPC): CANCELLED,
//! DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS; and RESOURCE_EXHAUSTED, but only with a
//! RetryInfo. Over HTTP: 429, 502, 503, 504.
//!
//! **Always with a delay.** The Collector never says how long to wait; here every refusal that a retry can mend does,
//! in RetryInfo and in Retry-After. The delay is short, because a client whose remaining retry budget is shorter
//! than the delay gives up at once.
//!
//! **RESOURCE_EXHAUSTED** is never an answer to overload: without RetryInfo it makes Collector clients drop, so
//! overload is UNAVAILABLE. It is left where a retry is hopeless (a message above the limit), as grpc-go does.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use crate::{
    admission::Full,
    model::{Code, Failure, Retry},
    net::{
        compression::{Encoding, InflateError},
        grpc::{self, Status},
    },
};

/// Said to clients when nobody knows a better delay. The smallest that Retry-After can express.
const DEFAULT_DELAY: Duration = Duration::from_secs(1);

/// A text that dashboards and people search for.
///
/// Source: Collector `internal/memorylimiter/memorylimiter.go` (v0.161.0), `ErrDataRefused`, which clients get as UNAVAILABLE.
const MEMORY_FULL: &str = "data refused due to high memory usage";

/// The status of every CORS preflight, allowed or not.
///
/// Source: rs/cors v1.11.1, `OptionsSuccessStatus`.
pub(super) const PREFLIGHT: StatusCode = StatusCode::NO_CONTENT;

/// Why a gRPC call fails.
#[derive(Debug)]
pub(super) enum GrpcRefusal {
    /// Not a gRPC media type.
    ContentType(String),
    /// Not POST.
    Method(String),
    /// `grpc-timeout` cannot be read.
    Timeout(String),
    /// The path has no method.
    Path(String),
    /// The service is not registered.
    Service(String),
    /// The service is registered, the method is not one of it.
    ServiceMethod {
        /// `TraceService` with its package.
        service: String,
        /// What was called.
        method: String,
    },
    /// No decompressor for `grpc-encoding`.
    Encoding(String),
    /// The stream ended before the prefix of a message did.
    NoMessage,
    /// The stream ended inside the message.
    Truncated,
    /// The declared length is above the limit.
    TooLarge {
        /// Bytes that the prefix declares.
        declared: u32,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message decompresses to more than the limit.
    InflatesTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The flag byte is neither 0 nor 1.
    Flag(u8),
    /// The flag says compressed, the headers name no compression.
    CompressedWithoutEncoding,
    /// The message does not decompress.
    Corrupt(String),
    /// Bytes follow the message.
    MoreThanOne,
    /// The deadline of the caller has passed.
    Deadline,
    /// The client stopped sending.
    Silent,
    /// The stream broke; the client will not see this.
    Broken(String),
    /// The memory budget has no room for the message.
    NoMemory(Full),
    /// The router or a backend did not take the request.
    Failed(Failure),
}

/// Why an HTTP request fails.
#[derive(Debug)]
pub(super) enum HttpRefusal {
    /// No decompressor for Content-Encoding.
    Encoding(String),
    /// Nothing is served under the path.
    Path,
    /// The path is another spelling of one that might be served.
    Redirect {
        /// Path and query to go to.
        location: String,
        /// Whether the answer may have a body: for GET, and HEAD, whose body is not sent.
        shown: bool,
    },
    /// Not POST.
    Method,
    /// Not a media type that is served.
    MediaType,
    /// The body is above the limit, as declared, as received or decompressed.
    TooLarge,
    /// Block snappy that declares to decompress to more than the limit.
    SnappyTooLarge,
    /// The body does not decompress.
    Corrupt(String),
    /// The client stopped sending.
    Silent,
    /// The body's framing is wrong, or the connection broke.
    Broken(String),
    /// The memory budget has no room for the body.
    NoMemory(Full),
    /// The router or a backend did not take the request.
    Failed(Failure),
}

/// The answer to a failed HTTP request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    /// The status code.
    pub(super) status: StatusCode,
    /// Whole seconds of Retry-After, at least 1.
    pub(super) retry_after: Option<u64>,
    /// What the body says.
    pub(super) body: HttpBody,
}

/// The body of a failed HTTP request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HttpBody {
    /// None, nor a Content-Type.
    Empty,
    /// `text/html; charset=utf-8`.
    Html(String),
    /// `text/plain`.
    Text(&'static str),
    /// A `google.rpc.Status` in the encoding of the request.
    Status(Status),
}

// === impl GrpcRefusal ===

impl GrpcRefusal {
    /// What it counts as.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::ContentType(_)
            | Self::Method(_)
            | Self::Path(_)
            | Self::Service(_)
            | Self::ServiceMethod { .. }
            | Self::Encoding(_) => Code::Unsupported,
            Self::Timeout(_)
            | Self::NoMessage
            | Self::Truncated
            | Self::Flag(_)
            | Self::CompressedWithoutEncoding
            | Self::Corrupt(_)
            | Self::MoreThanOne => Code::Malformed,
            Self::TooLarge { .. } | Self::InflatesTooLarge { .. } => Code::TooLarge,
            Self::Deadline | Self::Silent => Code::Timeout,
            Self::Broken(_) => Code::Cancelled,
            Self::NoMemory(Full::Busy) => Code::MemoryFull,
            Self::NoMemory(Full::TooLarge) => Code::TooLarge,
            Self::Failed(failure) => failure.code,
        }
    }

    /// The HTTP status and the gRPC status of the answer.
    ///
    /// Texts are grpc-go's (v1.83.2: `server.go`, `rpc_util.go`, `stream.go`, `internal/transport/http2_server.go`).
    pub(super) fn answer(&self) -> (StatusCode, Status) {
        use grpc::Code;
        // Only a peer that does not speak gRPC gets another HTTP status than 200.
        let http = match self {
            Self::ContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        let (code, message): (_, Cow<'static, str>) = match self {
            Self::ContentType(found) => {
                (Code::InvalidArgument, format!("invalid gRPC request content-type {found:?}").into())
            }
            Self::Method(found) => (
                Code::Internal,
                format!("Received a HEADERS frame with :method {found:?} which should be POST").into(),
            ),
            Self::Timeout(found) => {
                (Code::Internal, format!("malformed grpc-timeout: {}", timeout_fault(found)).into())
            }
            Self::Path(path) => (Code::Unimplemented, format!("malformed method name: {path:?}").into()),
            Self::Service(service) => (Code::Unimplemented, format!("unknown service {service}").into()),
            Self::ServiceMethod { service, method } => {
                (Code::Unimplemented, format!("unknown method {method} for service {service}").into())
            }
            Self::Encoding(name) => (
                Code::Unimplemented,
                format!("grpc: Decompressor is not installed for grpc-encoding {name:?}").into(),
            ),
            // Go's io.EOF and io.ErrUnexpectedEOF, which grpc-go passes on as they are.
            Self::NoMessage => (Code::Unknown, "EOF".into()),
            Self::Truncated => (Code::Unknown, "unexpected EOF".into()),
            // Permanent for Collector clients, since there is no RetryInfo; and no retry would help.
            Self::TooLarge { declared, limit } => (
                Code::ResourceExhausted,
                format!("grpc: received message larger than max ({declared} vs. {limit})").into(),
            ),
            Self::InflatesTooLarge { limit } => (
                Code::ResourceExhausted,
                format!("grpc: received message after decompression larger than max {limit}").into(),
            ),
            Self::Flag(flag) => {
                (Code::Internal, format!("grpc: received unexpected payload format {flag}").into())
            }
            Self::CompressedWithoutEncoding => {
                (Code::Internal, "grpc: compressed flag set with identity or empty encoding".into())
            }
            // Go's gzip reads its header when it is made (and alone calls no bytes at all an EOF); everything else fails
            // while it is read from.
            Self::Corrupt(text) if matches!(&**text, "gzip: invalid header" | "EOF") => {
                (Code::Internal, format!("grpc: failed to decompress the message: {text}").into())
            }
            Self::Corrupt(text) => {
                (Code::Internal, format!("grpc: failed to read decompressed data: {text}").into())
            }
            // grpc-go has the text for streaming handlers; its unary ones ignore what follows.
            Self::MoreThanOne => (
                Code::Internal,
                "cardinality violation: received multiple request messages for non-client-streaming RPC"
                    .into(),
            ),
            Self::Deadline => (Code::DeadlineExceeded, "context deadline exceeded".into()),
            // Not known to the Collector, which waits for ever. Retryable: the data was not taken.
            Self::Silent => return (http, waiting(Code::DeadlineExceeded, "no data from the client")),
            Self::Broken(text) => (Code::Cancelled, format!("request body was cut off: {text}").into()),
            Self::NoMemory(full) => return (http, no_memory(*full)),
            Self::Failed(failure) => return (http, grpc_status(failure)),
        };
        (http, Status::new(code, message))
    }
}

/// What is wrong with a `grpc-timeout` that cannot be read.
///
/// Source: grpc-go v1.83.2 `internal/transport/http_util.go`, `decodeTimeout`.
fn timeout_fault(value: &str) -> String {
    match value.len() {
        ..2 => format!("transport: timeout string is too short: {value:?}"),
        10.. => format!("transport: timeout string is too long: {value:?}"),
        _ if !value.ends_with(['H', 'M', 'S', 'm', 'u', 'n']) => {
            format!("transport: timeout unit is not recognized: {value:?}")
        }
        _ => {
            let digits = value.get(..value.len().saturating_sub(1)).unwrap_or_default();
            format!("strconv.ParseUint: parsing {digits:?}: invalid syntax")
        }
    }
}

/// A gRPC message that cannot be used after decompression.
pub(super) fn grpc_inflate(error: InflateError, limit: usize) -> GrpcRefusal {
    match error {
        InflateError::TooLarge => GrpcRefusal::InflatesTooLarge { limit },
        InflateError::Corrupt(text) => GrpcRefusal::Corrupt(text),
    }
}

// === impl HttpRefusal ===

impl HttpRefusal {
    /// What it counts as.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Encoding(_) | Self::Path | Self::Redirect { .. } | Self::Method | Self::MediaType => {
                Code::Unsupported
            }
            Self::TooLarge | Self::SnappyTooLarge => Code::TooLarge,
            Self::Corrupt(_) => Code::Malformed,
            Self::Silent => Code::Timeout,
            Self::Broken(_) => Code::Cancelled,
            Self::NoMemory(Full::Busy) => Code::MemoryFull,
            Self::NoMemory(Full::TooLarge) => Code::TooLarge,
            Self::Failed(failure) => failure.code,
        }
    }

    /// The answer.
    ///
    /// Texts are the Collector's (v0.161.0: `config/confighttp`, `receiver/otlpreceiver/otlphttp.go`) and those of
    /// Go's `net/http`. A body above the limit is 400 there too, not 413.
    pub(super) fn answer(&self) -> HttpAnswer {
        let bad_request = |message: &str| HttpAnswer {
            status: StatusCode::BAD_REQUEST,
            retry_after: None,
            body: HttpBody::Status(Status::new(grpc::Code::InvalidArgument, message)),
        };
        let text = |status, text| HttpAnswer { status, retry_after: None, body: HttpBody::Text(text) };
        match self {
            Self::Encoding(name) => bad_request(&format!("unsupported Content-Encoding: {name}")),
            Self::Path => text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Self::Method => text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed, supported: [POST]"),
            Self::Redirect { location, shown } => HttpAnswer {
                status: StatusCode::TEMPORARY_REDIRECT,
                retry_after: None,
                body: match shown {
                    true => HttpBody::Html(format!(
                        "<a href=\"{}\">Temporary Redirect</a>.\n\n",
                        // Nothing else that HTML knows is left unescaped in a URL.
                        location.replace('&', "&amp;").replace('\'', "&#39;")
                    )),
                    false => HttpBody::Empty,
                },
            },
            Self::MediaType => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "415 unsupported media type, supported: [application/json, application/x-protobuf]",
            ),
            Self::TooLarge => bad_request("http: request body too large"),
            Self::SnappyTooLarge => bad_request("snappy: decoded size exceeds max request body size"),
            Self::Corrupt(message) | Self::Broken(message) => bad_request(message),
            // Not 408, which OTLP clients do not retry.
            Self::Silent => http_answer(waiting(grpc::Code::DeadlineExceeded, "no data from the client")),
            Self::NoMemory(full) => http_answer(no_memory(*full)),
            Self::Failed(failure) => http_failure(failure),
        }
    }
}

/// An HTTP body that cannot be used after decompression.
pub(super) fn http_inflate(encoding: Encoding, error: InflateError) -> HttpRefusal {
    match (encoding, error) {
        (Encoding::SnappyBlock, InflateError::TooLarge) => HttpRefusal::SnappyTooLarge,
        (
            Encoding::Gzip | Encoding::Zlib | Encoding::Zstd | Encoding::SnappyFramed | Encoding::Lz4,
            InflateError::TooLarge,
        ) => HttpRefusal::TooLarge,
        (_, InflateError::Corrupt(text)) => HttpRefusal::Corrupt(text),
    }
}

// === failures ===

/// A body that the memory budget has no room for.
fn no_memory(full: Full) -> Status {
    match full {
        Full::Busy => waiting(grpc::Code::Unavailable, MEMORY_FULL),
        // Whatever else is held: a permanent code says what is true, as for an element that no queue can hold.
        Full::TooLarge => {
            Status::new(grpc::Code::InvalidArgument, "request is larger than the memory budget ever allows")
        }
    }
}

/// The gRPC status of a failure.
///
/// Source of the rules: Collector `receiver/otlpreceiver/internal/errors/errors.go` (v0.161.0).
fn grpc_status(failure: &Failure) -> Status {
    // "A gRPC status anywhere in the error's chain wins": what a backend said is passed on, with its text.
    if let Some(number) = failure.grpc_status {
        return delayed(grpc::Code::from_number(number), &failure.message, failure.retry);
    }
    match (failure.code, failure.retry) {
        // Bytes that are wrong stay wrong, whatever the retry axis says.
        (Code::Malformed, _) => {
            let text = format!("grpc: error unmarshalling request: {}", failure.message);
            Status::new(grpc::Code::Internal, text)
        }
        // The Collector answers "element size too large" with UNAVAILABLE, which is retried in vain until the
        // client's budget ends; a permanent code says what is true.
        (Code::TooLarge, _) => Status::new(grpc::Code::InvalidArgument, &*failure.message),
        (Code::Unsupported, _) => Status::new(grpc::Code::Unimplemented, &*failure.message),
        // A text that dashboards and people search for.
        (Code::QueueFull, Retry::After(_)) => {
            delayed(grpc::Code::Unavailable, "sending queue is full", failure.retry)
        }
        (Code::MemoryFull, Retry::After(_)) => delayed(grpc::Code::Unavailable, MEMORY_FULL, failure.retry),
        (Code::NoBackend | Code::Unavailable | Code::ShuttingDown | Code::Internal, Retry::After(_)) => {
            delayed(grpc::Code::Unavailable, &failure.message, failure.retry)
        }
        (Code::Timeout, Retry::After(_)) => {
            delayed(grpc::Code::DeadlineExceeded, &failure.message, failure.retry)
        }
        (Code::Cancelled, Retry::After(_)) => delayed(grpc::Code::Cancelled, &failure.message, failure.retry),
        // A backend's "no" without a status that may end: the only retryable code that says nothing else.
        (Code::Rejected | Code::NoKey | Code::Ambiguous, Retry::After(_)) => {
            delayed(grpc::Code::Unavailable, &failure.message, failure.retry)
        }
        // "If an error is permanent but doesn't have an attached gRPC status, assume it is server-side."
        (
            Code::QueueFull
            | Code::MemoryFull
            | Code::NoBackend
            | Code::NoKey
            | Code::Timeout
            | Code::Unavailable
            | Code::Rejected
            | Code::Ambiguous
            | Code::Cancelled
            | Code::ShuttingDown
            | Code::Internal,
            Retry::Never,
        ) => Status::new(grpc::Code::Internal, format!("Permanent error: {}", failure.message)),
    }
}

/// The HTTP answer to a failure.
fn http_failure(failure: &Failure) -> HttpAnswer {
    let status = match (failure.grpc_status, failure.code) {
        // The decoder's text with 400, where gRPC has INTERNAL: the Collector's two transports differ here.
        (None, Code::Malformed) => Status::new(grpc::Code::InvalidArgument, &*failure.message),
        _ => grpc_status(failure),
    };
    let mut answer = http_answer(status);
    // A backend's RESOURCE_EXHAUSTED without RetryInfo is permanent over gRPC (a message above its limit, as a rule),
    // but 429 would be retried over HTTP.
    if answer.status == StatusCode::TOO_MANY_REQUESTS && !failure.is_retryable() {
        answer.status = StatusCode::BAD_REQUEST;
    }
    answer
}

/// The HTTP answer that stands for a gRPC status.
///
/// Source: Collector `receiver/otlpreceiver/internal/errors/errors.go` (v0.161.0), `GetHTTPStatusCodeFromStatus`.
fn http_answer(status: Status) -> HttpAnswer {
    use grpc::Code;
    let http = match status.code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unimplemented => StatusCode::NOT_FOUND,
        // OK is not a failure; should a backend's reply ever claim both, it must not become a success here.
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // Only these two codes may bear Retry-After; it has whole seconds, and 0 would mean "at once".
    let retry_after = match http {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            status.retry_delay.map(|delay| whole_seconds(delay).max(1))
        }
        _ => None,
    };
    HttpAnswer { status: http, retry_after, body: HttpBody::Status(status) }
}

/// A status with the delay that its retry axis allows.
fn delayed(code: grpc::Code, message: &str, retry: Retry) -> Status {
    let retry_delay = match retry {
        Retry::Never => None,
        Retry::After(delay) => Some(delay.unwrap_or(DEFAULT_DELAY)),
    };
    Status { code, message: message.to_owned(), retry_delay }
}

/// A retryable status of the receiver's own.
fn waiting(code: grpc::Code, message: &str) -> Status {
    delayed(code, message, Retry::After(None))
}

/// Seconds, rounded up.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests;
