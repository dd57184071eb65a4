//! Round trips through independent encoders, hostile input, and the limits of both size and memory.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a panic is how a test fails"
)]

use std::{io::Write as _, sync::LazyLock};

use proptest::prelude::*;

use super::*;

const PLENTY: usize = 64 << 20;

/// Bytes that compress about as well as OTLP does: words from a small dictionary with numbers between.
fn body(len: usize) -> Vec<u8> {
    let words = ["http.method", "GET", "service.name", "checkout", "\u{2}\u{8}\u{12}", "net.peer.port"];
    let mut random = fastrand::Rng::with_seed(7);
    let mut body = Vec::with_capacity(len + 32);
    while body.len() < len {
        body.extend_from_slice(words[random.usize(..words.len())].as_bytes());
        body.extend_from_slice(&random.u32(..).to_le_bytes()[..2]);
    }
    body.truncate(len);
    body
}

fn gzip_of(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib_of(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A frame with its size.
fn zstd_of(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// A frame without its size and with a checksum, as the Collector's encoder writes it.
fn zstd_stream_of(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    for part in plain.chunks(1000) {
        encoder.write_all(part).unwrap();
    }
    encoder.finish().unwrap()
}

fn framed_of(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(Compression::Snappy).compress(plain, &mut out);
    out
}

fn block_of(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

/// A frame of small independent blocks, with all that a descriptor can say, in the words of `doc/lz4_Frame_format.md`.
fn lz4_of(plain: &[u8]) -> Vec<u8> {
    let blocks = plain.chunks(64 << 10).map(lz4_flex::block::compress).collect();
    lz4_frame(0b0111_1100, blocks, plain)
}

/// A frame of blocks that refer to the ones before, a stored one among them, without checksums.
fn lz4_linked_of(plain: &[u8]) -> Vec<u8> {
    let mut blocks: Vec<_> = plain
        .chunks(64 << 10)
        .enumerate()
        .map(|(index, block)| {
            let start = index * (64 << 10);
            let window = &plain[start.saturating_sub(64 << 10)..start];
            lz4_flex::block::compress_with_dict(block, window)
        })
        .collect();
    if let Some(first) = blocks.first_mut() {
        *first = plain[..plain.len().min(64 << 10)].to_vec();
    }
    let mut frame = lz4_frame(0b0100_0000, blocks, plain);
    if !plain.is_empty() {
        frame[10] |= 0x80;
    }
    frame
}

fn lz4_frame(flags: u8, blocks: Vec<Vec<u8>>, plain: &[u8]) -> Vec<u8> {
    let sum = |bytes: &[u8]| twox_hash::XxHash32::oneshot(0, bytes).to_le_bytes();
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, flags, 4 << 4];
    if flags & 8 != 0 {
        frame.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    }
    frame.push(sum(&frame[4..])[1]);
    for block in blocks {
        frame.extend_from_slice(&(block.len() as u32).to_le_bytes());
        frame.extend_from_slice(&block);
        if flags & 0x10 != 0 {
            frame.extend_from_slice(&sum(&block));
        }
    }
    frame.extend_from_slice(&[0; 4]);
    if flags & 4 != 0 {
        frame.extend_from_slice(&sum(plain));
    }
    frame
}

/// One body in every encoding.
type Encoded = [(Encoding, Vec<u8>); 8];

fn all_of(plain: &[u8]) -> Encoded {
    [
        (Encoding::Gzip, gzip_of(plain)),
        (Encoding::Zlib, zlib_of(plain)),
        (Encoding::Zstd, zstd_of(plain)),
        (Encoding::Zstd, zstd_stream_of(plain)),
        (Encoding::SnappyBlock, block_of(plain)),
        (Encoding::SnappyFramed, framed_of(plain)),
        (Encoding::Lz4, lz4_of(plain)),
        (Encoding::Lz4, lz4_linked_of(plain)),
    ]
}

#[track_caller]
fn check(encoding: Encoding, input: &[u8], expect: Result<&[u8], &str>) {
    let got = inflate(encoding, input, PLENTY);
    let expect = expect.map(<[u8]>::to_vec).map_err(InflateError::corrupt);
    assert!(
        got == expect,
        "{encoding:?}: {:?}, expected {:?}",
        got.map(|b| b.len()),
        expect.map(|b| b.len())
    );
}

// Scenario: bodies of many sizes, also around the steps in which buffers grow, from other encoders.
// Guarantees: the body comes back, in a buffer that holds little more than it.
#[test]
fn inflate_undoes_other_encoders() {
    for len in [0, 1, 2, 100, 4095, 4096, 4097, 65_536, 300_000, 1 << 20] {
        let plain = body(len);
        for (encoding, input) in all_of(&plain) {
            check(encoding, &input, Ok(&plain));
            let out = inflate(encoding, &input, PLENTY).unwrap();
            assert!(out.capacity() <= out.len() + out.len() / 4, "{encoding:?} {len} {}", out.capacity());
        }
    }
}

// Scenario: a gzip body whose trailer tells its length, as nearly all do.
// Guarantees: one buffer of just that size is made; it does not grow at the very end.
#[test]
fn gzip_needs_one_buffer() {
    for len in [5000, 65_536, 300_000] {
        let plain = body(len);
        let out = gzip::gunzip(&gzip_of(&plain), PLENTY).unwrap();
        assert_eq!((out.len(), out.capacity()), (len, len));
    }
}

// Scenario: a second member that is a copy of the first, which has no other length or checksum that would tell.
// Guarantees: it is not lost, also when the fast path could have taken the first for the whole body.
#[test]
fn identical_members_are_not_lost() {
    for len in [1, 100, 70_000] {
        let plain = body(len);
        let member = gzip_of(&plain);
        check(Encoding::Gzip, &[member.as_slice(), &member].concat(), Ok(&plain.repeat(2)));
    }
    assert!(gzip::gunzip(&gzip_of(&body(70_000)), 69_999).is_err());
}

// Scenario: plain data that holds the beginning of a member, stored without compression.
// Guarantees: it is data.
#[test]
fn magic_inside_a_member_is_data() {
    let plain = gzip_of(b"inner");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    check(Encoding::Gzip, &encoder.finish().unwrap(), Ok(&plain));
}

// Scenario: bodies that compress a thousandfold, so that the first buffer is far too small.
// Guarantees: they come back; a high ratio by itself is no error.
#[test]
fn inflate_follows_high_ratios() {
    let plain = vec![b'a'; 2 << 20];
    for (encoding, input) in all_of(&plain) {
        check(encoding, &input, Ok(&plain));
    }
}

// Scenario: the limit is exactly the body's length, then one less, then none at all; ordinary and highly compressed.
// Guarantees: the limit is inclusive in every encoding, and above it nothing is returned.
#[test]
fn limit_is_exact() {
    for plain in [body(1), body(70_000), vec![0; 1 << 20]] {
        for (encoding, input) in all_of(&plain) {
            assert!(inflate(encoding, &input, plain.len()) == Ok(plain.clone()), "{encoding:?}");
            for limit in [plain.len() - 1, plain.len() / 2, 0] {
                assert!(
                    inflate(encoding, &input, limit) == Err(InflateError::TooLarge),
                    "{encoding:?} {limit}"
                );
            }
        }
    }
}

// Scenario: several members, frames and streams in one body, identical ones among them.
// Guarantees: all of them count, none is taken for the end.
#[test]
fn concatenations_are_one_body() {
    let (one, two) = (body(5000), body(300_000));
    let plain = [one.as_slice(), &two, &one, &one].concat();
    for encode in [gzip_of, zstd_of, zstd_stream_of, framed_of, lz4_of, lz4_linked_of] {
        let input = [encode(&one), encode(&two), encode(&one), encode(&one)].concat();
        let encoding = match input[0] {
            0x1f => Encoding::Gzip,
            0xff => Encoding::SnappyFramed,
            0x04 => Encoding::Lz4,
            _ => Encoding::Zstd,
        };
        check(encoding, &input, Ok(&plain));
        assert!(inflate(encoding, &input, plain.len() - 1) == Err(InflateError::TooLarge));
    }
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    check(Encoding::Zstd, &[&skippable[..], &zstd_of(&one), &skippable].concat(), Ok(&one));
    check(Encoding::Zstd, &skippable, Ok(&[]));
    check(Encoding::Lz4, &[&skippable[..], &lz4_of(&one), &skippable].concat(), Ok(&one));
    check(Encoding::Lz4, &skippable, Ok(&[]));
}

// Scenario: gzip headers with every optional part.
// Guarantees: they are skipped by the length they have, and the header's checksum is checked.
#[test]
fn gzip_headers_are_skipped() {
    let plain = body(100);
    let deflated = &gzip_of(&plain)[10..];
    let mut header = vec![0x1f, 0x8b, 8, 0b1_1110, 0, 0, 0, 0, 0, 255, 2, 0, 7, 7];
    header.extend_from_slice(b"name\0comment\0");
    let crc = crc32fast::hash(&header).to_le_bytes();
    header.extend_from_slice(&crc[..2]);
    check(Encoding::Gzip, &[&header, deflated].concat(), Ok(&plain));
    *header.last_mut().unwrap() ^= 1;
    check(Encoding::Gzip, &[&header, deflated].concat(), Err("gzip: invalid header"));
}

// Scenario: empty bodies, other formats, wrong checksums, bytes behind the end.
// Guarantees: an error in the Collector's words; ignored only behind zlib.
#[test]
fn corrupt_input_is_named() {
    let plain = body(1000);
    check(Encoding::Gzip, b"", Err("EOF"));
    check(Encoding::Zlib, b"", Err("unexpected EOF"));
    check(Encoding::SnappyBlock, b"", Err("snappy: corrupt input"));
    check(Encoding::Zstd, b"", Ok(b""));
    check(Encoding::SnappyFramed, b"", Ok(b""));
    check(Encoding::Lz4, b"", Ok(b""));

    let text = b"this is no compressed data at all";
    check(Encoding::Gzip, text, Err("gzip: invalid header"));
    check(Encoding::Zlib, text, Err("zlib: invalid header"));
    check(Encoding::Zlib, &zlib_of(&plain)[2..], Err("zlib: invalid header"));
    check(Encoding::Zstd, text, Err("invalid input: magic number mismatch"));
    check(Encoding::SnappyBlock, &text[..1], Err("snappy: corrupt input"));
    check(Encoding::SnappyBlock, text, Err("snappy: corrupt input"));
    check(Encoding::SnappyFramed, text, Err("snappy: corrupt input"));
    check(Encoding::Lz4, text, Err("lz4: bad magic number"));

    let with = |mut bytes: Vec<u8>, from_end: usize| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
        bytes
    };
    check(Encoding::Gzip, &with(gzip_of(&plain), 1), Err("gzip: invalid checksum"));
    check(Encoding::Gzip, &with(gzip_of(&plain), 8), Err("gzip: invalid checksum"));
    check(Encoding::Zlib, &with(zlib_of(&plain), 1), Err("zlib: invalid checksum"));
    check(
        Encoding::Zstd,
        &with(zstd_stream_of(&plain), 1),
        Err("zstd: Restored data doesn't match checksum"),
    );
    check(
        Encoding::Gzip,
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0xff],
        Err("flate: corrupt input before offset 1"),
    );

    let behind = |bytes: Vec<u8>| [bytes, b"more than ten".to_vec()].concat();
    check(Encoding::Gzip, &behind(gzip_of(&plain)), Err("gzip: invalid header"));
    check(Encoding::Zstd, &behind(zstd_of(&plain)), Err("invalid input: magic number mismatch"));
    check(Encoding::Zstd, &[&zstd_of(&plain)[..], b"abc"].concat(), Err("unexpected EOF"));
    check(Encoding::Zstd, &[&zstd_of(&plain)[..], &zstd_of(&plain)[..20]].concat(), Err("unexpected EOF"));
    check(Encoding::SnappyBlock, &behind(block_of(&plain)), Err("snappy: corrupt input"));
    check(Encoding::SnappyFramed, &behind(framed_of(&plain)), Err("snappy: unsupported input"));
    check(
        Encoding::SnappyFramed,
        &[&framed_of(&plain)[..], b"\0\x05\0\0"].concat(),
        Err("snappy: corrupt input"),
    );
    check(Encoding::Zlib, &behind(zlib_of(&plain)), Ok(&plain));
    check(Encoding::Lz4, &behind(lz4_of(&plain)), Err("lz4: bad magic number"));
}

// Scenario: LZ4 frames that are wrong in each of their parts.
// Guarantees: an error in pierrec/lz4's words where it has any.
#[test]
fn corrupt_lz4_is_named() {
    let plain = body(1000);
    let frame = lz4_of(&plain);
    let with = |at: usize, byte: u8| {
        let mut frame = frame.clone();
        frame[at] = byte;
        frame
    };
    let check_starts = |input: &[u8], text: &str| match inflate(Encoding::Lz4, input, PLENTY) {
        Err(InflateError::Corrupt(found)) => assert!(found.starts_with(text), "{found}"),
        other => panic!("{text}: {other:?}"),
    };
    check_starts(&with(14, frame[14] ^ 1), "lz4: invalid header checksum: got ");
    check_starts(&with(17, 1), "lz4: invalid block size");
    check_starts(&with(40, frame[40] ^ 1), "lz4: invalid block checksum: got ");
    let last = frame.len() - 1;
    check_starts(&with(last, frame[last] ^ 1), "lz4: invalid frame checksum: got ");
    // No checksums: a match that refers to what is before the frame.
    let block = vec![0x10, b'a', 2, 0];
    check_starts(&lz4_frame(0x60, vec![block], b""), "lz4: invalid source or destination buffer too short");
    for (flags, text) in [
        (0b0110_0001, "lz4: dictionaries are not supported"),
        (0b1110_0000, "lz4: unknown version of the frame format"),
        (0b0110_0010, "lz4: unknown version of the frame format"),
    ] {
        check_starts(&lz4_frame(flags, Vec::new(), b""), text);
    }
    let mut sizes = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 3 << 4];
    sizes.push(twox_hash::XxHash32::oneshot(0, &sizes[4..]).to_le_bytes()[1]);
    check_starts(&sizes, "lz4: invalid block size");
}

