//! Every client, every signal, every dialect: what a real client sends arrives once and unchanged.
//!
//! Each test runs clients against the gateway, which splits what they send over two Collectors, waits for the clients'
//! own verdict, drains the gateway and compares all that the Collectors wrote with all that was sent.

pub(crate) mod everything;
pub(crate) mod items;
pub(crate) mod recipe;

mod fanout;
mod scene;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::alone;
use crate::clients::{Exporters, Made, Page, Run, Site, Stream, javascript_sdk, python_sdk, rust_sdk};
use items::Item;
use scene::Scene;

/// Items of each run, enough for several requests.
const ITEMS: u64 = 40;

/// Items of each run in a web page. The SDK sends with `keepalive`, of which a browser grants a page 64 KiB at a time, and
/// Chromium returns them late: 40 items in each of three signals exceed that now and then, whoever the receiver is.
const PAGE_ITEMS: u64 = 12;

/// An origin that no page of ours has.
const NOWHERE: &str = "http://nowhere.invalid";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdks_make_arrives_once_and_unchanged() -> anyhow::Result<()> {
    // Scenario: the SDKs of Python, JavaScript and Rust send traces, metrics and logs over gRPC, protobuf over HTTP
    // and JSON over HTTP, each with gzip and without: 18 services, 40 items of each kind from each.
    // Guarantees: every export succeeds in the SDK's own eyes; each span, log record and data point arrives once, with
    // its ids, names, times, values and attributes of every type; nothing else arrives.
    let _alone = alone().await;
    let scene = Scene::start("signals-sdks", NOWHERE).await?;
    let runs = |client: &str| Run::all(client, scene.gateway.grpc, scene.gateway.http, ITEMS);
    let (python, javascript) = (runs("python"), runs("javascript"));
    let rust = async {
        let mut made = Vec::new();
        for run in runs("rust") {
            made.extend(rust_sdk(run).await?);
        }
        Ok(made)
    };
    let (python, javascript, rust) =
        tokio::try_join!(python_sdk(&python), javascript_sdk(&javascript), rust)?;

    let made = [python, javascript, rust].concat();
    let sent = recipe::items(&made);
    ensure!(sent.len() == 18 * 40 * recipe::EACH, "{} items were made", sent.len());
    scene.expect(&sent, recipe::forget_sdk).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_telemetrygen_makes_arrives_once_and_unchanged() -> anyhow::Result<()> {
    // Scenario: telemetrygen sends traces, metrics and logs over gRPC and over HTTP.
    // Guarantees: it sees no error; as many items arrive as it made, with their names, values and attributes; no span
    // arrives twice.
    const NUMBER: usize = 100;
    let _alone = alone().await;
    let scene = Scene::start("signals-telemetrygen", NOWHERE).await?;
    let mut sent = Vec::new();
    for signal in ["traces", "metrics", "logs"] {
        for http in [false, true] {
            let stream = Stream { signal, http, number: NUMBER };
            let gateway = if http { scene.gateway.http } else { scene.gateway.grpc };
            stream.run(gateway, recipe::NOTE).await?;
            sent.extend(generated(&stream));
        }
    }
    // Its ids and times are its own; what is left of two spans is the same, so ids are compared before.
    let (mut arrived, workspace) = scene.finish().await?;
    let mut ids: Vec<String> = arrived
        .iter()
        .flatten()
        .filter(|item| item.signal == "traces")
        .map(|item| item.content["item"]["spanId"].to_string())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == 4 * NUMBER, "{} different spans", ids.len());
    let mut arrived = arrived.drain(..).flatten().collect::<Vec<_>>();
    for item in &mut arrived {
        const OWN: [&str; 8] = [
            "traceId",
            "spanId",
            "parentSpanId",
            "flags",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "timeUnixNano",
            "droppedAttributesCount",
        ];
        items::forget(item, &OWN, &[]);
    }
    scene::compare(&sent, &arrived)?;
    workspace.remove()
}

