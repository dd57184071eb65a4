//! `resolver.aws_cloud_map`: the instances of an AWS Cloud Map service. Only with the cargo feature `aws`.
//!
//! Stage: resolver. The AWS SDK signs and sends; credentials and region come from where it looks for them (environment, profile,
//! web identity, ECS, EC2), the region is us-east-1 if nobody names one. Nothing of that ends the process: it is a failure like
//! any other, and tried again.
//!
//! **One question, and no pages.** DiscoverInstances answers at most 1,000 instances (100 unless told) and has no way to ask for
//! the rest. ListInstances has pages, but is meant for administration: it has a far lower quota, knows no health, and is not
//! what a Collector is allowed to call. So the maximum is asked for, and an answer that is as long as the maximum is a failure
//! that says so: a ring over an arbitrary part of a pool would differ between replicas.
//!
//! Source: AWS Cloud Map API reference; contrib `loadbalancingexporter` v0.161.0, `resolver_aws_cloudmap.go`, from which this
//! differs where that one asks for 100, ignores the health default and `timeout`, and makes endpoints of missing attributes.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::Ipv6Addr, time::Duration};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider,
};
use aws_sdk_servicediscovery::{
    Client,
    config::SharedHttpClient,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::discover_instances::DiscoverInstancesError,
    types::HealthStatusFilter,
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::time::{sleep, timeout};

use super::{
    EndpointSet,
    pace::Pace,
    source::{Absence, Answer, Failure, Publisher, chain, sorted},
};
use crate::model::{Endpoint, settings};

/// The most instances that one answer can have. Source: API reference, DiscoverInstances, MaxResults.
const INSTANCES_MAX: i32 = 1_000;
/// The region where nobody names one. Source: `resolver_aws_cloudmap.go`.
const DEFAULT_REGION: &str = "us-east-1";
/// After a failure, the first wait.
const RETRY_MIN: Duration = Duration::from_secs(1);

/// The code of failures to find out who this is.
const CREDENTIALS: &str = "credentials";

/// Attributes that Cloud Map gives a meaning. Source: API reference, RegisterInstance.
const IPV4: &str = "AWS_INSTANCE_IPV4";
const IPV6: &str = "AWS_INSTANCE_IPV6";
const PORT: &str = "AWS_INSTANCE_PORT";

/// Asks for the instances of one service until nobody listens any more.
#[derive(Debug)]
pub(super) struct CloudMap {
    settings: settings::CloudMap,
    publisher: Publisher,
    /// Made at the first question: where it is configured may have to be looked for.
    client: Option<Client>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    endpoints: EndpointSet,
    /// Instances that are no endpoints, and why.
    incomplete: Option<Failure>,
}

impl CloudMap {
    pub(super) const fn new(settings: settings::CloudMap, publisher: Publisher) -> Self {
        Self { settings, publisher, client: None }
    }

    pub(super) async fn follow(mut self) {
        let interval = self.settings.interval;
        let mut pace = Pace::new(RETRY_MIN.min(interval), interval);
        loop {
            let looked = async {
                let asked = timeout(self.settings.timeout, look(&mut self.client, &self.settings)).await;
                asked.unwrap_or_else(|_| {
                    let message = format!("no answer within {:?}", self.settings.timeout);
                    Err(Failure { code: "timeout", message })
                })
            };
            let looked = tokio::select! {
                () = self.publisher.closed() => return,
                looked = looked => looked,
            };
            let wait = match looked {
                Ok(Found { endpoints, incomplete }) => {
                    // An instance that is not healthy is in no answer either.
                    let answer = Answer { endpoints, suspects: Vec::new(), absence: Absence::Unexplained };
                    match incomplete {
                        Some(failure) => self.publisher.answer_in_part(answer, &failure),
                        None => drop(self.publisher.answer(answer)),
                    }
                    pace.answered(None)
                }
                Err(failure) => {
                    // The SDK reads profiles once, and remembers what was wrong with them.
                    if failure.code == CREDENTIALS {
                        self.client = None;
                    }
                    self.publisher.failed(failure);
                    pace.failed()
                }
            };
            tokio::select! {
                () = self.publisher.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }
}

async fn look(client: &mut Option<Client>, settings: &settings::CloudMap) -> Result<Found, Failure> {
    let client = match client {
        Some(client) => client,
        None => client.insert(connect().await),
    };
    let asked = client
        .discover_instances()
        .namespace_name(&*settings.namespace)
        .service_name(&*settings.service_name)
        .health_status(HealthStatusFilter::from(&*settings.health_status))
        .max_results(INSTANCES_MAX)
        .set_owner_account(settings.owner_account.as_ref().map(ToString::to_string));
    let answer = asked.send().await.map_err(|error| failure(&error))?;
    let instances = answer.instances();
    if usize::try_from(INSTANCES_MAX).is_ok_and(|max| instances.len() >= max) {
        let message = format!(
            "the service has {INSTANCES_MAX} instances or more, and Cloud Map answers no more than that: which ones \
             are missing is not known, so none is used; divide the service, or use the dns resolver"
        );
        return Err(Failure { code: "too_many", message });
    }
    endpoints(
        instances.iter().map(|instance| (instance.instance_id().unwrap_or_default(), instance.attributes())),
        settings.port,
    )
}

/// A client as the process's surroundings configure it. Makes no connection.
async fn connect() -> Client {
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::from_static(DEFAULT_REGION));
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http()).region(region);
    Client::new(&loader.load().await)
}

/// HTTP with rustls and ring, through the proxy that the environment names, as Go's.
fn http() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
    })
}

