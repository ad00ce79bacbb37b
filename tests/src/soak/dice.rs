//! Randomness that a seed repeats (splitmix64, Steele, Lea and Flood 2014).

use std::time::Duration;

/// A source of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Another source, for another thread.
    pub(super) fn another(&mut self) -> Self {
        Self(self.roll())
    }

    /// A seed for another process.
    pub(super) fn seed(&mut self) -> u64 {
        self.roll()
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.roll() % end).unwrap_or_default()
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// The time until the next of events that come independently, so long
    /// apart on average.
    pub(super) fn wait(&mut self, average: Duration) -> Duration {
        // 53 bits: what a float holds exactly. Never 0, of which there is no
        // logarithm.
        let even = ((self.roll() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        average.mul_f64(-even.ln()).min(average * 8)
    }
}
