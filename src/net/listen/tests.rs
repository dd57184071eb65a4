//! Real sockets on loopback for binding and options; scripted errors under a paused clock for the rest.

use std::{cell::RefCell, collections::VecDeque};

use tokio::time::Instant;

use super::*;

// Scenario: a client connects to a bound port.
// Guarantees: the accepted socket has TCP_NODELAY; `localhost` is 127.0.0.1.
#[tokio::test]
async fn accepted_sockets_have_nodelay() {
    let listener = bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.is_ipv4(), "{address}");
    let (client, (accepted, peer)) = tokio::join!(TcpStream::connect(address), accept(&listener));
    assert!(accepted.nodelay().unwrap());
    assert_eq!(client.unwrap().local_addr().unwrap(), peer);
}

// Scenario: an endpoint without a host, as Go allows.
// Guarantees: it is reachable over IPv4.
#[tokio::test]
async fn empty_host_listens_on_every_address() {
    let listener = bind(":0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, _) = tokio::join!(TcpStream::connect(("127.0.0.1", port)), accept(&listener));
    assert!(client.is_ok(), "{client:?}");
}

// Scenario: a port that is taken, and endpoints that are none.
// Guarantees: an error that names the endpoint as configured.
#[tokio::test]
async fn bind_errors_name_the_endpoint() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for endpoint in [address.as_str(), "127.0.0.1", ":port", "127.0.0.1:99999"] {
        let error = bind(endpoint).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {endpoint}"));
        // What prints an error with its sources says each fact once.
        let printed = format!("{:#}", anyhow::Error::new(error));
        let cause = printed.strip_prefix(&format!("cannot listen on {endpoint}: ")).unwrap();
        assert!(!cause.is_empty() && !cause.contains("cannot listen"), "{printed}");
    }
}

/// A path that no other test uses.
fn socket_path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("ringway-listen-{}-{name}", std::process::id()))
}

async fn bind_unix(path: &std::path::Path) -> Result<Listener, BindError> {
    let listen = Listen::Unix(Arc::from(path.to_str().unwrap()));
    let (listener, address) = Listener::bind(&listen).await?;
    assert_eq!(address.to_string(), format!("unix:{}", path.display()));
    assert_eq!(address.tcp(), None);
    Ok(listener)
}

// Scenario: a Unix socket is bound, used and dropped.
// Guarantees: bytes pass in both directions; the file is gone afterwards.
#[tokio::test]
async fn unix_sockets_are_served() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let path = socket_path("served.sock");
    let listener = bind_unix(&path).await.unwrap();
    let (client, (mut accepted, peer)) =
        tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
    let mut client = client.unwrap();
    client.write_all(b"ping").await.unwrap();
    let mut read = [0; 4];
    accepted.read_exact(&mut read).await.unwrap();
    accepted.write_all(b"pong").await.unwrap();
    client.read_exact(&mut read).await.unwrap();
    assert_eq!((&read, peer), (b"pong", None));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}

// Scenario: the path is taken: by a socket that a killed process left, by one that is served, by another file.
// Guarantees: only the first is replaced; what is not ours stays, when binding and when closing.
#[tokio::test]
async fn only_stale_sockets_are_replaced() {
    let path = socket_path("stale.sock");
    // The standard library's listener leaves its file behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = bind_unix(&path).await.unwrap();

    let error = bind_unix(&path).await.unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse, "{error:?}");
    assert!(tokio::net::UnixStream::connect(&path).await.is_ok());

    // Another process takes the path over: its file outlives the first listener.
    std::fs::remove_file(&path).unwrap();
    let second = bind_unix(&path).await.unwrap();
    drop(first);
    assert!(tokio::net::UnixStream::connect(&path).await.is_ok());
    drop(second);

    let file = socket_path("file");
    std::fs::write(&file, "kept").unwrap();
    assert_eq!(bind_unix(&file).await.unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    std::fs::remove_file(&file).unwrap();

    let missing = socket_path("no/such/directory");
    assert_eq!(bind_unix(&missing).await.unwrap_err().source.kind(), io::ErrorKind::NotFound);
}

// Scenario: a name in Linux's abstract namespace.
// Guarantees: it can be connected to, and there is no file.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn abstract_names_have_no_file() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net};
    let name = format!("ringway-listen-{}", std::process::id());
    let path = format!("@{name}");
    let listener = bind_unix(std::path::Path::new(&path)).await.unwrap();
    let address = net::SocketAddr::from_abstract_name(&name).unwrap();
    assert!(net::UnixStream::connect_addr(&address).is_ok());
    assert!(!std::path::Path::new(&path).exists());
    drop(listener);
    assert!(net::UnixStream::connect_addr(&address).is_err());
}

#[track_caller]
fn check(outcome: (u32, Duration), expect: (u32, Duration)) {
    assert_eq!(outcome, expect);
}

/// Runs [`accept_from`] over scripted errors; the accepted value and the time it took on the paused clock.
async fn run(errors: &[io::ErrorKind], raw: &[i32]) -> (u32, Duration) {
    let script: VecDeque<_> = errors
        .iter()
        .map(|kind| Err(io::Error::from(*kind)))
        .chain(raw.iter().map(|code| Err(io::Error::from_raw_os_error(*code))))
        .chain([Ok(7)])
        .collect();
    let script = RefCell::new(script);
    let start = Instant::now();
    let accepted = accept_from(|| std::future::ready(script.borrow_mut().pop_front().unwrap())).await;
    (accepted, start.elapsed())
}

// Scenario: connections that end early, and a process without descriptors (EMFILE 24, ENFILE 23).
// Guarantees: the first cost no time, each of the second one bounded pause; accepting goes on.
#[tokio::test(start_paused = true)]
async fn accept_survives_errors() {
    let passing = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
    check(run(&passing, &[]).await, (7, Duration::ZERO));
    check(run(&[], &[24, 23, 24]).await, (7, EXHAUSTED_PAUSE * 3));
}
