//! Tests of the texts: every library's own words, and words that only resemble them.

use proptest::prelude::*;

use super::{TooLarge::*, *};

#[track_caller]
fn check(status: u32, text: &str, expect: Option<TooLarge>) {
    assert_eq!(message_limit(status, text), expect, "{status} {text}");
}

// Scenario: what each library answers to a message of 5,242,880 bytes if it takes 4 MiB.
// Guarantees: the limit is found in all of them; a text without a limit is still known for what it is.
#[test]
fn libraries_are_understood() {
    let limit = Some(Limit(4_194_304));
    for text in [
        // grpc-go
        "grpc: received message larger than max (5242880 vs. 4194304)",
        "grpc: received message larger than max length allowed on current machine (5242880 vs. 4194304)",
        "grpc: message after decompression larger than max (5242880 vs. 4194304)",
        "grpc: received message after decompression larger than max (5242880 vs. 4194304)",
        "grpc: received message after decompression larger than max 4194304",
        "grpc: trying to send message larger than max (5242880 vs. 4194304)",
        "trying to send message larger than max (5242880 vs. 4194304)",
        // gRPC core
        "Received message larger than max (5242880 vs. 4194304)",
        "CLIENT: Received message larger than max (5242880 vs. 4194304)",
        "SERVER: Received message larger than max (5242880 vs. 4194304)",
        "SERVER: Sent message larger than max (5242880 vs. 4194304)",
        // grpc-js
        "Received message larger than max (5242880 vs 4194304)",
        "Received message that decompresses to a size larger than 4194304",
        // grpc-java
        "gRPC message exceeds maximum size 4194304: 5242880",
        "Decompressed gRPC message exceeds maximum size 4194304",
        "Compressed gRPC message exceeds maximum size 4194304: 4194305 bytes read",
        // Armeria
        "com.linecorp.armeria.common.grpc.protocol.ArmeriaMessageDeframer: Frame size 5242880 exceeds maximum: 4194304. ",
        "com.linecorp.armeria.common.grpc.protocol.ArmeriaMessageDeframer: \
         Compressed frame exceeds maximum frame size: 4194304. Bytes read: 4194305. ",
        // tonic
        "Error decompressing: size limit, of 4194304 bytes, exceeded while decompressing message",
    ] {
        check(8, text, limit);
    }
    for text in [
        "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes",
        "Error, encoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes",
        "Error, message length too large: found 5242880 bytes, the limit is: 4194304 bytes",
    ] {
        check(11, text, limit);
    }
    check(8, "Received message exceeds the maximum configured message size.", Some(Unknown));
}

// Scenario: a Collector that passes a refusal on.
// Guarantees: what it puts in front and behind does not hide the limit.
#[test]
fn words_around_do_not_matter() {
    let around = "Permanent error: rpc error: code = ResourceExhausted desc = grpc: received message larger than max \
                  (5242880 vs. 4194304); rpc error: code = Unavailable desc = 12";
    check(8, around, Some(Limit(4_194_304)));
}

// Scenario: the right words with numbers that cannot be: none, 0, a limit that the message kept, more than 64 bits, others.
// Guarantees: refused for size, limit unknown; nothing is made of a number that makes no sense.
#[test]
fn absurd_numbers_are_no_limit() {
    for text in [
        "grpc: received message larger than max",
        "grpc: received message larger than max (5 vs. 0)",
        "grpc: received message larger than max (4194304 vs. 4194304)",
        "grpc: received message larger than max (0 vs. 4194304)",
        "grpc: received message larger than max (5 vs. 18446744073709551616)",
        "grpc: received message larger than max (18446744073709551616 vs. 5)",
        "grpc: received message larger than max (-5 vs. 4)",
        "grpc: received message larger than max ( vs. 4)",
        "grpc: received message larger than max (5 vs. ",
        "gRPC message exceeds maximum size 4194304: 12",
        "gRPC message exceeds maximum size -1: 12",
        "Decompressed gRPC message exceeds maximum size 0",
        "message length too large: found five bytes, the limit is: 4 bytes",
    ] {
        check(8, text, Some(Unknown));
    }
    // A frame whose length is negative to Java has no length that could be compared.
    check(8, "gRPC message exceeds maximum size 4194304: -5", Some(Limit(4_194_304)));
}

// Scenario: other reasons under the same statuses; the same words under other statuses.
// Guarantees: nothing is taken for a refusal for size that a smaller message would not get around.
#[test]
fn other_refusals_are_not_taken_for_it() {
    for text in [
        "",
        "data refused due to high memory usage",
        "sending queue is full",
        "Quota exceeded for quota metric 'Ingest requests' and limit 'Ingest requests per minute'",
        "ingestion rate limit (4194304 bytes) exceeded while adding 5242880 bytes",
        "peer received header list larger than max (20000 vs. 16384)",
        "label value larger than max 4096",
        "Frame size 5 exceeds maximum: 4",
        "Bandwidth exhausted or memory limit exceeded",
        "maximum message size",
    ] {
        check(8, text, None);
        check(11, text, None);
    }
    for status in (0..20).filter(|status| ![8, 11].contains(status)) {
        check(status, "grpc: received message larger than max (5242880 vs. 4194304)", None);
    }
}

// Scenario: every HTTP status.
// Guarantees: 413 alone is about the size.
#[test]
fn http_says_it_with_413() {
    for status in 100..600 {
        assert_eq!(message_limit_of_http(status), (status == 413).then_some(Unknown), "{status}");
    }
}

proptest! {
    // Scenario: any two lengths in each wording; any text around and inside.
    // Guarantees: a limit is what the text says and below what it found; no text panics.
    #[test]
    fn limits_are_below_what_was_found(found: u64, limit: u64, noise in "\\PC{0,20}", which in 0..WORDINGS.len()) {
        let wording = &WORDINGS[which];
        for form in wording.numbers {
            let text = form.replace('F', "{}").replace('L', &limit.to_string()).replace("{}", &found.to_string());
            let is_possible = limit > 0 && (!form.contains('F') || found > limit);
            let expect = if is_possible { Limit(limit as usize) } else { Unknown };
            prop_assert_eq!(message_limit(8, &format!("{noise}{}{text}", wording.phrase)), Some(expect));
        }
        let cut_off = format!("{}{noise}", wording.phrase);
        prop_assert!(message_limit(8, &cut_off).is_some());
        prop_assert!(message_limit(11, &noise).is_none());
    }
}
