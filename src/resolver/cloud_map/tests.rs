//! The Cloud Map source against a double of the API: HTTP/1.1 on loopback, the JSON of DiscoverInstances, and its rules about health
//! and length. The SDK is told that the double is its proxy, so that the host name it makes up is never looked up.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use aws_config::{profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig};
use aws_sdk_servicediscovery::config::Credentials;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{
    resolver::{State, source::tests::publisher},
    tasks::Tasks,
};

/// What the double does.
#[derive(Debug, Default)]
struct World {
    /// Id, health, attributes.
    instances: Vec<(String, &'static str, Value)>,
    /// Answered instead: HTTP status and body.
    fails: Option<(u16, Value)>,
    hangs: bool,
    /// Bodies of the questions.
    asked: Vec<Value>,
}

#[derive(Clone, Debug)]
struct Double {
    world: Arc<Mutex<World>>,
    address: SocketAddr,
}

impl World {
    /// As the API documents it: HEALTHY where nothing is said is not among it; 100 instances where nothing is said is.
    fn discover(&self, asked: &Value) -> Value {
        let wanted = asked["HealthStatus"].as_str().unwrap_or("ALL");
        let any_healthy = self.instances.iter().any(|(_, health, _)| *health == "HEALTHY");
        let is_wanted = |health: &str| match wanted {
            "HEALTHY_OR_ELSE_ALL" => health == "HEALTHY" || !any_healthy,
            "ALL" => true,
            wanted => health == wanted,
        };
        let most = asked["MaxResults"].as_u64().unwrap_or(100);
        let instances = self.instances.iter().filter(|(_, health, _)| is_wanted(health));
        let instances = instances.take(usize::try_from(most).unwrap()).map(|(id, health, attributes)| {
            json!({"InstanceId": id, "NamespaceName": asked["NamespaceName"], "ServiceName": asked["ServiceName"],
                   "HealthStatus": health, "Attributes": attributes})
        });
        json!({"Instances": instances.collect::<Vec<_>>(), "InstancesRevision": 1})
    }
}

impl Double {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self { world: Arc::default(), address: listener.local_addr().unwrap() };
        let (serving, tasks) = (double.clone(), Tasks::new());
        Tasks::new().spawn("double", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let double = serving.clone();
                let service = service_fn(move |request| double.clone().answer(request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                tasks.spawn("connection", async move { drop(connection.await) });
            }
        });
        double
    }

    fn with<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        with(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        assert_eq!(head.headers["x-amz-target"], "Route53AutoNaming_v20170314.DiscoverInstances");
        assert!(head.headers.contains_key("authorization"), "unsigned");
        let asked: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        let (status, body, hangs) = self.with(|world| {
            let (status, body) = world.fails.clone().unwrap_or_else(|| (200, world.discover(&asked)));
            world.asked.push(asked);
            (status, body, world.hangs)
        });
        if hangs {
            std::future::pending::<()>().await;
        }
        let response =
            Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
        Ok(response.body(Full::from(body.to_string())).unwrap())
    }

    /// A client whose every request goes to the double.
    async fn client(&self, has_credentials: bool) -> Client {
        let proxy = format!("http://{}", self.address);
        let http = Builder::new().build_with_connector_fn(move |settings, components| {
            let mut connector = Connector::builder().proxy_config(ProxyConfig::http(proxy.as_str()).unwrap());
            connector.set_connector_settings(settings.cloned());
            connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            connector.build_http()
        });
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http.clone())
            .region(Region::from_static(DEFAULT_REGION))
            .endpoint_url("http://servicediscovery.test");
        let loader = if has_credentials {
            loader.credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        } else {
            // Whatever the environment has: nobody has a profile of this name.
            let nobody = ProfileFileCredentialsProvider::builder()
                .configure(&ProviderConfig::without_region().with_http_client(http))
                .profile_name("ringway-test-nobody")
                .build();
            loader.credentials_provider(nobody)
        };
        Client::new(&loader.load().await)
    }

    /// Asks once: the endpoints, joined, and the code of the failure that goes with them or stands for them.
    async fn look(&self, settings: &settings::CloudMap) -> (Option<String>, Option<&'static str>) {
        match look(&mut Some(self.client(true).await), settings).await {
            Ok(found) => {
                let texts: Vec<_> = found.endpoints.iter().map(Endpoint::identity).collect();
                (Some(texts.join(" ")), found.incomplete.map(|failure| failure.code))
            }
            Err(failure) => (None, Some(failure.code)),
        }
    }
}

