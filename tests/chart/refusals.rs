//! Values that must not be installed: what the schema refuses, and what `templates/_validate.tpl` finds contradictory.

use crate::helm::{Options, template};

/// Values beside a good pool (unless they have `backends` themselves), and what helm says.
const SCHEMA: &[(&str, &str)] = &[
    ("replicaCount: 3", "at '': additional properties 'replicaCount' not allowed"),
    ("replicas: two", "at '/replicas': got string, want integer"),
    ("replicas: -1", "at '/replicas': minimum: got -1, want 0"),
    ("memory: 512MB", "at '/memory': '512MB' does not match pattern"),
    ("memory: 536870912", "at '/memory': got number, want string"),
    ("memoryBudgetPercent: 100", "at '/memoryBudgetPercent': maximum: got 100, want 90"),
    ("mode: statefulset", "at '/mode': value must be one of 'deployment', 'daemonset'"),
    ("image: {digest: latest}", "at '/image/digest': 'latest' does not match pattern"),
    ("image: {name: ringway}", "at '/image': additional properties 'name' not allowed"),
    ("image: {pullPolicy: Sometimes}", "at '/image/pullPolicy': value must be one of"),
    ("global: {image: {pullPolicy: Sometimes}}", "at '/global/image/pullPolicy': value must be one of"),
    (
        "backends: {traces: {services: a.b}}",
        "at '/backends/traces': additional properties 'services' not allowed",
    ),
    ("backends: {Traces: {service: a.b}}", "at '/backends': additional properties 'Traces' not allowed"),
    (
        "backends: {traces: {service: Samplers_1}}",
        "at '/backends/traces/service': 'Samplers_1' does not match pattern",
    ),
    (
        "backends: {traces: {service: a.b, routingKey: traceid}}",
        "at '/backends/traces/routingKey': value must be one of 'traceID', 'service', 'resource', 'metric', 'streamID', \
         'attributes'",
    ),
    (
        "backends: {traces: {service: a.b, signal: profiles}}",
        "at '/backends/traces/signal': value must be one of 'traces', 'metrics', 'logs'",
    ),
    (
        "backends: {traces: {service: a.b, ports: [70000]}}",
        "at '/backends/traces/ports/0': maximum: got 70,000, want 65,535",
    ),
    (
        "backends: {traces: {resolver: {k8s: {service: a.b}}}}",
        "at '/backends/traces/resolver': additional properties 'k8s' not allowed",
    ),
    (
        "backends: {traces: {resolver: {dns: {}, static: {}}}}",
        "at '/backends/traces/resolver': maxProperties: got 2, want 1",
    ),
    (
        "backends: {traces: {collector: {preset: tail}}}",
        "at '/backends/traces/collector/preset': value must be one of '', 'tailSampling'",
    ),
    (
        "backends: {traces: {collector: {replica: 1}}}",
        "at '/backends/traces/collector': additional properties 'replica' not allowed",
    ),
    ("membership: {settle: 5}", "at '/membership/settle': got number, want string"),
    ("membership: {settle: soon}", "at '/membership/settle': 'soon' does not match pattern"),
    ("membership: {max_shrink_percent: 0}", "at '/membership/max_shrink_percent': minimum: got 0, want 1"),
    (
        "membership: {max_shrink_percent: 150}",
        "at '/membership/max_shrink_percent': maximum: got 150, want 100",
    ),
    (
        "membership: {maxShrinkPercent: 50}",
        "at '/membership': additional properties 'maxShrinkPercent' not allowed",
    ),
    (
        "podDisruptionBudget: {minAvailable: half}",
        "at '/podDisruptionBudget/minAvailable': 'half' does not match pattern",
    ),
    (
        "service: {type: ExternalName}",
        "at '/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
    ),
    ("ports: {otlpGrpc: {containerPort: 0}}", "at '/ports/otlpGrpc/containerPort': minimum: got 0, want 1"),
    ("ports: {grpc: {enabled: true}}", "at '/ports': additional properties 'grpc' not allowed"),
    ("autoscaling: {minReplicas: 0}", "at '/autoscaling/minReplicas': minimum: got 0, want 1"),
    ("shutdown: {drainSeconds: 0}", "at '/shutdown/drainSeconds': minimum: got 0, want 1"),
    ("networkPolicy: {dnsPorts: 53}", "at '/networkPolicy/dnsPorts': got number, want array"),
    ("serviceMonitor: {enabled: 'yes'}", "at '/serviceMonitor/enabled': got string, want boolean"),
    ("rbac: {clusterRole: true}", "at '/rbac': additional properties 'clusterRole' not allowed"),
    ("extraEnvs: [A]", "at '/extraEnvs/0': got string, want object"),
    ("podLabels: {a: 1}", "at '/podLabels/a': got number, want string"),
    ("logs: {level: trace}", "at '/logs/level': value must be one of 'debug', 'info', 'warn', 'error'"),
];

