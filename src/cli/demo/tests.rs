//! The demo as a whole, on free ports, with the stages of a real gateway and with a gateway that loses everything.

use clap::Parser as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    admission::Budget,
    backend::{Backend, Buffers, Custody, OtlpGrpc, Pool, Stop},
    model::Endpoint,
    net::{dial::Dialer, listen::Address},
    receiver::{Receiver, Routes},
    router::{Dispatcher, Keeper, Router},
    tasks::Tasks,
};

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    demo: DemoArgs,
}

fn args(more: &[&str]) -> DemoArgs {
    let ports = ["--grpc-endpoint", "--http-endpoint", "--metrics-endpoint"];
    let free = ports.iter().flat_map(|option| [*option, "127.0.0.1:0"]);
    CommandLine::parse_from(["demo"].into_iter().chain(free).chain(more.iter().copied())).demo
}

/// The stages joined as the composition root joins them, without supervision and the admin listener.
struct Stages {
    address: Option<SocketAddr>,
    receiving: CancellationToken,
    backends: Stop,
    tasks: Tasks,
}

impl Gateway for Stages {
    async fn start(settings: Settings, metrics: Metrics) -> anyhow::Result<Self> {
        let exporter = settings.exporters.into_iter().next().context("no exporter")?;
        let (tasks, backends) = (Tasks::new(), Stop::default());
        let Destination::Pool { resolver: Resolver::Static { hostnames }, .. } = exporter.destination.clone()
        else {
            anyhow::bail!("no pool");
        };
        let exporter_metrics = metrics.exporter(&exporter.id, Signal::Traces);
        let router = {
            let (settings, metrics) = (exporter.clone(), metrics.clone());
            let custody = Custody::new();
            let pool = Pool {
                custody: custody.clone(),
                buffers: Buffers::new(),
                stop: backends.clone(),
                tasks: tasks.clone(),
            };
            let (budget, common) = (Budget::new(1 << 30), pool.clone());
            let start_backend = move |endpoint: &Endpoint| {
                let metrics = metrics.backend(&settings.id, endpoint.label(), Signal::Traces);
                let transport = OtlpGrpc::new(
                    endpoint,
                    Signal::Traces,
                    &settings.backend,
                    http::HeaderMap::new(),
                    &metrics,
                    Dialer::default(),
                    common.tasks.clone(),
                );
                let transport = Arc::new(transport);
                Backend::start(
                    endpoint.clone(),
                    Signal::Traces,
                    &settings.backend,
                    metrics,
                    transport,
                    budget.account(),
                    &common,
                )
            };
            let router = Arc::new(Router::new(&exporter, Signal::Traces, exporter_metrics, custody));
            let mut keeper = Keeper::new(Arc::clone(&router), None, pool, Box::new(start_backend));
            keeper.install(&hostnames.iter().map(|hostname| Endpoint::new(hostname)).collect::<Vec<_>>());
            tasks.spawn("keeper", keeper.run(None));
            router
        };
        let settings = settings.receivers.into_iter().next().context("no receiver")?;
        let dispatcher = Dispatcher::new(vec![router], settings.validation);
        let routes = Routes::new().with(Signal::Traces, dispatcher);
        let receiver = Receiver::bind(&settings, &routes, &metrics, &Budget::new(1 << 30).account()).await?;
        let address = receiver.grpc_address().and_then(Address::tcp);
        let receiving = CancellationToken::new();
        tasks.spawn("receiver", receiver.serve(receiving.clone(), Duration::from_secs(5)));
        Ok(Self { address, receiving, backends, tasks })
    }

    fn grpc_address(&self) -> Option<SocketAddr> {
        self.address
    }

    async fn stop(self) {
        self.receiving.cancel();
        self.backends.drain.cancel();
        self.tasks.ended().await;
    }
}

/// Acknowledges everything and passes nothing on.
struct BlackHole(Sink);

impl Gateway for BlackHole {
    async fn start(_settings: Settings, _metrics: Metrics) -> anyhow::Result<Self> {
        Ok(Self(Sink::start("127.0.0.1:0", Mode::Count).await?))
    }

