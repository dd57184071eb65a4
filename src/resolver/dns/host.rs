//! How this machine resolves names: `/etc/resolv.conf`, `/etc/hosts`, and the name servers that the first one names.
//!
//! Stage: resolver. Owns the files and the client. The files are looked at before each lookup and read again when they have
//! changed, or when the last lookup failed; the client is made anew when what it was made from is other text, so that it keeps what it has
//! learnt of slow and silent servers. It has no cache. Questions offer EDNS, and answers that are cut off are asked for again
//! over TCP.
//!
//! `/etc/nsswitch.conf` is not read: files first, then DNS, as Go's resolver does without it.

use std::{
    fmt::Display,
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType},
    },
    system_conf::parse_resolv_conf,
};

use super::lookup::{EMPTY, IO, NXDOMAIN, Names, REFUSED, Records, SERVFAIL, TIMEOUT};
use crate::resolver::source::Failure;

/// Of a longer file, the beginning is used.
const BYTES_MAX: u64 = 16 << 20;
/// Who is asked where no name server is named. Source: Go, `net/dnsconfig.go`, `defaultNS`.
const DEFAULT_SERVERS: &str = "\nnameserver 127.0.0.1\nnameserver ::1\n";
/// The most dots that are asked for. Source: Go, `net/dnsconfig_unix.go`, `dnsReadConfig`.
const NDOTS_MAX: usize = 15;

/// This machine.
#[derive(Debug)]
pub(in crate::resolver) struct Host {
    /// Limit of one lookup, so that no question outlives it.
    timeout: Duration,
    hosts: Watched,
    configuration: Watched,
    /// What [`Host::client`] was made from.
    client_of: Option<String>,
    client: Result<TokioResolver, Arc<str>>,
    search: Vec<String>,
    ndots: usize,
}

/// A small file, and what it looked like when it was read.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Option<Looks>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    place: (u64, u64),
    bytes: u64,
    written: (i64, i64),
}

// === impl Watched ===

impl Watched {
    fn new(path: &str) -> Self {
        Self { path: path.into(), seen: None, text: String::new() }
    }

    /// Reads the file if it looks other than when it was last read. One that cannot be read is empty.
    fn refresh(&mut self) {
        let looks = fs::metadata(&self.path).ok().map(|metadata| Looks {
            place: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        });
        if looks.is_some() && looks == self.seen {
            return;
        }
        let mut bytes = Vec::new();
        let read = fs::File::open(&self.path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        self.text = String::from_utf8_lossy(&bytes).into_owned();
        self.seen = looks.filter(|_| read.is_ok());
    }
}

// === impl Host ===

impl Host {
    /// Nothing is read before the first lookup.
    pub(in crate::resolver) fn new(timeout: Duration) -> Self {
        Self::with_files(timeout, "/etc/hosts", "/etc/resolv.conf")
    }

    fn with_files(timeout: Duration, hosts: &str, configuration: &str) -> Self {
        Self {
            timeout,
            hosts: Watched::new(hosts),
            configuration: Watched::new(configuration),
            client_of: None,
            client: Err("it was not made yet".into()),
            search: Vec::new(),
            ndots: 1,
        }
    }

    /// Takes in the text of `resolv.conf`.
    fn configure(&mut self) {
        let names_a_server =
            self.configuration.text.lines().any(|line| line.trim_start().starts_with("nameserver"));
        let mut text = self.configuration.text.clone();
        if !names_a_server {
            text.push_str(DEFAULT_SERVERS);
        }
        self.client = parse_resolv_conf(&text)
            .and_then(|(config, options)| {
                let own = config.domain().into_iter();
                let search: Vec<&Name> = match config.search() {
                    [] => own.collect(),
                    search => search.iter().collect(),
                };
                self.search = search.into_iter().map(ToString::to_string).collect();
                self.ndots = options.ndots.min(NDOTS_MAX);
                client(&config, options, self.timeout)
            })
            .map_err(|error| format!("{}: {error}", self.configuration.path.display()).into());
        self.client_of = Some(self.configuration.text.clone());
    }

    async fn ask<T>(
        &self,
        name: &str,
        record_type: RecordType,
        address: impl Fn(&RData) -> Option<T> + Send,
    ) -> Result<Records<T>, Failure> {
        let failed =
            |code, why: &dyn Display| Failure { code, message: format!("{name} {record_type}: {why}") };
        let client = self.client.as_ref().map_err(|error| failed(IO, error))?;
        // What cannot be a name is a name that is not there, as for Go.
        let asked = Name::from_ascii(name).map_err(|error| failed(NXDOMAIN, &error))?;
        let answer = client.lookup(asked, record_type).await.map_err(|error| match code(&error) {
            NXDOMAIN => failed(NXDOMAIN, &"no such name"),
            EMPTY => failed(EMPTY, &"no records"),
            code => failed(code, &error),
        })?;
        let records: &[Record] = answer.answers();
        let addresses: Vec<T> = records.iter().filter_map(|record| address(&record.data)).collect();
        if addresses.is_empty() {
            return Err(failed(EMPTY, &"no records"));
        }
        // Aliases on the way count too.
        let ttl = records.iter().map(|record| record.ttl).min();
        Ok(Records { addresses, ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())) })
    }
}