/// Values beside a good pool (unless they have a source themselves), and the whole line that the chart says.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "backends: {}",
        "backends: found none; allowed: at least one pool, for example --set backends.traces.service=samplers.observability \
         (or config, or existingConfigMap.name)",
    ),
    (
        "{backends: {traces: {service: a.b}}, config: {receivers: {}}}",
        "backends and config: found together; allowed: one of backends, config and existingConfigMap.name",
    ),
    (
        "{config: {receivers: {}}, existingConfigMap: {name: mine}}",
        "config and existingConfigMap.name: found together; allowed: one of backends, config and existingConfigMap.name",
    ),
    (
        "{existingConfigMap: {name: mine}, extraConfig: {receivers: {}}}",
        "extraConfig: found with existingConfigMap.name; allowed: with backends or config, since the chart does not change a \
         ConfigMap of yours",
    ),
    (
        "{existingConfigMap: {name: mine}, persistentQueue: {enabled: true}}",
        "persistentQueue.enabled: found true without backends; allowed: with backends, or sending_queue.storage in your own \
         configuration with extraVolumes",
    ),
    (
        "{backends: {traces: {service: a.b}, logs: {service: a.c}}, persistentQueue: {enabled: true, sizeLimit: 200Mi}}",
        "persistentQueue.sizeLimit: found 200Mi for 2 pools; allowed: at least 256Mi, 128Mi for each",
    ),
    (
        "backends: {traces: {}}",
        "backends.traces.service: found none; allowed: \"name\" or \"name.namespace\" of the pool's Service (or \
         backends.traces.resolver, or backends.traces.collector)",
    ),
    (
        "backends: {traces: {service: a.b, collector: {}}}",
        "backends.traces: found service and collector; allowed: one of service, resolver and collector",
    ),
    (
        "backends: {samplers: {service: a.b}}",
        "backends.samplers.signal: found none; allowed: traces, metrics, logs (the names traces, spanmetrics, metrics and logs \
         bring theirs)",
    ),
    (
        "backends: {samplers: {service: a.b, signal: traces}}",
        "backends.samplers.routingKey: found none; allowed for traces: traceID, service, attributes",
    ),
    (
        "backends: {traces: {service: a.b, routingKey: metric}}",
        "backends.traces.routingKey: found metric; allowed for traces: traceID, service, attributes",
    ),
    (
        "backends: {metrics: {service: a.b, routingKey: traceID}}",
        "backends.metrics.routingKey: found traceID; allowed for metrics: metric, service, streamID, resource, attributes",
    ),
    (
        "backends: {logs: {service: a.b, routingKey: streamID}}",
        "backends.logs.routingKey: found streamID; allowed for logs: service, traceID, resource, attributes",
    ),
    (
        "backends: {traces: {service: a.b, routingKey: attributes}}",
        "backends.traces.routingAttributes: found none; allowed: at least one attribute with routingKey attributes",
    ),
    (
        "backends: {traces: {service: a.b, routingAttributes: [x]}}",
        "backends.traces.routingAttributes: found with routingKey traceID; allowed: with routingKey attributes",
    ),
    (
        "backends: {traces: {collector: {}, ports: [1]}}",
        "backends.traces.ports: found without service; allowed: with service (a collector of the chart's listens on 4317, a \
         resolver says its ports itself)",
    ),
    (
        "backends: {audit: {collector: {}, signal: logs, routingKey: service}}",
        "backends.audit.collector.preset: found none, and no preset goes with this name; allowed: tailSampling, spanMetrics, \
         cumulativeToDelta, none",
    ),
    (
        "backends: {logs: {collector: {preset: cumulativeToDelta}}}",
        "backends.logs.collector.preset: found cumulativeToDelta for logs; allowed: for metrics",
    ),
    (
        "backends: {traces: {collector: {}, routingKey: service}}",
        "backends.traces.collector.preset: found tailSampling with routingKey service; allowed: with routingKey traceID, or \
         traces are split",
    ),
    (
        "{backends: {headless: {collector: {preset: none}, signal: logs, routingKey: service}}, headlessService: {enabled: true}}",
        "backends.headless: found with collector and headlessService.enabled; allowed: another name, since both make a Service \
         of that name",
    ),
    (
        "config: {receivers: {otlp: {protocols: {grpc: }}}}",
        "config.receivers.otlp.protocols.grpc.endpoint: found none, hence localhost:4317, which other pods do not reach; \
         allowed: for example 0.0.0.0:4317",
    ),
    (
        "config: {receivers: {otlp: {protocols: {http: {endpoint: 'localhost:4318'}}}}}",
        "config.receivers.otlp.protocols.http.endpoint: found localhost:4318, which other pods do not reach; allowed: for \
         example 0.0.0.0:4318",
    ),
    (
        "config: {extensions: {health_check: {endpoint: 'localhost:13133'}}}",
        "config.extensions.health_check.endpoint: found localhost:13133; allowed: none, 0.0.0.0:13133, [::]:13133, or \
         ${env:MY_POD_IP}:13133, which is where the probes look",
    ),
    (
        "config: {exporters: {load_balancing: {resolver: {k8s: {service: '${env:POOL}'}}}}}",
        "rbac.namespaces: found none, and the namespace of the service ${env:POOL} in config is not known to the chart; allowed: \
         the namespaces of such services",
    ),
    (
        "config: {service: {ringway: {shutdown_timeout: 5m}}}",
        "service.ringway.shutdown_timeout: found 5m in the configuration; allowed: none, since shutdown.drainSeconds says it, \
         and the grace period with it",
    ),
    (
        "extraConfig: {service: {ringway: {shutdown_timeout: 5m}}}",
        "service.ringway.shutdown_timeout: found 5m in the configuration; allowed: none, since shutdown.drainSeconds says it, \
         and the grace period with it",
    ),
    (
        "{mode: daemonset, autoscaling: {enabled: true}}",
        "autoscaling: found with mode daemonset; allowed: with mode deployment",
    ),
    (
        "autoscaling: {enabled: true, external: true}",
        "autoscaling.external: found true with autoscaling.enabled; allowed: one of the two",
    ),
    (
        "autoscaling: {enabled: true, minReplicas: 20}",
        "autoscaling.minReplicas: found 20; allowed: at most autoscaling.maxReplicas, 10",
    ),
    (
        "autoscaling: {enabled: true, targetCPUUtilizationPercentage: null}",
        "autoscaling: found no metric; allowed: one of targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage and \
         metrics",
    ),
    (
        "{autoscaling: {enabled: true}, cpu: ''}",
        "cpu: found none with autoscaling.targetCPUUtilizationPercentage; allowed: a request such as 250m, since the target is a \
         share of it",
    ),
    (
        "podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}",
        "podDisruptionBudget: found minAvailable 1 and maxUnavailable 1; allowed: one of them",
    ),
    (
        "podDisruptionBudget: {minAvailable: 2}",
        "podDisruptionBudget.minAvailable: found 2 of at least 2 gateways, which would stop every drain of a node; allowed: at \
         most 1",
    ),
    (
        "podDisruptionBudget: {minAvailable: 100%}",
        "podDisruptionBudget.minAvailable: found 100%, which would stop every drain of a node; allowed: less",
    ),
    (
        "podDisruptionBudget: {maxUnavailable: 0}",
        "podDisruptionBudget.maxUnavailable: found 0, which would stop every drain of a node; allowed: more",
    ),
    (
        "terminationGracePeriodSeconds: 30",
        "terminationGracePeriodSeconds: found 30; allowed: at least 31, shutdown.delaySeconds and shutdown.drainSeconds and one \
         second, or what is queued is lost",
    ),
    (
        "resources: {limits: {memory: 1Gi}}",
        "resources.limits.memory: found 1Gi; allowed: the value memory, from which request, limit and the gateway's budget follow",
    ),
    ("memory: 32Mi", "memory: found 32Mi; allowed: 64Mi or more"),
    (
        "ports: {metrics: {containerPort: 13133}}",
        "ports: found containerPort 13133 for metrics; allowed: another, that one is the health check's",
    ),
    (
        "ports: {otlpGrpc: {enabled: false}, otlpHttp: {enabled: false}}",
        "ports: found neither otlpGrpc nor otlpHttp enabled; allowed: at least one",
    ),
    (
        "serviceAccount: {create: false}",
        "serviceAccount.name: found none with serviceAccount.create false; allowed: an account of yours, since every pod of the \
         namespace would get the permissions of default",
    ),
    (
        "{backends: {traces: {resolver: {dns: {hostname: a.b}}}}, networkPolicy: {enabled: true}}",
        "networkPolicy.extraEgress: found none, and the addresses of backends.traces are not known to the chart; allowed: a rule \
         that lets them out",
    ),
    (
        "{config: {exporters: {otlp_http: {endpoint: 'http://a.b:4318'}}}, networkPolicy: {enabled: true}}",
        "networkPolicy.extraEgress: found none, and the address of config.exporters.otlp_http is not known to the chart; allowed: \
         a rule that lets it out",
    ),
    (
        "{extraConfig: {exporters: {load_balancing/traces: {timeout: 1s}, otlp_grpc: }}, networkPolicy: {enabled: true}}",
        "networkPolicy.extraEgress: found none, and the address of extraConfig.exporters.otlp_grpc is not known to the chart; \
         allowed: a rule that lets it out",
    ),
    (
        "serviceAccount: {automount: false}",
        "serviceAccount.automount: found false, and backends.traces is found through the Kubernetes API; allowed: null or true, \
         or ringway.k8s.kubeconfig in the pool",
    ),
    (
        "{existingConfigMap: {name: mine}, networkPolicy: {enabled: true}}",
        "networkPolicy.extraEgress: found none, and no pool of the configuration is known to the chart; allowed: rules that let \
         them out, or rbac.namespaces",
    ),
    (
        "{serviceMonitor: {enabled: true}, ports: {metrics: {enabled: false}}}",
        "ports.metrics.enabled: found false with a monitor; allowed: true, or no serviceMonitor and podMonitor",
    ),
    (
        "{serviceMonitor: {enabled: true}, service: {type: LoadBalancer}}",
        "serviceMonitor.enabled: found true, and the Service of type LoadBalancer has no metrics port; allowed: podMonitor, or \
         ports.metrics.onService true",
    ),
    (
        "{serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}",
        "podMonitor.enabled: found true with serviceMonitor.enabled; allowed: one of them, or every sample is taken twice",
    ),
];

