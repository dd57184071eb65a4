//! Medians, ratios and the Markdown that `benches/README.md` keeps.

use crate::run::Sample;

/// Every sample of every load, for both gateways.
#[derive(Debug)]
pub(crate) struct Report {
    names: [String; 2],
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    load: String,
    samples: [Vec<Sample>; 2],
}

/// How a column is written.
type Column = (&'static str, fn(&Sample) -> f64, usize);

// === impl Report ===

impl Report {
    pub(crate) const fn new(names: [String; 2]) -> Self {
        Self { names, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, load: &str, side: usize, sample: Sample) {
        if self.rows.last().is_none_or(|row| row.load != load) {
            self.rows.push(Row { load: load.to_owned(), samples: [Vec::new(), Vec::new()] });
        }
        if let Some(samples) = self.rows.last_mut().and_then(|row| row.samples.get_mut(side)) {
            samples.push(sample);
        }
    }

    /// Median of one load on one side.
    pub(crate) fn items_per_second(&self, load: &str, side: usize) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.load == load)?;
        Some(median(row.samples.get(side)?.iter().map(|sample| sample.items_per_second)))
    }

    pub(crate) fn all_valid(&self) -> bool {
        self.rows.iter().all(|row| row.invalid().is_none())
    }

    /// Two tables: cost and memory as ratios, then what the clients and backends see.
    pub(crate) fn markdown(&self) -> String {
        let cost: [Column; 3] = [
            ("CPU s per M items", |sample| sample.cpu_micros, 2),
            ("MB idle", |sample| sample.idle_mb, 0),
            ("MB peak", |sample| sample.peak_mb, 0),
        ];
        let seen: [Column; 6] = [
            ("k items/s", |sample| sample.items_per_second / 1e3, 1),
            ("% of its core", |sample| sample.busy * 100.0, 0),
            ("p50 ms", |sample| sample.p50.as_secs_f64() * 1e3, 2),
            ("p99 ms", |sample| sample.p99.as_secs_f64() * 1e3, 2),
            ("requests out per in", |sample| sample.requests_out_per_in, 2),
            ("bytes out per item", |sample| sample.bytes_out_per_item, 0),
        ];
        format!("{}\n{}", self.table(&cost, true), self.table(&seen, false))
    }

    /// One row for each load; A and B for each column, and what B is to A if asked for.
    fn table(&self, columns: &[Column], with_ratio: bool) -> String {
        let [a, b] = &self.names;
        let mut head = vec!["load".to_owned()];
        for (title, ..) in columns {
            head.extend([format!("{title}: {a}"), b.clone()]);
            head.extend(with_ratio.then(|| format!("{b} ÷ {a}")));
        }
        let rule = vec!["---".to_owned(); head.len()];
        let mut lines = vec![head, rule];
        for row in &self.rows {
            let mut cells = vec![row.title()];
            for (_, value, digits) in columns {
                cells.extend(row.pair(*value, *digits));
                cells.extend(with_ratio.then(|| row.ratio(*value)));
            }
            lines.push(cells);
        }
        lines.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
    }
}

// === impl Row ===

impl Row {
    fn invalid(&self) -> Option<&str> {
        self.samples.iter().flatten().find_map(|sample| sample.invalid.as_deref())
    }

    fn title(&self) -> String {
        match self.invalid() {
            Some(why) => format!("{} **invalid: {why}**", self.load),
            None => self.load.clone(),
        }
    }

    fn pair(&self, value: fn(&Sample) -> f64, digits: usize) -> [String; 2] {
        self.samples.each_ref().map(|samples| format!("{:.digits$}", median(samples.iter().map(value))))
    }

    /// The median of B ÷ A over the alternations, with the lowest and the highest.
    fn ratio(&self, value: fn(&Sample) -> f64) -> String {
        let [a, b] = &self.samples;
        let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| value(b) / value(a)).collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        format!("**{:.1}** ({lowest:.1}–{highest:.1})", median(ratios))
    }
}

/// NaN if there is nothing.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(lower), Some(upper)) if values.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (_, Some(middle)) => *middle,
        _ => f64::NAN,
    }
}
