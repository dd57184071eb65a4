//! Addresses for the parts of a test.
//!
//! Every part gets a loopback address of its own, chosen at random from 127.16.0.0 upwards. So two parts, two tests or
//! two checkouts never meet on a port, a port that was free is still free when its process starts (outgoing
//! connections use 127.0.0.1), and endpoints without a port can all be dialled on 4317. Linux routes all of
//! 127.0.0.0/8 to the machine itself.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// A loopback address that no other part has. Of hundreds drawn at random, two are the same now and then.
pub(crate) fn address() -> Ipv4Addr {
    static GIVEN: Mutex<BTreeSet<Ipv4Addr>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let address = Ipv4Addr::new(127, fastrand::u8(16..), fastrand::u8(..), fastrand::u8(1..255));
        if given.insert(address) {
            return address;
        }
    }
}

/// An address of its own with a port that the kernel says is free.
///
/// # Errors
///
/// When the machine has no such loopback addresses.
pub(crate) fn endpoint() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((address(), 0)).context("binding a loopback address of 127.0.0.0/8")?;
    Ok(listener.local_addr()?)
}
