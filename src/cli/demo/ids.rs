//! Trace and span ids that look random and can be read back: number → id → number.
//!
//! Each id is a number sent through a bijection of 64 bits, so no two numbers share an id, and whoever knows
//! the seed can tell from an id which span it is. A run of any length is then audited with one bit for each span.

/// One span as it is told apart everywhere: ids are unique only together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanKey {
    /// `trace_id`.
    pub trace: [u8; 16],
    /// `span_id`.
    pub span: [u8; 8],
}

/// Numbers below this have ids of their own, for each seed. One short of 2⁴⁰, so that the last number of the
/// last seed does not wrap to 0, the id that OTLP calls invalid.
const NUMBERS: u64 = (1 << 40) - 1;

/// The ids of one seed. Seeds that differ below 2²⁴ have no id in common.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    base: u64,
}

// === impl Ids ===

impl Ids {
    /// Only the low 24 bits of `seed` count.
    pub const fn new(seed: u64) -> Self {
        Self { base: (seed << 40).wrapping_add(1) }
    }

    /// The id of span `number`.
    pub const fn span(&self, number: u64) -> [u8; 8] {
        scramble(self.base.wrapping_add(number)).to_be_bytes()
    }

    /// The id of trace `number`: the scrambled number, then the scramble of its complement as a check.
    pub const fn trace(&self, number: u64) -> [u8; 16] {
        let number = self.base.wrapping_add(number);
        ((scramble(number) as u128) << 64 | scramble(!number) as u128).to_be_bytes()
    }

    /// Which span of this seed has the id; `None`: an id of somebody else's.
    pub const fn span_number(&self, id: [u8; 8]) -> Option<u64> {
        self.number(u64::from_be_bytes(id))
    }

    /// Which trace of this seed has the id; `None`: an id of somebody else's.
    pub const fn trace_number(&self, id: [u8; 16]) -> Option<u64> {
        let id = u128::from_be_bytes(id);
        match self.number((id >> 64) as u64) {
            Some(number) if scramble(!self.base.wrapping_add(number)) == id as u64 => Some(number),
            _ => None,
        }
    }

    const fn number(&self, id: u64) -> Option<u64> {
        let number = unscramble(id).wrapping_sub(self.base);
        if number < NUMBERS { Some(number) } else { None }
    }
}

/// The finalizer of SplitMix64, a bijection. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators" (2014), with the constants of `java.util.SplittableRandom`.
const fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Undoes [`scramble`]: each factor is the other's inverse modulo 2⁶⁴.
const fn unscramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 31) ^ (value >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    value = (value ^ (value >> 27) ^ (value >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    value ^ (value >> 30) ^ (value >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: ids of several seeds and numbers, the first and last of each seed among them.
    // Guarantees: an id leads back to its number under its own seed and to nothing under another.
    #[test]
    fn ids_lead_back_to_their_numbers() {
        for seed in [0, 1, 77, (1 << 24) - 1] {
            let ids = Ids::new(seed);
            for number in [0, 1, 2, 1_000_003, NUMBERS - 1] {
                assert_eq!(ids.span_number(ids.span(number)), Some(number));
                assert_eq!(ids.trace_number(ids.trace(number)), Some(number));
                let other = Ids::new(seed + 1);
                assert_eq!(other.span_number(ids.span(number)), None);
                assert_eq!(other.trace_number(ids.trace(number)), None);
                assert_ne!(ids.span(number), [0; 8]);
            }
        }
    }

    // Scenario: a client's own trace id that begins like one of ours.
    // Guarantees: it is not taken for ours, so it cannot spoil the audit.
    #[test]
    fn half_an_id_is_not_ours() {
        let ids = Ids::new(5);
        let mut id = ids.trace(9);
        id[15] ^= 1;
        assert_eq!(ids.trace_number(id), None);
    }
}
