//! OTLP/HTTP out: one body to one URL, and what its answer means.
//!
//! Stage: backend, part of `transport`. Classes and texts are the Collector's (`otlphttpexporter` v0.161.0, `otlp.go`), with
//! three differences: redirects are not followed; rejected items of a partial success are kept apart from those that
//! were taken; and `Retry-After` reaches a client that waits for delivery.

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Transport, forward::Forwarder, of_call_error, unreadable};
use crate::{
    model::{Code, Delivered, Endpoint, Failure, Metadata, Outcome, Side, settings},
    net::{
        grpc::{self, PREFIX_LEN, RpcStatus},
        http_client::{HttpClient, Response, owns_framing},
    },
    otlp, retry,
    tasks::Tasks,
    telemetry::BackendMetrics,
};

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// OTLP/HTTP to one URL, with protobuf bodies.
#[derive(Debug)]
pub struct OtlpHttp {
    client: HttpClient,
    forwarder: Forwarder,
    /// The URL without its query, for messages.
    url: String,
    timeout: Option<Duration>,
}

impl OtlpHttp {
    /// Connects at the first attempt. `headers` go with every request, in place of what OTLP has under the same name,
    /// except for the encoding of the body and what frames the request. Forwarded headers stand over both, except where they
    /// would change how the body is read or who gets it.
    pub fn new(
        endpoint: &Endpoint,
        settings: &settings::Backend,
        http: &settings::HttpClient,
        headers: HeaderMap,
        metrics: &BackendMetrics,
        tasks: Tasks,
    ) -> Self {
        let mut all = HeaderMap::new();
        all.insert(header::CONTENT_TYPE, PROTOBUF);
        for name in headers.keys() {
            all.remove(name);
        }
        all.extend(headers);
        all.remove(header::CONTENT_ENCODING);
        if let Some(encoding) = settings.compression.content_encoding() {
            all.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let forwarder = Forwarder::new(&settings.forwarded, is_ours, metrics);
        forwarder.add_defaults(&mut all);
        Self {
            client: HttpClient::new(endpoint.dial(), all, http, tasks),
            forwarder,
            url: endpoint.label().to_owned(),
            timeout: settings.timeout,
        }
    }
}

impl Transport for OtlpHttp {
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            let headers = self.forwarder.headers(metadata);
            let body = message.slice(PREFIX_LEN.min(message.len())..);
            match self.client.post(body, headers.as_ref(), self.timeout).await {
                Ok(response) => of_response(&self.url, &response, SystemTime::now()),
                Err(error) => Err(of_call_error(error, self.timeout, |cause| {
                    format!("failed to make an HTTP request: Post {:?}: {cause}", self.url)
                })),
            }
        })
    }
}

/// Headers of a client that must not be sent on: they describe the client's body and connection, not ours.
fn is_ours(name: &HeaderName) -> bool {
    let described = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::HOST, header::ACCEPT_ENCODING];
    described.contains(name) || owns_framing(name)
}

/// What an answer means.
fn of_response(url: &str, response: &Response, now: SystemTime) -> Outcome {
    let status = response.status;
    if status.is_success() {
        return of_success(response);
    }
    let mut message = format!(
        "error exporting items, request to {url} responded with HTTP Status Code {}",
        status.as_u16()
    );
    if let Some(location) =
        header_text(&response.headers, &header::LOCATION).filter(|_| status.is_redirection())
    {
        message.push_str(&format!(": redirects are not followed (Location: {location})"));
    } else if let Some(status) = rpc_status(response) {
        message.push_str(&format!(", Message={}, Details=[{}]", status.message, status.details));
    }
    let delay = header_text(&response.headers, &header::RETRY_AFTER)
        .and_then(|value| retry::parse_retry_after(value, now));
    let retry = retry::of_http_status(status.as_u16(), delay);
    let is_too_large =
        retry::message_limit_of_http(status.as_u16()).is_some() || is_body_too_large(status, &message);
    let code = if is_too_large { Code::TooLarge } else { code_of(status) };
    let mut failure = Failure::new(Side::Backend, code, retry, message);
    failure.grpc_status = Some(grpc_code_of(status).number());
    // What a proxy says of a server that it has asked: nobody knows how far it got.
    failure.ambiguous = matches!(status.as_u16(), 502 | 504);
    Err(failure)
}

/// A Collector's receiver says 400 to a body above its limit, with the words of Go's `net/http` (`MaxBytesError`, Go 1.25).
fn is_body_too_large(status: StatusCode, message: &str) -> bool {
    status == StatusCode::BAD_REQUEST && message.contains("http: request body too large")
}

/// Reads rejected items and a message out of a body.
type Parse = fn(&[u8]) -> Result<(u64, String), String>;

/// Any 2xx: the data was taken. What it says about rejected items is read if it is of a type that can say it.
fn of_success(response: &Response) -> Outcome {
    let parse: Parse = match response.headers.get(header::CONTENT_TYPE) {
        Some(kind) if kind == PROTOBUF => |body| {
            otlp::partial_success(body).map_err(|error| format!("error parsing protobuf response: {error}"))
        },
        Some(kind) if kind == JSON => |body| {
            otlp::partial_success_json(body).map_err(|error| format!("error parsing json response: {error}"))
        },
        _ => return Ok(Delivered::default()),
    };
    match &response.body {
        // None at all is as good as an empty message, in JSON too.
        Ok(body) if body.is_empty() => Ok(Delivered::default()),
        Ok(body) => match parse(body) {
            Ok((rejected, message)) => Ok(Delivered { rejected, message }),
            Err(error) => Err(unreadable(error)),
        },
        Err(error) => Err(unreadable(format!("error reading response: {error}"))),
    }
}

/// The `google.rpc.Status` of a failure, whatever type it claims to be; `None` if it is something else, or was cut off.
fn rpc_status(response: &Response) -> Option<RpcStatus> {
    let is_failure = response.status.is_client_error() || response.status.is_server_error();
    let body = response.body.as_ref().ok().filter(|_| is_failure)?;
    RpcStatus::read(body)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        429 | 502..=504 => Code::Unavailable,
        // The URL, the method, the media type or the encoding: nothing that another content would change.
        300..=399 | 404 | 405 | 415 | 501 | 505 => Code::Unsupported,
        _ => Code::Rejected,
    }
}

/// The gRPC status that stands for an HTTP status towards a client that waits.
///
/// Source: Collector `internal/statusutil` v0.161.0, `NewStatusFromMsgAndHTTPCode`.
fn grpc_code_of(status: StatusCode) -> grpc::Code {
    match status.as_u16() {
        400 => grpc::Code::InvalidArgument,
        401 => grpc::Code::Unauthenticated,
        403 => grpc::Code::PermissionDenied,
        404 => grpc::Code::Unimplemented,
        429 => grpc::Code::ResourceExhausted,
        502..=504 => grpc::Code::Unavailable,
        _ => grpc::Code::Unknown,
    }
}
