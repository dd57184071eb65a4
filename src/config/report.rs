//! Where something stands in the configuration, and the list of everything that is wrong with it.
//!
//! Stage: engine. Nothing here decides what is wrong; it keeps what the other files find, once each, in the order of
//! the text.

use std::sync::Arc;

use super::Problem;

/// A line of a source of configuration text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file as named on the command line, or what stands for one (`env:NAME`, `--set a.b`).
    pub(super) source: Arc<str>,
    /// Counted from 1; 0 where the source has no lines.
    pub(super) line: usize,
}

impl Place {
    pub(super) fn new(source: &Arc<str>, line: usize) -> Self {
        Self { source: Arc::clone(source), line }
    }
}

/// A key or value: its path, and its place where it is written anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Parts joined with `::`; empty for the root.
    pub(super) path: String,
    /// `None` for what no source mentions.
    pub(super) place: Option<Place>,
}

impl At {
    pub(super) fn root() -> Self {
        Self { path: String::new(), place: None }
    }

    /// The key `key` below `self`, written at `place`.
    pub(super) fn key(&self, key: &str, place: &Place) -> Self {
        Self { path: self.join(key), place: Some(place.clone()) }
    }

    /// The key `key` below `self`, which is not written: problems point at `self`'s line.
    pub(super) fn unwritten(&self, key: &str) -> Self {
        Self { path: self.join(key), place: self.place.clone() }
    }

    /// Element `index` of a list.
    pub(super) fn element(&self, index: usize, place: &Place) -> Self {
        Self { path: format!("{}[{index}]", self.path), place: Some(place.clone()) }
    }

    fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}::{key}", self.path) }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    pub(super) fn error(&mut self, at: &At, message: impl Into<String>) {
        add(&mut self.errors, at, message.into());
    }

    pub(super) fn warn(&mut self, at: &At, message: impl Into<String>) {
        add(&mut self.warnings, at, message.into());
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Errors and warnings, each in the order of the text; what has no place comes last.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>) {
        for list in [&mut self.errors, &mut self.warnings] {
            list.sort_by(|left, right| {
                left.place.is_none().cmp(&right.place.is_none()).then_with(|| left.place.cmp(&right.place))
            });
        }
        (self.errors, self.warnings)
    }
}

/// Problems of one kind that are listed. Whoever has more has one mistake that repeats.
const PROBLEMS_MAX: usize = 500;

/// A node that aliases or references repeat is reported once.
fn add(list: &mut Vec<Problem>, at: &At, message: String) {
    if list.len() == PROBLEMS_MAX {
        let message = format!("more than {PROBLEMS_MAX} problems; the others are not listed");
        list.push(Problem { path: String::new(), place: None, message });
    }
    if list.len() > PROBLEMS_MAX {
        return;
    }
    let place = at.place.as_ref().map(|place| (place.source.to_string(), place.line));
    let problem = Problem { path: at.path.clone(), place, message };
    if !list.contains(&problem) {
        list.push(problem);
    }
}
