//! Sockets, HTTP/2 client, gRPC framing and compression: what both sides of the gateway share.
//!
//! Stage: edge. Knows bytes and protocols, not OTLP's content.

pub mod client;
pub mod compression;
pub mod grpc;
pub mod listen;
