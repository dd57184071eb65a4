//! What the API server, or the way to it, has against us: a code for metrics and a sentence that says what to do.
//!
//! Stage: resolver.

use std::{error::Error, io};

use kube::core::Status;

use crate::resolver::source::{Failure, chain};

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// `list` or `watch`.
    pub(super) verb: &'static str,
    pub(super) namespace: &'a str,
}

/// As everybody writes it, RBAC included.
const RESOURCE: &str = "endpointslices.discovery.k8s.io";
/// What the API calls a pod's user.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

impl Request<'_> {
    /// It had no answer in time.
    pub(super) fn timed_out(self, seconds: u64) -> Failure {
        let Self { verb, namespace } = self;
        let message = format!("no answer to {verb} {RESOURCE} in namespace {namespace:?} within {seconds} s");
        Failure { code: "timeout", message }
    }

    /// It had an answer that cannot be used.
    pub(super) fn unusable(self, what: &str) -> Failure {
        let Self { verb, namespace } = self;
        let message = format!("the answer to {verb} {RESOURCE} in namespace {namespace:?} {what}");
        Failure { code: "server_error", message }
    }

    /// What went wrong, from the client.
    pub(super) fn failed(self, error: &kube::Error) -> Failure {
        let Self { verb, namespace } = self;
        let what = format!("{verb} {RESOURCE} in namespace {namespace:?}");
        match error {
            kube::Error::Api(status) => self.refused(status),
            kube::Error::Auth(_) => {
                Failure { code: "no_credentials", message: format!("cannot {what}: {}", chain(error)) }
            }
            kube::Error::SerdeError(error) => self.unusable(&format!("cannot be read: {error}")),
            _ if is_timeout(error) => {
                Failure { code: "timeout", message: format!("cannot {what}: {}", chain(error)) }
            }
            _ => Failure { code: "unreachable", message: format!("cannot {what}: {}", chain(error)) },
        }
    }

    /// What the API server answered.
    pub(super) fn refused(self, status: &Status) -> Failure {
        let Self { verb, namespace } = self;
        let what = format!("{verb} {RESOURCE} in namespace {namespace:?}");
        let said = if status.message.is_empty() { &status.reason } else { &status.message };
        let (code, message) = match status.code {
            401 => (
                "unauthorized",
                format!(
                    "the API server does not take the token to {what}: {said} (is the service account still there?)"
                ),
            ),
            403 => {
                let account = account(said);
                (
                    "forbidden",
                    format!(
                        "{account} may not {what}: {said}; it takes a Role in namespace {namespace:?} with the verbs get, list \
                         and watch for endpointslices in the API group discovery.k8s.io, and a RoleBinding of it to {account}"
                    ),
                )
            }
            404 => ("not_found", format!("{what}: {said} (does the API server serve discovery.k8s.io/v1?)")),
            410 => ("expired", format!("{what}: {said}")),
            408 | 504 => ("timeout", format!("{what}: {} {said}", status.code)),
            other => ("server_error", format!("{what}: the API server answers {other} {said}")),
        };
        Failure { code, message }
    }
}

/// The service account that the API's message names, or a word for it.
fn account(message: &str) -> String {
    let name = message.split_once(SERVICE_ACCOUNT).map(|(_, rest)| rest);
    let name = name.and_then(|rest| rest.split(['"', ' ']).next()).and_then(|name| name.split_once(':'));
    match name {
        Some((namespace, name)) => format!("service account {namespace}/{name}"),
        None => "its user".to_owned(),
    }
}

fn is_timeout(error: &kube::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        source = error.source();
    }
    false
}
