//! A gateway as a child process on one core, and what the kernel says about it.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep, timeout};

/// Ticks of utime and stime in `/proc/<pid>/stat`: USER_HZ, 100 on every Linux architecture in use (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;
/// How long a gateway may take to listen, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A running gateway. It is killed when the value is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: tokio::process::Child,
    pid: u32,
}

// === impl Process ===

impl Process {
    /// Starts a binary on one core and waits until it listens. Its output goes to `log`.
    pub(crate) async fn start(
        binary: &Path,
        configuration: &Path,
        log: &Path,
        core: usize,
        listen: SocketAddr,
    ) -> anyhow::Result<Self> {
        let output = File::create(log)?;
        // taskset replaces itself, so the pid is the gateway's; both runtimes size themselves by the affinity.
        let child = tokio::process::Command::new("taskset")
            .arg("-c")
            .arg(core.to_string())
            .arg(binary)
            .arg("--config")
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("taskset (util-linux) could not be started")?;
        let pid = child.id().context("the gateway ended at once")?;
        let mut process = Self { child, pid };
        let deadline = Instant::now() + START_TIMEOUT;
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("the gateway ended with {status}; it said:\n{}", std::fs::read_to_string(log)?);
            }
            if Instant::now() > deadline {
                bail!("the gateway does not listen on {listen}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// User and system time so far, seconds, all threads.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The second field is the name in parentheses, which may contain anything; utime and stime are 14 and 15.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace();
        let ticks: Result<Vec<u64>, _> = fields.skip(11).take(2).map(str::parse).collect();
        match ticks?.as_slice() {
            [user, system] => Ok((user + system) as f64 / TICKS_PER_SECOND),
            _ => bail!("/proc/{}/stat has no times: {stat}", self.pid),
        }
    }

    /// A line of `/proc/<pid>/status` that is in kB, as MB of 10⁶ bytes: `VmRSS` (now), `VmHWM` (highest so far).
    pub(crate) fn memory_mb(&self, name: &str) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib: f64 = line
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .with_context(|| format!("/proc/{}/status has no {name}", self.pid))?
            .parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").arg("-TERM").arg(self.pid.to_string()).status()?;
        if !told.success() {
            bail!("the gateway was gone before it was stopped");
        }
        timeout(STOP_TIMEOUT, self.child.wait()).await.context("the gateway did not stop")??;
        Ok(())
    }
}

/// Pins this process, before it has a second thread.
pub(crate) fn pin_self(core: usize) -> anyhow::Result<()> {
    let output = Command::new("taskset")
        .args(["-c", "-p", &core.to_string(), &std::process::id().to_string()])
        .output()
        .context("taskset (util-linux) is needed to give each side a core of its own")?;
    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    processor: String,
    kernel: String,
}

// === impl Machine ===

impl Machine {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(": "))
            .map_or("unknown processor", |(_, name)| name);
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.to_owned(),
            kernel: said_by(Path::new("uname"), "-r"),
        })
    }

    pub(crate) fn describe(&self, gateway_core: usize, load_core: usize) -> String {
        format!(
            "{} cores, {}, Linux {}; gateway on core {gateway_core}, load and sinks on core {load_core}.",
            self.cores, self.processor, self.kernel
        )
    }
}

/// The first line that a command prints.
pub(crate) fn said_by(binary: &Path, argument: &str) -> String {
    let output = Command::new(binary).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("version unknown").trim().to_owned()
}
