"""A real OpenTelemetry SDK service: it takes part in traces that another service began.

Reads one line for each call it serves, `<traceparent> <attribute value or ->`, and makes a span for the call with two
children. Prints each span as `<trace id> <span id>`, first the line `ready`. At the end of input it flushes and exits.

Spans leave in small batches, so that one trace crosses several export requests.
"""

import argparse
import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


def exporter(protocol: str, endpoint: str):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"http://{endpoint}/v1/traces")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--protocol", choices=["grpc", "http"], required=True)
    arguments.add_argument("--endpoint", required=True, help="host:port")
    arguments.add_argument("--service", required=True)
    arguments.add_argument("--attribute", required=True, help="key of the attribute whose value each line gives")
    options = arguments.parse_args()

    provider = TracerProvider(resource=Resource.create({"service.name": options.service}))
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter(options.protocol, options.endpoint),
            max_queue_size=1 << 16,
            max_export_batch_size=20,
            schedule_delay_millis=100,
        )
    )
    tracer = provider.get_tracer("sdk_client")

    def record(span) -> None:
        context = span.get_span_context()
        print(f"{context.trace_id:032x} {context.span_id:016x}")

    print("ready", flush=True)
    for line in sys.stdin:
        traceparent, value = line.split()
        caller = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        with tracer.start_as_current_span("serve", context=caller) as served:
            record(served)
            for step in ("read", "write"):
                with tracer.start_as_current_span(step) as child:
                    record(child)
                    if step == "write" and value != "-":
                        child.set_attribute(options.attribute, value)

    if not provider.force_flush(timeout_millis=30_000):
        sys.exit("the spans could not be flushed in 30 s")
    provider.shutdown()


if __name__ == "__main__":
    main()
