//! A process that a test started, and ends.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::poll;
use crate::workspace::Workspace;

/// How long a process may take to become ready, and to end once it is told to.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that takes nothing from the surroundings of the test: no proxy, and no `OTEL_*` setting of an SDK.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_uppercase();
        if upper.starts_with("OTEL_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command
}

/// A running server. It is killed when the value is dropped, so no test leaves one behind.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `<name>.log` and waits until `GET /` on `health` is answered with 200.
    ///
    /// # Errors
    ///
    /// When it does not start, ends early or is not ready in time; with the end of its log.
    pub(crate) async fn start(
        name: &str,
        command: &mut Command,
        health: SocketAddr,
        workspace: &Workspace,
    ) -> anyhow::Result<Self> {
        let mut process = Self::spawn(name, command, workspace)?;
        process.ready(async || answers_ok(health).await).await?;
        Ok(process)
    }

    /// Starts `command` with its output in `<name>.log`, and does not wait until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn spawn(name: &str, command: &mut Command, workspace: &Workspace) -> anyhow::Result<Self> {
        let log = workspace.path(&format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until `probe` says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends early or is not ready in time; with the end of its log.
    pub(crate) async fn ready(&mut self, mut probe: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
        let Self { name, child, log } = self;
        poll::until(&format!("{name} is ready"), LIMIT, async || {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{name} ended with {status} before it was ready");
            }
            Ok(probe().await.then_some(()))
        })
        .await
        .map_err(|error| anyhow::anyhow!("{error:#}\n{}", tail(log)))
    }

    /// Its process id, as long as it runs.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} ended early: {}", self.name, tail(&self.log)))
    }

    /// Sends the process a signal: `STOP` freezes it as a host that hangs would, `CONT` wakes it.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        // The child is ours and not reaped, so the id cannot have gone to another process.
        let command = format!("kill -{signal} {}", self.id()?);
        let told = Command::new("sh").arg("-c").arg(command).status().await?;
        anyhow::ensure!(told.success(), "{} could not be sent SIG{signal}", self.name);
        Ok(())
    }

    /// Ends the process with SIGKILL, as the kernel's out-of-memory killer would.
    ///
    /// # Errors
    ///
    /// When it had ended before.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Asks the process to end with SIGTERM and waits until it has.
    ///
    /// # Errors
    ///
    /// When it had ended before, takes too long, or ends with another code than 0; with the end of its log.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.signal("TERM").await?;
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .with_context(|| format!("{} did not stop within {LIMIT:?}: {}", self.name, tail(&self.log)))??;
        anyhow::ensure!(status.success(), "{} stopped with {status}: {}", self.name, tail(&self.log));
        Ok(())
    }
}

/// Whether `GET /` is answered with 200. A refused connection is a no.
async fn answers_ok(server: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(Duration::from_secs(2), ask).await {
        Ok(Ok(answer)) => answer.starts_with(b"HTTP/1.1 200"),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(15);
    format!("end of {}:\n{}", log.display(), lines[from..].join("\n"))
}
