//! What may be held in memory: `processors.memory_limiter`, and our own `service.ringway.memory_budget_mib`.
//!
//! Stage: engine. Keys, defaults and texts: Collector `internal/memorylimiter` v0.161.0 `config.go` and `memorylimiter.go`. The
//! Collector measures its heap and refuses data of one pipeline above the soft limit. Here whatever is held has a
//! permit of one budget, so there is nothing to measure, and the soft limit is that budget. Of several limiters
//! the smallest holds, since what is held belongs to all pipelines together.

use super::{
    decode::{Fields, decode},
    net::unsigned,
    report::{At, Report},
    schema::{Key, Section, duration, int, uint32},
    tree::Node,
};
use crate::model::settings::Memory;

pub(super) static MEMORY_LIMITER: Section = Section::strict(&[
    duration("check_interval", 0),
    uint32("limit_mib", 0),
    uint32("spike_limit_mib", 0),
    uint32("limit_percentage", 0),
    uint32("spike_limit_percentage", 0),
    duration("min_gc_interval_when_soft_limited", 10_000),
    duration("min_gc_interval_when_hard_limited", 0),
    duration("max_gc_interval_when_soft_limited", 30_000),
    duration("max_gc_interval_when_hard_limited", 30_000),
]);

/// Ours: the budget in MiB; 0: what the memory limiters say.
pub(super) const BUDGET_MIB: Key = int("memory_budget_mib", 0);

const MIB: usize = 1 << 20;
/// What may be held where nothing is configured: the other half is for what is not counted, such as connections, code and what
/// the allocator keeps.
const DEFAULT: Memory = Memory::Percent(50.0);

/// A memory limiter that some pipeline names.
#[derive(Clone, Debug)]
pub(super) struct Limiter {
    pub(super) at: At,
    pub(super) limit: Memory,
}

/// The budget of the process.
pub(super) fn budget(service: &Fields, limiters: &[Limiter], report: &mut Report) -> Memory {
    let ringway = service.plain("ringway");
    let mib = ringway.int("memory_budget_mib");
    if mib < 0 {
        let message = format!("memory_budget_mib must be greater than or equal to 0, found {mib}");
        report.error(ringway.at("memory_budget_mib"), message);
    }
    if mib <= 0 {
        return smallest(limiters, report).unwrap_or(DEFAULT);
    }
    let budget = unsigned(mib).saturating_mul(MIB);
    for limiter in limiters {
        let message = "it has no effect: what may be held is `service.ringway.memory_budget_mib`";
        report.warn(&limiter.at, message);
        if let Memory::Bytes(limit) = limiter.limit
            && budget > limit
        {
            let soft = show(limiter.limit);
            let message =
                format!("it is larger than the soft limit of {}, {soft}, and holds", limiter.at.path);
            report.warn(ringway.at("memory_budget_mib"), message);
        }
    }
    Memory::Bytes(budget)
}

fn smallest(limiters: &[Limiter], report: &mut Report) -> Option<Memory> {
    let (mut bytes, mut percent) = (None::<usize>, None::<f64>);
    for limiter in limiters {
        match limiter.limit {
            Memory::Bytes(limit) => bytes = Some(bytes.map_or(limit, |least| least.min(limit))),
            Memory::Percent(limit) => percent = Some(percent.map_or(limit, |least| least.min(limit))),
        }
    }
    // What a share of the machine's memory comes to is not known here.
    let limit = bytes.map(Memory::Bytes).or_else(|| percent.map(Memory::Percent))?;
    for limiter in limiters {
        let message = match (limiter.limit, limit) {
            (own, least) if own == least => format!(
                "bodies, queues and batches of all pipelines together are held up to its soft limit, {}; memory is not \
                 measured, so `check_interval` and the intervals of garbage collections have no effect",
                show(own)
            ),
            (Memory::Percent(_), Memory::Bytes(_)) => format!(
                "it has no effect: another memory limiter is in MiB, and its soft limit, {}, holds for all pipelines \
                 together",
                show(limit)
            ),
            _ => format!(
                "it has no effect: the soft limit of another memory limiter is smaller, {}, and holds for all \
                 pipelines together",
                show(limit)
            ),
        };
        report.warn(&limiter.at, message);
    }
    Some(limit)
}

