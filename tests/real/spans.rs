//! Reads what a Collector's file exporter wrote: one OTLP/JSON request a line.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// Identity of a span: trace id and span id, in hex.
pub(crate) type SpanId = (String, String);

/// A span as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Trace id and span id.
    pub(crate) id: SpanId,
    /// `service.name` of its resource.
    pub(crate) service: String,
}

/// A file that grows while it is read. Each span is read once, so watching a large file stays cheap.
#[derive(Debug, Clone)]
pub(crate) struct SpanFile {
    path: PathBuf,
    offset: u64,
    /// A line that is not complete yet.
    rest: Vec<u8>,
    spans: Vec<Span>,
}

impl SpanFile {
    /// Starts at the beginning of a file that may not exist yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, rest: Vec::new(), spans: Vec::new() }
    }

    /// All spans of complete lines so far, in the order of arrival.
    ///
    /// The end of a file whose writer was killed may be half a line; the exporter acknowledges a request after its whole
    /// line, so what this leaves out was never acknowledged.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or a complete line is not OTLP/JSON.
    pub(crate) fn read(&mut self) -> anyhow::Result<&[Span]> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(&self.spans),
            Err(error) => return Err(error).with_context(|| format!("opening {}", self.path.display())),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += u64::try_from(file.read_to_end(&mut self.rest)?)?;
        let complete = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in self.rest[..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let request = serde_json::from_slice(line).with_context(|| format!("{}", self.path.display()))?;
            collect(&request, &mut self.spans).with_context(|| format!("{}", self.path.display()))?;
        }
        self.rest.drain(..complete);
        Ok(&self.spans)
    }
}

fn collect(request: &Value, into: &mut Vec<Span>) -> anyhow::Result<()> {
    for resource in list(request, "resourceSpans") {
        let service = list(&resource["resource"], "attributes")
            .find(|attribute| attribute["key"] == "service.name")
            .and_then(|attribute| attribute["value"]["stringValue"].as_str())
            .unwrap_or_default();
        for span in list(resource, "scopeSpans").flat_map(|scope| list(scope, "spans")) {
            let text = |key: &str| span[key].as_str().with_context(|| format!("a span without {key}"));
            into.push(Span {
                id: (text("traceId")?.to_owned(), text("spanId")?.to_owned()),
                service: service.to_owned(),
            });
        }
    }
    Ok(())
}

/// The elements of a list member; none if it is absent, which in OTLP/JSON means empty.
fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[test]
fn a_growing_file_is_read_once_and_a_cut_line_waits() {
    // Scenario: a file ends in the middle of a line, then the line is completed.
    // Guarantees: complete lines are spans, each once; half a line is neither an error nor a span.
    let line = |trace: &str| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s"}}}}]}},"scopeSpans":[{{"spans":[{{"traceId":"{trace}","spanId":"01"}}]}}]}}]}}"#
        )
    };
    let workspace = crate::workspace::Workspace::new("spans").unwrap();
    let path = workspace.path("spans.json");
    let mut file = SpanFile::new(&path);
    assert_eq!(file.read().unwrap().len(), 0);

    let second = line("b");
    let (head, tail) = second.split_at(40);
    std::fs::write(&path, format!("{}\n{head}", line("a"))).unwrap();
    assert_eq!(file.read().unwrap().len(), 1);
    std::fs::write(&path, format!("{}\n{head}{tail}\n", line("a"))).unwrap();
    let spans = file.read().unwrap();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[1].id, ("b".to_owned(), "01".to_owned()));
    assert_eq!(spans[1].service, "s");
    workspace.remove().unwrap();
}
