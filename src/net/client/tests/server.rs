//! A gRPC server whose every answer is scripted, over h2.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use h2::{
    RecvStream, SendStream,
    server::{Builder, Connection, SendResponse},
};
use http::{Response, request};
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
};

use super::*;

/// A listening server; its tasks end with the test's runtime.
pub(super) struct Server {
    address: String,
    connections: Arc<AtomicU8>,
    stop: Arc<Notify>,
    tasks: Tasks,
}

/// One call that arrived.
pub(super) struct Call {
    /// Number of its connection, from 1.
    pub(super) connection: u8,
    /// Number of the call on its connection, from 1.
    pub(super) number: usize,
    request: Option<Request<RecvStream>>,
    respond: SendResponse<Bytes>,
    /// Asks the connection to send GOAWAY; it answers when it has.
    shut_down: mpsc::Sender<oneshot::Sender<()>>,
}

/// A message with its prefix.
pub(super) fn framed(compressed: bool, message: &[u8]) -> Bytes {
    let prefix = grpc::Prefix::new(compressed, message.len()).unwrap();
    [&prefix.to_bytes()[..], message].concat().into()
}

impl Server {
    pub(super) async fn start<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with_streams(100, script).await
    }

    /// A server that allows so many streams for each connection.
    pub(super) async fn with_streams<F: Future<Output = ()> + Send + 'static>(
        streams: u32,
        script: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), streams, script)
    }

    pub(super) fn on<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        script: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::serve(listener, 100, script)
    }

    fn serve<F: Future<Output = ()> + Send + 'static>(
        listener: TcpListener,
        streams: u32,
        script: impl Fn(Call) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            connections: Arc::default(),
            stop: Arc::default(),
            tasks: Tasks::new(),
        };
        let (connections, stop, tasks) =
            (Arc::clone(&server.connections), Arc::clone(&server.stop), server.tasks.clone());
        server.tasks.spawn("accept", async move {
            let accept = async {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
                    let serve = serve_connection(socket, number, streams, script.clone(), tasks.clone());
                    let stop = Arc::clone(&stop);
                    tasks.spawn("serve", async move {
                        tokio::select! { () = serve => {}, () = stop.notified() => {} }
                    });
                }
            };
            tokio::select! { () = accept => {}, () = stop.notified() => {} }
        });
        server
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> u8 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes every socket and waits until it is done.
    pub(super) async fn stop(self) {
        self.stop.notify_waiters();
        self.tasks.ended().await;
    }
}

async fn serve_connection<F: Future<Output = ()> + Send + 'static>(
    socket: TcpStream,
    connection: u8,
    streams: u32,
    script: impl Fn(Call) -> F + Send + Sync + 'static,
    tasks: Tasks,
) {
    socket.set_nodelay(true).unwrap();
    let Ok(mut http2): Result<Connection<_, Bytes>, _> =
        Builder::new().max_concurrent_streams(streams).handshake(socket).await
    else {
        return;
    };
    let (shut_down, mut asked) = mpsc::channel::<oneshot::Sender<()>>(1);
    let calls = AtomicUsize::new(0);
    loop {
        let accepted = tokio::select! {
            accepted = http2.accept() => accepted,
            Some(done) = asked.recv() => {
                http2.graceful_shutdown();
                done.send(()).unwrap();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
        let shut_down = shut_down.clone();
        tasks.spawn("call", script(Call { connection, number, request: Some(request), respond, shut_down }));
    }
}

impl Call {
    /// The request with its whole body, prefix included.
    pub(super) async fn read(&mut self) -> (request::Parts, Vec<u8>) {
        let (head, mut body) = self.request.take().unwrap().into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            bytes.extend_from_slice(&data);
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        (head, bytes)
    }

    /// Answers OK with a message.
    pub(super) async fn ok(&mut self, message: &[u8]) {
        self.reply(&[], &[framed(false, message)], Some(Status::ok())).await;
    }

    /// Answers with headers over the usual ones (`:status` is the HTTP status), frames as they are, and trailers.
    pub(super) async fn reply(
        &mut self,
        headers: &[(&str, &str)],
        frames: &[Bytes],
        trailers: Option<Status>,
    ) {
        if self.request.is_some() {
            self.read().await;
        }
        let mut head = Response::new(());
        head.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
        for (name, value) in headers {
            match *name {
                ":status" => *head.status_mut() = value.parse().unwrap(),
                name => drop(
                    head.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap()),
                ),
            }
        }
        // The caller may have given up meanwhile; that is for the test to see, not for the server.
        let Ok(mut stream) = self.respond.send_response(head, false) else { return };
        for frame in frames {
            drop(stream.send_data(frame.clone(), false));
        }
        drop(Self::end(&mut stream, trailers));
    }

    fn end(stream: &mut SendStream<Bytes>, trailers: Option<Status>) -> Result<(), h2::Error> {
        match trailers {
            Some(status) => stream.send_trailers(status.to_headers()),
            None => stream.send_data(Bytes::new(), true),
        }
    }

    /// Answers at once with a status in the headers, whatever has arrived of the request.
    pub(super) fn trailers_only(&mut self, status: &Status) {
        let mut head = Response::new(());
        *head.headers_mut() = status.to_headers();
        head.headers_mut().insert(header::CONTENT_TYPE, grpc::CONTENT_TYPE);
        self.respond.send_response(head, true).unwrap();
    }

    /// Ends the stream with RST_STREAM.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits until the caller has reset the stream.
    pub(super) async fn wait_for_reset(&mut self) -> Reason {
        std::future::poll_fn(|cx| self.respond.poll_reset(cx)).await.unwrap()
    }

    /// Makes the connection send GOAWAY before anything else.
    pub(super) async fn shut_down_first(&self) {
        let (done, asked) = oneshot::channel();
        self.shut_down.send(done).await.unwrap();
        asked.await.unwrap();
    }
}