// Scenario: a linked block refers to what another frame holds.
// Guarantees: frames are independent of each other.
#[test]
fn lz4_windows_end_at_the_frame() {
    let first = lz4_linked_of(b"abcdefgh");
    let inside = lz4_frame(0x40, vec![vec![0x80, 1, 2, 3, 4, 5, 6, 7, 8], vec![0x01, 8, 0, 0x10, b'x']], b"");
    check(Encoding::Lz4, &inside, Ok(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, b'x']));
    let across = lz4_frame(0x40, vec![vec![0x01, 8, 0, 0x10, b'x']], b"");
    let expect = Err("lz4: invalid source or destination buffer too short");
    check(Encoding::Lz4, &[first, across].concat(), expect);
}

// Scenario: every encoding, cut short at every length.
// Guarantees: a cut body is never taken for a whole one; only nothing at all is an empty body where that is allowed.
#[test]
fn truncated_input_is_refused() {
    for (encoding, input) in all_of(&body(2000)) {
        for len in 1..input.len() {
            // A framed stream cut between chunks is a shorter stream: the format has no end mark.
            let whole_chunks = encoding == Encoding::SnappyFramed && len == snappy::STREAM_MAGIC.len();
            let got = inflate(encoding, &input[..len], PLENTY);
            assert!(
                matches!(got, Err(InflateError::Corrupt(_))) || whole_chunks,
                "{encoding:?} {len}: {got:?}"
            );
        }
    }
    check(Encoding::Gzip, &gzip_of(&body(2000))[..500], Err("unexpected EOF"));
    check(Encoding::Zlib, &zlib_of(&body(2000))[..500], Err("unexpected EOF"));
    check(Encoding::Zstd, &zstd_of(&body(2000))[..500], Err("unexpected EOF"));
    check(Encoding::SnappyFramed, &framed_of(&body(2000))[..500], Err("snappy: corrupt input"));
    check(Encoding::Lz4, &lz4_of(&body(2000))[..500], Err("unexpected EOF"));
}

