//! `resolver.k8s` and `ringway.k8s`: which Service, which of its endpoints, and what each is on the ring.
//!
//! Stage: engine. Every form of a Service's name is taken that the Collector takes, and two more that it refuses
//! (`name.namespace.svc`, and a dot at the end of each form).

use std::{sync::Arc, time::Duration};

use super::{not_negative, or_default, required};
use crate::{
    config::{
        decode::Fields,
        report::{At, Report},
        schema::{Section, any, boolean, duration, text},
        tree::{Node, Value},
    },
    model::settings::{Family, Identity, K8s, ServicePort},
};

pub(super) static K8S: Section = Section::strict(&[
    text("service", ""),
    any("ports"),
    duration("timeout", 60_000),
    boolean("return_hostnames", false),
]);
/// What a timeout of 0 stands for. Source: `factory.go`, `defaultListWatchTimeout`.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Ours. `not_ready` and `dual_stack` give a Collector's choice of endpoints.
pub(super) static OURS: Section = Section::strict(&[
    text("identity", "address"),
    text("not_ready", "skip"),
    text("dual_stack", "one"),
    text("family", "ipv4"),
    text("kubeconfig", ""),
    duration("resync", 600_000),
]);
/// A full list costs the API server more than a watch does.
const RESYNC_MIN: Duration = Duration::from_secs(30);

/// Reads both blocks.
pub(super) fn read(fields: &Fields, ours: &Fields, report: &mut Report) -> K8s {
    let name = required(fields, "service", "no service specified to resolve the backends", report);
    let (service, namespace) = match parts(&name) {
        Ok(parts) => parts,
        Err(_) if name.is_empty() => ("", None),
        Err(message) => {
            report.error(fields.at("service"), message);
            ("", None)
        }
    };
    let timeout = or_default(fields, "timeout", TIMEOUT, report);
    let kubeconfig = ours.text("kubeconfig");
    let resync = not_negative(ours, "resync", report);
    if resync < RESYNC_MIN {
        report.warn(ours.at("resync"), format!("`resync` is raised to {RESYNC_MIN:?}"));
    }
    K8s {
        service: service.into(),
        namespace: namespace.map(Into::into),
        ports: fields.any("ports").map_or_else(Vec::new, |node| ports(node, fields.at("ports"), report)),
        // The server takes whole seconds; less than one is no limit, as in the Collector.
        timeout: (timeout.as_secs() > 0).then(|| Duration::from_secs(timeout.as_secs())),
        return_hostnames: fields.bool("return_hostnames"),
        identity: choice(ours, "identity", [("address", Identity::Address), ("pod", Identity::Pod)], report),
        use_not_ready: choice(ours, "not_ready", [("skip", false), ("use", true)], report),
        every_address: choice(ours, "dual_stack", [("one", false), ("all", true)], report),
        family: choice(ours, "family", [("ipv4", Family::V4), ("ipv6", Family::V6)], report),
        kubeconfig: (!kubeconfig.is_empty()).then(|| kubeconfig.into()),
        resync: resync.max(RESYNC_MIN),
    }
}

/// Name and namespace of `name`, `name.namespace`, `name.namespace.svc` or `name.namespace.svc.<cluster domain>`.
fn parts(text: &str) -> Result<(&str, Option<&str>), String> {
    let invalid = || {
        format!(
            "invalid Kubernetes service FQDN: {text:?} (allowed: name, name.namespace, name.namespace.svc, \
             name.namespace.svc.<cluster domain>)"
        )
    };
    let mut labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let (name, namespace, svc) = (labels.next(), labels.next(), labels.next());
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(is_inside)
    };
    let name = name.filter(|name| is_label(name)).ok_or_else(invalid)?;
    match (namespace, svc) {
        (None, _) => Ok((name, None)),
        (Some(namespace), None | Some("svc"))
            if is_label(namespace) && labels.all(|label| !label.is_empty()) =>
        {
            Ok((name, Some(namespace)))
        }
        _ => Err(invalid()),
    }
}

fn ports(node: &Node, at: &At, report: &mut Report) -> Vec<ServicePort> {
    let Value::List(items) = &node.value else {
        let message = format!("expected a list of ports, got '{}'", node.value.type_name());
        report.error(at, message);
        return Vec::new();
    };
    let mut ports = Vec::new();
    for (index, item) in items.iter().enumerate().filter(|(_, item)| item.value != Value::Failed) {
        let at = at.element(index, &item.place);
        match port(&item.value) {
            Some(port) if ports.contains(&port) => {
                report.warn(&at, "the port is listed more than once; once is enough");
            }
            Some(port) => ports.push(port),
            None => {
                let message = "a port from 1 to 65535, or the name of a port of the Service, is expected";
                report.error(&at, message);
            }
        }
    }
    ports
}

fn port(value: &Value) -> Option<ServicePort> {
    match value {
        Value::Int(number) => {
            u16::try_from(*number).ok().filter(|number| *number > 0).map(ServicePort::Number)
        }
        // A name of a port has a letter, so that it is no number.
        Value::Text(name) if name.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            Some(ServicePort::Name(Arc::clone(name)))
        }
        _ => None,
    }
}

fn choice<T: Copy>(fields: &Fields, name: &str, choices: [(&str, T); 2], report: &mut Report) -> T {
    let found = fields.text(name);
    let [(first, default), (second, _)] = choices;
    choices.iter().find(|(text, _)| *text == found).map_or_else(
        || {
            let message = format!("invalid {name}: {found:?} (allowed: {first}, {second})");
            report.error(fields.at(name), message);
            default
        },
        |(_, value)| *value,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a Service in every form of its name, and texts that are none.
    // Guarantees: name and namespace are found as the Collector finds them; `.svc` alone and a dot at the end are taken too.
    #[test]
    fn services_have_many_names() {
        for (text, expect) in [
            ("lb", ("lb", None)),
            ("lb.", ("lb", None)),
            ("lb.ns", ("lb", Some("ns"))),
            ("lb.ns.", ("lb", Some("ns"))),
            ("lb.ns.svc", ("lb", Some("ns"))),
            ("lb.ns.svc.cluster.local", ("lb", Some("ns"))),
            ("lb.ns.svc.corp.example.", ("lb", Some("ns"))),
        ] {
            assert_eq!(parts(text), Ok(expect), "{text}");
        }
        for text in
            ["", ".", "lb..", "lb..svc", ".ns", "lb.ns.pod", "lb.ns.svc..local", "Lb", "lb.n_s", "lb/ns"]
        {
            assert!(parts(text).unwrap_err().starts_with("invalid Kubernetes service FQDN: "), "{text}");
        }
    }
}
