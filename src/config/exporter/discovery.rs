//! `resolver` of a load-balancing exporter, and what is ours about it: `ringway.membership`, `ringway.k8s`, `ringway.dns`.
//!
//! Stage: engine. Keys, defaults and texts: contrib `exporter/loadbalancingexporter` v0.161.0 `config.go`, `factory.go` and the
//! resolvers beside them. Ours: the resolver `file`, and names among `k8s.ports`.

mod kubernetes;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use super::delivery::positive;
use crate::{
    config::{
        decode::{Fields, Text},
        net::std_duration,
        report::Report,
        schema::{Key, Section, duration, int, off_until_a_map, section, text, texts, uint16},
    },
    model::settings::{CloudMap, Dns, Membership, Resolver},
};

pub(super) static RESOLVER: Section = Section::strict(&[
    off_until_a_map("static", &STATIC),
    off_until_a_map("dns", &DNS),
    off_until_a_map("k8s", &kubernetes::K8S),
    off_until_a_map("aws_cloud_map", &AWS_CLOUD_MAP),
    off_until_a_map("file", &FILE),
]);

/// Ours: a text file with one endpoint in each line.
static FILE: Section = Section::strict(&[text("path", ""), duration("interval", 5_000)]);
/// The least time between two looks at a file.
const FILE_INTERVAL_MIN: Duration = Duration::from_millis(50);

static STATIC: Section = Section::strict(&[texts("hostnames", &[])]);

static DNS: Section = Section::strict(&[
    text("hostname", ""),
    text("port", ""),
    duration("interval", 5_000),
    duration("timeout", 1_000),
]);
/// What 0 stands for. Source: `resolver_dns.go`, `defaultResInterval`, `defaultResTimeout`.
const DNS_INTERVAL: Duration = Duration::from_secs(5);
const DNS_TIMEOUT: Duration = Duration::from_secs(1);

static AWS_CLOUD_MAP: Section = Section::strict(&[
    text("namespace", ""),
    text("service_name", ""),
    text("health_status", "HEALTHY"),
    duration("interval", 30_000),
    duration("timeout", 5_000),
    uint16("port", 0),
    text("owner_account", ""),
]);
/// What 0 stands for. Source: `resolver_aws_cloudmap.go`, `defaultAwsResInterval`, `defaultAwsResTimeout`.
const CLOUD_MAP_INTERVAL: Duration = Duration::from_secs(30);
const CLOUD_MAP_TIMEOUT: Duration = Duration::from_secs(5);
/// Source: Cloud Map API reference, `DiscoverInstances`, `HealthStatus`.
const HEALTH_STATUSES: [&str; 4] = ["HEALTHY", "UNHEALTHY", "ALL", "HEALTHY_OR_ELSE_ALL"];

/// Ours: how calmly the ring follows a resolver.
pub(super) const MEMBERSHIP: Key = section("membership", &MEMBERSHIP_SECTION);
static MEMBERSHIP_SECTION: Section = Section::strict(&[
    duration("settle", 0),
    duration("grace", 0),
    int("max_shrink_percent", 100),
    duration("min_interval", 0),
    duration("hold_empty", 60_000),
    duration("max_stale", 0),
]);

/// The default of `settle` for Kubernetes: an endpoint that moves between slices is in neither of them for a moment.
const K8S_SETTLE: Duration = Duration::from_millis(200);

/// Ours: what a pod is on the ring, and when it is on it.
pub(super) const K8S_OURS: Key = section("k8s", &kubernetes::OURS);

/// Ours: bounds of the time between two lookups.
pub(super) const DNS_OURS: Key = section("dns", &DNS_OURS_SECTION);
static DNS_OURS_SECTION: Section = Section::strict(&[duration("min_ttl", 1_000), duration("max_ttl", 0)]);

