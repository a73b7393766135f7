//! Runs a check many times on random inputs, the same ones for the same seed.
//!
//! Owns the random numbers, the mutations, and how a failed execution is found again. Must not know what is checked.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The seed, 1 if it is not set.
const SEED: &str = "SECRETBAKE_FUZZ_SEED";

/// The number of rounds, 1 if it is not set.
const ROUNDS: &str = "SECRETBAKE_FUZZ_ROUNDS";

/// The number of the only execution to run.
const ONLY: &str = "SECRETBAKE_FUZZ_ONLY";

/// The most mutations of one input.
const MUTATIONS: usize = 8;

/// Bytes that end, separate or count something in many formats.
const TELLING: [u8; 20] = *b"\0\n\r \t/=:-+#\"\\09Az\x7f\x80\xff";

/// Random numbers (SplitMix64). Not for keys.
pub struct Random(u64);

impl Random {
    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`, and 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    /// Returns that many bytes, some of them more telling than others.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// Returns one of the items, which must not be none.
    pub fn choose<'i, T>(&mut self, items: &'i [T]) -> &'i T {
        &items[self.below(items.len())]
    }

    /// Returns one of the inputs with a few mutations, or now and then arbitrary bytes.
    pub fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if corpus.is_empty() || self.below(16) == 0 {
            let length = self.below(300);
            return self.bytes(length);
        }
        let mut input = self.choose(corpus).clone();
        for _ in 0..=self.below(MUTATIONS) {
            self.mutate(&mut input, corpus);
        }
        input
    }

    fn byte(&mut self) -> u8 {
        if self.below(4) == 0 { *self.choose(&TELLING) } else { self.number() as u8 }
    }

    fn mutate(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => {
                let count = self.below(16);
                let bytes = self.bytes(count);
                drop(input.splice(at..at, bytes));
            }
            3 => {
                let copy = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                drop(input.splice(to..to, copy));
            }
            4 => {
                let other = self.choose(corpus);
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 | 6 => {
                let bit = 1 << self.below(8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
            _ => {
                let new = self.byte();
                if let Some(byte) = input.get_mut(at) {
                    *byte = new;
                }
            }
        }
    }
}

/// Runs `check` with fresh random numbers, `round` times in each round.
///
/// # Panics
///
/// When `check` does, after the words by which this execution alone can be run again.
pub fn run(target: &str, round: u64, check: impl Fn(&mut Random)) {
    let seed = number(SEED).unwrap_or(1);
    let executions = match number(ONLY) {
        Some(only) => only..only + 1,
        None => 0..round * number(ROUNDS).unwrap_or(1),
    };
    for execution in executions.clone() {
        let mut random = Random(Random(seed).number() ^ execution.wrapping_mul(0xd134_2543_de82_ef95));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&mut random))) {
            eprintln!("{target} failed; run it again with {SEED}={seed} {ONLY}={execution}");
            resume_unwind(panic);
        }
    }
    eprintln!("{target}: {} executions with seed {seed}", executions.end - executions.start);
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}
