//! Runs the tools: helm, kubeconform, kubectl, the Collector, and ringway itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what cannot happen, or must not, fails the test"
)]

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The release and its namespace, unless a case says otherwise.
const RELEASE: &str = "ringway";
pub(crate) const NAMESPACE: &str = "gateways";
/// What templates are rendered for, unless a case says otherwise. What helm takes by itself changes with its version.
const KUBERNETES: &str = "1.36.3";

/// What a tool said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) is_good: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A path of this checkout.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether goldens and tables are to be written anew.
pub(crate) fn is_updating() -> bool {
    std::env::var_os("RINGWAY_UPDATE_GOLDENS").is_some()
}

/// Renders the chart with values, and with more arguments.
pub(crate) fn template(options: &Options, arguments: &[&str], values: &str) -> Said {
    let chart = source("helm").display().to_string();
    let mut all = vec!["template", &options.release, &chart, "--namespace", NAMESPACE];
    all.extend(["--kube-version", &options.kubernetes, "--values", "-"]);
    all.extend(arguments);
    run(&cluster_part("bin/helm"), all, values)
}

/// What a case may change of how it is rendered: its lines that begin with `#!`.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) release: String,
    pub(crate) kubernetes: String,
}

impl Options {
    pub(crate) fn of(values: &str) -> Self {
        let mut options = Self { release: RELEASE.to_owned(), kubernetes: KUBERNETES.to_owned() };
        for line in values.lines().filter_map(|line| line.strip_prefix("#! ")) {
            match line.split_once(' ') {
                Some(("--release", name)) => name.clone_into(&mut options.release),
                Some(("--kube-version", version)) => version.clone_into(&mut options.kubernetes),
                _ => panic!("unknown option of a case: {line}"),
            }
        }
        options
    }
}

/// Renders values that must be good.
#[track_caller]
pub(crate) fn render(name: &str, values: &str) -> String {
    let said = template(&Options::of(values), &[], values);
    assert!(said.is_good, "{name} does not render:\n{}", said.stderr);
    said.stdout
}

/// Asks kubeconform about objects. Kinds of the Prometheus operator are not Kubernetes' own, so there is no schema for them.
pub(crate) fn conform(objects: &str) -> Said {
    let location =
        format!("{}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json", cluster_part("schemas").display());
    let arguments =
        ["-strict", "-skip", "ServiceMonitor,PodMonitor", "-schema-location", &location, "-summary", "-"];
    run(&cluster_part("bin/kubeconform"), arguments, objects)
}

/// Asks helm for anything else.
pub(crate) fn helm<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Said {
    run(&cluster_part("bin/helm"), arguments, "")
}

/// Asks kubectl.
pub(crate) fn kubectl<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Said {
    run(&cluster_part("bin/kubectl"), arguments, "")
}

/// Has ringway validate a configuration, in the environment that the chart gives it.
pub(crate) fn validate(configuration: &str) -> Said {
    let uri = format!("yaml:{configuration}");
    run(Path::new(env!("CARGO_BIN_EXE_ringway")), ["validate", "--config", &uri], "")
}

/// Has the real Collector validate a configuration.
pub(crate) fn collector_validates(configuration: &str) -> Said {
    let uri = format!("yaml:{configuration}");
    let collector =
        part("RINGWAY_REAL_PARTS", "the directory that tests/real/build.sh prints", "bin/otelcol-real");
    run(&collector, ["validate", "--config", &uri], "")
}

/// A file of what `tests/cluster/build.sh` builds.
pub(crate) fn cluster_part(path: &str) -> PathBuf {
    part("RINGWAY_CLUSTER_PARTS", "the directory that tests/cluster/build.sh prints", path)
}

fn part(variable: &str, what: &str, path: &str) -> PathBuf {
    let how = format!("run `make chart-test`, or set it to {what}");
    let directory = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: {how}"));
    let part = Path::new(&directory).join(path);
    assert!(part.exists(), "{} is missing under {variable}: {how}", part.display());
    part
}

/// Runs a program to its end, with a text on its standard input.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
    input: &str,
) -> Said {
    let mut child = Command::new(program)
        .args(arguments)
        // What a pod of the chart has in its environment.
        .env("MY_POD_IP", "10.0.0.7")
        .env("POOL", "samplers.observability")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut stdin = child.stdin.take().unwrap();
    // A tool that fails early does not read all of it.
    let _closed_early = stdin.write_all(input.as_bytes()).is_err();
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Said {
        is_good: status.success(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}
