//! The process's own log lines: set-up, and a brake for lines that a failing backend would repeat.
//!
//! Stage: edge. Lines go to standard error, lowercase, without a full stop, facts in fields.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::model::{Code, settings};

/// Lines of one kind are at least this far apart.
const APART: Duration = Duration::from_secs(10);

/// Starts logging for the process. Does nothing if it has been started before.
pub fn start(settings: &settings::Telemetry) {
    let level = match settings.log_level {
        settings::LogLevel::Debug => LevelFilter::DEBUG,
        settings::LogLevel::Info => LevelFilter::INFO,
        settings::LogLevel::Warn => LevelFilter::WARN,
        settings::LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries have no brake for what a broken peer makes them say, and what matters of it is said here.
    let others = if level == LevelFilter::DEBUG { LevelFilter::WARN } else { LevelFilter::OFF };
    let targets = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_default(others);
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // An error means that a subscriber is set already: a test, or an embedding program, has chosen its own.
    let _already = if settings.log_json {
        lines.json().finish().with(targets).try_init()
    } else {
        lines.finish().with(targets).try_init()
    };
}

/// A brake for lines of one kind: lets one through for each interval, and counts the rest. Usable as a `static`.
#[derive(Debug)]
pub struct LineLimit {
    /// When the last line was written, and how many were held back since.
    last: Mutex<Option<(Instant, u64)>>,
}

impl LineLimit {
    /// A brake that has seen nothing.
    pub const fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// `Some(n)`: write the line; `n` lines were held back since the last one.
    pub fn allow(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *last {
            Some((written, held)) if now.duration_since(*written) < APART => {
                *held = held.saturating_add(1);
                None
            }
            last => last.replace((now, 0)).map_or(Some(0), |(_, held)| Some(held)),
        }
    }
}

/// A brake for each code.
#[derive(Debug)]
pub struct Limiter {
    kinds: [LineLimit; Code::ALL.len()],
}

impl Limiter {
    /// A brake that has seen nothing.
    pub fn new() -> Self {
        Self { kinds: Code::ALL.map(|_| LineLimit::new()) }
    }

    /// `Some(n)`: write the line; `n` lines of this kind were held back since the last one.
    pub fn allow(&self, code: Code) -> Option<u64> {
        let index = Code::ALL.iter().position(|other| *other == code)?;
        self.kinds.get(index)?.allow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a backend fails three times at once, again after the interval, and once for another reason.
    // Guarantees: one line for each reason and interval, with the number of those held back.
    #[tokio::test(start_paused = true)]
    async fn lines_are_held_back_and_counted() {
        let limiter = Limiter::new();
        assert_eq!(limiter.allow(Code::Timeout), Some(0));
        assert_eq!(limiter.allow(Code::Timeout), None);
        assert_eq!(limiter.allow(Code::Timeout), None);
        assert_eq!(limiter.allow(Code::Rejected), Some(0));
        tokio::time::advance(APART).await;
        assert_eq!(limiter.allow(Code::Timeout), Some(2));
    }

    // Scenario: one line is asked for again and again.
    // Guarantees: it is written once, and again only after the interval.
    #[tokio::test(start_paused = true)]
    async fn lines_are_limited() {
        let limit = LineLimit::new();
        assert!(limit.allow().is_some());
        tokio::time::advance(APART / 2).await;
        assert!(limit.allow().is_none());
        tokio::time::advance(APART).await;
        assert!(limit.allow().is_some());
    }
}
