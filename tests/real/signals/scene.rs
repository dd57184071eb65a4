//! The stage of a test: the gateway under test in front of two Collectors that write down what reaches them.

use std::path::PathBuf;

use anyhow::ensure;

use super::items::{self, Item};
use crate::collector::Collector;
use crate::gateway::{Gateway, Kind};
use crate::workspace::Workspace;

/// A running gateway and what stands behind it.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Where clients send to.
    pub(crate) gateway: Gateway,
    /// For files of the test.
    pub(crate) workspace: Workspace,
    recorders: Vec<(Collector, PathBuf)>,
}

impl Scene {
    /// Starts the Collectors and the gateway with `gateway_signals.yaml`. `origin` is the one origin whose pages may
    /// send.
    ///
    /// # Errors
    ///
    /// When one of them does not start.
    pub(crate) async fn start(name: &str, origin: &str) -> anyhow::Result<Self> {
        let workspace = Workspace::new(name)?;
        let (one, two) =
            tokio::try_join!(record("recorder-1", &workspace), record("recorder-2", &workspace))?;
        let recorders = vec![one, two];
        let endpoints: Vec<String> =
            recorders.iter().map(|(collector, _)| collector.endpoint.to_string()).collect();
        let gateway = Gateway::start_with(
            Kind::under_test()?,
            "gateway_signals.yaml",
            &endpoints,
            &[("ORIGIN", origin)],
            &workspace,
        )
        .await?;
        Ok(Self { gateway, workspace, recorders })
    }

    /// Stops the gateway, then the Collectors, and returns what each of them wrote.
    ///
    /// # Errors
    ///
    /// When one of them does not end cleanly, or wrote something else than OTLP/JSON.
    pub(crate) async fn finish(self) -> anyhow::Result<(Vec<Vec<Item>>, Workspace)> {
        self.gateway.stop().await?;
        let mut arrived = Vec::new();
        for (collector, file) in self.recorders {
            collector.stop().await?;
            arrived.push(items::read(&file)?);
        }
        Ok((arrived, self.workspace))
    }

    /// As [`Scene::finish`], and compares. Each Collector must have got something. `forget` takes from the items that
    /// arrived what the test cannot know.
    ///
    /// # Errors
    ///
    /// When anything but `sent` arrived, or not all of it.
    pub(crate) async fn expect(self, sent: &[Item], forget: fn(&mut Item)) -> anyhow::Result<()> {
        let (arrived, workspace) = self.finish().await?;
        for (number, items) in (1..).zip(&arrived) {
            ensure!(!items.is_empty(), "Collector {number} got nothing");
        }
        let shares: Vec<usize> = arrived.iter().map(Vec::len).collect();
        let mut arrived = arrived.concat();
        arrived.iter_mut().for_each(forget);
        compare(sent, &arrived)?;
        crate::report(format!("{} items arrived once each, by Collector {shares:?}", sent.len()));
        workspace.remove()
    }
}

/// Compares what was sent with what arrived.
///
/// # Errors
///
/// When they differ.
pub(crate) fn compare(sent: &[Item], arrived: &[Item]) -> anyhow::Result<()> {
    let problems = items::problems(sent, arrived);
    ensure!(
        problems.is_empty(),
        "{} items sent, {} arrived; {} problems, such as\n{}",
        sent.len(),
        arrived.len(),
        problems.len(),
        problems.iter().take(6).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

async fn record(name: &str, workspace: &Workspace) -> anyhow::Result<(Collector, PathBuf)> {
    let collector = Collector::start(name, "record_signals.yaml", "", workspace).await?;
    Ok((collector, workspace.path(&format!("{name}.json"))))
}
