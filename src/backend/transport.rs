//! OTLP/gRPC out: one message to one endpoint, and what its reply means.
//!
//! Stage: backend. The only place where what a backend answered becomes a [`Failure`]. A trait, because tests script
//! the other side; production has one implementation.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    model::{Code, Endpoint, Failure, Outcome, Retry, Side, Signal, settings},
    net::{
        client::{CallError, Channel, Reply},
        grpc,
    },
    otlp, retry,
    tasks::Tasks,
};

/// How one batch reaches its endpoint.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Makes one attempt. `message` begins with the gRPC prefix. Bounded in time by the implementation; dropping the
    /// future ends the attempt.
    fn send(&self, message: Bytes) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}

/// OTLP/gRPC to one endpoint.
#[derive(Debug)]
pub struct OtlpGrpc {
    channel: Channel,
    path: &'static str,
    encoding: Option<&'static str>,
    timeout: Option<Duration>,
}

impl OtlpGrpc {
    /// Connects at the first attempt. `headers` go with every request.
    pub fn new(
        endpoint: &Endpoint,
        signal: Signal,
        settings: &settings::Backend,
        headers: HeaderMap,
        tasks: Tasks,
    ) -> Self {
        Self {
            channel: Channel::new(endpoint.dial(), headers, tasks),
            path: signal.grpc_path(),
            encoding: settings.compression.encoding(),
            timeout: settings.timeout,
        }
    }
}

impl Transport for OtlpGrpc {
    fn send(&self, message: Bytes) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async move {
            match self.channel.unary(self.path, self.encoding, message, self.timeout).await {
                Ok(reply) => of_reply(&reply),
                Err(error) => Err(of_call_error(error, self.timeout)),
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
    let number = status.code as u32;
    let retry = retry::of_grpc_status(number, status.retry_delay);
    let message = format!("rpc error: code = {:?} desc = {}", status.code, status.message);
    let mut failure = Failure::new(Side::Backend, code, retry, message);
    failure.grpc_status = Some(number);
    Err(failure)
}

/// An OK reply whose body is no export response is permanent, as in the Collector: whether the data was taken is
/// not known, and sending it again would not change the answer.
fn of_success(message: &[u8]) -> Outcome {
    match otlp::partial_success(message) {
        Ok((rejected, message)) => Ok(crate::model::Delivered { rejected, message }),
        Err(error) => {
            let message = format!("undecodable reply: {error}");
            let mut failure = Failure::new(Side::Backend, Code::Rejected, Retry::Never, message);
            failure.grpc_status = Some(grpc::Code::Internal as u32);
            failure.ambiguous = true;
            Err(failure)
        }
    }
}

fn of_call_error(error: CallError, timeout: Option<Duration>) -> Failure {
    let retry = Retry::After(None);
    match error {
        CallError::NotSent(cause) => Failure::new(Side::Backend, Code::Unavailable, retry, cause),
        CallError::Broken(cause) => {
            let mut failure = Failure::new(Side::Backend, Code::Unavailable, retry, cause);
            failure.ambiguous = true;
            failure
        }
        CallError::Deadline => {
            let limit = timeout.unwrap_or_default();
            let message = format!("deadline exceeded after {limit:?}");
            let mut failure = Failure::new(Side::Backend, Code::Timeout, retry, message);
            failure.ambiguous = true;
            failure
        }
    }
}
