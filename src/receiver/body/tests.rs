//! Bodies without a network, with the clock paused where time counts.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::{collections::VecDeque, convert::Infallible};

use http_body::Frame;
use tokio::time::sleep;

use super::*;
use crate::{admission::Budget, receiver::memory::STEP_BYTES};

/// More memory than any of these tests holds.
fn plenty() -> Account {
    Budget::new(1 << 30).account()
}

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
    let result = message(&mut Chunks::new(Script::new(chunks)), limit, &plenty()).await;
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
// Guarantees: memory follows what has arrived, and so does what is held of the budget; at the end the buffer has exactly the
// declared length, and so has its permit.
#[test]
fn buffers_grow_with_what_arrives() {
    let (declared, account) = (64 * 1024 * 1024, plenty());
    let mut buffer = Contiguous::new(&account, declared).unwrap();
    assert_eq!(buffer.bytes.capacity(), RESERVED_AT_FIRST_BYTES);
    let chunk = vec![1; 48 * 1024];
    while buffer.bytes.len() + chunk.len() <= declared {
        buffer.push(&chunk).unwrap();
        assert!(buffer.bytes.capacity() <= (2 * buffer.bytes.len()).max(RESERVED_AT_FIRST_BYTES));
        assert!(account.held() >= buffer.bytes.len());
        assert!(account.held() <= (2 * buffer.bytes.len()).max(STEP_BYTES));
    }
    buffer.push(&chunk[..declared - buffer.bytes.len()]).unwrap();
    assert_eq!(buffer.push(b"x"), Err(Excess::Long));
    assert_eq!((buffer.bytes.len(), buffer.bytes.capacity()), (declared, declared));
    assert_eq!((account.held(), buffer.room.held()), (declared, declared));
    drop(buffer.finish());
    assert_eq!(account.held(), 0);

    assert_eq!(Contiguous::new(&account, 5).unwrap().bytes.capacity(), 5);
}

// Scenario: bodies of every kind on a budget with room for some of them, as declared or as they grow.
// Guarantees: without room for the declared length nothing is taken; growth ends where the room does, to the byte; what can
// never fit is told apart.
#[test]
fn bodies_need_room() {
    const ALL: usize = 16 * STEP_BYTES;
    // One account has at most half of it, and half of the rest.
    const MOST: usize = ALL / 4 * 3;
    let budget = Budget::new(ALL);
    let (account, chunk) = (budget.account(), vec![1; 1000]);
    assert_eq!(Contiguous::new(&account, MOST + 1).map(drop), Err(Full::TooLarge));
    Contiguous::new(&account, MOST).map(drop).unwrap();

    let other = account.take(2 * STEP_BYTES + 17).unwrap();
    let room = MOST - other.bytes();
    assert_eq!(Contiguous::new(&account, room + 1).map(drop), Err(Full::Busy));
    assert_eq!(account.held(), other.bytes());

    let mut growing = Contiguous::up_to(&account, ALL).unwrap();
    while growing.bytes.len() + chunk.len() <= room {
        growing.push(&chunk).unwrap();
    }
    assert_eq!(growing.push(&chunk), Err(Excess::NoRoom(Full::Busy)));
    assert_eq!(growing.bytes.len() / 1000, room / 1000);
    drop(other);
    while growing.bytes.len() + chunk.len() <= MOST {
        growing.push(&chunk).unwrap();
    }
    assert_eq!(growing.push(&chunk), Err(Excess::NoRoom(Full::TooLarge)));
    let body = growing.finish();
    assert_eq!(budget.held(), body.len());
    drop((body.clone(), body));
    assert_eq!(budget.held(), 0);
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
        let result = collect(&mut Chunks::new(Script::new(chunks)), declared, 3, &plenty()).await;
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
    let body = collect(&mut Chunks::new(Script::paused(&chunks, pause, true)), None, 20, &plenty()).await;
    assert_eq!(body.unwrap().len(), 20);

    let started = Instant::now();
    let stopped = collect(&mut Chunks::new(Script::paused(&[b"x"], pause, false)), None, 20, &plenty()).await;
    assert!(matches!(stopped, Err(CollectError::Read(ReadError::Silent))), "{stopped:?}");
    assert!(started.elapsed() <= 2 * SILENCE_LIMIT, "{:?}", started.elapsed());

    let started = Instant::now();
    let silent = collect(&mut Chunks::new(Script::paused(&[], pause, false)), None, 20, &plenty()).await;
    assert!(matches!(silent, Err(CollectError::Read(ReadError::Silent))));
    // The timer's wheel counts in milliseconds, rounded up.
    assert!(started.elapsed() < SILENCE_LIMIT + Duration::from_millis(2), "{:?}", started.elapsed());
}
