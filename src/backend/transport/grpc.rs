//! OTLP/gRPC out: one message to one endpoint, and what its reply means.
//!
//! Stage: backend, part of `transport`.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use super::{Transport, forward::Forwarder, of_call_error, unreadable};
use crate::{
    model::{Code, Delivered, Endpoint, Failure, Metadata, Outcome, Retry, Side, Signal, settings},
    net::{
        client::{Channel, Reply, owns_header},
        dial::Dialer,
        grpc,
    },
    otlp,
    retry::{self, TooLarge},
    tasks::Tasks,
    telemetry::BackendMetrics,
};

/// OTLP/gRPC to one endpoint.
#[derive(Debug)]
pub struct OtlpGrpc {
    channel: Channel,
    forwarder: Forwarder,
    path: &'static str,
    encoding: Option<&'static str>,
    timeout: Option<Duration>,
}

impl OtlpGrpc {
    /// Connects at the first attempt. `headers` go with every request, except where one is forwarded in its place.
    pub fn new(
        endpoint: &Endpoint,
        signal: Signal,
        settings: &settings::Backend,
        mut headers: HeaderMap,
        metrics: &BackendMetrics,
        dialer: Dialer,
        tasks: Tasks,
    ) -> Self {
        let forwarder = Forwarder::new(&settings.forwarded, owns_header, metrics);
        forwarder.add_defaults(&mut headers);
        Self {
            channel: Channel::new(endpoint.dial(), headers, dialer, tasks),
            forwarder,
            path: signal.grpc_path(),
            encoding: settings.compression.encoding(),
            timeout: settings.timeout,
        }
    }
}

impl Transport for OtlpGrpc {
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            let headers = self.forwarder.headers(metadata);
            let call = self.channel.unary(self.path, self.encoding, message, headers.as_ref(), self.timeout);
            match call.await {
                Ok(reply) => of_reply(&reply),
                Err(error) => Err(of_call_error(error, self.timeout, str::to_owned)),
            }
        })
    }
}

/// What a reply means. The Collector's classes (`otlpexporter` v0.161.0, `processError`), except that rejected items
/// of a partial success are kept apart from those that were taken.
fn of_reply(reply: &Reply) -> Outcome {
    let status = &reply.status;
    let code = match status.code {
        grpc::Code::Ok => return of_success(&reply.message),
        grpc::Code::DeadlineExceeded => Code::Timeout,
        grpc::Code::Cancelled
        | grpc::Code::Aborted
        | grpc::Code::OutOfRange
        | grpc::Code::Unavailable
        | grpc::Code::DataLoss => Code::Unavailable,
        // With RetryInfo it says "later"; without, a Collector client takes it for final.
        grpc::Code::ResourceExhausted if status.retry_delay.is_some() => Code::Unavailable,
        _ => Code::Rejected,
    };
    let number = status.code.number();
    if let Some(too_large) = retry::message_limit(number, &status.message) {
        return Err(too_large_failure(status, too_large));
    }
    let retry = retry::of_grpc_status(number, status.retry_delay);
    let message = format!("rpc error: code = {:?} desc = {}", status.code, status.message);
    let mut failure = Failure::new(Side::Backend, code, retry, message);
    failure.grpc_status = Some(number);
    // Whoever ran out of time, or was cancelled, may have got far.
    failure.ambiguous = matches!(status.code, grpc::Code::DeadlineExceeded | grpc::Code::Cancelled);
    Err(failure)
}

/// The message is too large for the endpoint, whatever code it says so with; smaller ones may not be.
fn too_large_failure(status: &grpc::Status, too_large: TooLarge) -> Failure {
    let message = format!("rpc error: code = {:?} desc = {}", status.code, status.message);
    let mut failure = Failure::new(Side::Backend, Code::TooLarge, Retry::Never, message);
    // What clients take for final, whatever code the backend uses (tonic: OUT_OF_RANGE, which is tried again).
    failure.grpc_status = Some(grpc::Code::ResourceExhausted.number());
    failure.limit_bytes = match too_large {
        TooLarge::Limit(bytes) => Some(bytes),
        TooLarge::Unknown => None,
    };
    failure
}

fn of_success(message: &[u8]) -> Outcome {
    match otlp::partial_success(message) {
        Ok((rejected, message)) => Ok(Delivered { rejected, message }),
        Err(error) => Err(unreadable(format!("undecodable reply: {error}"))),
    }
}
