//! Reads the metrics that a Collector's file exporter wrote: one OTLP/JSON request a line.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// One number of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Metric, attributes of the resource and of the point: `name{key=value,…}`. The parts of a histogram are series of
    /// their own, whose names end in `.count`, `.sum` and `.bucket.0` upwards.
    pub(crate) series: String,
    /// `timeUnixNano`.
    pub(crate) time: u64,
    /// The value. Tests write only numbers that are exact here.
    pub(crate) value: f64,
}

/// All samples of the complete lines of a file, in the order of arrival; none if there is no file yet.
///
/// # Errors
///
/// When the file cannot be read, or a complete line is not OTLP/JSON of sums and histograms.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Sample>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut samples = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let request = serde_json::from_str(line).with_context(|| format!("{}", path.display()))?;
        collect(&request, &mut samples).with_context(|| format!("{}: {line}", path.display()))?;
    }
    Ok(samples)
}

fn collect(request: &Value, into: &mut Vec<Sample>) -> anyhow::Result<()> {
    for resource in list(&request["resourceMetrics"]) {
        for metric in list(&resource["scopeMetrics"]).flat_map(|scope| list(&scope["metrics"])) {
            let name = metric["name"].as_str().context("a metric without a name")?;
            let points = list(&metric["sum"]["dataPoints"]).chain(list(&metric["histogram"]["dataPoints"]));
            let before = into.len();
            for point in points {
                let labels =
                    labels(list(&resource["resource"]["attributes"]).chain(list(&point["attributes"])));
                let time = whole(&point["timeUnixNano"])?;
                let mut push = |part: &str, value| {
                    into.push(Sample { series: format!("{name}{part}{{{labels}}}"), time, value });
                };
                for (part, field) in [("", "asInt"), ("", "asDouble"), (".sum", "sum")] {
                    if !point[field].is_null() {
                        push(part, number(&point[field])?);
                    }
                }
                if !point["bucketCounts"].is_null() {
                    // Left out when it is 0, as every field without presence.
                    push(".count", if point["count"].is_null() { 0.0 } else { number(&point["count"])? });
                }
                for (bucket, count) in list(&point["bucketCounts"]).enumerate() {
                    push(&format!(".bucket.{bucket}"), number(count)?);
                }
            }
            anyhow::ensure!(into.len() > before, "metric {name} has no sum or histogram points");
        }
    }
    Ok(())
}

fn labels<'a>(attributes: impl Iterator<Item = &'a Value>) -> String {
    let mut labels: Vec<String> = attributes
        .map(|attribute| {
            let key = attribute["key"].as_str().unwrap_or_default();
            format!("{key}={}", attribute["value"]["stringValue"].as_str().unwrap_or_default())
        })
        .collect();
    labels.sort_unstable();
    labels.dedup();
    labels.join(",")
}

/// A number, or one in a string as OTLP/JSON has 64-bit integers.
fn number(value: &Value) -> anyhow::Result<f64> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    number.with_context(|| format!("{value} is not a number"))
}

fn whole(value: &Value) -> anyhow::Result<u64> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("{value} is not a time"))
}

/// The elements of a list; none if it is absent, which in OTLP/JSON means empty.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn sums_and_histograms_are_read() {
    // Scenario: a file with an integer sum, a double sum, a histogram, and a line that is not complete.
    // Guarantees: every number of the complete lines is a sample; labels of resource and point are sorted and not doubled.
    let line = concat!(
        r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"s","value":{"stringValue":"x"}}]},"scopeMetrics":[{"metrics":["#,
        r#"{"name":"i","sum":{"dataPoints":[{"attributes":[{"key":"s","value":{"stringValue":"x"}},{"key":"a","value":{"stringValue":"y"}}],"#,
        r#""timeUnixNano":"7","asInt":"3"}]}},"#,
        r#"{"name":"d","sum":{"dataPoints":[{"timeUnixNano":"8","asDouble":0.5}]}},"#,
        r#"{"name":"h","histogram":{"dataPoints":[{"timeUnixNano":"9","count":"2","sum":1.5,"bucketCounts":["0","2"]}]}}"#,
        r#"]}]}]}"#
    );
    let workspace = crate::workspace::Workspace::new("samples").unwrap();
    let path = workspace.path("samples.json");
    assert_eq!(read(&path).unwrap(), []);
    std::fs::write(&path, format!("{line}\n{line}")).unwrap();
    let samples = read(&path).unwrap();
    let all: Vec<(&str, u64, f64)> =
        samples.iter().map(|sample| (sample.series.as_str(), sample.time, sample.value)).collect();
    assert_eq!(
        all,
        [
            ("i{a=y,s=x}", 7, 3.0),
            ("d{s=x}", 8, 0.5),
            ("h.sum{s=x}", 9, 1.5),
            ("h.count{s=x}", 9, 2.0),
            ("h.bucket.0{s=x}", 9, 0.0),
            ("h.bucket.1{s=x}", 9, 2.0),
        ]
    );
    workspace.remove().unwrap();
}
