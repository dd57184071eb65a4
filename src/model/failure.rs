//! Why something did not work: whose side, what happened, whether it may be tried again.
//!
//! Stage: vocabulary. Two total functions use it: the sending side turns what a backend did into a
//! [`Failure`], `receiver/reply` turns a [`Failure`] into what the client is told. [`fold`] makes one answer of
//! the outcomes of several parts.

use std::{borrow::Cow, fmt, time::Duration};

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client sent something that cannot be used.
    Client,
    /// The gateway cannot take or keep the data right now.
    Gateway,
    /// A backend did not take the data.
    Backend,
}

/// What happened. The text form is a metric label, so the set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The request is not valid OTLP.
    Malformed,
    /// The request, or one item of it, is above a size limit.
    TooLarge,
    /// An encoding, media type or method that is not served here.
    Unsupported,
    /// A backend's sending queue has no room.
    QueueFull,
    /// The memory budget has no room.
    MemoryFull,
    /// There is no backend: the resolver has not reported any.
    NoBackend,
    /// The data have nothing to be routed by, and are configured to be dropped then.
    NoKey,
    /// An attempt or the whole request ran out of time.
    Timeout,
    /// A backend could not be reached, or said that it cannot take data now.
    Unavailable,
    /// A backend refused the data for good.
    Rejected,
    /// A backend may have taken the data or not, and the configuration forbids sending it again.
    Ambiguous,
    /// The client went away before the data was delivered.
    Cancelled,
    /// The gateway is stopping.
    ShuttingDown,
    /// A fault of the gateway itself.
    Internal,
}

impl Code {
    /// All codes, for tests over tables and for metrics that list every reason.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::QueueFull,
        Self::MemoryFull,
        Self::NoBackend,
        Self::NoKey,
        Self::Timeout,
        Self::Unavailable,
        Self::Rejected,
        Self::Ambiguous,
        Self::Cancelled,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The value of the metric label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::QueueFull => "queue_full",
            Self::MemoryFull => "memory_full",
            Self::NoBackend => "no_backend",
            Self::NoKey => "no_key",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::Ambiguous => "ambiguous",
            Self::Cancelled => "cancelled",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// A retry of the same data cannot succeed.
    Never,
    /// A retry may succeed, not before the delay if one is given.
    After(Option<Duration>),
}

/// One failure, as it travels between stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose side it is on.
    pub side: Side,
    /// What happened.
    pub code: Code,
    /// Whether a retry can help.
    pub retry: Retry,
    /// The gRPC status number a backend answered with, if it answered: what a synchronous client is told.
    pub grpc_status: Option<u32>,
    /// Whether the backend may have processed the data although no answer came (deadline after the send,
    /// reset mid-stream). False means that it certainly did not.
    pub ambiguous: bool,
    /// The largest message that the backend takes, bytes, if it said so when it refused a larger one.
    pub limit_bytes: Option<usize>,
    /// One lowercase sentence without a full stop; each layer adds one fact.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// A failure that no retry can mend, caused by the client.
    pub fn client(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Side::Client, code, Retry::Never, message)
    }

    /// A failure of the gateway that a later retry may avoid.
    pub fn busy(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Side::Gateway, code, Retry::After(None), message)
    }

    /// A failure with every axis given; not ambiguous and without a backend's status.
    pub fn new(side: Side, code: Code, retry: Retry, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            side,
            code,
            retry,
            grpc_status: None,
            ambiguous: false,
            limit_bytes: None,
            message: message.into(),
        }
    }

    /// Whether a retry can help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.retry, Retry::After(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What a backend said when it took the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Items that the backend reported as rejected in a partial success.
    pub rejected: u64,
    /// The message of a partial success.
    pub message: String,
}

/// How the delivery of one part, or of a whole request, ended.
pub type Outcome = Result<Delivered, Failure>;

/// Makes one answer out of the outcomes of a request's parts.
///
/// Success only if every part succeeded; rejected items add up. Otherwise the answer is *retryable if any
/// part's failure is retryable*: a client that retries may deliver something twice, a client that does not
/// certainly loses what could have been delivered. Among failures of the chosen kind the first one speaks;
/// the longest delay of the retryable ones is kept. An empty iterator is a success.
///
/// # Errors
///
/// The one failure that stands for all.
pub fn fold(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let mut delivered = Delivered::default();
    let mut failed: Option<Failure> = None;
    for outcome in outcomes {
        match outcome {
            Ok(part) => {
                delivered.rejected = delivered.rejected.saturating_add(part.rejected);
                if delivered.message.is_empty() {
                    delivered.message = part.message;
                }
            }
            Err(failure) => failed = Some(worse(failed, failure)),
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(delivered),
    }
}

/// Chooses between the failure found so far and another one.
fn worse(current: Option<Failure>, next: Failure) -> Failure {
    let Some(mut current) = current else { return next };
    match (current.retry, next.retry) {
        (Retry::Never, Retry::After(_)) => next,
        (Retry::After(left), Retry::After(right)) => {
            current.retry = Retry::After(left.max(right));
            current
        }
        (_, Retry::Never) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retryable(message: &'static str, delay: Option<u64>) -> Outcome {
        Err(Failure::new(
            Side::Backend,
            Code::Unavailable,
            Retry::After(delay.map(Duration::from_secs)),
            message,
        ))
    }

    fn permanent(message: &'static str) -> Outcome {
        Err(Failure::new(Side::Backend, Code::Rejected, Retry::Never, message))
    }

    fn ok(rejected: u64) -> Outcome {
        Ok(Delivered { rejected, message: String::new() })
    }

    #[track_caller]
    fn check(outcomes: Vec<Outcome>, expect: Result<u64, (&str, Retry)>) {
        match (fold(outcomes), expect) {
            (Ok(delivered), Ok(rejected)) => assert_eq!(delivered.rejected, rejected),
            (Err(failure), Err((message, retry))) => {
                assert_eq!((failure.message.as_ref(), failure.retry), (message, retry));
            }
            (got, expect) => panic!("got {got:?}, expected {expect:?}"),
        }
    }

    // Scenario: parts of one request end in every combination of success, permanent and retryable failure.
    // Guarantees: one truthful answer; a retryable part makes the whole retryable with the longest delay.
    #[test]
    fn fold_gives_one_answer() {
        check(vec![], Ok(0));
        check(vec![ok(0), ok(2), ok(3)], Ok(5));
        check(vec![ok(0), permanent("p")], Err(("p", Retry::Never)));
        check(vec![permanent("p"), permanent("q")], Err(("p", Retry::Never)));
        check(vec![permanent("p"), retryable("r", None)], Err(("r", Retry::After(None))));
        check(vec![retryable("r", None), permanent("p")], Err(("r", Retry::After(None))));
        check(
            vec![retryable("r", Some(1)), ok(1), retryable("s", Some(4)), retryable("t", None)],
            Err(("r", Retry::After(Some(Duration::from_secs(4))))),
        );
    }

    // Scenario: every failure code is rendered as a label.
    // Guarantees: labels are distinct, so two reasons are never counted as one.
    #[test]
    fn code_labels_are_distinct() {
        let labels: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(labels.len(), Code::ALL.len());
    }
}