fn settings() -> settings::CloudMap {
    settings::CloudMap {
        namespace: "apps".into(),
        service_name: "samplers".into(),
        health_status: "HEALTHY".into(),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
        port: None,
        owner_account: None,
    }
}

fn attributes(texts: &[(&str, &str)]) -> Value {
    texts.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
}

fn instance(id: &str, health: &'static str, address: &str, port: &str) -> (String, &'static str, Value) {
    (id.to_owned(), health, attributes(&[(IPV4, address), (PORT, port)]))
}

// Scenario: healthy and unhealthy instances; each of the four filters; nothing healthy.
// Guarantees: the filter is in the question, with the namespace, the service, the most that can be asked for and the owner.
#[tokio::test]
async fn the_question_says_everything() {
    let double = Double::start().await;
    double.with(|world| {
        world.instances = vec![
            instance("i-2", "HEALTHY", "10.0.0.2", "4317"),
            instance("i-1", "UNHEALTHY", "10.0.0.1", "4317"),
            instance("i-3", "HEALTHY", "10.0.0.10", "4317"),
        ];
    });
    let all = "10.0.0.10:4317 10.0.0.1:4317 10.0.0.2:4317";
    for (health_status, expect) in [
        ("HEALTHY", "10.0.0.10:4317 10.0.0.2:4317"),
        ("UNHEALTHY", "10.0.0.1:4317"),
        ("ALL", all),
        ("HEALTHY_OR_ELSE_ALL", "10.0.0.10:4317 10.0.0.2:4317"),
    ] {
        let asked = settings::CloudMap { health_status: health_status.into(), ..settings() };
        assert_eq!(double.look(&asked).await, (Some(expect.to_owned()), None), "{health_status}");
    }
    let asked = settings::CloudMap { owner_account: Some("123456789012".into()), ..settings() };
    double.look(&asked).await;
    let last = double.with(|world| world.asked.pop().unwrap());
    let expect = json!({"NamespaceName": "apps", "ServiceName": "samplers", "HealthStatus": "HEALTHY", "MaxResults": 1000,
                        "OwnerAccount": "123456789012"});
    assert_eq!(last, expect);
}

// Scenario: instances with an IPv4 address, with both, with IPv6 alone, without address, without port, without anything; a port
// that is configured; no instance at all; nothing but incomplete ones.
// Guarantees: the texts are the Collector's; IPv6 has brackets; what is no endpoint is left out and said; a configured port
// is used for all; no instance is an answer, only incomplete ones are none.
#[tokio::test]
async fn incomplete_instances_are_left_out() {
    let double = Double::start().await;
    let of = |id: &str, texts: &[(&str, &str)]| (id.to_owned(), "HEALTHY", attributes(texts));
    let complete = [
        of("a", &[(IPV4, "10.0.0.1"), (PORT, "4317")]),
        of("b", &[(IPV4, "10.0.0.2"), (IPV6, "fd00::2"), (PORT, "4318")]),
        of("c", &[(IPV6, "fd00:0::3"), (PORT, "4317")]),
    ];
    let incomplete = [of("d", &[(PORT, "4317")]), of("e", &[]), of("f", &[(IPV6, "nonsense"), (PORT, "1")])];
    let no_port = of("g", &[(IPV4, "10.0.0.4")]);
    double.with(|world| world.instances = complete.to_vec());
    let three = "10.0.0.1:4317 10.0.0.2:4318 [fd00::3]:4317";
    assert_eq!(double.look(&settings()).await, (Some(three.to_owned()), None));
    double.with(|world| world.instances.extend(incomplete.iter().chain([&no_port]).cloned()));
    assert_eq!(double.look(&settings()).await, (Some(three.to_owned()), Some("incomplete")));
    let with_port = settings::CloudMap { port: Some(9), ..settings() };
    let four = "10.0.0.1:9 10.0.0.2:9 10.0.0.4:9 [fd00::3]:9";
    assert_eq!(double.look(&with_port).await, (Some(four.to_owned()), Some("incomplete")));
    double.with(|world| world.instances = incomplete.to_vec());
    assert_eq!(double.look(&with_port).await, (None, Some("incomplete")));
    double.with(|world| world.instances.clear());
    assert_eq!(double.look(&settings()).await, (Some(String::new()), None));
}

