// Sends all signals to the gateway that the query names, in three ways, and writes what came of it into the page: one
// JSON value a line, {"made"} for an item that the SDK exported, {"complaint"} for a failure, {"answer"} for a response.

import * as sdk from "sdk";
import { listen, make } from "/items.mjs";

const query = new URLSearchParams(location.search);
const gateway = query.get("gateway");
const complaints = [];
const results = [];

async function withSdk(protocol) {
  const exporters = Object.fromEntries(
    Object.entries(sdk.EXPORTERS[protocol]).map(([signal, Exporter]) => [
      signal,
      new Exporter({ url: `${gateway}/v1/${signal}`, timeoutMillis: Number(query.get("timeout")) }),
    ]),
  );
  const run = { service: `${query.get("service")}-${protocol}`, items: Number(query.get("items")) };
  for (const made of await make(sdk, run, exporters, complaints)) results.push({ made });
}

async function byHand(signal) {
  try {
    const body = await (await fetch(`/payload/${signal}`)).text();
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${gateway}/v1/${signal}`, { method: "POST", headers, body });
    results.push({ answer: { signal, status: response.status, body: await response.text() } });
  } catch (error) {
    complaints.push(`fetch ${signal}: ${error}`);
  }
}

listen(sdk, complaints);
// One after the other: a browser grants only a few requests at a time that may outlive their page.
for (const protocol of ["json", "proto"]) await withSdk(protocol);
for (const signal of ["traces", "metrics", "logs"]) await byHand(signal);
for (const complaint of complaints) results.push({ complaint });
document.getElementById("results").textContent = results.map((result) => JSON.stringify(result)).join("\n");
await fetch("/finished", { method: "POST" });
