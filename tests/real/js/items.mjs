// One run of the JavaScript SDK: the same items as every other client's, in Node.js and in a browser.
//
// The SDK comes in as an argument, because the two find their packages differently.

const SCOPE = ["ringway.clients", "1.0"];
// Seconds and nanoseconds: together a number that a double cannot hold.
const BEGIN = [1_700_000_000, 123_456_789];

const at = (nanoseconds) => [BEGIN[0], BEGIN[1] + nanoseconds];

const attributes = (item) => ({
  item,
  text: `grüße 🦀 ${item}`,
  whole: 9_007_199_254_740_991 - item,
  part: item + 0.5,
  flag: item % 2 === 0,
  list: ["a", "b", String(item)],
});

// Returns the exporter with every result looked at: the SDK itself only logs them.
function checked(exporter, name, complaints) {
  const original = exporter.export.bind(exporter);
  exporter.export = (items, done) =>
    original(items, (result) => {
      if (result.code !== 0) complaints.push(`${name}: ${result.error?.message ?? "failed"}`);
      done(result);
    });
  return exporter;
}

// Makes `run.items` items of each signal, exports each once, and returns their ids. `../signals/recipe.rs` says what
// they look like on arrival. What the exporters complain about goes to `complaints`.
export async function make(sdk, run, exporters, complaints) {
  const resource = sdk.resourceFromAttributes({ "service.name": run.service, note: "grüße 🦀" });
  // Small batches: the items of a run cross several requests.
  const batch = { maxExportBatchSize: 15, scheduledDelayMillis: 60_000 };
  const wrap = (signal) => checked(exporters[signal], `${run.service} ${signal}`, complaints);

  const traces = new sdk.BasicTracerProvider({
    resource,
    spanProcessors: [new sdk.BatchSpanProcessor(wrap("traces"), batch)],
  });
  const logs = new sdk.LoggerProvider({
    resource,
    processors: [new sdk.BatchLogRecordProcessor({ exporter: wrap("logs"), ...batch })],
  });
  const metrics = new sdk.MeterProvider({
    resource,
    readers: [new sdk.PeriodicExportingMetricReader({ exporter: wrap("metrics"), exportIntervalMillis: 3_600_000 })],
  });

  const tracer = traces.getTracer(...SCOPE);
  const logger = logs.getLogger(...SCOPE);
  const meter = metrics.getMeter(...SCOPE);
  const integers = { valueType: sdk.ValueType.INT };
  const requests = meter.createCounter("requests", { unit: "1", description: "grüße of the counter", ...integers });
  const temperature = meter.createGauge("temperature", { unit: "Cel" });
  const advice = { explicitBucketBoundaries: [1, 10, 100] };
  const latency = meter.createHistogram("latency", { unit: "ms", advice });

  const made = [];
  for (let item = 0; item < run.items; item++) {
    const span = tracer.startSpan(`span ${item}`, {
      kind: sdk.SpanKind.CLIENT,
      attributes: attributes(item),
      startTime: at(item),
    });
    span.addEvent("event", { size: item }, at(item + 500));
    span.setStatus({ code: sdk.SpanStatusCode.ERROR, message: `deliberate ${item}` });
    span.end(at(item + 1_000_000));
    logger.emit({
      timestamp: at(item),
      context: sdk.trace.setSpan(sdk.ROOT_CONTEXT, span),
      severityNumber: sdk.SeverityNumber.WARN,
      severityText: "WARN",
      body: `log grüße ${item}`,
      attributes: attributes(item),
      eventName: "happened",
    });
    requests.add(item + 1, { item });
    temperature.record(item + 0.25, { item });
    latency.record(item + 0.5, { item });
    const { traceId, spanId } = span.spanContext();
    made.push({ service: run.service, item, traceId, spanId });
  }
  // Only the end of the metrics: it exports, and a flush before it would export the same points twice.
  const settle = async (work) => {
    for (const { reason } of await Promise.allSettled(work)) if (reason) complaints.push(`${run.service}: ${reason}`);
  };
  await settle([traces.forceFlush(), logs.forceFlush()]);
  await settle([traces.shutdown(), logs.shutdown(), metrics.shutdown()]);
  return made;
}

// Has the SDK's own log, of warnings and worse, written to `complaints`.
export function listen(sdk, complaints) {
  const keep = (...parts) => complaints.push(parts.map(String).join(" "));
  const drop = () => {};
  sdk.diag.setLogger({ error: keep, warn: keep, info: drop, debug: drop, verbose: drop }, sdk.DiagLogLevel.WARN);
}
