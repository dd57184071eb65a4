//! An API server in memory: EndpointSlices of one namespace, with versions, pages, watches, bookmarks, and faults on demand.
//!
//! Reached without sockets ([`Api::client`]), so that the clock of a test can be paused, or over HTTP/1.1 ([`Api::serve`]).

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout_at},
};

use crate::tasks::Tasks;

type Chunk = Result<Bytes, io::Error>;
type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// What answers a request in place of the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A `Status` with this code and message.
    Status(u16, &'static str),
    /// This body with 200.
    Body(&'static str),
    /// Nothing, ever.
    Hang,
    /// No connection.
    Refused,
}

#[derive(Clone)]
pub(super) struct Api(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Requests that were answered, or will never be.
    served: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    version: u64,
    slices: BTreeMap<String, EndpointSlice>,
    /// Every event, as a line, with its version.
    history: Vec<(u64, String)>,
    /// Watches from versions before this are refused.
    compacted: u64,
    /// Where requests of a verb go wrong.
    faults: BTreeMap<&'static str, Fault>,
    /// `list`, `list more`, `watch <version>`.
    requests: Vec<String>,
    paths: Vec<String>,
    page_slices: usize,
    delay: Duration,
    token: Option<String>,
    watches: Vec<Watch>,
    /// Those whose connection is half-open.
    dead: Vec<Watch>,
}

struct Watch {
    lines: mpsc::Sender<Chunk>,
    is_dead: Arc<AtomicBool>,
}

impl Api {
    pub(super) fn new() -> Self {
        let state = State { version: 100, page_slices: 500, ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), served: watch::Sender::new(0) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    // What a test does to it.

    /// Writes a slice and tells every watch.
    pub(super) fn put(&self, mut slice: EndpointSlice) {
        let mut state = self.state();
        state.version += 1;
        slice.metadata.resource_version = Some(state.version.to_string());
        let name = slice.metadata.name.clone().unwrap();
        let kind = if state.slices.insert(name, slice.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        state.tell(json!({"type": kind, "object": slice}));
    }

    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let mut slice = state.slices.remove(name).unwrap();
        slice.metadata.resource_version = Some(state.version.to_string());
        state.tell(json!({"type": "DELETED", "object": slice}));
    }

    /// A line of a watch that is in no history.
    pub(super) fn say(&self, line: &str) {
        self.state().watches.retain(|watch| watch.lines.try_send(Ok(Bytes::from(line.to_owned()))).is_ok());
    }

    pub(super) fn bookmark(&self, version: u64) {
        let object = json!({
            "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
            "endpoints": null, "ports": null, "addressType": ""
        });
        self.say(&format!("{}\n", json!({"type": "BOOKMARK", "object": object})));
    }

    /// Ends every watch: in order, or by a broken connection.
    pub(super) fn end_watches(&self, broken: bool) {
        for watch in self.state().watches.drain(..).filter(|_| broken) {
            drop(watch.lines.try_send(Err(io::ErrorKind::ConnectionReset.into())));
        }
    }

    /// Every watch so far hears nothing any more, and is not ended.
    pub(super) fn forget_watches(&self) {
        let mut state = self.state();
        let watches = std::mem::take(&mut state.watches);
        watches.iter().for_each(|watch| watch.is_dead.store(true, Ordering::Relaxed));
        state.dead.extend(watches);
    }

    pub(super) fn fault(&self, verb: &'static str, fault: Fault) {
        self.state().faults.insert(verb, fault);
    }

    /// All requests go wrong, and what is under way is cut off.
    pub(super) fn fail(&self, fault: &Fault) {
        for verb in ["list", "list more", "watch"] {
            self.fault(verb, fault.clone());
        }
        self.end_watches(true);
    }

    pub(super) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Nothing can be watched from a version before the present one.
    pub(super) fn compact(&self) {
        let mut state = self.state();
        state.compacted = state.version;
        state.history.clear();
    }

    /// The server comes back with another history, whose versions are lower.
    pub(super) fn replace(&self, slices: impl IntoIterator<Item = EndpointSlice>) {
        {
            let mut state = self.state();
            (state.version, state.compacted) = (1, 0);
            state.slices.clear();
            state.history.clear();
        }
        slices.into_iter().for_each(|slice| self.put(slice));
    }

    pub(super) fn set_page(&self, slices: usize) {
        self.state().page_slices = slices;
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(super) fn set_token(&self, token: &str) {
        self.state().token = Some(token.to_owned());
    }

    pub(super) fn version(&self) -> u64 {
        self.state().version
    }

    /// What was asked since the last time this was called.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    pub(super) fn last_path(&self) -> String {
        self.state().paths.last().cloned().unwrap_or_default()
    }

    /// Waits for the request after `count` more.
    pub(super) async fn served(&self, count: usize) {
        let mut served = self.0.served.subscribe();
        let from = *served.borrow();
        served.wait_for(|now| *now >= from + count).await.unwrap();
    }

    /// Waits until somebody watches.
    pub(super) async fn watched(&self) {
        let mut served = self.0.served.subscribe();
        served.wait_for(|_| !self.state().watches.is_empty()).await.unwrap();
    }

    // How it is reached.

    pub(super) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (api, request) = (api.clone(), request.map(drop));
            async move { api.answer(&request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Serves HTTP/1.1 on a port of the loopback and gives the URL. Ends with the tasks' runtime.
    pub(super) async fn serve(&self, tasks: &Tasks) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (api, inner) = (self.clone(), tasks.clone());
        tasks.spawn("api", async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let api = api.clone();
                inner.spawn("connection", async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let (api, request) = (api.clone(), request.map(drop));
                        async move { api.answer(&request).await }
                    });
                    drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        url
    }

    async fn answer(&self, request: &Request<()>) -> Result<Reply, io::Error> {
        let delay = self.state().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let (reply, fault) = self.reply(request);
        self.0.served.send_modify(|count| *count += 1);
        match fault {
            Some(Fault::Hang) => pending().await,
            Some(Fault::Refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(reply),
        }
    }

    fn reply(&self, request: &Request<()>) -> (Reply, Option<Fault>) {
        let query = request.uri().query().unwrap_or_default();
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, text)| text)
        };
        assert_eq!(parameter("labelSelector"), Some("kubernetes.io%2Fservice-name%3Dsamplers"), "{query}");
        let number = |name| parameter(name).and_then(|text| text.parse::<u64>().ok());
        let after = parameter("continue").map(str::to_owned);
        let is_watch = parameter("watch").is_some();
        let version = number("resourceVersion");
        let verb = if is_watch {
            "watch"
        } else if after.is_some() {
            "list more"
        } else {
            "list"
        };

        let mut state = self.state();
        let asked = version.map_or_else(|| verb.to_owned(), |version| format!("{verb} {version}"));
        state.requests.push(asked);
        state.paths.push(request.uri().path().to_owned());
        let sent = request.headers().get("authorization").and_then(|header| header.to_str().ok());
        if let Some(token) = &state.token
            && sent != Some(&format!("Bearer {token}"))
        {
            return (status(401, "Unauthorized"), None);
        }
        match state.faults.get(verb).cloned() {
            Some(Fault::Status(code, message)) => (status(code, message), None),
            Some(Fault::Body(text)) => (full(StatusCode::OK, text.to_owned()), None),
            Some(fault) => (full(StatusCode::OK, String::new()), Some(fault)),
            None if is_watch => {
                assert_eq!(parameter("allowWatchBookmarks"), Some("true"));
                let seconds = number("timeoutSeconds").unwrap();
                (state.watch(version.unwrap(), Duration::from_secs(seconds)), None)
            }
            None => (state.list(after.as_deref()), None),
        }
    }
}

impl State {
    fn tell(&mut self, event: Value) {
        let line = format!("{event}\n");
        self.watches.retain(|watch| watch.lines.try_send(Ok(line.clone().into())).is_ok());
        self.history.push((self.version, line));
    }

    /// A page of the present state. (A real server keeps the state of the first page.)
    fn list(&self, after: Option<&str>) -> Reply {
        let mut rest = self
            .slices
            .values()
            .filter(|slice| after.is_none_or(|after| slice.metadata.name.as_deref() > Some(after)));
        let items: Vec<_> = rest.by_ref().take(self.page_slices).collect();
        let last = items.last().and_then(|slice| slice.metadata.name.clone());
        let more = rest.next().and(last).unwrap_or_default();
        let list = json!({
            "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"resourceVersion": self.version.to_string(), "continue": more},
            "items": items
        });
        full(StatusCode::OK, list.to_string())
    }

    fn watch(&mut self, from: u64, limit: Duration) -> Reply {
        let (lines, receiver) = mpsc::channel(10_000);
        let is_dead = Arc::new(AtomicBool::new(false));
        if from < self.compacted {
            let object = status_object(410, "too old resource version");
            lines.try_send(Ok(format!("{}\n", json!({"type": "ERROR", "object": object})).into())).unwrap();
        } else {
            for (_, line) in self.history.iter().filter(|(version, _)| *version > from) {
                lines.try_send(Ok(line.clone().into())).unwrap();
            }
            self.watches.push(Watch { lines, is_dead: Arc::clone(&is_dead) });
        }
        let end = Instant::now() + limit;
        let events = stream::unfold((receiver, is_dead), move |(mut receiver, is_dead)| async move {
            match timeout_at(end, receiver.recv()).await {
                Ok(chunk) => Some((chunk?.map(Frame::data), (receiver, is_dead))),
                // Nor does its end arrive.
                Err(_) if is_dead.load(Ordering::Relaxed) => pending().await,
                Err(_) => None,
            }
        });
        Response::new(StreamBody::new(events).boxed_unsync())
    }
}

fn full(code: StatusCode, text: String) -> Reply {
    let mut reply = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = code;
    reply
}

fn status(code: u16, message: &str) -> Reply {
    full(StatusCode::from_u16(code).unwrap(), status_object(code, message).to_string())
}

fn status_object(code: u16, message: &str) -> Value {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        410 => "Expired",
        _ => "",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code
    })
}