/// Renders values that must be refused, and returns what helm said.
#[track_caller]
fn refused(values: &str) -> String {
    let has_source = ["backends:", "config:", "existingConfigMap:"]
        .iter()
        .any(|key| values.starts_with(key) || values.starts_with(&format!("{{{key}")));
    let pool: &[&str] =
        if has_source { &[] } else { &["--set", "backends.traces.service=samplers.observability"] };
    let said = template(&Options::of(""), pool, values);
    assert!(!said.is_good, "{values}: it was taken");
    said.stderr
}

// Scenario: values that are misspelt, of the wrong type, out of bounds or of another chart.
// Guarantees: each is refused before anything is rendered, with the place and what is wanted.
#[test]
fn the_schema_refuses() {
    for (values, expected) in SCHEMA {
        let said = refused(values);
        assert!(said.contains(expected), "{values}:\n  expected: {expected}\n  found:    {said}");
    }
}

// Scenario: values that are good by themselves and contradict each other, one contradiction at a time.
// Guarantees: each is refused with the key, what was found and what is allowed, and with nothing else.
#[test]
fn contradictions_are_refused() {
    for (values, expected) in CONTRADICTIONS {
        let said = refused(values);
        let problems: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
        assert_eq!(problems, [*expected], "{values}:\n{said}");
    }
}

// Scenario: several contradictions at once.
// Guarantees: all are told at once.
#[test]
fn contradictions_are_told_together() {
    let said = refused("{backends: {traces: {}}, memory: 32Mi, terminationGracePeriodSeconds: 5}");
    for key in ["memory:", "terminationGracePeriodSeconds:", "backends.traces.service:"] {
        assert!(said.contains(&format!("\n  - {key}")), "{key} is missing in {said}");
    }
}