fn show(limit: Memory) -> String {
    match limit {
        Memory::Bytes(bytes) => format!("{} MiB", bytes / MIB),
        Memory::Percent(percent) => format!("{percent} % of the memory that the process may have"),
    }
}

/// Reads one `memory_limiter`: the limit from which on the Collector refuses data.
pub(super) fn read_limiter(node: &Node, at: At, report: &mut Report) -> Memory {
    let fields = decode(&MEMORY_LIMITER, Some(node), at, report);
    if fields.duration("check_interval") <= 0 {
        report.error(fields.at("check_interval"), "'check_interval' must be greater than zero");
    }
    limits(&fields, report);
    intervals(&fields, report);
    soft_limit(&fields)
}

/// `limit - spike`, and a fifth of the limit where no spike is given. MiB win over per cent. Source: `memorylimiter.go`,
/// `getMemUsageChecker` and `newFixedMemUsageChecker`.
fn soft_limit(fields: &Fields) -> Memory {
    let soft = |limit: &str, spike: &str, unit: usize| {
        let [limit, spike] = [limit, spike].map(|name| unsigned(fields.int(name)).saturating_mul(unit));
        limit.saturating_sub(if spike == 0 { limit / 5 } else { spike })
    };
    if fields.int("limit_mib") > 0 {
        return Memory::Bytes(soft("limit_mib", "spike_limit_mib", MIB));
    }
    // A fifth of one per cent is a whole number of thousandths. Validation keeps the number below 100,000.
    let thousandths = soft("limit_percentage", "spike_limit_percentage", 1000);
    Memory::Percent(f64::from(u32::try_from(thousandths).unwrap_or_default()) / 1000.0)
}

fn limits(fields: &Fields, report: &mut Report) {
    let (mib, percentage) = (fields.int("limit_mib"), fields.int("limit_percentage"));
    if mib == 0 && percentage == 0 {
        report.error(&fields.at, "'limit_mib' or 'limit_percentage' must be greater than zero");
    }
    for name in ["limit_percentage", "spike_limit_percentage"] {
        if fields.int(name) > 100 {
            report.error(
                fields.at(name),
                "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to \
                 hundred",
            );
        }
    }
    if mib > 0 && mib <= fields.int("spike_limit_mib") {
        report.error(fields.at("spike_limit_mib"), "'spike_limit_mib' must be smaller than 'limit_mib'");
    }
    if percentage > 0 && percentage <= fields.int("spike_limit_percentage") {
        let message = "'spike_limit_percentage' must be smaller than 'limit_percentage'";
        report.error(fields.at("spike_limit_percentage"), message);
    }
}

/// Intervals of forced garbage collections, of which there are none here; a bad one is refused all the same.
fn intervals(fields: &Fields, report: &mut Report) {
    const MIN_SOFT: &str = "min_gc_interval_when_soft_limited";
    const MIN_HARD: &str = "min_gc_interval_when_hard_limited";
    const MAX_SOFT: &str = "max_gc_interval_when_soft_limited";
    const MAX_HARD: &str = "max_gc_interval_when_hard_limited";
    if fields.duration(MIN_SOFT) < fields.duration(MIN_HARD) {
        report.error(fields.at(MIN_SOFT), format!("'{MIN_SOFT}' should be larger than '{MIN_HARD}'"));
    }
    for (max, min) in [(MAX_SOFT, MIN_SOFT), (MAX_HARD, MIN_HARD)] {
        let value = fields.duration(max);
        if value < 0 {
            report.error(fields.at(max), format!("'{max}' must be non-negative"));
        } else if value > 0 && value < fields.duration(min) {
            let message = format!("'{max}' must be greater than or equal to '{min}' (or 0 to disable)");
            report.error(fields.at(max), message);
        }
    }
    let (soft, hard) = (fields.duration(MAX_SOFT), fields.duration(MAX_HARD));
    if soft > 0 && hard > 0 && soft < hard {
        let message =
            format!("'{MAX_SOFT}' should be larger than or equal to '{MAX_HARD}' (when both are set)");
        report.error(fields.at(MAX_SOFT), message);
    }
}

#[cfg(test)]
mod tests;
