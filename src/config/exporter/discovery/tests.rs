//! Tests of `config/exporter/discovery` that depend on how ringway was built; the rest is in `tests/golden/config`.

use crate::{
    config::tests::{Fake, show},
    config::{Loaded, load},
    model::settings::{CloudMap, Destination, Resolver},
};

/// An exporter whose resolver is Cloud Map with these keys.
fn run(keys: &str) -> Loaded {
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\n\
         exporters:\n  load_balancing:\n    protocol: {{otlp: {{tls: {{insecure: true}}}}}}\n    \
         resolver:\n      aws_cloud_map: {{{keys}}}\n\
         service:\n  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing]}}}}\n"
    );
    let mut fake = Fake::default();
    fake.files.insert("f".to_owned(), text);
    load(&["f".to_owned()], &[], &fake)
}

// Scenario: a configuration with `aws_cloud_map`, in a build without the feature `aws` and in one with it.
// Guarantees: the first is refused, with the line, and says how to get a build that has it; the second reads every key, with
// the defaults of the Collector's documentation.
#[test]
fn cloud_map_needs_a_feature() {
    let loaded = run("namespace: apps, service_name: samplers");
    if cfg!(feature = "aws") {
        let settings = loaded.settings.as_ref().unwrap_or_else(|| panic!("{}", show(&loaded)));
        let Destination::Pool { resolver, .. } = &settings.exporters[0].destination else {
            panic!("a pool is expected")
        };
        let expect = CloudMap {
            namespace: "apps".into(),
            service_name: "samplers".into(),
            health_status: "HEALTHY".into(),
            interval: std::time::Duration::from_secs(30),
            timeout: std::time::Duration::from_secs(5),
            port: None,
            owner_account: None,
        };
        assert_eq!(*resolver, Resolver::CloudMap(expect));
    } else {
        let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        let expect = "f:6: exporters::load_balancing::resolver::aws_cloud_map: this build has no AWS Cloud Map resolver: \
                      build ringway with `--features aws`";
        assert_eq!(errors, [expect]);
    }
}

// Scenario: a filter that Cloud Map does not know.
// Guarantees: it is refused with its line and what it can be, in any build.
#[test]
fn health_filters_are_checked() {
    let loaded = run("namespace: apps, service_name: samplers, health_status: healthy");
    let expect = "f:6: exporters::load_balancing::resolver::aws_cloud_map::health_status: invalid health_status: \"healthy\" \
                  (allowed: HEALTHY, UNHEALTHY, ALL, HEALTHY_OR_ELSE_ALL)";
    assert!(loaded.errors.iter().any(|error| error.to_string() == expect), "{}", show(&loaded));
}
