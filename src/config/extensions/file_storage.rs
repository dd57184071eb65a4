//! `extensions.file_storage`: where `sending_queue.storage` keeps data.
//!
//! Stage: engine. Keys, defaults and texts: contrib `extension/storage/filestorage` v0.161.0 `config.go` and `factory.go`. The
//! Collector looks at the directory while it validates; the configuration alone cannot, so a missing directory ends the start
//! instead, with the same words. The queue is an append-only log here, not a bbolt file: there is nothing to compact, and a
//! damaged end is cut off without being asked to by `recreate`.

use std::sync::Arc;

use crate::{
    config::{
        decode::{Fields, decode},
        report::{At, Report},
        schema::{Section, boolean, duration, int, section, text},
        tree::Node,
    },
    model::settings::Storage,
};

pub(super) static FILE_STORAGE: Section = Section::strict(&[
    text("directory", DIRECTORY),
    duration("timeout", 1_000).no_effect(),
    int("max_size", 0),
    section("compaction", &COMPACTION).no_effect(),
    boolean("fsync", false),
    boolean("create_directory", false),
    text("directory_permissions", "0750").no_effect(),
    boolean("recreate", false).no_effect(),
]);

static COMPACTION: Section = Section::strict(&[
    boolean("on_start", false),
    boolean("on_rebound", false),
    text("directory", DIRECTORY),
    int("rebound_needed_threshold_mib", 100),
    int("rebound_trigger_threshold_mib", 10),
    int("max_transaction_size", 65_536),
    duration("check_interval", 5_000),
    boolean("cleanup_on_start", false),
]);

/// `getDefaultDirectory` in `default_others.go`.
const DIRECTORY: &str = "/var/lib/otelcol/file_storage";
/// Permission bits: Go's `fs.ModePerm`.
const PERMISSIONS_MAX: u32 = 0o777;

/// Reads one extension.
pub(super) fn read(id: Arc<str>, node: &Node, at: At, report: &mut Report) -> Storage {
    let fields = decode(&FILE_STORAGE, Some(node), at, report);
    let directory = fields.text("directory");
    if directory.is_empty() && !fields.is_failed("directory") {
        report.error(fields.at("directory"), "directory must exist: no directory is given");
    }
    let max_size = fields.int("max_size");
    if max_size < 0 {
        report.error(fields.at("max_size"), "max size cannot be less than 0");
    }
    compaction(fields.plain("compaction"), max_size, report);
    if fields.bool("create_directory") {
        permissions(&fields, report);
    }
    Storage {
        id,
        directory: directory.into(),
        fsync: fields.bool("fsync"),
        create_directory: fields.bool("create_directory"),
        max_bytes: u64::try_from(max_size).ok().filter(|bytes| *bytes > 0),
    }
}

/// Nothing is compacted; what the Collector refuses is refused all the same.
fn compaction(fields: &Fields, max_size: i64, report: &mut Report) {
    let name = "max_transaction_size";
    if fields.int(name) < 0 {
        report.error(fields.at(name), "max transaction size for compaction cannot be less than 0");
    }
    if !fields.bool("on_rebound") {
        return;
    }
    for (name, word) in
        [("rebound_needed_threshold_mib", "needed"), ("rebound_trigger_threshold_mib", "trigger")]
    {
        if max_size > 0 && fields.int(name).saturating_mul(1 << 20) > max_size {
            let message = format!("compaction rebound {word} threshold cannot be greater than max size");
            report.error(fields.at(name), message);
        }
    }
    if fields.duration("check_interval") <= 0 {
        let message = "compaction check interval must be positive when rebound compaction is set";
        report.error(fields.at("check_interval"), message);
    }
}

fn permissions(fields: &Fields, report: &mut Report) {
    let at = fields.at("directory_permissions");
    match u32::from_str_radix(fields.text("directory_permissions"), 8) {
        Ok(bits) if bits <= PERMISSIONS_MAX => {}
        Ok(_) => report.error(at, "directory_permissions contain invalid bits for file access"),
        Err(_) => report.error(at, "directory_permissions value must be a valid octal representation"),
    }
}
