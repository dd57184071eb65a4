//! A peer that follows a script: for each connection, what it does with each request.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

use super::*;

/// What is done with one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Read it and answer with this.
    Reply(&'static str),
    /// The same, and close.
    ReplyAndClose(&'static str),
    /// The same, and leave the connection as it is.
    ReplyAndHang(&'static str),
    /// Read it, close without an answer.
    CloseUnanswered,
    /// Read it, never answer.
    Hang,
    /// Never read.
    Deaf,
    /// Close without waiting for a request.
    CloseIdle,
    /// Read the beginning of it and reset the connection.
    ResetWhileReading,
}

/// A listening peer; its tasks end with the test's runtime.
pub(super) struct Peer {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    requests: Mutex<Vec<(String, Vec<u8>)>>,
    requested: Notify,
    /// A connection has ended, from either side.
    closed: Notify,
}

impl Peer {
    /// Serves one connection after the other, each by its script; those behind the last script are closed at once.
    pub(super) async fn start(scripts: impl IntoIterator<Item = Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::<Shared>::default();
        let (tasks, state) = (Tasks::new(), Arc::clone(&shared));
        let mut scripts: Vec<_> = scripts.into_iter().collect();
        scripts.reverse();
        Tasks::new().spawn("peer", async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                state.connections.fetch_add(1, Ordering::Relaxed);
                let (state, script) = (Arc::clone(&state), scripts.pop().unwrap_or_default());
                tasks.spawn("serve", async move {
                    serve(socket, script, &state).await;
                    state.closed.notify_one();
                });
            }
        });
        Self { address, shared }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Head and body of everything that was read whole.
    pub(super) fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until a request has been read.
    pub(super) async fn requested(&self) {
        self.shared.requested.notified().await;
    }

    /// Waits until a connection has ended.
    pub(super) async fn closed(&self) {
        tokio::time::timeout(Duration::from_secs(60), self.shared.closed.notified()).await.unwrap();
    }
}

async fn serve(mut socket: TcpStream, script: Vec<Act>, shared: &Shared) {
    for act in script {
        match act {
            Act::CloseIdle => return,
            Act::Deaf => std::future::pending().await,
            Act::ResetWhileReading => {
                socket.read_exact(&mut [0; 100]).await.unwrap();
                // Closing with unread data is a reset.
                return;
            }
            _ => {}
        }
        let Some(request) = read(&mut socket).await else { return };
        shared.requests.lock().unwrap().push(request);
        shared.requested.notify_one();
        match act {
            Act::Reply(text) => socket.write_all(text.as_bytes()).await.unwrap(),
            Act::ReplyAndClose(text) => {
                socket.write_all(text.as_bytes()).await.unwrap();
                return;
            }
            Act::ReplyAndHang(text) => {
                socket.write_all(text.as_bytes()).await.unwrap();
                break;
            }
            Act::Hang => break,
            _ => return,
        }
    }
    // Until the other side closes.
    while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
}

/// One request with a Content-Length. `None`: the connection ended before it.
async fn read(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
