//! LZ4: frames here, blocks by lz4_flex.
//!
//! Stage: edge, part of `compression`. The library's own frame decoder reserves the block size that a header asks for,
//! up to 4 MiB and more for linked blocks, before it has seen any data; reading the frame here keeps memory in
//! proportion to the input and decodes into the final buffer. Frames one behind another and skippable ones are one
//! body. Texts are those of pierrec/lz4 (4.1.29), which the Collector uses.
//!
//! Stricter than that: a body that ends before the end mark of its frame is cut off, where pierrec/lz4 takes what came
//! until then for the whole; frames in the format that preceded LZ4 1.4 (`0x184c2102`) and frames that need a
//! dictionary are refused.
//!
//! Source: lz4/lz4 `doc/lz4_Frame_format.md` (1.6.4), `doc/lz4_Block_format.md`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![expect(clippy::disallowed_methods, reason = "part of the compression module: output is bounded below")]

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, decompress_into_with_dict,
    get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::{FIRST_EXPANSION, FIRST_MINIMUM, GROWTH, InflateError, first_capacity, grow_to};

/// How a frame begins.
const MAGIC: u32 = 0x184d_2204;

/// How a frame that is to be skipped begins; its last four bits are free.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

/// Bits of the descriptor's first byte.
const VERSION_MASK: u8 = 0b1100_0000;
const VERSION: u8 = 0b0100_0000;
const INDEPENDENT_BLOCKS: u8 = 1 << 5;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const RESERVED: u8 = 1 << 1;
const DICTIONARY: u8 = 1;

/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 31;

/// How far back a block may refer, into the blocks before it if they are linked.
const WINDOW_BYTES: usize = 64 * 1024;

/// A size of 0 in place of a block ends the frame.
const END_MARK: u32 = 0;

/// What a frame's descriptor says.
struct Descriptor {
    flags: u8,
    /// Largest size of a block, decompressed: 64 KiB to 4 MiB.
    block_max: usize,
    /// Decompressed size of the frame; a hint, as nothing checks it.
    content_size: Option<u64>,
}

/// What is left of a body.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], InflateError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(InflateError::truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], InflateError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(InflateError::truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn take_u32(&mut self) -> Result<u32, InflateError> {
        self.take_array().map(u32::from_le_bytes)
    }
}

/// Decompresses all frames.
pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let mut rest = Input(input);
    while !rest.0.is_empty() {
        let magic = rest.take_u32()?;
        if magic == MAGIC {
            let descriptor = Descriptor::read(&mut rest)?;
            if out.capacity() == 0 {
                out.reserve_exact(descriptor.first_capacity(input.len(), limit));
            }
            read_frame(&descriptor, &mut rest, &mut out, limit)?;
        } else if magic & !0xf == SKIPPABLE_MAGIC {
            let len = usize::try_from(rest.take_u32()?).map_err(|_| InflateError::truncated())?;
            rest.take(len)?;
        } else {
            return Err(InflateError::corrupt("lz4: bad magic number"));
        }
    }
    Ok(out)
}

impl Descriptor {
    fn read(input: &mut Input<'_>) -> Result<Self, InflateError> {
        let start = input.0;
        let [flags, block] = input.take_array()?;
        let content_size = match flags & CONTENT_SIZE {
            0 => None,
            _ => Some(u64::from_le_bytes(input.take_array()?)),
        };
        if flags & DICTIONARY != 0 {
            return Err(InflateError::corrupt("lz4: dictionaries are not supported"));
        }
        let descriptor = start.get(..start.len().saturating_sub(input.0.len())).unwrap_or_default();
        let [expected] = input.take_array()?;
        let [_, found, ..] = XxHash32::oneshot(0, descriptor).to_le_bytes();
        if found != expected {
            let text = format!("lz4: invalid header checksum: got {found:x}; expected {expected:x}");
            return Err(InflateError::Corrupt(text));
        }
        if flags & (VERSION_MASK | RESERVED) != VERSION {
            return Err(InflateError::corrupt("lz4: unknown version of the frame format"));
        }
        let block_max = match block >> 4 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(invalid_block_size()),
        };
        Ok(Self { flags, block_max, content_size })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn first_capacity(&self, input: usize, limit: usize) -> usize {
        let hint = match self.content_size {
            Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
            None => input.saturating_mul(4),
        };
        first_capacity(hint, input, limit)
    }
}

