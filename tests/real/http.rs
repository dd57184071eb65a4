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
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(server, &request, 64 << 10).await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "POST {path} to {server}: {answer}");
    Ok(())
}

/// Gets a text of at most 16 MiB; the answer's head is part of it.
///
/// # Errors
///
/// When the answer is not 200, or takes too long.
pub(crate) async fn get(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let (head, body) = fetch(server, path).await?;
    ensure!(head.starts_with("HTTP/1.1 200"), "GET {path} from {server}: {head} {body}");
    Ok(format!("{head}\r\n\r\n{body}"))
}

/// Gets a text of at most 16 MiB, whatever the status: head and body.
///
/// # Errors
///
/// When there is no answer, or it takes too long.
pub(crate) async fn fetch(server: SocketAddr, path: &str) -> anyhow::Result<(String, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let answer = ask(server, &request, 16 << 20).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

async fn ask(server: SocketAddr, request: &str, limit: u64) -> anyhow::Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(limit).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, ask).await.context("no answer in time")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
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
