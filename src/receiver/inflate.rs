//! Names of encodings, and what a compressed body may expand to.
//!
//! Stage: receiver. Decompression itself is `net::compression`'s; here are the names that clients use for it and the
//! one limit: a body obeys the same number of bytes after decompression as before.
//!
//! Runs on the connection's thread, about a millisecond for each megabyte that comes out. With the limits of 4 and
//! 20 MiB that is tolerable; moving large bodies elsewhere is later work.

use http::{HeaderMap, HeaderValue, header};

use crate::{
    model::settings::{Compression, Encodings},
    net::{
        compression::{self, Encoding, InflateError},
        grpc,
    },
};

/// `Content-Encoding` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    /// No encoding.
    Identity,
    /// One that its name tells.
    Named(Encoding),
    /// `snappy`: block format by its name, but framed data is known by its start and accepted, as older Collectors
    /// sent it under this name.
    Snappy,
}

/// Reads `grpc-encoding`: what gRPC clients of the Collector may use. The last of several counts, as in grpc-go.
///
/// # Errors
///
/// The name, if there is no decompressor for it.
pub(super) fn grpc_encoding(headers: &HeaderMap) -> Result<Compression, String> {
    let name = headers.get_all(grpc::ENCODING).iter().next_back().map_or(&b""[..], HeaderValue::as_bytes);
    match name {
        b"" | b"identity" => Ok(Compression::None),
        b"gzip" => Ok(Compression::Gzip),
        b"snappy" => Ok(Compression::Snappy),
        b"zstd" => Ok(Compression::Zstd),
        other => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

/// Reads `Content-Encoding`. The first of several header lines counts; a list, another case and `none` are unknown
/// names, as in the Collector. `identity` is accepted where a body without the header is, which the Collector does not:
/// it is what HTTP calls a body without an encoding.
///
/// # Errors
///
/// The name, if there is no decompressor for it or the settings do not allow it.
///
/// Source: Collector `config/confighttp/compression.go` (v0.161.0), `availableDecoders`.
pub(super) fn content_encoding(headers: &HeaderMap, allowed: &Encodings) -> Result<ContentEncoding, String> {
    let name = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
    let encoding = match name {
        _ if *allowed == Encodings::Off => return Ok(ContentEncoding::Identity),
        b"" | b"identity" => Some(ContentEncoding::Identity),
        b"gzip" => Some(ContentEncoding::Named(Encoding::Gzip)),
        b"zlib" | b"deflate" => Some(ContentEncoding::Named(Encoding::Zlib)),
        b"zstd" => Some(ContentEncoding::Named(Encoding::Zstd)),
        b"snappy" => Some(ContentEncoding::Snappy),
        b"x-snappy-framed" => Some(ContentEncoding::Named(Encoding::SnappyFramed)),
        b"lz4" => Some(ContentEncoding::Named(Encoding::Lz4)),
        _ => None,
    };
    let listed = if name == b"identity" { b"" } else { name };
    encoding
        .filter(|_| match allowed {
            Encodings::Known | Encodings::Off => true,
            Encodings::Only(names) => names.iter().any(|name| name.as_bytes() == listed),
        })
        .ok_or_else(|| String::from_utf8_lossy(name).into_owned())
}

/// Decompresses a gRPC message. `None`: the call names no compression.
pub(super) fn message(
    encoding: Compression,
    message: &[u8],
    limit_bytes: usize,
) -> Option<Result<Vec<u8>, InflateError>> {
    let encoding = match encoding {
        Compression::None
        | Compression::SnappyBlock
        | Compression::Zlib
        | Compression::Deflate
        | Compression::Lz4 => return None,
        Compression::Gzip => Encoding::Gzip,
        Compression::Snappy => Encoding::SnappyFramed,
        Compression::Zstd => Encoding::Zstd,
    };
    Some(compression::inflate(encoding, message, limit_bytes))
}

/// Decompresses an HTTP body. `None`: it is not compressed. The encoding that was used goes with an error, since its text
/// depends on it.
pub(super) fn body(
    encoding: ContentEncoding,
    body: &[u8],
    limit_bytes: usize,
) -> Option<Result<Vec<u8>, (Encoding, InflateError)>> {
    let encoding = match encoding {
        ContentEncoding::Identity => return None,
        ContentEncoding::Named(encoding) => encoding,
        ContentEncoding::Snappy => Encoding::of_http_snappy(body),
    };
    Some(compression::inflate(encoding, body, limit_bytes).map_err(|error| (encoding, error)))
}
