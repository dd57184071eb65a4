//! Reading a response: headers, at most one message, trailers; and what they mean together.
//!
//! Stage: edge, part of `client`. Sources: grpc/grpc `doc/PROTOCOL-HTTP2.md`, `doc/http-grpc-status-mapping.md`; for
//! replies that break the rules, grpc-go's choice of code (1.83, `internal/transport/http2_client.go`, `rpc_util.go`).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderMap, StatusCode, header, response};

use super::{CallError, Reply, connection::Connection};
use crate::net::{
    compression::{Encoding, InflateError, inflate},
    grpc::{self, Code, PREFIX_LEN, Prefix, Status},
};

/// Limit of a response message, compressed and decompressed. Source: grpc-go's `MaxCallRecvMsgSize`, 4 MiB, which
/// the Collector leaves as it is.
const MESSAGE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Waits for the end of a call.
pub(super) async fn read(response: &mut ResponseFuture, connection: &Connection) -> Result<Reply, CallError> {
    let (head, mut body) = response.await.map_err(|error| CallError::of_stream(&error))?.into_parts();
    connection.answered();
    if body.is_end_stream() {
        // Trailers-only: the status stands in the headers.
        return Status::from_headers(&head.headers)
            .or_else(|| status_of_http(&head))
            .map(without_message)
            .ok_or_else(no_status);
    }
    if let Some(status) = status_of_http(&head) {
        // Not a gRPC server. Its text, an error page as a rule, is of no use.
        return Ok(without_message(status));
    }
    let Some(message) = read_message(&mut body).await? else {
        let text = format!("received message larger than max {MESSAGE_LIMIT_BYTES}");
        return Ok(without_message(Status::new(Code::ResourceExhausted, text)));
    };
    let trailers = body.trailers().await.map_err(|error| CallError::of_stream(&error))?;
    let status = trailers.as_ref().and_then(Status::from_headers).ok_or_else(no_status)?;
    if status.code != Code::Ok {
        return Ok(without_message(status));
    }
    Ok(match unpack(&message, &head.headers) {
        Ok(message) => Reply { status, message },
        Err(status) => without_message(status),
    })
}

const fn without_message(status: Status) -> Reply {
    Reply { status, message: Bytes::new() }
}

/// A response that ends without a status says nothing about what became of the request.
fn no_status() -> CallError {
    CallError::Broken("the peer closed the stream without a status".to_owned())
}

/// The status that stands for a response which is not gRPC's. `None`: it is.
fn status_of_http(head: &response::Parts) -> Option<Status> {
    if head.status != StatusCode::OK {
        let text = format!("unexpected HTTP status code {}", head.status);
        return Some(Status::new(Code::from_http(head.status), text));
    }
    let content_type =
        head.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let suffix = content_type.strip_prefix(grpc::CONTENT_TYPE.as_bytes());
    if suffix.is_some_and(|suffix| matches!(suffix.first(), None | Some(b'+' | b';'))) {
        return None;
    }
    let content_type = String::from_utf8_lossy(content_type);
    Some(Status::new(Code::Unknown, format!("unexpected content type {content_type:?}")))
}

/// Collects the body. `None`: it is above the limit.
async fn read_message(body: &mut RecvStream) -> Result<Option<BytesMut>, CallError> {
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| CallError::of_stream(&error))?;
        if message.len().saturating_add(data.len()) > MESSAGE_LIMIT_BYTES.saturating_add(PREFIX_LEN) {
            return Ok(None);
        }
        // Both windows are larger than what was just received, so giving it back cannot fail.
        body.flow_control().release_capacity(data.len()).map_err(|error| CallError::of_stream(&error))?;
        message.extend_from_slice(&data);
    }
    Ok(Some(message))
}

/// The message behind its prefix, decompressed. A body without any message counts as an empty one.
///
/// # Errors
///
/// The status that the call gets instead of the peer's OK.
fn unpack(body: &BytesMut, headers: &HeaderMap) -> Result<Bytes, Status> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let internal = |text: String| Status::new(Code::Internal, text);
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX_LEN>() else {
        return Err(internal("unexpected EOF".to_owned()));
    };
    let prefix = Prefix::parse(*prefix)
        .map_err(|flag| internal(format!("received unexpected payload format {flag}")))?;
    if usize::try_from(prefix.len) != Ok(message.len()) {
        return Err(internal(format!("expected one message of {} bytes, got {}", prefix.len, message.len())));
    }
    if !prefix.compressed {
        return Ok(Bytes::copy_from_slice(message));
    }
    let name = headers.get(grpc::ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    let encoding = Encoding::from_grpc(name)
        .ok_or_else(|| internal(format!("compressed flag set with encoding {name:?}")))?;
    match inflate(encoding, message, MESSAGE_LIMIT_BYTES) {
        Ok(message) => Ok(Bytes::from(message)),
        Err(InflateError::Corrupt(text)) => {
            Err(internal(format!("failed to decompress the message: {text}")))
        }
        Err(InflateError::TooLarge) => Err(Status::new(
            Code::ResourceExhausted,
            format!("received message after decompression larger than max {MESSAGE_LIMIT_BYTES}"),
        )),
    }
}
