//! What the clients of both protocols share: who sets their headers, and the size of a message.
//!
//! Stage: engine. The message limit is ours.

use std::time::Duration;

use crate::{
    config::{
        decode::{Fields, Text},
        net::unsigned,
        report::Report,
        schema::{Key, int},
    },
    model::settings::{Batch, Sizer},
};

/// `max_message_size_mib` of a block `ringway`: limit of one message to a backend before compression. The default is what
/// a Collector's receiver takes (grpc-go `defaultServerMaxReceiveMessageSize`).
pub(super) const GRPC_MESSAGE_MIB: Key = int("max_message_size_mib", 4);
/// The same for HTTP (`confighttp` v0.161.0 `defaultMaxRequestBodySize`).
pub(super) const HTTP_MESSAGE_MIB: Key = int("max_message_size_mib", 20);
/// The largest `max_message_size_mib`: gRPC writes the length of a message in four bytes.
const MESSAGE_MIB_MAX: i64 = 4095;

/// Without `batch`, parts merge only while they wait anyway.
pub(super) const NO_BATCH: Batch =
    Batch { min_size: 0, max_size: 0, flush_timeout: Duration::ZERO, sizer: Sizer::Items };

/// Checks `max_message_size_mib` and gives it in bytes.
pub(super) fn message_limit(ringway: &Fields, report: &mut Report) -> usize {
    let mib = ringway.int("max_message_size_mib");
    if !(1..=MESSAGE_MIB_MAX).contains(&mib) {
        let message = format!("max_message_size_mib must be between 1 and {MESSAGE_MIB_MAX}, found {mib}");
        report.error(ringway.at("max_message_size_mib"), message);
    }
    unsigned(mib).saturating_mul(1 << 20)
}

/// The extension that `auth` names.
pub(super) fn authenticator(fields: &Fields, report: &mut Report) -> Option<Text> {
    let auth = fields.optional("auth")?;
    let name = auth.id("authenticator");
    if name.is_none() && !auth.is_failed("authenticator") {
        report.error(&auth.at, "`authenticator` must name an extension");
    }
    name.cloned()
}