impl Names for Host {
    fn refresh(&mut self) {
        self.hosts.refresh();
        self.configuration.refresh();
        if self.client_of.as_ref() != Some(&self.configuration.text) {
            self.configure();
        }
    }

    fn forget(&mut self) {
        self.hosts.seen = None;
        self.configuration.seen = None;
    }

    fn hosts(&self, name: &str) -> Vec<IpAddr> {
        in_hosts(&self.hosts.text, name)
    }

    fn search(&self) -> (&[String], usize) {
        (&self.search, self.ndots)
    }

    async fn v4(&self, name: &str) -> Result<Records<Ipv4Addr>, Failure> {
        let address = |data: &RData| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        };
        self.ask(name, RecordType::A, address).await
    }

    async fn v6(&self, name: &str) -> Result<Records<Ipv6Addr>, Failure> {
        let address = |data: &RData| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        };
        self.ask(name, RecordType::AAAA, address).await
    }
}

fn client(
    config: &ResolverConfig,
    options: ResolverOpts,
    timeout: Duration,
) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default());
    let own = builder.options_mut();
    *own = options;
    own.timeout = own.timeout.min(timeout);
    own.cache_size = 0;
    // Without it an answer has 512 bytes, and TCP is needed for 30 addresses. Go offers it always.
    own.edns0 = true;
    own.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

/// What the host's file says about a name, line by line. Source: hosts(5); Go, `net/hosts.go`: names are compared without regard to
/// case and a last dot. Addresses with a zone cannot be endpoints.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let of_line = |line: &str| {
        let mut fields = line.split('#').next()?.split_ascii_whitespace();
        let address = fields.next()?.parse().ok()?;
        fields.any(|field| field.trim_end_matches('.').eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(of_line).collect()
}

fn code(error: &NetError) -> &'static str {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => NXDOMAIN,
            ResponseCode::NoError => EMPTY,
            ResponseCode::Refused => REFUSED,
            _ => SERVFAIL,
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => REFUSED,
        // Whatever else a server can answer means that it cannot serve: Go calls it "server misbehaving".
        NetError::Dns(_) => SERVFAIL,
        NetError::Timeout => TIMEOUT,
        _ => IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: a file of hosts with comments, aliases, capitals, both families, zones and nonsense.
    // Guarantees: every address of the name is found, line by line; what is no address is passed over.
    #[test]
    fn hosts_are_found() {
        let text = "# pool 10.0.0.9\n127.0.0.1 localhost\n10.0.0.2\tPool.Example. other # pool\nfe80::1%eth0 other\n\
                    fd00::1 x other\nnonsense other\n10.0.0.2 other\n";
        let found = |name| in_hosts(text, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("pool.example"), ["10.0.0.2"]);
        assert_eq!(found("POOL.example."), ["10.0.0.2"]);
        assert_eq!(found("other"), ["10.0.0.2", "fd00::1", "10.0.0.2"]);
        assert!(found("pool").is_empty());
    }

    // Scenario: files are missing, are written, replaced and changed, with the same length too.
    // Guarantees: each change is taken in by the next refresh; without a server the local one is asked; the search list and the
    // dots are those of the file; a file that is no configuration is a failure with its path.
    #[tokio::test]
    async fn files_are_read_again_when_they_change() {
        let folder = std::env::temp_dir().join(format!("ringway-dns-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [hosts, configuration] = ["hosts", "resolv.conf"].map(|name| folder.join(name));
        let mut host = Host::with_files(
            Duration::from_secs(1),
            hosts.to_str().unwrap(),
            configuration.to_str().unwrap(),
        );
        host.refresh();
        assert!(host.client.is_ok());
        assert!(host.hosts("pool").is_empty());
        for (address, domain, ndots) in [("10.0.0.1", "one", 2), ("10.0.0.2", "two", 99)] {
            fs::write(&hosts, format!("{address} pool\n")).unwrap();
            let text = format!("search {domain} other.\noptions ndots:{ndots}\nnameserver 127.0.0.53\n");
            let new = folder.join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &configuration).unwrap();
            host.refresh();
            assert_eq!(host.hosts("pool"), [address.parse::<IpAddr>().unwrap()]);
            let (search, dots) = host.search();
            assert_eq!(
                search.iter().map(|name| name.trim_end_matches('.')).collect::<Vec<_>>(),
                [domain, "other"]
            );
            assert_eq!(dots, ndots.min(NDOTS_MAX));
        }
        let made_of = host.client_of.clone();
        host.forget();
        host.refresh();
        assert_eq!(host.client_of, made_of, "what is the same text keeps the client");
        fs::write(&configuration, format!("nameserver 127.0.0.1\nsearch {}\n", "a".repeat(70))).unwrap();
        host.refresh();
        let failure = host.v4("pool.").await.unwrap_err();
        assert_eq!(failure.code, IO);
        assert!(failure.message.contains("resolv.conf: "), "{}", failure.message);
        fs::remove_dir_all(&folder).unwrap();
    }
}
