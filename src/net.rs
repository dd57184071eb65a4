//! Sockets, HTTP/1.1 and HTTP/2 clients, gRPC framing and compression: what both sides of the gateway share.
//!
//! Stage: edge. Knows bytes and protocols, not OTLP's content.

pub mod client;
pub mod compression;
pub mod dial;
pub mod grpc;
pub mod http_client;
pub mod listen;