/// Reads the blocks of a frame onto `out`, and what follows them.
fn read_frame(
    descriptor: &Descriptor,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), InflateError> {
    let start = out.len();
    loop {
        let size = input.take_u32()?;
        if size == END_MARK {
            break;
        }
        let len = usize::try_from(size & !STORED).map_err(|_| invalid_block_size())?;
        if len > descriptor.block_max {
            return Err(invalid_block_size());
        }
        let block = input.take(len)?;
        if descriptor.has(BLOCK_CHECKSUMS) {
            check(XxHash32::oneshot(0, block), input.take_u32()?, "block")?;
        }
        if size & STORED != 0 {
            if len > limit.saturating_sub(out.len()) {
                return Err(InflateError::TooLarge);
            }
            make_room(out, len, limit);
            out.extend_from_slice(block);
        } else {
            // Where the window may begin: at the frame's start if its blocks are linked.
            let window = if descriptor.has(INDEPENDENT_BLOCKS) { out.len() } else { start };
            read_block(block, out, window, descriptor.block_max, limit)?;
        }
    }
    if descriptor.has(CONTENT_CHECKSUM) {
        let frame = out.get(start..).unwrap_or_default();
        check(XxHash32::oneshot(0, frame), input.take_u32()?, "frame")?;
    }
    Ok(())
}

/// Decompresses one block onto `out`. It may refer to what lies there from `window` on.
///
/// A block does not tell its size: room is guessed, and more is made if it was too little.
fn read_block(
    block: &[u8],
    out: &mut Vec<u8>,
    window: usize,
    block_max: usize,
    limit: usize,
) -> Result<(), InflateError> {
    let start = out.len();
    let room_max = block_max.min(limit.saturating_sub(start));
    let mut room = block.len().saturating_mul(FIRST_EXPANSION).max(FIRST_MINIMUM).min(room_max);
    loop {
        make_room(out, room, limit);
        out.resize(start.saturating_add(room), 0);
        let (before, target) = out.split_at_mut(start);
        let window = before.get(window.max(start.saturating_sub(WINDOW_BYTES))..).unwrap_or_default();
        let written = match window {
            [] => decompress_into(block, target),
            window => decompress_into_with_dict(block, target, window),
        };
        match written {
            Ok(len) => {
                out.truncate(start.saturating_add(len));
                return Ok(());
            }
            Err(DecompressError::OutputTooSmall { .. }) if room < room_max => {
                room = room.saturating_mul(GROWTH).min(room_max);
            }
            Err(DecompressError::OutputTooSmall { .. }) if room_max < block_max => {
                return Err(InflateError::TooLarge);
            }
            Err(_) => {
                return Err(InflateError::corrupt("lz4: invalid source or destination buffer too short"));
            }
        }
    }
}

/// Makes room for `more` bytes, within the limit if they are.
fn make_room(out: &mut Vec<u8>, more: usize, limit: usize) {
    let needed = out.len().saturating_add(more);
    if needed > out.capacity() {
        // Doubling keeps the copying linear; the limit keeps it from overshooting.
        let target = out.capacity().saturating_mul(2).min(limit).max(needed);
        out.reserve_exact(target.saturating_sub(out.len()));
    }
}

fn check(found: u32, expected: u32, what: &str) -> Result<(), InflateError> {
    if found == expected {
        return Ok(());
    }
    Err(InflateError::Corrupt(format!("lz4: invalid {what} checksum: got {found:x}; expected {expected:x}")))
}

fn invalid_block_size() -> InflateError {
    InflateError::corrupt("lz4: invalid block size")
}

/// Appends one frame to `out`: independent blocks as large as the format has them, its size, a checksum of the whole.
#[expect(clippy::expect_used, reason = "the buffer has the size that the library asks for")]
pub(super) fn compress(table: &mut CompressTable, input: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let (code, block_max) = match input.len() {
        ..=0x1_0000 => (4_u8, 64 << 10),
        0x1_0001..=0x4_0000 => (5, 256 << 10),
        0x4_0001..=0x10_0000 => (6, 1 << 20),
        _ => (7, 4 << 20),
    };
    out.extend_from_slice(&MAGIC.to_le_bytes());
    let descriptor_start = out.len();
    out.extend_from_slice(&[VERSION | INDEPENDENT_BLOCKS | CONTENT_SIZE | CONTENT_CHECKSUM, code << 4]);
    out.extend_from_slice(&u64::try_from(input.len()).unwrap_or(u64::MAX).to_le_bytes());
    let [_, checksum, ..] =
        XxHash32::oneshot(0, out.get(descriptor_start..).unwrap_or_default()).to_le_bytes();
    out.push(checksum);
    for block in input.chunks(block_max) {
        let bound = get_maximum_output_size(block.len());
        grow_to(scratch, bound);
        let len = compress_into_with_table(block, scratch, table).expect("the bound holds for every input");
        let (data, stored) = match scratch.get(..len) {
            Some(compressed) if len < block.len() => (compressed, 0),
            _ => (block, STORED),
        };
        // At most 4 MiB.
        let size = u32::try_from(data.len()).unwrap_or_default() | stored;
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(data);
    }
    out.extend_from_slice(&END_MARK.to_le_bytes());
    out.extend_from_slice(&XxHash32::oneshot(0, input).to_le_bytes());
}
