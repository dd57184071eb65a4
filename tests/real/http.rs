//! HTTP/1.1 by hand, as much as the tests need: one request on one connection, and one that is read.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

/// Posts JSON.
///
/// # Errors
///
/// When the answer is not 200, or takes too long.
pub(crate) async fn post_json(server: SocketAddr, path: &str, body: &str) -> anyhow::Result<()> {
    let ask = async {
        let mut stream = TcpStream::connect(server).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, ask).await.context("no answer in time")??;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 200"), "POST {path} to {server}: {answer}");
    Ok(())
}

/// Reads a request's head and returns its method and path, without the query.
///
/// # Errors
///
/// When it is not HTTP.
pub(crate) async fn read_head(stream: impl AsyncRead + Unpin) -> anyhow::Result<(String, String)> {
    let mut lines = BufReader::new(stream.take(16 << 10)).lines();
    let first = lines.next_line().await?.context("no request")?;
    while !lines.next_line().await?.context("half a request")?.is_empty() {}
    let mut words = first.split([' ', '?']);
    let method = words.next().unwrap_or_default().to_owned();
    Ok((method, words.next().context("no path")?.to_owned()))
}
