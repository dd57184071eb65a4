// The OpenTelemetry SDK of JavaScript in every dialect it speaks: traces, metrics and logs, each exported once.
//
// Reads one run a line: {"service", "protocol": "grpc" | "proto" | "json", "endpoint": "host:port", "compression":
// "gzip" | "none", "items"}. Prints the number and the ids of each item it made, one a line. Ends with an error when an
// export failed, even if its retry did not, or when the SDK had anything else to complain about.
//
// MODULES names the directory that holds node_modules.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { listen, make } from "./items.mjs";

const require = createRequire(`${process.env.MODULES}/`);

const SDK = Object.assign(
  {},
  ...["api", "api-logs", "resources", "sdk-trace-base", "sdk-metrics", "sdk-logs"].map((name) =>
    require(`@opentelemetry/${name}`),
  ),
);
const PACKAGES = { grpc: "grpc", proto: "proto", json: "http" };
const COMPRESSIONS = ["none", "gzip"];

function exporters({ protocol, endpoint, compression }) {
  if (!COMPRESSIONS.includes(compression)) throw new Error(`no compression ${compression}`);
  const build = (signal, name) => {
    const [path, type] = signal;
    const exporter = require(`@opentelemetry/exporter-${name}-otlp-${PACKAGES[protocol]}`)[type];
    const url = protocol === "grpc" ? `http://${endpoint}` : `http://${endpoint}/v1/${path}`;
    return new exporter({ url, compression });
  };
  return {
    traces: build(["traces", "OTLPTraceExporter"], "trace"),
    metrics: build(["metrics", "OTLPMetricExporter"], "metrics"),
    logs: build(["logs", "OTLPLogExporter"], "logs"),
  };
}

const complaints = [];
listen(SDK, complaints);
const runs = [];
for await (const line of createInterface({ input: process.stdin })) runs.push(JSON.parse(line));
const made = await Promise.all(runs.map((run) => make(SDK, run, exporters(run), complaints)));
process.stdout.write(made.flat().map((item) => `${JSON.stringify(item)}\n`).join(""));
if (complaints.length > 0) {
  process.stderr.write(`${complaints.join("\n")}\n`);
  process.exitCode = 1;
}
