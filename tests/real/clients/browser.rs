//! Web pages in a real browser: `browser/page.html` in headless Chromium, from an origin of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{LIMIT, Made};
use crate::process::command;
use crate::signals::everything;
use crate::workspace::Workspace;
use crate::{http, loopback, parts};

/// A web server with the page. It ends when the value is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    /// What the page sends by hand comes from a service with this name.
    service: String,
    _server: JoinSet<()>,
}

/// What a page wrote into itself.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// What the SDK made.
    pub(crate) made: Vec<Made>,
    /// What the SDK and `fetch` had to complain about.
    pub(crate) complaints: Vec<String>,
    /// Signal, status and body of the answers that the page was allowed to read.
    pub(crate) answers: Vec<(String, u64, String)>,
}

impl Site {
    /// Starts a server whose page is the service `service`.
    ///
    /// # Errors
    ///
    /// When the machine has no loopback addresses, or the SDK's bundle is missing.
    pub(crate) async fn start(service: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((loopback::address(), 0)).await?;
        let address = listener.local_addr()?;
        let files = Arc::new(Files::read(service)?);
        let mut server = JoinSet::new();
        server.spawn(serve(listener, files));
        Ok(Self { address, service: service.to_owned(), _server: server })
    }

    /// The origin of its page.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens the page in Chromium, waits until it has sent everything to `gateway` and returns what it wrote. Its SDK
    /// gives up on a request after `patience`; it makes a pause of about a second before it tries again.
    ///
    /// # Errors
    ///
    /// When Chromium does not start, fails or takes too long.
    pub(crate) async fn open(
        &self,
        gateway: SocketAddr,
        items: u64,
        patience: Duration,
        workspace: &Workspace,
    ) -> anyhow::Result<Page> {
        let url = format!(
            "{}/page.html?gateway=http://{gateway}&service={}&items={items}&timeout={}",
            self.origin(),
            self.service,
            patience.as_millis()
        );
        let profile = workspace.path(&format!("chromium-{}", self.address.port()));
        let run = command(parts::chromium()?)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            // Nothing but the page: no first run, no updates, no name that is not an address of this machine.
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args([
                "--disable-sync",
                "--no-proxy-server",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(["--dump-dom", &url])
            // Its crash handler and settings go where the profile is, and not to the home of whoever runs the test.
            .env("HOME", &profile)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, run).await.context("Chromium does not end")??;
        let dom = String::from_utf8_lossy(&output.stdout);
        let errors = || String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "Chromium: {}: {}", output.status, errors());
        Page::parse(&dom).with_context(|| format!("the page is {dom:?}; Chromium says {}", errors()))
    }
}

impl Page {
    fn parse(dom: &str) -> anyhow::Result<Self> {
        let results = dom.split_once("<pre id=\"results\">").context("no results")?.1;
        let results = results.split_once("</pre>").context("no end of the results")?.0;
        let text = results
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&nbsp;", "\u{a0}")
            .replace("&amp;", "&");
        let mut page = Self::default();
        for line in text.lines() {
            let result: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if let Some(made) = result.get("made") {
                page.made.push(Made::parse(made)?);
            } else if let Some(complaint) = result["complaint"].as_str() {
                page.complaints.push(complaint.to_owned());
            } else if let Some(answer) = result.get("answer") {
                let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
                page.answers.push((
                    text("signal"),
                    answer["status"].as_u64().context("no status")?,
                    text("body"),
                ));
            } else {
                bail!("the page wrote {result}");
            }
        }
        ensure!(!text.is_empty(), "the page wrote nothing");
        Ok(page)
    }
}

/// What the server serves: path, type, content.
#[derive(Debug)]
struct Files(Vec<(String, &'static str, Vec<u8>)>);

impl Files {
    fn read(service: &str) -> anyhow::Result<Self> {
        const SCRIPT: &str = "text/javascript; charset=utf-8";
        let load = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
        let mut files = vec![
            ("/page.html".to_owned(), "text/html; charset=utf-8", load(&parts::source("browser/page.html"))?),
            ("/page.mjs".to_owned(), SCRIPT, load(&parts::source("browser/page.mjs"))?),
            ("/items.mjs".to_owned(), SCRIPT, load(&parts::source("js/items.mjs"))?),
            ("/sdk.js".to_owned(), SCRIPT, load(&parts::javascript()?.join("sdk.js"))?),
        ];
        for (signal, request) in everything::requests(service)? {
            files.push((format!("/payload/{signal}"), "application/json", request.to_string().into_bytes()));
        }
        Ok(Self(files))
    }
}

/// Answers every connection with one file. `/done` waits for a post to `/finished`.
async fn serve(listener: TcpListener, files: Arc<Files>) {
    let (finish, finished) = watch::channel(false);
    let finish = Arc::new(finish);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (files, finish, finished) = (Arc::clone(&files), Arc::clone(&finish), finished.clone());
        connections.spawn(async move {
            // A browser may open a connection that it does not use; a page that lacks a file fails its test.
            if let Ok(Err(error)) =
                tokio::time::timeout(LIMIT, answer(stream, &files, &finish, finished)).await
            {
                crate::report(format!("the page's server: {error:#}"));
            }
        });
    }
}

async fn answer(
    mut stream: TcpStream,
    files: &Files,
    finish: &watch::Sender<bool>,
    mut finished: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (_, path) = http::read_head(&mut stream).await?;
    let (status, kind, body) = match path.as_str() {
        "/finished" => {
            finish.send_replace(true);
            ("204 No Content", "text/plain", [].as_slice())
        }
        "/done" => {
            finished.wait_for(|finished| *finished).await?;
            ("404 Not Found", "text/plain", [].as_slice())
        }
        path => match files.0.iter().find(|(name, _, _)| name == path) {
            Some((_, kind, body)) => ("200 OK", *kind, body.as_slice()),
            None => ("404 Not Found", "text/plain", [].as_slice()),
        },
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    Ok(stream.shutdown().await?)
}
