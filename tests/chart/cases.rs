//! Every file of `cases/`: what it renders, and that everything which has an opinion about that agrees.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what cannot happen fails the test")]

use std::{collections::BTreeMap, fs, sync::LazyLock};

use crate::{
    helm::{NAMESPACE, collector_validates, conform, helm, is_updating, render, source, validate},
    rendered::{configurations, field, namespaces, normalised, objects},
};

/// A file of values and what it renders.
struct Case {
    values: String,
    rendered: String,
}

/// By name; rendered once for all tests.
static CASES: LazyLock<BTreeMap<String, Case>> = LazyLock::new(|| {
    let files = fs::read_dir(source("tests/chart/cases")).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let values = fs::read_to_string(&path).unwrap();
            let rendered = render(&name, &values);
            (name, Case { values, rendered })
        })
        .collect()
});

/// Names of the cases of which something is not true, each with why.
fn failures(check: impl Fn(&str, &Case) -> Result<(), String>) -> Vec<String> {
    CASES
        .iter()
        .filter_map(|(name, case)| check(name, case).err().map(|why| format!("== {name}: {why}")))
        .collect()
}

#[track_caller]
fn none(failures: &[String]) {
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), CASES.len(), failures.join("\n"));
}

// Scenario: the chart with its defaults, and with the values of every case.
// Guarantees: helm's linter has nothing to warn about.
#[test]
fn lint_is_silent() {
    let chart = source("helm").display().to_string();
    let mut all = vec![vec!["lint".to_owned(), "--strict".to_owned(), chart.clone()]];
    for name in CASES.keys() {
        let values = source(&format!("tests/chart/cases/{name}.yaml")).display().to_string();
        all.push(["lint", "--strict", &chart, "--values", &values].map(str::to_owned).into());
    }
    for arguments in all {
        let said = helm(arguments.iter().map(String::as_str));
        assert!(
            said.is_good && !said.stdout.contains("[WARNING]"),
            "{arguments:?}:\n{}{}",
            said.stdout,
            said.stderr
        );
    }
}

// Scenario: every case against its golden.
// Guarantees: a change of the chart shows what it changes in a cluster; at least twenty cases, and no golden without one.
#[test]
fn goldens() {
    assert!(CASES.len() >= 20, "only {} cases", CASES.len());
    let path = |name: &str| source(&format!("tests/chart/goldens/{name}.yaml"));
    if is_updating() {
        for (name, case) in CASES.iter() {
            fs::write(path(name), normalised(&case.rendered)).unwrap();
        }
    }
    none(&failures(|name, case| {
        let golden = fs::read_to_string(path(name)).map_err(|error| format!("no golden: {error}"))?;
        let rendered = normalised(&case.rendered);
        if golden == rendered {
            return Ok(());
        }
        let (line, (expected, found)) = golden
            .lines()
            .chain(std::iter::repeat("(the end)"))
            .zip(rendered.lines().chain(std::iter::repeat("(the end)")))
            .enumerate()
            .find(|(_, (one, other))| one != other)
            .unwrap();
        Err(format!(
            "line {}\n  golden:   {expected}\n  rendered: {found}\n(`make goldens` writes them anew)",
            line + 1
        ))
    }));
    let orphans = fs::read_dir(source("tests/chart/goldens")).unwrap().map(|entry| entry.unwrap().path());
    let orphans: Vec<_> =
        orphans.filter(|path| !CASES.contains_key(path.file_stem().unwrap().to_str().unwrap())).collect();
    assert!(orphans.is_empty(), "goldens without a case: {orphans:?}");
}

// Scenario: every rendered object against strict schemas of the Kubernetes API.
// Guarantees: no key that the API does not know, no value of the wrong type.
#[test]
fn objects_conform_to_the_api() {
    none(&failures(|_, case| {
        let said = conform(&case.rendered);
        said.is_good.then_some(()).ok_or(said.stdout + &said.stderr)
    }));
}

