//! The Kubernetes API, as the tests speak it: JSON by HTTP/1.0 through `kubectl proxy`, which knows about TLS and tokens.
//!
//! It shares nothing with the gateway's client.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A cluster administrator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    /// Where `kubectl proxy` listens.
    pub(crate) proxy: SocketAddr,
}

/// What the API server said no with.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The status of HTTP.
    pub(crate) code: u16,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

impl Api {
    /// Reads an object or a list.
    ///
    /// # Errors
    ///
    /// [`Refused`], or that there is no answer.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, "", &Value::Null).await
    }

    /// Creates an object; `path` is the collection's.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.call("POST", path, "application/json", object).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn put(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.call("PUT", path, "application/json", object).await
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<Value> {
        self.call("PATCH", path, "application/merge-patch+json", patch).await
    }

    /// Deletes an object.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call("DELETE", path, "", &Value::Null).await
    }

    /// As [`Api::get`], with `None` for what does not exist.
    ///
    /// # Errors
    ///
    /// As [`Api::get`], without 404.
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == 404) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let ask = async {
            let mut stream = TcpStream::connect(self.proxy).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let what = || format!("{method} {path}");
        let answer = tokio::time::timeout(LIMIT, ask).await.with_context(what)?.with_context(what)?;
        let (head, body) = answer.split_once("\r\n\r\n").with_context(what)?;
        let code: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(what)?;
        if !(200..300).contains(&code) {
            let message = match serde_json::from_str::<Value>(body) {
                Ok(status) => status["message"].as_str().unwrap_or(body).to_owned(),
                Err(_) => body.to_owned(),
            };
            return Err(anyhow::Error::new(Refused { code, message })).with_context(what);
        }
        if body.trim() == "ok" {
            return Ok(Value::Null); // /readyz
        }
        match serde_json::from_str(body) {
            Ok(value) => Ok(value),
            Err(error) => bail!("{}: not JSON ({error}): {body}", what()),
        }
    }
}