/// Reads `resolver`, of which there is exactly one.
pub(super) fn resolver(exporter: &Fields, ringway: &Fields, report: &mut Report) -> Resolver {
    let fields = exporter.plain("resolver");
    let names = ["static", "dns", "k8s", "aws_cloud_map", "file"];
    match names.iter().filter(|name| fields.optional(name).is_some()).count() {
        _ if exporter.is_failed("resolver") || names.iter().any(|name| fields.is_failed(name)) => {}
        0 => report.error(&fields.at, "no resolvers specified for the exporter"),
        1 => {}
        _ => report.error(&fields.at, "only one resolver should be specified"),
    }
    if let Some(fields) = fields.optional("file") {
        return file(fields, report);
    }
    if let Some(fields) = fields.optional("dns") {
        return Resolver::Dns(dns(fields, ringway.plain("dns"), report));
    }
    if let Some(fields) = fields.optional("k8s") {
        return Resolver::K8s(kubernetes::read(fields, ringway.plain("k8s"), report));
    }
    if let Some(fields) = fields.optional("aws_cloud_map") {
        return Resolver::CloudMap(cloud_map(fields, report));
    }
    let hostnames = fields.optional("static").map_or_else(Vec::new, |fields| hostnames(fields, report));
    Resolver::Static { hostnames }
}

/// Reads `ringway.membership`.
pub(super) fn membership(resolver: &Resolver, ringway: &Fields, report: &mut Report) -> Membership {
    let fields = ringway.plain("membership");
    let settle = match resolver {
        Resolver::K8s(_) if !fields.is_written("settle") => K8S_SETTLE,
        _ => not_negative(fields, "settle", report),
    };
    let percent = fields.int("max_shrink_percent");
    let max_shrink_percent =
        u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent)).unwrap_or_else(|| {
            let message = format!("`max_shrink_percent` must be between 1 and 100, found {percent}");
            report.error(fields.at("max_shrink_percent"), message);
            100
        });
    let max_stale = not_negative(fields, "max_stale", report);
    Membership {
        settle,
        grace: not_negative(fields, "grace", report),
        max_shrink_percent,
        min_interval: not_negative(fields, "min_interval", report),
        // An empty file says so in so many words.
        hold_empty: match resolver {
            Resolver::File { .. } if !fields.is_written("hold_empty") => Duration::ZERO,
            _ => not_negative(fields, "hold_empty", report),
        },
        // A list in the configuration does not grow old.
        max_stale: match resolver {
            Resolver::Static { .. } => None,
            _ => (!max_stale.is_zero()).then_some(max_stale),
        },
    }
}

fn dns(fields: &Fields, ours: &Fields, report: &mut Report) -> Dns {
    let hostname = required(fields, "hostname", "no hostname specified to resolve the backends", report);
    let port = fields.text("port");
    if !port.is_empty() && port.parse::<u16>().is_err() {
        report
            .error(fields.at("port"), format!("invalid port {port:?}: a number from 1 to 65535 is expected"));
    }
    let interval = or_default(fields, "interval", DNS_INTERVAL, report);
    let min = not_negative(ours, "min_ttl", report).max(Duration::from_millis(100));
    let max = or_default(ours, "max_ttl", interval, report);
    Dns {
        hostname,
        port: (!port.is_empty()).then(|| port.into()),
        timeout: or_default(fields, "timeout", DNS_TIMEOUT, report),
        min_interval: min.min(max),
        max_interval: max,
    }
}