// Scenario: an object with a misspelt key, and one of a kind that does not exist.
// Guarantees: the schemas are strict, so that the test above can fail.
#[test]
fn misspelt_objects_do_not_conform() {
    let deployment = &CASES["one-pool"].rendered;
    let said = conform(&deployment.replace("minReadySeconds:", "minReadySecond:"));
    assert!(!said.is_good && said.stdout.contains("'minReadySecond' not allowed"), "{}", said.stdout);
    assert!(!conform("apiVersion: apps/v1\nkind: Deploiment\nmetadata: {name: x}\n").is_good);
}

// Scenario: the configuration in every rendered ConfigMap goes through `ringway validate`.
// Guarantees: what the chart renders runs; of its own making without a warning.
#[test]
fn ringway_takes_its_configuration() {
    none(&failures(|_, case| {
        let found = configurations(&case.rendered, "ringway.yaml");
        let expected = usize::from(!case.values.contains("existingConfigMap:"));
        if found.len() != expected {
            return Err(format!("{} configurations, expected {expected}", found.len()));
        }
        let Some(configuration) = found.first() else { return Ok(()) };
        let said = validate(configuration);
        // Of a queue on disk ringway says in each case what becomes of the one in memory.
        let is_own = !case
            .values
            .lines()
            .any(|line| line.starts_with("config:") || line.starts_with("persistentQueue:"));
        let is_good = said.is_good && (!is_own || said.stderr.is_empty());
        is_good.then_some(()).ok_or(said.stderr)
    }));
}

// Scenario: the configuration of every rendered collector goes through `validate` of a real Collector.
// Guarantees: the second tier starts; some case has one.
#[test]
fn collectors_take_their_configuration() {
    let count: usize =
        CASES.values().map(|case| configurations(&case.rendered, "collector.yaml").len()).sum();
    assert!(count >= 5, "only {count} collectors in all cases");
    none(&failures(|_, case| {
        for configuration in configurations(&case.rendered, "collector.yaml") {
            let said = collector_validates(&configuration);
            if !said.is_good {
                return Err(said.stderr + &configuration);
            }
        }
        Ok(())
    }));
}

// Scenario: in every case, the namespaces that ringway's configuration reads, and those that Roles and RoleBindings are in.
// Guarantees: configuration and permissions agree; each Role allows exactly three verbs on one resource; nothing is cluster-wide; pods
// have a token exactly if they use it.
#[test]
fn permissions_are_exactly_what_is_read() {
    none(&failures(|name, case| {
        let kinds = |kind: &str| -> Vec<&str> {
            objects(&case.rendered).filter(|object| field(object, "kind") == Some(kind)).collect()
        };
        if !kinds("ClusterRole").is_empty() || !kinds("ClusterRoleBinding").is_empty() {
            return Err("cluster-wide permissions".to_owned());
        }
        let mut read: Vec<String> = configurations(&case.rendered, "ringway.yaml")
            .iter()
            .flat_map(|configuration| namespaces(configuration, NAMESPACE))
            .filter(|namespace| !namespace.contains('$'))
            .collect();
        // What the chart cannot see in the configuration, and where permissions are the user's.
        match name {
            "existing-config-map" => read = vec!["metrics".to_owned(), "observability".to_owned()],
            "whole-config-complete" => read = vec!["observability".to_owned()],
            "own-account" => read.clear(),
            _ => {}
        }
        for kind in ["Role", "RoleBinding"] {
            let granted: Vec<&str> =
                kinds(kind).iter().filter_map(|object| field(object, "  namespace")).collect();
            if granted != read {
                return Err(format!("{kind}s in {granted:?}, services in {read:?}"));
            }
        }
        const RULES: &str = "rules:\n  - apiGroups: [discovery.k8s.io]\n    resources: [endpointslices]\n    verbs: [get, list, watch]";
        if let Some(role) = kinds("Role").iter().find(|role| !role.trim_end().ends_with(RULES)) {
            return Err(format!("more or less than the three verbs:\n{role}"));
        }
        let workload = kinds("Deployment").into_iter().chain(kinds("DaemonSet")).next().unwrap();
        let has_token = workload.contains("automountServiceAccountToken: true");
        let needs_token = !read.is_empty() || name == "own-account";
        (has_token == needs_token)
            .then_some(())
            .ok_or_else(|| format!("token: {has_token}, needed: {needs_token}"))
    }));
}
