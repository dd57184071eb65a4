//! What the index records of metrics: whole ones, ones that are taken apart, and which of them may have to be merged.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use super::{Index, Leaf, NONE, Runs, wide};
use crate::otlp::wire::{Malformed, Tag, field::scope_group};

impl Index {
    /// Begins a metric in the open scope group: it is taken apart. `data` is the tag of its data, if it has a type.
    #[inline]
    pub(in crate::otlp::split) fn open_metric(&mut self, data: Option<Tag>) {
        self.metrics.open(Some(scope_group::ITEMS), self.scopes.last());
        self.data.open(data, self.metrics.last());
    }

    /// Records a field of the open metric that is not its data.
    #[inline]
    pub(in crate::otlp::split) fn metric_field(&mut self, start: usize, end: usize) {
        self.metrics.field(start, end);
    }

    /// Records a field of the open metric's data that is not a point.
    #[inline]
    pub(in crate::otlp::split) fn data_field(&mut self, start: usize, end: usize) {
        self.data.field(start, end);
    }

    /// Notes the name of a metric of the open scope group, to see whether some may have to be merged.
    #[inline]
    pub(in crate::otlp::split) fn name_metric(&mut self, name: &[u8]) {
        if self.mode == Runs::Joined && !self.names.insert(self.scopes.last(), name) {
            self.similar_metrics = true;
        }
    }

    /// Leaves out a metric without points.
    pub(in crate::otlp::split) fn drop_empty_metric(&mut self) {
        self.altered = true;
        self.dropped.empty_metrics = self.dropped.empty_metrics.saturating_add(1);
    }

    /// Notes that a metric has data which the last data of the metric replaces, and which must not be passed on: such
    /// a metric goes out taken apart.
    pub(in crate::otlp::split) fn replace_data(&mut self) {
        self.altered = true;
        self.surplus_data = true;
    }

    /// Puts a whole metric of the open scope group into a slot.
    #[inline]
    pub(in crate::otlp::split) fn metric(
        &mut self,
        slot: usize,
        points: usize,
        start: usize,
        end: usize,
    ) -> Result<(), Malformed> {
        let share = self.share(Leaf { scope: self.scopes.last(), metric: NONE }, slot, start)?;
        self.whole_metrics = true;
        self.add_run(share, points, start, end);
        if points == 0 {
            self.add_empty_metric(share);
        }
        Ok(())
    }

    /// Puts a point of the open metric into a slot.
    #[inline]
    pub(in crate::otlp::split) fn point(
        &mut self,
        slot: usize,
        start: usize,
        end: usize,
    ) -> Result<(), Malformed> {
        let share = self.share(self.open_metric_leaf(), slot, start)?;
        self.add_run(share, 1, start, end);
        Ok(())
    }

    /// Puts the open metric, which has no points, into a slot. `start` is where it begins.
    pub(in crate::otlp::split) fn empty_metric(
        &mut self,
        slot: usize,
        start: usize,
    ) -> Result<(), Malformed> {
        let share = self.share(self.open_metric_leaf(), slot, start)?;
        self.add_empty_metric(share);
        Ok(())
    }

    fn open_metric_leaf(&self) -> Leaf {
        Leaf { scope: self.scopes.last(), metric: self.metrics.last() }
    }

    fn add_empty_metric(&mut self, share: u32) {
        if let Some(share) = self.shares.get_mut(wide(share)) {
            share.empty_metrics = share.empty_metrics.saturating_add(1);
        }
    }

    /// Whether each metric is to be cut out of the payload at its points.
    pub(in crate::otlp::split) fn cuts_anywhere(&self) -> bool {
        self.mode == Runs::Single
    }

    /// Whether whole metrics must be taken apart: some may be equal to others, or have data that must not be passed on.
    pub(in crate::otlp::split) fn metrics_need_taking_apart(&self) -> bool {
        self.whole_metrics && (self.surplus_data || self.similar_metrics && !self.is_passed_on())
    }

    /// Whether the request goes out as it came.
    fn is_passed_on(&self) -> bool {
        self.touched.len() <= 1 && !self.altered
    }

    /// Looks for equal metrics, where there may be any.
    pub(in crate::otlp::split) fn merge_metrics(&mut self, payload: &[u8]) {
        if !self.similar_metrics || self.is_passed_on() || self.cuts_anywhere() {
            return;
        }
        for metric in 0..self.metrics.len() {
            let scope = self.metrics.get(metric).and_then(|metric| self.scopes.get(metric.parent));
            let Some(scope) = scope.map(|scope| scope.first) else { continue };
            let first = self.distinct_metrics.first(&[&self.metrics, &self.data], metric, scope, payload);
            if first != metric {
                self.metrics.set_first(metric, first);
                self.repeats = true;
            }
        }
    }
}
