//! `manifests/`: the kustomize base is what the chart renders, and kustomize takes it.

use std::{fs, process::Command};

use crate::{
    helm::{cluster_part, conform, is_updating, kubectl, source, validate},
    rendered::{field, objects},
};

const FILES: [&str; 2] = ["objects.yaml", "ringway.yaml"];

// Scenario: the base rendered anew beside the one that is checked in.
// Guarantees: they are the same, so that a change of the chart cannot forget those who have no Helm.
#[test]
fn the_base_is_what_the_chart_renders() {
    let fresh = source("target/manifests");
    fs::create_dir_all(&fresh).unwrap();
    let target = if is_updating() { source("manifests") } else { fresh };
    let status = Command::new(source("manifests/render.sh"))
        .arg(&target)
        .env("HELM", cluster_part("bin/helm"))
        .status()
        .unwrap();
    assert!(status.success());
    for file in FILES {
        let checked_in = fs::read_to_string(source("manifests").join(file)).unwrap();
        let rendered = fs::read_to_string(target.join(file)).unwrap();
        assert!(
            checked_in == rendered,
            "manifests/{file} is not what the chart renders: `make manifests` writes it anew"
        );
    }
}

// Scenario: kustomize builds the base.
// Guarantees: every object is known to the API; the pod mounts the generated ConfigMap; its configuration runs without a warning.
#[test]
fn kustomize_builds_the_base() {
    let built = kubectl(["kustomize", source("manifests").to_str().unwrap()]);
    assert!(built.is_good, "{}", built.stderr);
    let said = conform(&built.stdout);
    assert!(said.is_good, "{}{}", said.stdout, said.stderr);
    let map = objects(&built.stdout).find(|object| field(object, "kind") == Some("ConfigMap")).unwrap();
    let name = field(map, "  name").unwrap();
    assert!(name.starts_with("ringway-"), "{name} has no digest");
    assert!(
        built.stdout.contains(&format!("      - configMap:\n          name: {name}\n")),
        "{}",
        built.stdout
    );
    let said = validate(&fs::read_to_string(source("manifests/ringway.yaml")).unwrap());
    assert!(said.is_good && said.stderr.is_empty(), "{}", said.stderr);
}
