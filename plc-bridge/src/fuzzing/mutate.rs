//! Cases out of cases: the same for the same seed, on every machine.

/// Marsaglia's xorshift64*: fast, and good enough to break things.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// 0…most−1; 0 if there is nothing to choose from.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        usize::try_from((self.roll() >> 11) % most).unwrap_or(0)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }
}

/// No case is longer.
const LONGEST: usize = 2048;
/// Bytes at which code changes its mind.
const EDGES: [u8; 12] = [0, 1, 2, 3, 16, 0x2B, 0x7F, 0x80, 0x83, 0x90, 0xFE, 0xFF];

/// Changes `case` a little: flipped bits, edges, cuts, repetitions, splices with another case, lengths that lie.
pub(crate) fn mutate(case: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(case.len());
        match dice.below(10) {
            0..=2 if !case.is_empty() => case[at] ^= 1 << dice.below(8),
            3 if !case.is_empty() => case[at] = EDGES[dice.below(EDGES.len())],
            4 if !case.is_empty() => case[at] = dice.byte(),
            5 if !case.is_empty() => {
                // A length or a count that lies by a little.
                case[at] = if dice.below(2) == 0 { case[at].wrapping_add(1) } else { case[at].wrapping_sub(1) };
            }
            6 => case.truncate(at),
            7 => {
                let end = (at + 1 + dice.below(16)).min(case.len());
                case.drain(at.min(end)..end);
            }
            8 => {
                let end = (at + 1 + dice.below(32)).min(case.len());
                let part = case[at.min(end)..end].to_vec();
                case.splice(at..at, part);
            }
            _ => {
                case.truncate(at);
                case.extend_from_slice(&other[dice.below(other.len()).min(other.len())..]);
            }
        }
        case.truncate(LONGEST);
    }
}
