//! Whether the process is ready, and the pages that say so.
//!
//! Stage: admin. The composition root moves the state; probes read it. Answers are those of the Collector's
//! `healthcheckextension` (contrib v0.161.0, `internal/healthcheck/handler.go`), with three pages more.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::StatusCode;
use tokio::time::Instant;

use super::{server::Page, status, views::Views};
use crate::model::settings;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not everything is built, or no backend is known yet.
    Starting,
    /// Data is taken.
    Ready {
        /// When that began, for people.
        since: SystemTime,
        /// The same on the clock that is never set.
        at: Instant,
    },
    /// The process was told to end; it may still drain.
    Stopping,
}

/// The state of the process, shared by the one who changes it and those who show it. Clones share the state.
#[derive(Clone, Debug)]
pub struct Health {
    started: Instant,
    state: Arc<Mutex<State>>,
}

/// The pages of the health check's listener.
#[derive(Debug)]
pub(super) struct HealthPages {
    health: Health,
    views: Views,
    path: Arc<str>,
    response_body: Option<(Arc<str>, Arc<str>)>,
}

// === impl Health ===

impl Health {
    /// Starting, from now on.
    pub fn new() -> Self {
        Self { started: Instant::now(), state: Arc::new(Mutex::new(State::Starting)) }
    }

    /// When the process started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Data is taken from now on. `now` is what the page shows. Without effect unless the process is starting: a
    /// stop is never taken back.
    pub fn ready(&self, now: SystemTime) {
        self.change(|state| match state {
            State::Starting => State::Ready { since: now, at: Instant::now() },
            State::Ready { .. } | State::Stopping => state,
        });
    }

    /// The process ends. Call this first of all when a stop is asked for.
    pub fn stopping(&self) {
        self.change(|_| State::Stopping);
    }

    /// The state now.
    pub fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, next: impl FnOnce(State) -> State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = next(*state);
    }
}

// === impl HealthPages ===

impl HealthPages {
    pub(super) fn new(settings: &settings::HealthCheck, health: Health, views: Views) -> Self {
        let (path, response_body) = (Arc::clone(&settings.path), settings.response_body.clone());
        Self { health, views, path, response_body }
    }

    pub(super) fn page(&self, path: &str) -> Page {
        let state = self.health.state();
        match path {
            "/livez" => Page::text(StatusCode::OK, "alive"),
            "/readyz" => status::readiness(state, &self.views),
            "/ringz" => status::rings(&self.views),
            path if self.serves(path) => self.collector_page(state),
            _ => Page::text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    /// Go's ServeMux: a pattern that ends in `/` takes everything below it.
    fn serves(&self, path: &str) -> bool {
        match self.path.ends_with('/') {
            true => path.starts_with(&*self.path),
            false => path == &*self.path,
        }
    }

    fn collector_page(&self, state: State) -> Page {
        let status = match state {
            State::Ready { .. } => StatusCode::OK,
            State::Starting | State::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let Some((healthy, unhealthy)) = &self.response_body {
            let body = if status == StatusCode::OK { healthy } else { unhealthy };
            return Page { status, content_type: "text/plain; charset=utf-8", body: body.to_string() };
        }
        let body = match state {
            State::Ready { since, at } => format!(
                r#"{{"status":"Server available","upSince":"{}","uptime":"{}"}}"#,
                rfc3339(since),
                go_duration(at.elapsed()),
            ),
            State::Starting | State::Stopping => {
                r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#.to_owned()
            }
        };
        Page { status, content_type: "application/json", body }
    }
}

/// A time in UTC, RFC 3339, with as many digits of the second as it has. A time before 1970 is written as 1970.
fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
    push_fraction(&mut text, since_epoch.subsec_nanos(), 9);
    text.push('Z');
    text
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(mut day: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // 400 years have 146,097 days; taking them at once bounds the loops whatever the clock says.
    let mut year = 1970 + day / 146_097 * 400;
    day %= 146_097;
    loop {
        let days = if is_leap(year) { 366 } else { 365 };
        if day < days {
            break;
        }
        day -= days;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (year, month, day + 1)
}

/// A duration as Go prints it: `1h2m3.5s`, `2m0s`, `1.5ms`, `0s`.
///
/// Source: Go `time/time.go`, `Duration.String`.
fn go_duration(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    let seconds = duration.as_secs();
    let mut text = String::new();
    let (whole, rest, digits, unit) = match (seconds, nanos) {
        (0, 0) => (0, 0, 0, "s"),
        (0, ..1_000) => (u64::from(nanos), 0, 0, "ns"),
        (0, ..1_000_000) => (u64::from(nanos / 1_000), nanos % 1_000, 3, "µs"),
        (0, _) => (u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
        (seconds, nanos) => (seconds % 60, nanos, 9, "s"),
    };
    // Writing to a string cannot fail.
    if seconds >= 3600 {
        write!(text, "{}h", seconds / 3600).unwrap_or_default();
    }
    if seconds >= 60 {
        write!(text, "{}m", seconds / 60 % 60).unwrap_or_default();
    }
    write!(text, "{whole}").unwrap_or_default();
    push_fraction(&mut text, rest, digits);
    text.push_str(unit);
    text
}

/// Appends `.` and the fraction `rest / 10^digits` without the zeros at its end; nothing if it is 0.
fn push_fraction(text: &mut String, rest: u32, digits: usize) {
    if rest > 0 {
        let fraction = format!("{rest:0digits$}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: moments around leap days, centuries, the end of a year, and fractions.
    // Guarantees: the calendar is right, and the fraction is as long as it has to be.
    #[test]
    fn times_are_rfc3339() {
        for (seconds, nanos, expect) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_709_251_199, 999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_735_689_599, 120_000_000, "2024-12-31T23:59:59.12Z"),
            (1_740_787_200, 1_000, "2025-03-01T00:00:00.000001Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::new(seconds, nanos)), expect);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    // Scenario: durations of every size.
    // Guarantees: Go's spelling, as the Collector's page has it.
    #[test]
    fn durations_are_go_s() {
        for (seconds, nanos, expect) in [
            (0, 0, "0s"),
            (0, 1, "1ns"),
            (0, 1_100, "1.1µs"),
            (0, 2_200_000, "2.2ms"),
            (0, 999_999_999, "999.999999ms"),
            (1, 0, "1s"),
            (3, 300_000_000, "3.3s"),
            (62, 300_000_000, "1m2.3s"),
            (120, 0, "2m0s"),
            (3_600, 0, "1h0m0s"),
            (4 * 3_600 + 5 * 60 + 5, 1_000_000, "4h5m5.001s"),
            (360_000, 1, "100h0m0.000000001s"),
        ] {
            assert_eq!(go_duration(Duration::new(seconds, nanos)), expect);
        }
    }
}
