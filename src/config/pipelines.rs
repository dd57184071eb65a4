//! `service.pipelines`: references become indices, and processors become settings of what they lead to.
//!
//! Stage: engine. Texts: Collector `otelcol` v0.161.0 `config.go`, `service` v0.161.0 `pipelines/config.go`, `pipeline` v1.67.0.

use std::sync::Arc;

use super::{
    components::Components,
    decode::{Fields, Text, decode},
    exporter,
    extensions::Running,
    ids::Id,
    memory::Limiter,
    processors::Processor,
    receiver,
    report::{At, Report},
    schema::{Section, ids},
    tree::{Entry, Value},
};
use crate::model::{
    Signal,
    settings::{Batch, Exporter, Pipeline, Receiver},
};

mod assemble;

pub(super) static PIPELINE: Section =
    Section::strict(&[ids("receivers"), ids("processors"), ids("exporters")]);

/// What the pipelines make of the components.
#[derive(Debug, Default)]
pub(super) struct Wired {
    pub(super) receivers: Vec<Receiver>,
    pub(super) exporters: Vec<Exporter>,
    pub(super) pipelines: Vec<Pipeline>,
    /// The memory limiters of all pipelines.
    pub(super) limiters: Vec<Limiter>,
}

/// A pipeline whose indices still count all components, used or not.
#[derive(Debug)]
struct Draft {
    id: Arc<str>,
    signal: Signal,
    at: At,
    receivers: Vec<usize>,
    exporters: Vec<usize>,
    asked: Asked,
    /// Whether some receiver keeps the headers of requests.
    has_metadata: bool,
}

/// What the processors of one pipeline come to.
#[derive(Debug, Default)]
struct Asked {
    batch: Option<Batch>,
    /// Headers of the client by which its batch processors keep data apart.
    metadata_keys: Vec<Text>,
    limiters: Vec<Limiter>,
}

/// Resolves every pipeline. Components that none of them names are left out.
pub(super) fn read(
    service: &Fields,
    receivers: Components<receiver::Read>,
    processors: &Components<Processor>,
    exporters: Components<exporter::Read>,
    running: &Running,
    report: &mut Report,
) -> Wired {
    let at = service.at("pipelines");
    let entries = match service.any("pipelines").map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        Some(other) => {
            report.error(at, format!("expected a map, got {:?}", other.type_name()));
            return Wired::default();
        }
        None => &[],
    };
    if entries.is_empty() && !service.is_failed("pipelines") {
        report.error(at, "service must have at least one pipeline");
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for entry in entries {
        let draft = draft(entry, at, &receivers, processors, &exporters, report);
        if let Some(draft) = draft {
            if drafts.iter().any(|known| known.id == draft.id) {
                report.error(&draft.at, format!("duplicate name {:?}", draft.id));
            } else {
                drafts.push(draft);
            }
        }
    }
    assemble::assemble(&drafts, receivers, exporters, running, report)
}

fn draft(
    entry: &Entry,
    at: &At,
    receivers: &Components<receiver::Read>,
    processors: &Components<Processor>,
    exporters: &Components<exporter::Read>,
    report: &mut Report,
) -> Option<Draft> {
    let place = at.key(&entry.key, &entry.place);
    let id = Id::parse(&entry.key)
        .map_err(|message| report.error(&At { path: at.path.clone(), place: place.place.clone() }, message))
        .ok()?;
    let signal = signal(&id, &entry.key, &place, report);
    let fields = decode(&PIPELINE, Some(&entry.node), place, report);
    for (key, one) in [("receivers", "receiver"), ("exporters", "exporter")] {
        if fields.texts(key).is_empty() && !fields.is_failed(key) {
            report.error(&fields.at, format!("must have at least one {one}"));
        }
    }
    let keeps_metadata = |index: &usize| {
        receivers
            .get(*index)
            .and_then(|receiver| receiver.value.as_ref())
            .is_some_and(receiver::Read::includes_metadata)
    };
    let receivers = resolve(&fields, "receivers", receivers, report);
    let exporters = resolve(&fields, "exporters", exporters, report);
    let named = resolve(&fields, "processors", processors, report);
    repeated(fields.texts("processors"), &fields.at, report);
    let asked = process(&named, processors, &fields, report);
    Some(Draft {
        id: id.to_string().into(),
        signal: signal?,
        has_metadata: receivers.iter().any(keeps_metadata),
        asked,
        at: fields.at,
        receivers,
        exporters,
    })
}

/// What the pipeline carries, by the part of its id before the slash.
fn signal(id: &Id, key: &str, at: &At, report: &mut Report) -> Option<Signal> {
    let found = Signal::ALL.into_iter().find(|signal| signal.as_str() == id.kind);
    if found.is_some() {
        return found;
    }
    report.error(
        at,
        match id.kind.as_str() {
            "profiles" => format!(
                "pipeline {:?}: profiling signal support is at alpha level, gated under the \
                 \"service.profilesSupport\" feature gate, which ringway does not have",
                id.to_string()
            ),
            other => {
                format!("in {key:?} id: unknown pipeline signal: {other:?} (allowed: traces, metrics, logs)")
            }
        },
    );
    None
}

/// Indices of what a list names, each once.
fn resolve<T>(fields: &Fields, key: &str, components: &Components<T>, report: &mut Report) -> Vec<usize> {
    let mut found = Vec::new();
    for name in fields.texts(key) {
        if let Some(index) = components.find(&name.text, &name.at, &fields.at, report)
            && !found.contains(&index)
        {
            found.push(index);
        }
    }
    found
}

fn repeated(names: &[Text], at: &At, report: &mut Report) {
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|earlier| earlier.text.trim() == name.text.trim()) {
            let at = At { path: at.path.clone(), place: name.at.place.clone() };
            report.error(&at, format!("references processor {:?} multiple times", name.text.trim()));
        }
    }
}

fn process(
    named: &[usize],
    processors: &Components<Processor>,
    fields: &Fields,
    report: &mut Report,
) -> Asked {
    let mut asked = Asked::default();
    for component in named.iter().filter_map(|index| processors.get(*index)) {
        match &component.value {
            Some(Processor::MemoryLimiter(limit)) => {
                asked.limiters.push(Limiter { at: component.at.clone(), limit: *limit });
            }
            Some(Processor::Batch { batch: next, metadata_keys: keys }) => {
                asked.metadata_keys.extend_from_slice(keys);
                asked.batch = Some(match asked.batch {
                    Some(first) => {
                        report.warn(
                            fields.at("processors"),
                            "more than one batch processor: the smaller values hold",
                        );
                        assemble::smaller(first, *next)
                    }
                    None => *next,
                });
            }
            None => {}
        }
    }
    asked
}
