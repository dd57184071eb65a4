//! Whether a backend refused a message for its size, and which size it takes.
//!
//! Stage: engine, used by `backend`. Owns the texts in which gRPC libraries say so: the gRPC protocol has no field for a
//! limit, no status that means only this, and no agreement which one to use. RESOURCE_EXHAUSTED also stands for quotas and
//! memory; tonic's OUT_OF_RANGE is *retryable* in OTLP, so a message that is never going to fit would be sent for minutes.
//!
//! A text is looked for anywhere in the message, because a gateway that passes an answer on puts its own words in front
//! (`Permanent error: rpc error: code = ResourceExhausted desc = …`). The limit counts a message before compression in all
//! of these libraries: they compare it with the length on the wire and, of compressed messages, with what comes out.
//!
//! | library | source | text |
//! |---|---|---|
//! | grpc-go v1.83.2 | `rpc_util.go` (`recvMsg`, `decompress`), `stream.go`, `server.go` | `grpc: received message larger than max (F vs. L)`, `grpc: message after decompression larger than max (F vs. L)`, `grpc: received message after decompression larger than max L`, of older versions `(F vs. L)`; `trying to send message larger than max (F vs. L)` |
//! | gRPC core (C++, Python, Ruby, PHP) | `src/core/ext/filters/http/message_compress/compression_filter.cc`, `src/core/ext/filters/message_size/message_size_filter.cc` (commits 0280f28, f3a362c) | `Received message larger than max (F vs. L)`, of newer versions with `CLIENT: ` or `SERVER: ` in front; `Sent message larger than max (F vs. L)` |
//! | grpc-js | `packages/grpc-js/src/server-interceptors.ts` (commit 0157776), `stream-decoder.ts` | `Received message larger than max (F vs L)`, `Received message that decompresses to a size larger than L`, `Sent message larger than max (F vs. L)` |
//! | grpc-java | `core/src/main/java/io/grpc/internal/MessageDeframer.java` (commits 1d74303, 49b1c36) | `gRPC message exceeds maximum size L: F`, `Decompressed gRPC message exceeds maximum size L`, before that `Compressed gRPC message exceeds maximum size L: F bytes read` |
//! | Armeria | `grpc-protocol/…/AbstractMessageDeframer.java` (commit 0c5692d) | `…Deframer: Frame size F exceeds maximum: L. `, `…Deframer: Compressed frame exceeds maximum frame size: L. Bytes read: F. ` |
//! | tonic 0.14.9 | `src/codec/decode.rs`, `encode.rs` | OUT_OF_RANGE `Error, decoded message length too large: found F bytes, the limit is: L bytes` (older versions without `decoded`), `Error, encoded …`; RESOURCE_EXHAUSTED `Error decompressing: size limit, of L bytes, exceeded while decompressing message` |
//! | grpc-dotnet | `src/Grpc.AspNetCore.Server/Internal/PipeExtensions.cs` (commit 650fabc) | `Received message exceeds the maximum configured message size.` |
//!
//! F is the length found, L the limit, both in bytes. Not matched, because a smaller message does not help: `data refused
//! due to high memory usage` (Collector, memory_limiter), quotas, rate limits, header lists that are too long.

#[cfg(test)]
mod tests;

/// A backend takes no message of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// It takes messages up to this many bytes, before compression; at least 1.
    Limit(usize),
    /// It does not say which size it takes, or what it says makes no sense: smaller ones are to be tried.
    Unknown,
}

/// What is known to be said about the size of a message.
struct Wording {
    /// Tells a refusal for size from every other one.
    phrase: &'static str,
    /// What may follow it, the first that fits counts. `F` stands for the length found and `L` for the limit.
    numbers: &'static [&'static str],
}

const fn wording(phrase: &'static str, numbers: &'static [&'static str]) -> Wording {
    Wording { phrase, numbers }
}

const WORDINGS: &[Wording] = &[
    wording(
        "message larger than max",
        &[" (F vs. L)", " (F vs L)", " length allowed on current machine (F vs. L)"],
    ),
    wording("message after decompression larger than max", &[" (F vs. L)", " L"]),
    wording("message that decompresses to a size larger than", &[" L"]),
    wording("gRPC message exceeds maximum size", &[" L: F", " L"]),
    wording("Deframer: Frame size", &[" F exceeds maximum: L"]),
    wording("Deframer: Compressed frame exceeds maximum frame size", &[": L. Bytes read: F"]),
    wording("message length too large: found", &[" F bytes, the limit is: L bytes"]),
    wording("Error decompressing: size limit", &[", of L bytes, exceeded"]),
    wording("message exceeds the maximum configured message size", &[]),
];

const RESOURCE_EXHAUSTED: u32 = 8;
const OUT_OF_RANGE: u32 = 11;

/// What a gRPC status says about the size of the message it answers; `None`: it was refused for something else.
///
/// `text` is `grpc-message`, percent-decoded. The status has to be RESOURCE_EXHAUSTED or OUT_OF_RANGE: no library uses
/// another one. A limit is [`TooLarge::Unknown`] if it is 0, does not fit a `usize`, or is not below the length that the
/// same text calls too large. It says nothing about the message that was sent: behind a gateway it may be another one's, so
/// the caller compares it with what it sent.
pub fn message_limit(status: u32, text: &str) -> Option<TooLarge> {
    if !matches!(status, RESOURCE_EXHAUSTED | OUT_OF_RANGE) {
        return None;
    }
    WORDINGS.iter().find_map(|wording| {
        let (_, rest) = text.split_once(wording.phrase)?;
        let numbers = wording.numbers.iter().find_map(|form| Numbers::read(form, rest));
        Some(numbers.map_or(TooLarge::Unknown, Numbers::judge))
    })
}

/// The same for a status of OTLP/HTTP: 413 Content Too Large (RFC 9110, 15.5.14), which tells no limit.
pub fn message_limit_of_http(status: u16) -> Option<TooLarge> {
    (status == 413).then_some(TooLarge::Unknown)
}

/// The numbers of one text.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    found: Option<usize>,
    limit: Option<usize>,
}

impl Numbers {
    /// Reads a text that begins like `form`. `None`: it does not, or a number in it is too large.
    fn read(form: &str, mut text: &str) -> Option<Self> {
        let mut numbers = Self::default();
        for expected in form.chars() {
            let number = match expected {
                'F' => &mut numbers.found,
                'L' => &mut numbers.limit,
                literal => {
                    text = text.strip_prefix(literal)?;
                    continue;
                }
            };
            let end = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
            let (digits, rest) = text.split_at_checked(end)?;
            *number = Some(digits.parse().ok()?);
            text = rest;
        }
        Some(numbers)
    }

    /// A limit that the length found does not contradict.
    fn judge(self) -> TooLarge {
        match self.limit {
            Some(limit @ 1..) if self.found.is_none_or(|found| found > limit) => TooLarge::Limit(limit),
            _ => TooLarge::Unknown,
        }
    }
}