// Scenario: 101 instances, 999, and 1,000.
// Guarantees: more than a Collector sees are used; as many as an answer can have are a failure, not a part of the pool.
#[tokio::test]
async fn an_answer_that_may_be_cut_off_is_not_used() {
    let double = Double::start().await;
    for (count, expect) in [(101, Some(101)), (999, Some(999)), (1_000, None)] {
        let instances = (0..count).map(|at| {
            instance(&format!("i-{at}"), "HEALTHY", &format!("10.0.{}.{}", at / 250, at % 250), "1")
        });
        double.with(|world| world.instances = instances.collect());
        let (found, code) = double.look(&settings()).await;
        assert_eq!(found.map(|texts| texts.split(' ').count()), expect);
        assert_eq!(code, (count == 1_000).then_some("too_many"));
    }
}

// Scenario: the API refuses, is missing what is asked for, is overloaded, answers nonsense; nobody has credentials; nobody listens.
// Guarantees: each is a failure with its code, and the API's own words; the process goes on.
#[tokio::test]
async fn failures_are_told_apart() {
    let double = Double::start().await;
    for (status, answer, expect) in [
        (400, json!({"__type": "ServiceNotFound", "Message": "no such service"}), "not_found"),
        (
            400,
            json!({"__type": "com.amazonaws.servicediscovery#NamespaceNotFound", "Message": "no"}),
            "not_found",
        ),
        (400, json!({"__type": "AccessDeniedException", "Message": "no"}), "forbidden"),
        (400, json!({"__type": "InvalidInput", "Message": "no"}), "invalid"),
        (400, json!({"__type": "RequestLimitExceeded", "Message": "no"}), "throttled"),
        (400, json!({"__type": "SomethingNew", "Message": "no"}), "service"),
        (200, json!("nonsense"), "io"),
    ] {
        double.with(|world| world.fails = Some((status, answer.clone())));
        assert_eq!(double.look(&settings()).await, (None, Some(expect)), "{answer}");
    }
    double.with(|world| world.fails = Some((400, json!({"__type": "ServiceNotFound", "Message": "who?"}))));
    let failure = look(&mut Some(double.client(true).await), &settings()).await.unwrap_err();
    assert_eq!(failure.message, "Cloud Map answers ServiceNotFound: who?");
    let failure = look(&mut Some(double.client(false).await), &settings()).await.unwrap_err();
    assert_eq!(failure.code, "credentials", "{}", failure.message);
    let gone = Double { address: ([127, 0, 0, 1], 1).into(), ..double };
    assert_eq!(gone.look(&settings()).await, (None, Some("io")));
}

// Scenario: a source is started against an API that says nothing, and then answers.
// Guarantees: the limit of a question is kept, and the failure counted; it is asked again, and the answer is published; the task ends
// with its last listener.
#[tokio::test]
async fn a_question_is_bounded_and_asked_again() {
    let double = Double::start().await;
    double.with(|world| {
        world.hangs = true;
        world.instances = vec![instance("i-1", "HEALTHY", "10.0.0.1", "4317")];
    });
    let (publisher, mut answers, status, metrics) = publisher("aws");
    let limit = Duration::from_millis(50);
    let settings = settings::CloudMap { timeout: limit, interval: Duration::from_millis(10), ..settings() };
    let source = CloudMap { client: Some(double.client(true).await), ..CloudMap::new(settings, publisher) };
    let tasks = Tasks::new();
    tasks.spawn("resolver", source.follow());
    while metrics.failures("timeout") < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status.snapshot().state, State::Waiting);
    double.with(|world| world.hangs = false);
    answers.changed().await.unwrap();
    let answer = answers.borrow_and_update().clone().unwrap();
    assert_eq!(answer.endpoints, [Endpoint::new("10.0.0.1:4317")]);
    assert_eq!(answer.absence, Absence::Unexplained);
    drop(answers);
    tasks.ended().await;
}
