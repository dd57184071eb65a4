//! The set of backends, changed while the gateway runs.
//!
//! ringway watches a file. The Collector has no such resolver: it asks DNS, and gets its answers from an `/etc/hosts` of its own
//! in a mount namespace (which needs root). Go's resolver keeps what it read there for 5 s, so it notices later.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use super::sinks::PORT;
use crate::gateway::{Kind, Launch, list};
use crate::workspace::Workspace;

/// A name that exists in `/etc/hosts` only.
const NAME: &str = "backends.test";

/// Size of the Collector's `/etc/hosts`: constant, so that one write replaces everything.
const HOSTS_BYTES: usize = 64 << 10;

/// A set that never changes, as a configuration to overlay, in a file of that name.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn fixed(name: &str, members: &[Ipv4Addr], workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let path = workspace.path(name);
    let hostnames = list(&members.iter().map(|member| format!("{member}:{PORT}")).collect::<Vec<_>>());
    let block = format!("{{static: {{hostnames: {hostnames}}}}}");
    fs::write(&path, format!("exporters: {{load_balancing: {{resolver: {block}}}}}\n"))?;
    Ok(path)
}

/// A set that can be changed.
#[derive(Debug)]
pub(crate) struct Membership {
    kind: Kind,
    file: PathBuf,
    resolver: PathBuf,
}

impl Membership {
    /// Starts with these members. ringway looks at the file every 100 ms.
    ///
    /// # Errors
    ///
    /// When its files cannot be written.
    pub(crate) fn new(kind: Kind, members: &[Ipv4Addr], workspace: &Workspace) -> anyhow::Result<Self> {
        Self::watched(kind, members, Duration::from_millis(100), workspace)
    }

    /// As [`Membership::new`], with the time between two looks of ringway.
    ///
    /// # Errors
    ///
    /// When its files cannot be written.
    pub(crate) fn watched(
        kind: Kind,
        members: &[Ipv4Addr],
        interval: Duration,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let (file, resolver) = (workspace.path("members"), workspace.path("resolver.yaml"));
        let block = match kind {
            Kind::Ringway => {
                format!("{{file: {{path: '{}', interval: {}ms}}}}", file.display(), interval.as_millis())
            }
            Kind::Collector => format!("{{dns: {{hostname: {NAME}, port: '{PORT}', interval: 1s}}}}"),
        };
        fs::write(&resolver, format!("exporters: {{load_balancing: {{resolver: {block}}}}}\n"))?;
        let membership = Self { kind, file, resolver };
        membership.set(members)?;
        Ok(membership)
    }

    /// Makes these the members.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn set(&self, members: &[Ipv4Addr]) -> anyhow::Result<()> {
        let mut text = String::new();
        match self.kind {
            Kind::Ringway => {
                for member in members {
                    text.push_str(&format!("{member}:{PORT}\n"));
                }
                let new = self.file.with_extension("new");
                fs::write(&new, text)?;
                fs::rename(new, &self.file)?; // complete or not at all
            }
            Kind::Collector => {
                for member in members {
                    text.push_str(&format!("{member} {NAME}\n"));
                }
                anyhow::ensure!(text.len() <= HOSTS_BYTES, "too many members");
                text.push_str(&"\n".repeat(HOSTS_BYTES - text.len()));
                // A bind mount shows this file, not whichever has its name: so it is written in place.
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(false).open(&self.file)?;
                file.rewind()?;
                file.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Adds the resolver to what a gateway is started with.
    pub(crate) fn join(&self, launch: &mut Launch) {
        launch.configs.push(self.resolver.clone());
        if self.kind == Kind::Collector {
            launch.hosts = Some(self.file.clone());
        }
    }
}
