//! A histogram of durations with about one and a half per cent of error and a fixed size.

use std::time::Duration;

/// Buckets for each power of two.
const PER_OCTAVE: usize = 64;
/// Powers of two of a microsecond: up to 2³² µs, over an hour.
const OCTAVES: usize = 32;

/// Durations, counted in logarithmic buckets of whole microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

// === impl Latencies ===

impl Latencies {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0; PER_OCTAVE * OCTAVES], count: 0 }
    }

    pub(super) fn record(&mut self, duration: Duration) {
        let index = bucket(duration.as_micros()).min(self.buckets.len() - 1);
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
            self.count += 1;
        }
    }

    /// Adds what another histogram holds.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.count += other.count;
    }

    /// The duration that a share of all (0 to 1) does not exceed, rounded up to the end of its bucket. Zero if
    /// there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(end(index));
            }
        }
        Duration::ZERO
    }
}

/// Below [`PER_OCTAVE`] a bucket is a microsecond; above, the leading bits choose it.
fn bucket(micros: u128) -> usize {
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    let octave = (micros / PER_OCTAVE as u64).checked_ilog2().map_or(0, |log| log as usize + 1);
    if octave == 0 {
        return micros as usize;
    }
    let shift = octave - 1;
    octave * PER_OCTAVE + (micros >> shift) as usize - PER_OCTAVE
}

/// The largest microsecond of a bucket.
const fn end(index: usize) -> u64 {
    let (octave, within) = (index / PER_OCTAVE, index % PER_OCTAVE);
    if octave == 0 {
        return within as u64;
    }
    let shift = octave - 1;
    (((PER_OCTAVE + within + 1) as u64) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: durations around every boundary of the buckets.
    // Guarantees: buckets tile the axis without gap or overlap, and none is wider than a sixty-fourth of its start.
    #[test]
    fn buckets_tile_the_axis() {
        assert_eq!((bucket(0), end(0)), (0, 0));
        for index in 1..PER_OCTAVE * (OCTAVES - 1) {
            let first = end(index - 1) + 1;
            let last = end(index);
            assert_eq!(bucket(first.into()), index);
            assert_eq!(bucket(last.into()), index);
            assert!(last - first <= first / PER_OCTAVE as u64);
        }
    }

    // Scenario: a hundred durations of 1 to 100 ms, then two histograms merged, then none at all.
    // Guarantees: quantiles are those of the data within the error of a bucket.
    #[test]
    fn quantiles_are_those_of_the_data() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis));
        }
        let near = |found: Duration, millis: f64| {
            let found = found.as_secs_f64() * 1e3;
            assert!((millis..millis * 1.02).contains(&found), "{found} is not {millis}");
        };
        near(latencies.quantile(0.5), 50.0);
        near(latencies.quantile(0.99), 99.0);
        near(latencies.quantile(1.0), 100.0);
        let mut more = Latencies::new();
        more.record(Duration::from_secs(9_000));
        latencies.merge(&more);
        assert!(latencies.quantile(1.0) > Duration::from_secs(3_600));
        near(latencies.quantile(0.5), 51.0);
    }
}
