"""The OpenTelemetry SDK of Python in every dialect it speaks: traces, metrics and logs, each exported once.

Reads one run a line: `{"service", "protocol": "grpc" | "proto" | "json", "endpoint": "host:port", "compression":
"gzip" | "none", "items"}`. Makes the same items in each run (`../signals/recipe.rs` says what they look like on
arrival) and prints for each its number and its ids. Ends with an error when an export failed, even if its retry did
not, or when the SDK had anything else to complain about.
"""

import json
import logging
import math
import sys

import grpc
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.common.http import Compression as JsonCompression
from opentelemetry.exporter.otlp.json.http import _log_exporter as json_logs
from opentelemetry.exporter.otlp.json.http import metric_exporter as json_metrics
from opentelemetry.exporter.otlp.json.http import trace_exporter as json_traces
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression as ProtoCompression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as proto_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as proto_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as proto_traces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODULES = {
    "grpc": (grpc_traces, grpc_metrics, grpc_logs),
    "proto": (proto_traces, proto_metrics, proto_logs),
    "json": (json_traces, json_metrics, json_logs),
}
COMPRESSIONS = {
    ("grpc", "gzip"): grpc.Compression.Gzip,
    ("grpc", "none"): grpc.Compression.NoCompression,
    ("proto", "gzip"): ProtoCompression.Gzip,
    ("proto", "none"): ProtoCompression.NoCompression,
    ("json", "gzip"): JsonCompression.GZIP,
    ("json", "none"): JsonCompression.NONE,
}
SCOPE = ("ringway.clients", "1.0")
# Nanoseconds: a number that a double cannot hold.
BEGIN = 1_700_000_000_123_456_789

complaints: list[str] = []


class Complaints(logging.Handler):
    """Takes what the SDK and its exporters log: a failed export, a refused item, a retry."""

    def emit(self, record: logging.LogRecord) -> None:
        complaints.append(self.format(record))


def checked(exporter):
    """The exporter, with every result looked at: the SDK itself drops them."""
    export = exporter.export

    def checking(*arguments, **options):
        result = export(*arguments, **options)
        if result.name != "SUCCESS":
            complaints.append(f"{type(exporter).__module__}: {result}")
        return result

    exporter.export = checking
    return exporter


def exporters(run: dict):
    protocol = run["protocol"]
    traces, metrics, logs = MODULES[protocol]
    common = {"compression": COMPRESSIONS[protocol, run["compression"]]}
    if protocol == "grpc":
        common |= {"insecure": True}
        paths = dict.fromkeys(("traces", "metrics", "logs"), run["endpoint"])
    else:
        paths = {signal: f"http://{run['endpoint']}/v1/{signal}" for signal in ("traces", "metrics", "logs")}
    return (
        checked(traces.OTLPSpanExporter(endpoint=paths["traces"], **common)),
        checked(metrics.OTLPMetricExporter(endpoint=paths["metrics"], max_export_batch_size=50, **common)),
        checked(logs.OTLPLogExporter(endpoint=paths["logs"], **common)),
    )


def attributes(item: int) -> dict:
    return {
        "item": item,
        "text": f"grüße 🦀 {item}",
        "whole": 9_007_199_254_740_991 - item,
        "part": item + 0.5,
        "flag": item % 2 == 0,
        "list": ["a", "b", str(item)],
    }


def make(run: dict) -> None:
    span_exporter, metric_exporter, log_exporter = exporters(run)
    resource = Resource.create({"service.name": run["service"], "note": "grüße 🦀"})
    # Small batches: the items of a run cross several requests.
    batch = {"max_export_batch_size": 15, "schedule_delay_millis": 60_000}
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(span_exporter, **batch))
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter, **batch))
    # One export, at the flush: cumulative points would otherwise come again.
    metrics = MeterProvider(
        resource=resource, metric_readers=[PeriodicExportingMetricReader(metric_exporter, math.inf)]
    )

    tracer = traces.get_tracer(*SCOPE)
    logger = logs.get_logger(*SCOPE)
    meter = metrics.get_meter(*SCOPE)
    requests = meter.create_counter("requests", unit="1", description="grüße of the counter")
    temperature = meter.create_gauge("temperature", unit="Cel")
    latency = meter.create_histogram("latency", unit="ms", explicit_bucket_boundaries_advisory=[1, 10, 100])

    for item in range(run["items"]):
        begin = BEGIN + item
        span = tracer.start_span(
            f"span {item}", kind=trace.SpanKind.CLIENT, attributes=attributes(item), start_time=begin
        )
        span.add_event("event", {"size": item}, timestamp=begin + 500)
        span.set_status(trace.StatusCode.ERROR, f"deliberate {item}")
        span.end(end_time=begin + 1_000_000)
        logger.emit(
            LogRecord(
                timestamp=begin,
                context=trace.set_span_in_context(span),
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body=f"log grüße {item}",
                attributes=attributes(item),
                event_name="happened",
            )
        )
        requests.add(item + 1, {"item": item})
        temperature.set(item + 0.25, {"item": item})
        latency.record(item + 0.5, {"item": item})
        context = span.get_span_context()
        made = {
            "service": run["service"],
            "item": item,
            "traceId": f"{context.trace_id:032x}",
            "spanId": f"{context.span_id:016x}",
        }
        print(json.dumps(made))

    for provider in (traces, metrics, logs):
        if not provider.force_flush():
            complaints.append(f"{run['service']}: {type(provider).__name__} was not flushed")
        provider.shutdown()


def main() -> None:
    logging.getLogger().addHandler(Complaints(logging.WARNING))
    for line in sys.stdin:
        make(json.loads(line))
    if complaints:
        sys.exit("\n".join(complaints))


if __name__ == "__main__":
    main()
