//! What helm prints after an installation: `templates/NOTES.txt`.

#![expect(clippy::panic, reason = "helpers of tests: what cannot happen fails the test")]

use crate::helm::{NAMESPACE, helm, source};

/// The notes for some values.
#[track_caller]
fn notes(sets: &[&str]) -> String {
    let chart = source("helm").display().to_string();
    let mut arguments = vec![
        "install",
        "ringway",
        &chart,
        "--namespace",
        NAMESPACE,
        "--dry-run=client",
        "--hide-notes=false",
    ];
    for set in sets {
        arguments.extend(["--set", set]);
    }
    let said = helm(arguments);
    assert!(said.is_good, "{sets:?}: {}", said.stderr);
    said.stdout.split_once("NOTES:\n").unwrap_or_else(|| panic!("no notes in {}", said.stdout)).1.to_owned()
}

#[track_caller]
fn check(sets: &[&str], expected: &[&str], absent: &[&str]) {
    let notes = notes(sets);
    for line in expected {
        assert!(notes.contains(line), "{sets:?}: {line:?} is missing in\n{notes}");
    }
    for text in absent {
        assert!(!notes.contains(text), "{sets:?}: {text:?} is in\n{notes}");
    }
    assert!(!notes.contains("\n\n\n"), "gaps in\n{notes}");
}

// Scenario: installations of each kind.
// Guarantees: the notes say what was installed, what it may read, where to send, and the next command, of what there is and nothing else.
#[test]
fn they_say_what_was_installed() {
    check(
        &["backends.traces.service=samplers.observability"],
        &[
            "is installed as ringway in gateways: 2 gateways, 512Mi each.",
            "\n  traces       traces by traceID to the Service samplers.observability\n",
            "\nIt may read EndpointSlices in observability, and nothing else.\n",
            "\n  gRPC  http://ringway.gateways:4317\n  HTTP  http://ringway.gateways:4318\n",
            "\n  kubectl --namespace gateways rollout status deployment/ringway --timeout=60s\n",
            "\n  kubectl --namespace gateways port-forward deployment/ringway 13133 & sleep 1; curl -s localhost:13133/readyz\n",
        ],
        &["debug", "ConfigMap"],
    );
    check(
        &["backends.traces.collector.replicas=3", "mode=daemonset", "ports.otlpHttp.enabled=false"],
        &[
            "one gateway on each node",
            "\n  traces       traces by traceID to the Service ringway-traces.gateways, 3 collectors of this release (tailSampling); \
             they export to `debug` alone: set collector.exporters\n",
            "rollout status daemonset/ringway",
        ],
        &["HTTP  http"],
    );
    check(
        &["backends.logs.resolver.dns.hostname=logs.example.org", "service.enabled=false", "replicas=1"],
        &[": 1 gateway, ", "\n  logs         logs by service to what its resolver names\n"],
        &["EndpointSlices", "Send OTLP"],
    );
    check(
        &[
            "existingConfigMap.name=mine",
            "rbac.namespaces={a,b}",
            "rbac.create=false",
            "autoscaling.external=true",
        ],
        &[
            "gateways that something else scales",
            "The configuration is the ConfigMap mine;",
            "It needs get, list and watch of EndpointSlices in a, b, which rbac.create=false leaves to you.",
        ],
        &["What is balanced"],
    );
}