    fn grpc_address(&self) -> Option<SocketAddr> {
        Some(self.0.address())
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

async fn shown<G: Gateway>(args: DemoArgs, terminal: bool) -> (Option<Verdict>, String) {
    let mut out = Vec::new();
    let verdict = run::<G, _>(args, &mut out, terminal, std::future::pending).await.unwrap();
    (verdict, String::from_utf8(out).unwrap())
}

// Scenario: the demo for two seconds through the stages of a real gateway, four backends, output in a pipe.
// Guarantees: a clean verdict over more than nothing, every backend with a share and spans, no escape sequences.
#[tokio::test]
async fn a_gateway_that_works_is_clean() {
    let (verdict, text) =
        shown::<Stages>(args(&["--backends", "4", "--rate", "5000", "--for", "2s"]), false).await;
    let verdict = verdict.unwrap();
    assert!(verdict.is_clean() && verdict.sent > 1_000, "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, verdict.to_string());
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("127.0.0.1:")).collect();
    assert_eq!(rows.len(), 4, "{text}");
    for row in rows {
        let columns: Vec<_> = row.split_whitespace().collect();
        assert!(columns[1].parse::<f64>().unwrap() > 5.0 && columns[3] != "0", "{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

// Scenario: a gateway that acknowledges everything and delivers nothing.
// Guarantees: the verdict is not clean and names what is missing: it rests on what the sinks received.
#[tokio::test]
async fn a_gateway_that_loses_spans_is_found_out() {
    let (verdict, text) = shown::<BlackHole>(args(&["--for", "300ms"]), false).await;
    let verdict = verdict.unwrap();
    assert!(!verdict.is_clean() && verdict.sent > 0 && verdict.delivered == 0, "{text}");
    assert!(text.contains(" missing"), "{text}");
}

// Scenario: no load of its own and no end; another client sends three requests through the gateway, then somebody
// interrupts.
// Guarantees: the demo ends with a verdict that counts the other client's spans against what the gateway accepted.
#[tokio::test]
async fn other_clients_are_audited_without_load() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut args = args(&["--no-load"]);
    args.grpc_endpoint = port.to_string();
    let mut interrupts = 0;
    let interrupted = || {
        interrupts += 1;
        let (first, address) = (interrupts == 1, port.to_string());
        async move {
            if !first {
                return std::future::pending().await;
            }
            let (mut generator, mut left) = (Generator::new(30, 99, 1), 3);
            let pace = Pace::Closed { connections: 1, in_flight: 1 };
            let load = Load::start(&address, pace, move || {
                left -= 1;
                (left >= 0).then(|| Message::plain(&generator.request()))
            });
            assert_eq!(load.ended().await.acknowledged_spans, 90);
            Ok(())
        }
    };
    let mut out = Vec::new();
    let verdict = run::<Stages, _>(args, &mut out, false, interrupted).await.unwrap();
    assert_eq!(verdict, Some(Verdict { sent: 90, delivered: 90, ..Verdict::default() }));
}

// Scenario: the gRPC port is taken.
// Guarantees: the message names the address and the option that changes it.
#[tokio::test]
async fn a_taken_port_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut args = args(&["--for", "1s"]);
    args.grpc_endpoint = address.clone();
    let error = run::<Stages, _>(args, &mut Vec::new(), false, std::future::pending).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains(&address) && text.contains("--grpc-endpoint HOST:PORT"), "{text}");
}

// Scenario: `--print-config`.
// Guarantees: what is printed is a configuration that loads without a warning, and nothing runs.
#[tokio::test]
async fn the_printed_configuration_loads() {
    let (verdict, text) = shown::<BlackHole>(args(&["--print-config", "--backends", "32"]), false).await;
    assert_eq!(verdict, None);
    let settings = configuration::load(&text).unwrap();
    let Destination::Pool { resolver: Resolver::Static { hostnames }, .. } =
        &settings.exporters[0].destination
    else {
        panic!("no pool");
    };
    assert_eq!(hostnames.len(), 32);
    assert_eq!(&*settings.receivers[0].id, configuration::RECEIVER);
}

// Scenario: times as people write them, and things that are none.
// Guarantees: each means what it says or is refused.
#[test]
fn times_are_read() {
    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
    }
    check("10s", Some(10_000));
    check("1m30s", Some(90_000));
    check("500ms", Some(500));
    check("2h", Some(7_200_000));
    for text in ["", "10", "s", "0s", "1.5s", "-1s", "10 s", "1d", "99999999999s"] {
        check(text, None);
    }
}
