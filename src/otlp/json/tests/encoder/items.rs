//! Requests with spans and with log records.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link, SpanKind},
        status::StatusCode,
    },
};

use super::Encoder;

impl Encoder {
    // === Traces ===

    pub(in crate::otlp::json::tests) fn traces(&mut self, request: &ExportTraceServiceRequest) -> String {
        let ExportTraceServiceRequest { resource_spans } = request;
        let members = vec![("resource_spans", self.list(resource_spans, Self::resource_spans))];
        self.object(members)
    }

    fn resource_spans(&mut self, group: &ResourceSpans) -> String {
        let ResourceSpans { resource, scope_spans, schema_url } = group;
        let members = vec![
            ("resource", resource.as_ref().map(|resource| self.resource(resource))),
            ("scope_spans", self.list(scope_spans, Self::scope_spans)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn scope_spans(&mut self, group: &ScopeSpans) -> String {
        let ScopeSpans { scope, spans, schema_url } = group;
        let members = vec![
            ("scope", scope.as_ref().map(|scope| self.scope(scope))),
            ("spans", self.list(spans, Self::span)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn span(&mut self, span: &Span) -> String {
        let Span {
            trace_id,
            span_id,
            trace_state,
            parent_span_id,
            flags,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            dropped_attributes_count,
            events,
            dropped_events_count,
            links,
            dropped_links_count,
            status,
        } = span;
        let kind_name = SpanKind::try_from(*kind).ok().map(|kind| kind.as_str_name());
        let members = vec![
            ("trace_id", self.id(trace_id)),
            ("span_id", self.id(span_id)),
            ("trace_state", self.string(trace_state)),
            ("parent_span_id", self.id(parent_span_id)),
            ("flags", self.int((*flags).into())),
            ("name", self.string(name)),
            ("kind", self.named(*kind, kind_name)),
            ("start_time_unix_nano", self.int((*start_time_unix_nano).into())),
            ("end_time_unix_nano", self.int((*end_time_unix_nano).into())),
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
            ("events", self.list(events, Self::event)),
            ("dropped_events_count", self.int((*dropped_events_count).into())),
            ("links", self.list(links, Self::link)),
            ("dropped_links_count", self.int((*dropped_links_count).into())),
            ("status", status.as_ref().map(|status| self.status(status))),
        ];
        self.object(members)
    }

    fn event(&mut self, event: &Event) -> String {
        let Event { time_unix_nano, name, attributes, dropped_attributes_count } = event;
        let members = vec![
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("name", self.string(name)),
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
        ];
        self.object(members)
    }

    fn link(&mut self, link: &Link) -> String {
        let Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags } = link;
        let members = vec![
            ("trace_id", self.id(trace_id)),
            ("span_id", self.id(span_id)),
            ("trace_state", self.string(trace_state)),
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
            ("flags", self.int((*flags).into())),
        ];
        self.object(members)
    }

    fn status(&mut self, status: &Status) -> String {
        let Status { message, code } = status;
        let code_name = StatusCode::try_from(*code).ok().map(|code| code.as_str_name());
        let members = vec![("message", self.string(message)), ("code", self.named(*code, code_name))];
        self.object(members)
    }

    // === Logs ===

    pub(in crate::otlp::json::tests) fn logs(&mut self, request: &ExportLogsServiceRequest) -> String {
        let ExportLogsServiceRequest { resource_logs } = request;
        let members = vec![("resource_logs", self.list(resource_logs, Self::resource_logs))];
        self.object(members)
    }

    fn resource_logs(&mut self, group: &ResourceLogs) -> String {
        let ResourceLogs { resource, scope_logs, schema_url } = group;
        let members = vec![
            ("resource", resource.as_ref().map(|resource| self.resource(resource))),
            ("scope_logs", self.list(scope_logs, Self::scope_logs)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn scope_logs(&mut self, group: &ScopeLogs) -> String {
        let ScopeLogs { scope, log_records, schema_url } = group;
        let members = vec![
            ("scope", scope.as_ref().map(|scope| self.scope(scope))),
            ("log_records", self.list(log_records, Self::record)),
            ("schema_url", self.string(schema_url)),
        ];
        self.object(members)
    }

    fn record(&mut self, record: &LogRecord) -> String {
        let LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            severity_number,
            severity_text,
            body,
            attributes,
            dropped_attributes_count,
            flags,
            trace_id,
            span_id,
            event_name,
        } = record;
        let severity = SeverityNumber::try_from(*severity_number).ok().map(|number| number.as_str_name());
        let members = vec![
            ("time_unix_nano", self.int((*time_unix_nano).into())),
            ("observed_time_unix_nano", self.int((*observed_time_unix_nano).into())),
            ("severity_number", self.named(*severity_number, severity)),
            ("severity_text", self.string(severity_text)),
            ("body", body.as_ref().map(|body| self.value(body))),
            ("attributes", self.list(attributes, Self::key_value)),
            ("dropped_attributes_count", self.int((*dropped_attributes_count).into())),
            ("flags", self.int((*flags).into())),
            ("trace_id", self.id(trace_id)),
            ("span_id", self.id(span_id)),
            ("event_name", self.string(event_name)),
        ];
        self.object(members)
    }
}