// Scenario: a few bytes that announce gigabytes: a gzip trailer, a zstd header, a snappy header.
// Guarantees: nothing is reserved on their word beyond a small multiple of the input.
#[test]
fn announced_sizes_are_not_believed() {
    for hint in [1 << 30, usize::MAX] {
        assert_eq!(first_capacity(hint, 20, PLENTY), FIRST_MINIMUM);
        assert_eq!(first_capacity(hint, 1 << 20, PLENTY), 16 << 20);
        assert_eq!(first_capacity(hint, 1 << 20, 1000), 1000);
    }
    let mut gzip = gzip_of(b"small");
    let at = gzip.len() - 1;
    gzip[at] = 0xff;
    check(Encoding::Gzip, &gzip, Err("gzip: invalid checksum"));
    // A frame of 2 GiB by its header, 0 bytes by its only block.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x80, 1, 0, 0];
    assert_eq!(inflate(Encoding::Zstd, &zstd, PLENTY), Err(InflateError::TooLarge));
    assert!(matches!(inflate(Encoding::Zstd, &zstd, usize::MAX), Err(InflateError::Corrupt(_))));
    let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(inflate(Encoding::SnappyBlock, &block, PLENTY), Err(InflateError::TooLarge));
    assert_eq!(
        inflate(Encoding::SnappyBlock, &block, usize::MAX),
        Err(InflateError::corrupt("snappy: corrupt input"))
    );
    // Blocks of 4 MiB and 16 EiB in all, by the descriptor.
    let mut lz4 = vec![0x04, 0x22, 0x4d, 0x18, 0x68, 0x70, 255, 255, 255, 255, 255, 255, 255, 255];
    lz4.push(twox_hash::XxHash32::oneshot(0, &lz4[4..]).to_le_bytes()[1]);
    lz4.extend_from_slice(&[2, 0, 0, 0, 0x10, b'a', 0, 0, 0, 0]);
    check(Encoding::Lz4, &lz4, Ok(b"a"));
}

