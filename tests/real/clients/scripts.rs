//! The OpenTelemetry SDKs of Python and JavaScript, each as a program of its own that gets its runs on stdin and prints
//! what it made.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{LIMIT, Made, Run};
use crate::parts;
use crate::process::command;

/// Has the Python SDK do these runs, one after the other.
///
/// # Errors
///
/// When it takes too long, an export fails or the SDK complains.
pub(crate) async fn python_sdk(runs: &[Run]) -> anyhow::Result<Vec<Made>> {
    let mut python = command(parts::python()?);
    python.arg(parts::source("python/signals_client.py"));
    script(python, runs).await.context("the Python SDK")
}

/// Has the JavaScript SDK on Node.js do these runs, all at once.
///
/// # Errors
///
/// When it takes too long, an export fails or the SDK complains.
pub(crate) async fn javascript_sdk(runs: &[Run]) -> anyhow::Result<Vec<Made>> {
    let mut node = command(parts::node()?);
    node.arg(parts::source("js/signals_client.mjs")).env("MODULES", parts::javascript()?);
    script(node, runs).await.context("the JavaScript SDK")
}

async fn script(mut program: Command, runs: &[Run]) -> anyhow::Result<Vec<Made>> {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting it")?;
    let mut input = child.stdin.take().context("stdin is piped")?;
    let lines: String = runs.iter().map(line).collect();
    let work = async {
        let write = async {
            input.write_all(lines.as_bytes()).await?;
            drop(input);
            anyhow::Ok(())
        };
        // Both at once: a program that ended early closes its input, and its output says why.
        let (written, output) = tokio::join!(write, child.wait_with_output());
        let output = output?;
        ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        written?;
        anyhow::Ok(output.stdout)
    };
    let printed = tokio::time::timeout(LIMIT, work).await.context("it took too long")??;
    let printed = String::from_utf8(printed)?;
    let made: Vec<Made> = printed
        .lines()
        .map(|line| Made::parse(&serde_json::from_str(line)?))
        .collect::<anyhow::Result<_>>()?;
    let wanted: u64 = runs.iter().map(|run| run.items).sum();
    ensure!(u64::try_from(made.len())? == wanted, "it made {} of {wanted} items", made.len());
    Ok(made)
}

fn line(run: &Run) -> String {
    let line = json!({
        "service": run.service,
        "protocol": run.protocol.as_str(),
        "endpoint": run.endpoint.to_string(),
        "compression": if run.gzip { "gzip" } else { "none" },
        "items": run.items,
    });
    format!("{line}\n")
}
