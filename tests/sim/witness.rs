//! Two seams into the gateway: the network that its real HTTP/2 client dials through, and a witness of every attempt.
//!
//! The witness stands between a backend's queue and its transport. It writes down when an attempt with which items began, and
//! what the gateway was told of its end; it changes nothing.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use bytes::Bytes;
use ringway::{
    backend::{OtlpGrpc, Transport},
    model::{Metadata, Outcome, Signal},
    net::{
        dial::{Dial, Dialer},
        listen::Stream,
    },
};
use turmoil::net::TcpStream;

use crate::{
    backend::unframe,
    items,
    ledger::{End, Event, Ledger},
};

/// The network of the simulation.
#[derive(Debug)]
struct Simulated;

impl Dial for Simulated {
    fn dial(&self, peer: SocketAddr) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
        Box::pin(async move {
            let socket = TcpStream::connect(peer).await?;
            Ok(Stream::Foreign(Box::new(socket)))
        })
    }
}

/// Dials into the simulation that it is used in.
pub(crate) fn dialer() -> Dialer {
    Dialer::through(Arc::new(Simulated))
}

/// The transport to one backend, watched.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) transport: OtlpGrpc,
    pub(crate) ledger: Ledger,
    pub(crate) signal: Signal,
    pub(crate) backend: usize,
    pub(crate) encoding: Option<&'static str>,
}

impl Transport for Witness {
    fn send<'a>(
        &'a self,
        message: Bytes,
        metadata: &'a Metadata,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(async move {
            let items = items::ids(self.signal, &unframe(&message, self.encoding));
            let attempt = self.ledger.attempt();
            let (signal, backend) = (self.signal.index(), self.backend);
            self.ledger.write(Event::Began { attempt, signal, backend, items });
            // Written down also if the attempt is dropped.
            let mut ending = Ending { ledger: &self.ledger, attempt, end: End::Dropped };
            let outcome = self.transport.send(message, metadata).await;
            ending.end = end_of(&outcome);
            drop(ending);
            outcome
        })
    }
}

struct Ending<'a> {
    ledger: &'a Ledger,
    attempt: u64,
    end: End,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let end = std::mem::replace(&mut self.end, End::Dropped);
        self.ledger.write(Event::Ended { attempt: self.attempt, end });
    }
}

fn end_of(outcome: &Outcome) -> End {
    match outcome {
        Ok(delivered) => End::Taken { rejected: delivered.rejected },
        Err(failure) => match failure.grpc_status {
            Some(code) => {
                End::Answered { code, retryable: failure.is_retryable(), ambiguous: failure.ambiguous }
            }
            None if failure.ambiguous => End::Ambiguous(failure.message.to_string()),
            None => End::Safe(failure.message.to_string()),
        },
    }
}
