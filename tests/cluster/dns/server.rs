//! A real DNS server on port 53 of a loopback address, whose zones a test rewrites while it runs.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::gateway::Resolves;
use crate::loopback;
use crate::process::{Process, command};
use crate::workspace::Workspace;

/// What a question came over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// A running server; it answers with its records in another order each time.
#[derive(Debug)]
pub(super) struct Server {
    address: Ipv4Addr,
    folder: String,
    socket: String,
    serial: u32,
    process: Process,
}

impl Server {
    /// Starts a server for these zones, which have no records yet: they cannot be served.
    ///
    /// # Errors
    ///
    /// When there is no `knotd`, or it does not start.
    pub(super) async fn start(zones: &[&str], workspace: &Workspace) -> anyhow::Result<Self> {
        let folder = workspace.path("knot");
        fs::create_dir_all(&folder)?;
        let folder = folder.to_str().context("a path that is not text")?.to_owned();
        let address = loopback::address();
        // A socket's path has room for 107 bytes, and a workspace may be deep.
        let socket = format!("/tmp/ringway-knot-{}-{address}", std::process::id());
        let mut text = format!(
            "server:\n    rundir: \"{folder}\"\n    listen: {address}@53\n    answer-rotation: on\n    udp-workers: 1\n    \
             tcp-workers: 1\n    background-workers: 1\n\
             control:\n    listen: \"{socket}\"\n    timeout: 20\n\
             log:\n  - target: stderr\n    any: info\n\
             database:\n    storage: \"{folder}/db\"\n\
             template:\n  - id: default\n    storage: \"{folder}\"\n    file: \"%s.zone\"\n    zonefile-sync: -1\n    \
             zonefile-load: whole\n    journal-content: none\n    module: mod-stats\n\
             zone:\n"
        );
        for zone in zones {
            writeln!(text, "  - domain: {zone}")?;
        }
        let config = format!("{folder}/knot.conf");
        fs::write(&config, text)?;
        let mut command = command("knotd");
        command.args(["-c", &config]);
        let process = Process::spawn("knotd", &mut command, workspace).context("Debian: apt install knot")?;
        let mut server = Self { address, folder, socket, serial: 1, process };
        let socket = server.socket.clone();
        server.process.ready(async || control(&socket, &["status"]).await.is_ok()).await?;
        Ok(server)
    }

    /// How a gateway comes to ask this server.
    pub(super) fn resolves(&self) -> Resolves {
        Resolves { server: self.address, search: "", max_ttl: "2s" }
    }

    /// Gives a zone these records and no others, all with one time to live in seconds, and waits until they are served.
    ///
    /// # Errors
    ///
    /// When the server does not take them.
    pub(super) async fn records(&mut self, zone: &str, ttl: u32, records: &[&str]) -> anyhow::Result<()> {
        self.serial += 1;
        let mut text = format!(
            "$ORIGIN {zone}.\n$TTL {ttl}\n@ SOA ns hostmaster {} 60 60 3600 1\n@ NS ns\nns A {}\n",
            self.serial, self.address
        );
        for record in records {
            writeln!(text, "{record}")?;
        }
        fs::write(format!("{}/{zone}.zone", self.folder), text)?;
        control(&self.socket, &["-b", "zone-reload", zone]).await.map(drop)
    }

    /// Stops serving a zone: whoever asks for it hears SERVFAIL, until [`Server::reload`].
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub(super) async fn expire(&self, zone: &str) -> anyhow::Result<()> {
        control(&self.socket, &["-f", "zone-purge", "+expire", zone]).await.map(drop)
    }

    /// Reads every zone again, those that had expired too.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub(super) async fn reload(&self) -> anyhow::Result<()> {
        control(&self.socket, &["reload"]).await.map(drop)
    }

    /// How often something in a zone has been asked for.
    ///
    /// # Errors
    ///
    /// When the server does not say.
    pub(super) async fn questions(&self, zone: &str, over: Protocol) -> anyhow::Result<u64> {
        let over = match over {
            Protocol::Udp => "[udp4]",
            Protocol::Tcp => "[tcp4]",
        };
        let text = control(&self.socket, &["zone-stats", zone, "mod-stats.request-protocol"]).await?;
        // A counter that is zero is not shown.
        let Some(line) = text.lines().find(|line| line.contains(over)) else { return Ok(0) };
        Ok(line.rsplit(' ').next().context("no value")?.parse()?)
    }

    /// Sends the server a signal.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        self.process.signal(signal).await
    }

    /// Ends the server.
    ///
    /// # Errors
    ///
    /// When it does not end in time or not cleanly.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await
    }
}

async fn control(socket: &str, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("knotc").args(["-s", socket]).args(words).output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "knotc {words:?}: {text}{error}");
    Ok(text)
}
