//! One lookup of a name: an address by itself, the host's file, or DNS along the search list.
//!
//! Stage: resolver, pure but for [`Names`], which is asked. The order is that of Go's own resolver, which is what the Collector has in
//! its image: `hosts` first, and alone if it knows the name; then each name of the search list until one has an address.
//! Source: Go 1.26, `net/dnsclient_unix.go`, `goLookupIPCNAMEOrder`, `nameList`.
//!
//! **One thing is stricter.** Go goes on to the next name of the list whatever went wrong with this one. So when the name that
//! is in use fails for a moment, a later one may answer that is quite another pool. Here the list ends at the name that gave
//! the last answer, unless that name is said not to be there any more.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use crate::resolver::source::Failure;

/// The longest name that can be asked for, with its last dot. Source: Go, `isDomainName`.
const NAME_MAX: usize = 254;

/// The codes of failures.
pub(super) const NXDOMAIN: &str = "nxdomain";
pub(super) const EMPTY: &str = "empty";
pub(super) const SERVFAIL: &str = "servfail";
pub(super) const REFUSED: &str = "refused";
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const IO: &str = "io";

/// How names are resolved: this machine, unless a test stands in for it.
pub(in crate::resolver) trait Names: Send + 'static {
    /// Takes in what has changed since the last lookup.
    fn refresh(&mut self);

    /// Makes the next [`Names::refresh`] take in everything.
    fn forget(&mut self);

    /// The addresses of a name in the host's file.
    fn hosts(&self, name: &str) -> Vec<IpAddr>;

    /// The search list: the domains, and how many dots let a name be tried as it is first.
    fn search(&self) -> (&[String], usize);

    /// Asks for the A records of a name that ends with a dot. No records at all is a failure.
    fn v4(&self, name: &str) -> impl Future<Output = Result<Records<Ipv4Addr>, Failure>> + Send;

    /// The same for AAAA.
    fn v6(&self, name: &str) -> impl Future<Output = Result<Records<Ipv6Addr>, Failure>> + Send;
}

/// The addresses of a name in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolver) struct Records<T> {
    pub(super) addresses: Vec<T>,
    /// The least time to live; `None`: nobody said.
    pub(super) ttl: Option<Duration>,
}

/// What was found; at least one family has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name that answered, with its last dot; `None`: it was not asked for in DNS.
    pub(super) name: Option<Arc<str>>,
    pub(super) v4: Result<Records<Ipv4Addr>, Failure>,
    pub(super) v6: Result<Records<Ipv6Addr>, Failure>,
}

/// Looks `hostname` up before the deadline. `last` is the name that gave the last answer.
///
/// # Errors
///
/// No address was found: why.
pub(super) async fn look<N: Names>(
    names: &mut N,
    hostname: &str,
    last: Option<&str>,
    deadline: Instant,
) -> Result<Found, Failure> {
    if let Ok(address) = hostname.parse::<IpAddr>() {
        return Ok(fixed(&[address]));
    }
    names.refresh();
    let known = names.hosts(hostname);
    if !known.is_empty() {
        return Ok(fixed(&known));
    }
    let found = along(names, hostname, last, deadline).await;
    if found.is_err() {
        // What is wrong may be what was read, so everything is read again.
        names.forget();
    }
    found
}

/// Whether the failure says that there is nothing, rather than that nobody could say.
pub(super) fn is_definite(failure: &Failure) -> bool {
    matches!(failure.code, NXDOMAIN | EMPTY)
}

async fn along<N: Names>(
    names: &N,
    hostname: &str,
    last: Option<&str>,
    deadline: Instant,
) -> Result<Found, Failure> {
    let (search, ndots) = names.search();
    let candidates = candidates(hostname, search, ndots);
    let mut failed =
        Failure { code: NXDOMAIN, message: format!("{hostname:?} is no name that DNS can be asked for") };
    for candidate in &candidates {
        let (v4, v6) = tokio::join!(
            before(deadline, candidate, names.v4(candidate)),
            before(deadline, candidate, names.v6(candidate))
        );
        let failure = match (v4, v6) {
            (Err(v4), Err(v6)) => worse(v4, v6),
            (v4, v6) => return Ok(Found { name: Some(candidate.as_str().into()), v4, v6 }),
        };
        if Some(candidate.as_str()) == last && !is_definite(&failure) {
            return Err(failure);
        }
        failed = worse(failure, failed);
    }
    Err(failed)
}

/// The failure that says less about the name: it is the one to act upon. Of two that are alike, the first.
fn worse(first: Failure, second: Failure) -> Failure {
    let rank = |failure: &Failure| match failure.code {
        NXDOMAIN => 0,
        EMPTY => 1,
        _ => 2,
    };
    if rank(&second) > rank(&first) { second } else { first }
}

/// A family is waited for by itself, so that one that does not answer does not cost what the other has answered.
async fn before<T>(
    deadline: Instant,
    name: &str,
    asked: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(deadline, asked).await.unwrap_or_else(|_| {
        Err(Failure { code: TIMEOUT, message: format!("{name}: no answer within the resolver's timeout") })
    })
}

fn fixed(addresses: &[IpAddr]) -> Found {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    Found {
        name: None,
        v4: Ok(Records { addresses: v4, ttl: None }),
        v6: Ok(Records { addresses: v6, ttl: None }),
    }
}

/// The names to ask for, in order, each with its last dot.
fn candidates(hostname: &str, search: &[String], ndots: usize) -> Vec<String> {
    if hostname.ends_with('.') {
        return vec![hostname.to_owned()];
    }
    let itself = format!("{hostname}.");
    let is_first = hostname.matches('.').count() >= ndots;
    let searched = search.iter().map(|domain| format!("{itself}{}.", domain.trim_matches('.')));
    let searched = searched.filter(|name| !name.ends_with("..") && name.len() <= NAME_MAX);
    let mut names: Vec<String> = searched.collect();
    let at = if is_first { 0 } else { names.len() };
    if itself.len() <= NAME_MAX {
        names.insert(at, itself);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hostname: &str, ndots: usize, expect: &[&str]) {
        let search = ["ns.svc.cluster.local", "corp.", "."].map(str::to_owned);
        assert_eq!(candidates(hostname, &search, ndots), expect);
    }

    // Scenario: names with fewer and with enough dots, a name with its last dot, one that is too long with a domain.
    // Guarantees: the names and their order are those of Go's resolver.
    #[test]
    fn the_search_list_is_followed_in_order() {
        check("pool", 1, &["pool.ns.svc.cluster.local.", "pool.corp.", "pool."]);
        check("pool.x", 1, &["pool.x.", "pool.x.ns.svc.cluster.local.", "pool.x.corp."]);
        check("pool.x", 5, &["pool.x.ns.svc.cluster.local.", "pool.x.corp.", "pool.x."]);
        check("pool.x.", 5, &["pool.x."]);
        let long = format!("{}.b", "a.".repeat(121));
        check(&long, 1, &[&format!("{long}."), &format!("{long}.corp.")]);
    }
}
