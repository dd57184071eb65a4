// The SDK of JavaScript for a browser: `build.sh` bundles this file with everything that it names.

export * from "@opentelemetry/api";
export * from "@opentelemetry/api-logs";
export * from "@opentelemetry/resources";
export * from "@opentelemetry/sdk-logs";
export * from "@opentelemetry/sdk-metrics";
export * from "@opentelemetry/sdk-trace-base";

import { OTLPLogExporter as JsonLogs } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtoLogs } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtoMetrics } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonTraces } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoTraces } from "@opentelemetry/exporter-trace-otlp-proto";

export const EXPORTERS = {
  json: { traces: JsonTraces, metrics: JsonMetrics, logs: JsonLogs },
  proto: { traces: ProtoTraces, metrics: ProtoMetrics, logs: ProtoLogs },
};