// Scenario: a frame that asks for a window of 1 GiB, far above what a streaming decoder would grant.
// Guarantees: it is read, because no window is allocated.
#[test]
fn zstd_windows_cost_nothing() {
    // No content size, window descriptor 0xa0: 2^(10+20). One last block, raw, 3 bytes.
    let input = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x19, 0, 0, b'a', b'b', b'c'];
    check(Encoding::Zstd, &input, Ok(b"abc"));
}

// Scenario: a decoder's state was left in the middle of a body by an error.
// Guarantees: the next body on the same thread is not affected.
#[test]
fn errors_leave_no_state_behind() {
    let plain = body(50_000);
    for (encoding, input) in all_of(&plain) {
        assert!(inflate(encoding, &input[..input.len() / 2], PLENTY).is_err());
        assert!(inflate(encoding, &input, 100).is_err());
        check(encoding, &input, Ok(&plain));
    }
}

#[track_caller]
fn check_compressor(compression: Compression, encoding: Option<Encoding>) {
    let mut compressor = Compressor::new(compression);
    for len in [300_000, 0, 1, 70_000, 2 << 20, 100] {
        let plain = body(len);
        let mut out = b"in front".to_vec();
        compressor.compress(&plain, &mut out);
        let compressed = out.strip_prefix(b"in front").expect("appended, not replaced");
        match encoding {
            Some(encoding) => {
                check(encoding, compressed, Ok(&plain));
                assert!(len < 1000 || compressed.len() < len / 2, "{encoding:?} {len} {}", compressed.len());
            }
            None => assert!(compressed == plain),
        }
    }
}

