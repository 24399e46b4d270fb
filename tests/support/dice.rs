//! Chance that can be thrown again: the same seed gives the same numbers, everywhere.

#![allow(dead_code, unreachable_pub, missing_debug_implementations, reason = "each test uses its own part")]

/// xorshift: small, and the same everywhere. The seed is not 0.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
