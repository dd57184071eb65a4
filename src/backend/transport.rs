//! How one batch reaches its endpoint: a trait, because tests script the other side, and one implementation for each
//! protocol.
//!
//! Stage: backend. The only place where what a backend answered becomes a [`Failure`].

mod forward;
mod grpc;
mod http;

use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;

pub use self::{grpc::OtlpGrpc, http::OtlpHttp};
use crate::{
    model::{Code, Failure, Metadata, Outcome, Retry, Side},
    net::client::CallError,
};

/// How one batch reaches its endpoint.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Makes one attempt. `message` begins with the gRPC prefix, whatever the protocol; `metadata` is what all of it came
    /// with. Bounded in time by the implementation; dropping the future ends the attempt.
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
}

/// What it means that no answer came. `saying` makes the message of what happened.
fn of_call_error(error: CallError, timeout: Option<Duration>, saying: impl Fn(&str) -> String) -> Failure {
    let failure = |code, ambiguous, text: &str| {
        let failure = Failure::new(Side::Backend, code, Retry::After(None), saying(text));
        Failure { ambiguous, ..failure }
    };
    match error {
        CallError::NotSent(cause) => failure(Code::Unavailable, false, &cause),
        CallError::Broken(cause) => failure(Code::Unavailable, true, &cause),
        CallError::Deadline => {
            let limit = timeout.unwrap_or_default();
            failure(Code::Timeout, true, &format!("deadline exceeded after {limit:?}"))
        }
    }
}

/// A success that cannot be read is permanent, as in the Collector: whether all was taken is not known, and sending it
/// again would not change the answer.
fn unreadable(message: String) -> Failure {
    let mut failure = Failure::new(Side::Backend, Code::Rejected, Retry::Never, message);
    failure.grpc_status = Some(crate::net::grpc::Code::Internal.number());
    failure.ambiguous = true;
    failure
}