fn cloud_map(fields: &Fields, report: &mut Report) -> CloudMap {
    let namespace =
        required(fields, "namespace", "no Cloud Map namespace specified to resolve the backends", report);
    let service_name = required(
        fields,
        "service_name",
        "no Cloud Map service_name specified to resolve the backends",
        report,
    );
    let health_status = fields.text("health_status");
    if !HEALTH_STATUSES.contains(&health_status) {
        let message =
            format!("invalid health_status: {health_status:?} (allowed: {})", HEALTH_STATUSES.join(", "));
        report.error(fields.at("health_status"), message);
    }
    if !cfg!(feature = "aws") {
        let message = "this build has no AWS Cloud Map resolver: build ringway with `--features aws`";
        report.error(&fields.at, message);
    }
    let owner_account = fields.text("owner_account");
    CloudMap {
        namespace,
        service_name,
        health_status: health_status.into(),
        interval: or_default(fields, "interval", CLOUD_MAP_INTERVAL, report),
        timeout: or_default(fields, "timeout", CLOUD_MAP_TIMEOUT, report),
        port: u16::try_from(fields.int("port")).ok().filter(|port| *port > 0),
        owner_account: (!owner_account.is_empty()).then(|| owner_account.into()),
    }
}

fn required(fields: &Fields, name: &str, missing: &str, report: &mut Report) -> Arc<str> {
    let text = fields.text(name);
    if text.is_empty() && !fields.is_failed(name) {
        report.error(fields.at(name), missing);
    }
    text.into()
}

fn not_negative(fields: &Fields, name: &str, report: &mut Report) -> Duration {
    let value = fields.duration(name);
    if value < 0 {
        report.error(fields.at(name), format!("`{name}` must not be negative, found {value}"));
    }
    std_duration(value)
}

/// A duration, 0 of which stands for the default.
fn or_default(fields: &Fields, name: &str, default: Duration, report: &mut Report) -> Duration {
    match not_negative(fields, name, report) {
        Duration::ZERO => default,
        value => value,
    }
}

fn file(fields: &Fields, report: &mut Report) -> Resolver {
    let path = fields.text("path");
    if path.is_empty() && !fields.is_failed("path") {
        report.error(fields.at("path"), "no path specified for the file resolver");
    }
    let interval = positive(fields, "interval", report);
    if interval < FILE_INTERVAL_MIN && !interval.is_zero() {
        let message = format!("`interval` is raised to {FILE_INTERVAL_MIN:?}");
        report.warn(fields.at("interval"), message);
    }
    Resolver::File { path: path.into(), interval: interval.max(FILE_INTERVAL_MIN) }
}

/// The texts as written, in the order of their bytes: the order is part of what the ring is made of.
fn hostnames(fields: &Fields, report: &mut Report) -> Vec<Arc<str>> {
    let mut list: Vec<&Text> = fields.texts("hostnames").iter().collect();
    if list.is_empty() && !fields.is_failed("hostnames") {
        report.error(fields.at("hostnames"), "no endpoints specified for the static resolver");
    }
    list.sort_by(|left, right| left.text.as_bytes().cmp(right.text.as_bytes()));
    for text in &list {
        hostname(text, report);
    }
    let mut reported: Option<&Arc<str>> = None;
    for pair in list.windows(2) {
        if let [first, second] = pair
            && first.text == second.text
            && reported != Some(&second.text)
        {
            reported = Some(&second.text);
            report.warn(
                &second.at,
                format!(
                    "hostname {:?} is listed more than once; duplicates stay on the ring, as in the Collector, \
                     and distort the shares",
                    second.text
                ),
            );
        }
    }
    list.into_iter().map(|text| Arc::clone(&text.text)).collect()
}

fn hostname(text: &Text, report: &mut Report) {
    let name: &str = &text.text;
    if name.trim().is_empty() {
        report.error(&text.at, "a hostname is empty");
    } else if name.trim().len() < name.len() {
        let message =
            format!("hostname {name:?} begins or ends with white space, which is hashed and dialled too");
        report.warn(&text.at, message);
    } else if name.starts_with("https://") {
        let message =
            format!("hostname {name:?} asks for TLS, which is not supported by this version of ringway");
        report.error(&text.at, message);
    } else if name.contains("://") || name.starts_with("unix:") {
        let message =
            format!("hostname {name:?} is not supported by this version of ringway: host or host:port is");
        report.error(&text.at, message);
    }
}