// Scenario: one compressor takes messages of many sizes, large ones before small ones and empty ones.
// Guarantees: each is whole by itself and appended; nothing of an earlier message shows up.
#[test]
fn compressors_are_reused() {
    check_compressor(Compression::None, None);
    for (compression, name) in
        [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd"), (Compression::Snappy, "snappy")]
    {
        assert_eq!(compression.encoding(), Some(name));
        check_compressor(compression, Encoding::from_grpc(name));
    }
    assert_eq!(Encoding::from_grpc("identity"), None);
    check_compressor(Compression::Zlib, Some(Encoding::Zlib));
    check_compressor(Compression::Deflate, Some(Encoding::Zlib));
    check_compressor(Compression::SnappyBlock, Some(Encoding::SnappyBlock));
    check_compressor(Compression::Lz4, Some(Encoding::Lz4));
}

// Scenario: one thread compresses messages of many sizes with every algorithm in turn; so does another thread.
// Guarantees: each result is that of a compressor of its own, appended: algorithms and threads share no state.
#[test]
fn threads_keep_their_compressors() {
    let all = || {
        for len in [70_000, 0, 300_000, 100] {
            let plain = body(len);
            for compression in [
                Compression::None,
                Compression::Gzip,
                Compression::Zstd,
                Compression::Zlib,
                Compression::SnappyBlock,
                Compression::Lz4,
                Compression::Snappy,
            ] {
                let (mut ours, mut own) = (b"in front".to_vec(), b"in front".to_vec());
                compress(compression, &plain, &mut ours);
                Compressor::new(compression).compress(&plain, &mut own);
                assert!(ours == own, "{compression:?}, {len} bytes");
            }
        }
    };
    all();
    std::thread::scope(|scope| scope.spawn(all).join()).unwrap();
}

// Scenario: messages around the sizes of LZ4's blocks, compressible and not.
// Guarantees: they come back; what does not get smaller is stored, at the price of a few bytes.
#[test]
fn lz4_blocks_are_cut() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut compressor = Compressor::new(Compression::Lz4);
    for len in [64 << 10, 256 << 10, 1 << 20, 4 << 20].into_iter().flat_map(|len| [len - 1, len, len + 1]) {
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        for plain in [body(len), noise] {
            let mut out = Vec::new();
            compressor.compress(&plain, &mut out);
            check(Encoding::Lz4, &out, Ok(&plain));
            assert!(out.len() <= len + 64, "{len} {}", out.len());
        }
    }
}

