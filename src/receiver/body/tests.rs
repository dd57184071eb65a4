//! Bodies without a network, with the clock paused where time counts.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::{collections::VecDeque, convert::Infallible};

use http_body::Frame;
use tokio::time::sleep;

use super::*;

/// A body of prepared chunks with a pause before each, which never ends if `ends` is false.
struct Script {
    chunks: VecDeque<(Duration, Bytes)>,
    ends: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Script {
    fn new(chunks: &[&[u8]]) -> Self {
        Self::paused(chunks, Duration::ZERO, true)
    }

    fn paused(chunks: &[&[u8]], pause: Duration, ends: bool) -> Self {
        let chunks = chunks.iter().map(|chunk| (pause, Bytes::copy_from_slice(chunk))).collect();
        Self { chunks, ends, pause: None }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some((pause, _)) = this.chunks.front() else {
            return if this.ends { Poll::Ready(None) } else { Poll::Pending };
        };
        if !pause.is_zero() {
            let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(*pause)));
            std::task::ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        let (_, chunk) = this.chunks.pop_front().unwrap();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

/// Reads a message from chunks: its flag and bytes, or the name of the error.
async fn check(chunks: &[&[u8]], limit: usize, expect: Result<(bool, &[u8]), &str>) {
    let result = message(&mut Chunks::new(Script::new(chunks)), limit).await;
    match (&result, expect) {
        (Ok(message), Ok(expect)) => assert_eq!((message.compressed, &*message.bytes), expect, "{chunks:?}"),
        (Err(error), Err(expect)) => assert_eq!(format!("{error:?}"), expect, "{chunks:?}"),
        _ => panic!("{chunks:?}: got {result:?}, expected {expect:?}"),
    }
}

// Scenario: messages cut at every place, empty, at the limit, and all that a message can lack or have too much.
// Guarantees: one message or one error, wherever frames are cut.
#[tokio::test]
async fn messages_are_read() {
    let whole: &[u8] = b"\x01\0\0\0\x03abc";
    for first in 0..=whole.len() {
        for second in first..=whole.len() {
            let chunks = [&whole[..first], &whole[first..second], &whole[second..]];
            check(&chunks, 3, Ok((true, b"abc"))).await;
        }
    }
    check(&[b"\0\0\0\0\0"], 0, Ok((false, b""))).await;
    check(&[], 9, Err("Missing")).await;
    check(&[b"", b""], 9, Err("Missing")).await;
    for end in 1..whole.len() {
        let expect = if end < PREFIX_LEN { "Missing" } else { "Truncated" };
        check(&[&whole[..end]], 9, Err(expect)).await;
    }
    check(&[whole], 2, Err("TooLarge(3)")).await;
    check(&[b"\0\xff\xff\xff\xff"], 9, Err("TooLarge(4294967295)")).await;
    check(&[b"\x07\0\0\0\0"], 9, Err("Flag(7)")).await;
    check(&[whole, b"x"], 9, Err("MoreThanOne")).await;
    check(&[b"\x01\0\0\0\x03abcx"], 9, Err("MoreThanOne")).await;
}

// Scenario: a length of 64 MiB is declared and arrives in frames.
// Guarantees: memory follows what has arrived; at the end the buffer has exactly the declared length.
#[test]
fn buffers_grow_with_what_arrives() {
    let declared = 64 * 1024 * 1024;
    let mut buffer = Contiguous::new(declared);
    assert_eq!(buffer.bytes.capacity(), RESERVED_AT_FIRST_BYTES);
    let chunk = vec![1; 48 * 1024];
    while buffer.bytes.len() + chunk.len() <= declared {
        assert!(buffer.push(&chunk));
        assert!(buffer.bytes.capacity() <= (2 * buffer.bytes.len()).max(RESERVED_AT_FIRST_BYTES));
    }
    assert!(buffer.push(&chunk[..declared - buffer.bytes.len()]));
    assert!(!buffer.push(b"x"));
    assert_eq!((buffer.bytes.len(), buffer.bytes.capacity()), (declared, declared));

    assert_eq!(Contiguous::new(5).bytes.capacity(), 5);
}

// Scenario: bodies with and without a declared length, around the limit.
// Guarantees: a declared length above it is refused before anything is read, another while it is read.
#[tokio::test]
async fn bodies_are_collected() {
    for (declared, chunks, expect) in [
        (Some(3), &[&b"ab"[..], b"c"][..], Some(&b"abc"[..])),
        (Some(0), &[], Some(b"")),
        (None, &[], Some(b"")),
        (None, &[b"ab", b"c"], Some(b"abc")),
        (None, &[b"ab", b"cd"], None),
        (Some(4), &[], None),
        (Some(u64::MAX), &[], None),
    ] {
        let result = collect(&mut Chunks::new(Script::new(chunks)), declared, 3).await;
        match (&result, expect) {
            (Ok(body), Some(expect)) => assert_eq!(&**body, expect),
            (Err(CollectError::TooLarge), None) => {}
            _ => panic!("{declared:?} {chunks:?}: got {result:?}"),
        }
    }
}

// Scenario: a body whose chunks come one limit of silence apart, save a second; and one that stops.
// Guarantees: progress is never taken for silence, however long the whole takes; silence ends within two limits.
#[tokio::test(start_paused = true)]
async fn silence_has_a_limit() {
    let pause = SILENCE_LIMIT - Duration::from_secs(1);
    let chunks: [&[u8]; 20] = [b"x"; 20];
    let body = collect(&mut Chunks::new(Script::paused(&chunks, pause, true)), None, 20).await;
    assert_eq!(body.unwrap().len(), 20);

    let started = Instant::now();
    let stopped = collect(&mut Chunks::new(Script::paused(&[b"x"], pause, false)), None, 20).await;
    assert!(matches!(stopped, Err(CollectError::Read(ReadError::Silent))), "{stopped:?}");
    assert!(started.elapsed() <= 2 * SILENCE_LIMIT, "{:?}", started.elapsed());

    let started = Instant::now();
    let silent = collect(&mut Chunks::new(Script::paused(&[], pause, false)), None, 20).await;
    assert!(matches!(silent, Err(CollectError::Read(ReadError::Silent))));
    // The timer's wheel counts in milliseconds, rounded up.
    assert!(started.elapsed() < SILENCE_LIMIT + Duration::from_millis(2), "{:?}", started.elapsed());
}
