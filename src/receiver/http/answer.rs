//! Responses: what `reply` decided, as headers and bytes in the encoding of the request.
//!
//! Stage: receiver, part of HTTP.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{json, media_type::MediaType};
use crate::{
    model::{Delivered, Signal},
    otlp::response,
    receiver::reply::{HttpBody, HttpRefusal, PREFLIGHT},
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The media types that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// A request that was taken: what of it, and how its client reads.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) signal: Signal,
    pub(super) format: Format,
    pub(super) delivered: Delivered,
}

/// The answer to a request that was taken. A partial success of a backend is passed on.
pub(super) fn accepted(taken: &Taken) -> Response<Full<Bytes>> {
    let delivered = &taken.delivered;
    let (content_type, body) = match taken.format {
        Format::Json => (JSON, Bytes::from(json::response(taken.signal, delivered))),
        Format::Protobuf if *delivered == Delivered::default() => {
            (PROTOBUF, Bytes::from_static(response::ACCEPTED))
        }
        Format::Protobuf => (PROTOBUF, Bytes::from(response::write(delivered.rejected, &delivered.message))),
    };
    respond(StatusCode::OK, Some(content_type), body)
}

/// The answer to a request that was not taken.
pub(super) fn refused(requested: MediaType, refusal: &HttpRefusal) -> Response<Full<Bytes>> {
    let answer = refusal.answer();
    tracing::debug!(status = answer.status.as_u16(), body = ?answer.body, "request refused");
    let (content_type, body) = match (answer.body, requested) {
        (HttpBody::Empty, _) => (None, Bytes::new()),
        (HttpBody::Html(text), _) => (Some(HTML), Bytes::from(text)),
        (HttpBody::Text(text), _) => (Some(TEXT), Bytes::from_static(text.as_bytes())),
        (HttpBody::Status(status), MediaType::Protobuf) => {
            (Some(PROTOBUF), Bytes::from(status.to_rpc_status()))
        }
        // What the Collector chooses for a request without a media type, and the readable choice for others.
        (HttpBody::Status(status), MediaType::Json | MediaType::Missing | MediaType::Other) => {
            (Some(JSON), Bytes::from(json::status(&status)))
        }
    };
    let mut response = respond(answer.status, content_type, body);
    let headers = response.headers_mut();
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal {
        HttpRefusal::Method => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        HttpRefusal::Path => {
            // As Go's `http.NotFound` does.
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        HttpRefusal::Redirect { location, .. } => {
            // Escaped, so that it always is a value.
            headers.extend(HeaderValue::from_str(location).ok().map(|location| (header::LOCATION, location)));
        }
        _ => {}
    }
    response
}

/// The answer to a CORS preflight, without the headers that matter.
pub(super) fn preflight() -> Response<Full<Bytes>> {
    respond(PREFLIGHT, None, Bytes::new())
}

fn respond(status: StatusCode, content_type: Option<HeaderValue>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
    response
}

/// Puts the headers of an answer over those that every answer has.
pub(super) fn add_headers(response: &mut Response<Full<Bytes>>, mut common: HeaderMap) {
    if common.is_empty() {
        return;
    }
    for (name, value) in response.headers() {
        common.insert(name, value.clone());
    }
    *response.headers_mut() = common;
}