// Scenario: HTTP bodies that are both called `snappy`.
// Guarantees: the stream's magic decides.
#[test]
fn http_snappy_is_recognised() {
    assert_eq!(Encoding::of_http_snappy(&framed_of(b"x")), Encoding::SnappyFramed);
    assert_eq!(Encoding::of_http_snappy(&block_of(b"x")), Encoding::SnappyBlock);
    assert_eq!(Encoding::of_http_snappy(b""), Encoding::SnappyBlock);
}

const ENCODINGS: [Encoding; 6] = [
    Encoding::Gzip,
    Encoding::Zlib,
    Encoding::Zstd,
    Encoding::SnappyBlock,
    Encoding::SnappyFramed,
    Encoding::Lz4,
];

proptest! {
    // Scenario: any bytes, also behind a valid start, under any small limit.
    // Guarantees: no panic, and never more than the limit.
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, limit in 0_usize..5000) {
        // The last is a frame of linked blocks up to a first block of 16 bytes.
        let starts: [&[u8]; 6] = [
            &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &[0x78, 0x9c], &[0x28, 0xb5, 0x2f, 0xfd], &[], snappy::STREAM_MAGIC,
            &[0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0, 16, 0, 0, 0],
        ];
        for (encoding, start) in ENCODINGS.into_iter().zip(starts) {
            for input in [bytes.clone(), [start, &bytes].concat()] {
                if let Ok(body) = inflate(encoding, &input, limit) {
                    prop_assert!(body.len() <= limit);
                }
            }
        }
    }

    // Scenario: one byte of a valid body is changed.
    // Guarantees: no panic, no body above the limit; where the format has a checksum, no wrong body.
    #[test]
    fn mutations_are_survived(at: prop::sample::Index, flip in 1_u8..) {
        static BODIES: LazyLock<(Vec<u8>, Encoded)> = LazyLock::new(|| {
            let plain = body(3000);
            let bodies = all_of(&plain);
            (plain, bodies)
        });
        let (plain, bodies) = &*BODIES;
        for (encoding, mut input) in bodies.clone() {
            let at = at.index(input.len());
            input[at] ^= flip;
            if let Ok(body) = inflate(encoding, &input, 6000) {
                prop_assert!(body.len() <= 6000);
                prop_assert!(encoding != Encoding::Gzip || body == *plain);
            }
        }
    }
}