/// What a run of telemetrygen 0.161 sends, without ids and times.
fn generated(stream: &Stream) -> Vec<Item> {
    let text = || ("text", json!({ "stringValue": recipe::NOTE }));
    let service = stream.service();
    let resource = items::attributes([
        ("service.name", json!({ "stringValue": service })),
        ("note", json!({ "stringValue": recipe::NOTE })),
    ]);
    let item = |scope: &str, metric: serde_json::Value, item: serde_json::Value| {
        let content = json!({
            "resource": { "attributes": resource },
            "resourceSchema": "https://opentelemetry.io/schemas/1.40.0",
            "scope": { "name": scope },
            "metric": metric,
            "item": item,
        });
        items::expected(stream.signal, &service, &content)
    };
    let span = |name: &str, kind: u64, peer: &str| {
        let attributes = items::attributes([
            ("network.peer.address", json!({ "stringValue": "1.2.3.4" })),
            ("service.peer.name", json!({ "stringValue": peer })),
            text(),
        ]);
        item("telemetrygen", json!(null), json!({ "name": name, "kind": kind, "attributes": attributes }))
    };
    let of_number = |number: usize| match stream.signal {
        "traces" => {
            vec![span("lets-go", 3, "telemetrygen-server"), span("okey-dokey-0", 2, "telemetrygen-client")]
        }
        "metrics" => vec![item(
            "",
            json!({ "name": "gen", "gauge": { "kind": "gauge" } }),
            json!({ "asInt": number.to_string(), "attributes": items::attributes([text()]) }),
        )],
        _ => {
            let app = ("app", json!({ "stringValue": "server" }));
            vec![item(
                "",
                json!(null),
                json!({
                    "severityNumber": 9,
                    "severityText": "Info",
                    "body": { "stringValue": "the message" },
                    "attributes": items::attributes([app, text()]),
                }),
            )]
        }
    };
    (0..stream.number).flat_map(of_number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collectors_exporters_send_arrives_once_and_unchanged() -> anyhow::Result<()> {
    // Scenario: a Collector's otlp_http exporter with each of its eight compressions and with JSON, and its otlp_grpc
    // exporter with each of its four, send requests that use every field of OTLP.
    // Guarantees: the exporters take every answer for a success, without a warning in the log; each item arrives once,
    // with every field.
    let _alone = alone().await;
    let scene = Scene::start("signals-exporters", NOWHERE).await?;
    let exporters = Exporters::start(scene.gateway.grpc, scene.gateway.http, &scene.workspace).await?;
    let requests = exporters.send().await?;
    let sent: Vec<Vec<Item>> = requests.iter().map(items::of_request).collect::<anyhow::Result<_>>()?;
    scene.expect(&sent.concat(), |_| ()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_web_page_sends_arrives_if_its_origin_is_allowed() -> anyhow::Result<()> {
    // Scenario: two sites with the same page, in Chromium. The page sends to the gateway, which is another origin to
    // both: with the SDK's exporters for JSON and for protobuf, and JSON by hand. The gateway allows one of the origins.
    // Guarantees: the browser lets the allowed page send everything and read the answers, and each item arrives once
    // and unchanged; it does not let the other page send anything, and nothing of it arrives.
    let _alone = alone().await;
    let (ours, foreign) = (Site::start("page").await?, Site::start("foreign-page").await?);
    let scene = Scene::start("signals-browser", &ours.origin()).await?;
    // The foreign page's SDK takes a refusal for a fault of the network; it shall not try for long.
    let (patient, hasty) = (Duration::from_secs(20), Duration::from_millis(800));
    let (gateway, workspace) = (scene.gateway.http, &scene.workspace);
    let (allowed, refused) = tokio::try_join!(
        ours.open(gateway, PAGE_ITEMS, patient, workspace),
        foreign.open(gateway, PAGE_ITEMS, hasty, workspace),
    )?;

    ensure!(allowed.complaints.is_empty(), "the allowed page complains: {:#?}", allowed.complaints);
    let mut sent = recipe::items(&sdk_items(&allowed, "page")?);
    for (signal, request) in everything::requests("page")? {
        let answer = allowed.answers.iter().find(|(of, _, _)| of == signal).context("no answer")?;
        let body: serde_json::Value =
            serde_json::from_str(&answer.2).context("an answer that is not JSON")?;
        ensure!(answer.1 == 200 && body == json!({ "partialSuccess": {} }), "the page read {answer:?}");
        sent.extend(items::of_request(&request)?);
    }

    sdk_items(&refused, "foreign-page")?;
    ensure!(refused.answers.is_empty(), "the foreign page read {:?}", refused.answers);
    for way in ["fetch", "foreign-page-json", "foreign-page-proto"] {
        for signal in ["traces", "metrics", "logs"] {
            let failed = format!("{way} {signal}");
            let complains = refused.complaints.iter().any(|complaint| complaint.starts_with(&failed));
            ensure!(complains, "no complaint about {failed} among {:#?}", refused.complaints);
        }
    }
    // What the page sent by hand is whole; from the SDK's items its own choices are taken away.
    scene
        .expect(&sent, |item| {
            if item.service != "page" {
                recipe::forget_sdk(item);
            }
        })
        .await
}

/// What the SDK made in a page, which is all that it should have made.
fn sdk_items(page: &Page, service: &str) -> anyhow::Result<Vec<Made>> {
    for protocol in ["json", "proto"] {
        let service = format!("{service}-{protocol}");
        let made = page.made.iter().filter(|made| made.service == service).count();
        ensure!(u64::try_from(made)? == PAGE_ITEMS, "{service} made {made} items: {:#?}", page.complaints);
    }
    Ok(page.made.clone())
}
