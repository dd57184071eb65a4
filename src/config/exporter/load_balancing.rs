//! `exporters.load_balancing`, alias `loadbalancing`.
//!
//! Stage: engine. Keys, defaults and texts: contrib `exporter/loadbalancingexporter` v0.161.0 `config.go`, `factory.go` and
//! `loadbalancer.go`. Our own block is `ringway`. What is hashed is in `routing`, where endpoints
//! come from in `discovery`, what becomes of the two levels of queue and retry in `levels`.

use std::sync::Arc;

use super::{
    Read, client, delivery, discovery, levels, otlp_grpc,
    routing::{self, POLICIES},
};
use crate::{
    config::{
        decode::{Fields, decode},
        net::std_duration,
        queue::QUEUE,
        report::{At, Report},
        retry::RETRY_WITHOUT_DEFAULTS,
        schema::{Section, duration, off_until_written, section, text, texts},
        tree::Node,
    },
    model::settings::{Destination, Exporter, RingGeneration},
};

pub(super) static EXPORTER: Section = Section::strict(&[
    text("routing_key", ""),
    texts("routing_attributes", &[]),
    section("protocol", &PROTOCOL),
    section("resolver", &discovery::RESOLVER),
    duration("timeout", 0),
    section("retry_on_failure", &RETRY_WITHOUT_DEFAULTS),
    off_until_written("sending_queue", &QUEUE),
    section("ringway", &RINGWAY),
]);

static PROTOCOL: Section = Section::strict(&[section("otlp", &otlp_grpc::BACKEND)]);

/// Ours. `ring_generation`: which of the Collector's rings. The others: [`client::message_limit`], [`routing`].
static RINGWAY: Section = Section::strict(&[
    text("ring_generation", "G3"),
    client::GRPC_MESSAGE_MIB,
    delivery::AMBIGUOUS,
    delivery::DRAIN_TIMEOUT,
    delivery::HEALTH,
    discovery::MEMBERSHIP,
    discovery::K8S_OURS,
    discovery::DNS_OURS,
])
.with(&POLICIES);

/// Reads one load-balancing exporter.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Read {
    let fields = decode(&EXPORTER, Some(node), at, report);
    let ringway = fields.plain("ringway");
    let routing = routing::read(&fields, ringway, report);
    let resolver = discovery::resolver(&fields, ringway, report);
    let membership = discovery::membership(&resolver, ringway, report);
    let ring = ring_generation(ringway, report);
    let max_message_bytes = client::message_limit(ringway, report);
    let timeout = fields.duration("timeout");
    if timeout < 0 {
        report.error(fields.at("timeout"), "timeout value must be greater than or equal to 0");
    }
    let mut levels = levels::both(&fields, report);
    let otlp = fields.plain("protocol").plain("otlp");
    otlp_grpc::check_unused_endpoint(otlp, report);
    let has_batch = levels.batch.is_some();
    let metadata_keys = std::mem::take(&mut levels.metadata_keys);
    let storage = levels.storage.take();
    let authenticator = client::authenticator(otlp, report);
    let mut backend = otlp_grpc::backend(otlp, levels, max_message_bytes, report);
    backend.ambiguous = delivery::ambiguous(ringway, report);
    backend.drain_timeout = delivery::drain_timeout(ringway, report);
    backend.health = delivery::health(ringway, report);
    let exporter = Exporter {
        id,
        destination: Destination::Pool { keys: [const { None }; 3], ring, resolver, membership },
        backend,
        timeout: (timeout > 0).then(|| std_duration(timeout)),
    };
    Read {
        exporter,
        has_batch,
        at: fields.at,
        routing: Some(routing),
        authenticator,
        storage,
        metadata_keys,
        has_bad_endpoint: false,
    }
}

fn ring_generation(fields: &Fields, report: &mut Report) -> RingGeneration {
    match fields.text("ring_generation") {
        "G1" => RingGeneration::G1,
        "G2" => RingGeneration::G2,
        "G3" => RingGeneration::G3,
        other => {
            let message = format!(
                "invalid ring_generation: {other:?} (allowed: G1 for Collectors up to v0.129, G2 for v0.130.0 to \
                 v0.156.0, G3 for v0.157.0 and later)"
            );
            report.error(fields.at("ring_generation"), message);
            RingGeneration::G3
        }
    }
}