/// The texts of the Collector, sorted bytewise: the IPv4 address, and `port` or the instance's own. Ours: an instance that has only an
/// IPv6 address has it in brackets; one without address or port is left out, and said to be.
fn endpoints<'a>(
    instances: impl Iterator<Item = (&'a str, Option<&'a HashMap<String, String>>)>,
    port: Option<u16>,
) -> Result<Found, Failure> {
    let (mut endpoints, mut left_out) = (EndpointSet::new(), Vec::new());
    for (id, attributes) in instances {
        match attributes.and_then(|attributes| text(attributes, port)) {
            Some(text) => endpoints.push(Endpoint::new(&text)),
            None => left_out.push(id),
        }
    }
    let incomplete = left_out.first().map(|first| Failure {
        code: "incomplete",
        message: format!(
            "{} instances have no {IPV4} or {IPV6}, or no {PORT} and no `port` is configured; they are left out, \
             the first is {first:?}",
            left_out.len()
        ),
    });
    match incomplete {
        // All of them: something is wrong with how they are registered, and it is no reason to empty a ring.
        Some(failure) if endpoints.is_empty() => Err(failure),
        incomplete => Ok(Found { endpoints: sorted(endpoints), incomplete }),
    }
}

fn text(attributes: &HashMap<String, String>, port: Option<u16>) -> Option<String> {
    let attribute = |name| attributes.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let host = match (attribute(IPV4), attribute(IPV6)) {
        (Some(address), _) => address.to_owned(),
        (None, Some(address)) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        (None, None) => return None,
    };
    let port = match port {
        Some(port) => port.to_string(),
        None => attribute(PORT)?.to_owned(),
    };
    Some(format!("{host}:{port}"))
}

fn failure<R: std::fmt::Debug + Send + Sync + 'static>(
    error: &SdkError<DiscoverInstancesError, R>,
) -> Failure {
    // An answer that cannot be read is one without a code.
    if let SdkError::ServiceError(answer) = error
        && let Some(code) = answer.err().code()
    {
        let text = answer.err().message().unwrap_or("no message");
        return Failure { code: service_code(code), message: format!("Cloud Map answers {code}: {text}") };
    }
    let message = chain(error);
    let code = match error {
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(failed) if failed.is_timeout() => "timeout",
        // The SDK has no type of its own for it that can be reached from here.
        _ if message.contains("credential") => CREDENTIALS,
        _ => "io",
    };
    Failure { code, message }
}

/// The metric label for what the API answered. Source: API reference, DiscoverInstances and Common Errors.
fn service_code(code: &str) -> &'static str {
    match code {
        "NamespaceNotFound" | "ServiceNotFound" => "not_found",
        "RequestLimitExceeded" | "ThrottlingException" | "Throttling" => "throttled",
        "InvalidInput" | "ValidationException" => "invalid",
        "AccessDeniedException"
        | "AccessDenied"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => "forbidden",
        _ => "service",
    }
}
