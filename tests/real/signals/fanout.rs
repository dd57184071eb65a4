//! Plain exporters beside the load balancer: one process, several exporters in a pipeline, each in its own dialect.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};

use super::items::{self, Item};
use super::{everything, recipe, scene};
use crate::clients::{GRPC_COMPRESSIONS, HTTP_COMPRESSIONS, Run, rust_sdk};
use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::lanes::{self, Lanes};
use crate::workspace::Workspace;
use crate::{alone, http, loopback};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exporter_of_a_pipeline_gets_everything() -> anyhow::Result<()> {
    // Scenario: one gateway. Its traces go to a load balancer over two Collectors; traces, metrics and logs go to an
    // otlp_grpc exporter with each compression, to an otlp_http exporter with each, and to both under their old names,
    // each with a mailbox of its own behind it; and to one exporter whose backend does not exist. The Rust SDK sends, and
    // requests that use every field of OTLP come.
    // Guarantees: every mailbox has each item once and unchanged, and so do the load balancer's Collectors together.
    let _alone = alone().await;
    let workspace = Workspace::new("signals-fanout")?;
    let exporters = exporters();
    let (files, paths) = lanes::files(exporters.len(), &workspace);
    let mailboxes = Lanes::start("mailboxes", &files, &workspace).await?;
    let one = Collector::start("recorder-1", "record_signals.yaml", "", &workspace).await?;
    let two = Collector::start("recorder-2", "record_signals.yaml", "", &workspace).await?;

    let config = workspace.path("gateway.yaml");
    std::fs::write(&config, config_text(&exporters, &mailboxes)?)?;
    let backends = [one.endpoint.to_string(), two.endpoint.to_string()];
    let config = config.to_str().context("a path that is not text")?;
    let gateway = Gateway::start(Kind::under_test()?, config, &backends, &workspace).await?;
    let run = Run::all("rust", gateway.grpc, gateway.http, 40).swap_remove(0);
    let mut sent = recipe::items(&rust_sdk(run).await?);
    for (signal, request) in everything::requests("everything")? {
        http::post_json(gateway.http, &format!("/v1/{signal}"), &request.to_string()).await?;
        sent.extend(items::of_request(&request)?);
    }
    gateway.stop().await?;
    mailboxes.stop().await?;
    one.stop().await?;
    two.stop().await?;

    for (exporter, path) in exporters.iter().zip(&paths) {
        let arrived = mended(items::read(path)?);
        scene::compare(&sent, &arrived).with_context(|| format!("exporter {}", exporter.id))?;
    }
    let balanced: Vec<Vec<Item>> = ["recorder-1.json", "recorder-2.json"]
        .map(|file| items::read(&workspace.path(file)))
        .into_iter()
        .collect::<anyhow::Result<_>>()?;
    ensure!(balanced.iter().all(|items| !items.is_empty()), "the load balancer used one Collector only");
    let traces: Vec<Item> = sent.iter().filter(|item| item.signal == "traces").cloned().collect();
    scene::compare(&traces, &mended(balanced.concat())).context("the load balancer")?;
    crate::report(format!("{} items arrived once at each of {} exporters", sent.len(), exporters.len()));
    workspace.remove()
}

/// What arrived, without what the SDK chose by itself.
fn mended(mut items: Vec<Item>) -> Vec<Item> {
    items.iter_mut().filter(|item| item.service != "everything").for_each(recipe::forget_sdk);
    items
}

/// A plain exporter of the gateway.
#[derive(Debug)]
struct Plain {
    id: String,
    http: bool,
    compression: &'static str,
}

fn exporters() -> Vec<Plain> {
    let grpc = GRPC_COMPRESSIONS.map(|compression| ("otlp_grpc", false, compression));
    let http = HTTP_COMPRESSIONS.map(|compression| ("otlp_http", true, compression));
    let old = [("otlp", false, "gzip"), ("otlphttp", true, "gzip")];
    let all = grpc.into_iter().chain(http).chain(old);
    all.map(|(kind, http, compression)| Plain { id: format!("{kind}/{compression}"), http, compression })
        .collect()
}

/// `gateway.yaml` for traces, and the plain exporters in the pipelines of all signals.
fn config_text(exporters: &[Plain], mailboxes: &Lanes) -> anyhow::Result<String> {
    let mut settings = String::new();
    for (lane, Plain { id, http, compression }) in exporters.iter().enumerate() {
        if *http {
            let endpoint = mailboxes.http(lane);
            writeln!(settings, "  {id}: {{endpoint: 'http://{endpoint}', compression: {compression}}}")?;
        } else {
            let endpoint = mailboxes.grpc(lane);
            writeln!(
                settings,
                "  {id}: {{endpoint: '{endpoint}', tls: {{insecure: true}}, compression: {compression}}}"
            )?;
        }
    }
    // What it is given is dropped at once. It stands first, where an early return would do most harm.
    let nowhere = loopback::endpoint()?;
    writeln!(
        settings,
        "  otlp_grpc/nowhere: {{endpoint: '{nowhere}', tls: {{insecure: true}}, retry_on_failure: {{enabled: false}}}}"
    )?;
    let ids = exporters.iter().map(|exporter| exporter.id.as_str());
    let ids: Vec<&str> = std::iter::once("otlp_grpc/nowhere").chain(ids).collect();
    let ids = ids.join(", ");
    Ok(format!(
        "extensions:
  health_check: {{endpoint: '${{env:HEALTH}}'}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '${{env:GRPC}}'}}, http: {{endpoint: '${{env:HTTP}}'}}}}}}
exporters:
  load_balancing:
    resolver:
      static:
        hostnames: ${{env:BACKENDS}}
    protocol: {{otlp: {{tls: {{insecure: true}}}}}}
{settings}service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [{ids}, load_balancing]}}
    metrics: {{receivers: [otlp], exporters: [{ids}]}}
    logs: {{receivers: [otlp], exporters: [{ids}]}}
"
    ))
}
