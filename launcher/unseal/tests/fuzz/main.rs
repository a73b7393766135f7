//! Fuzzes the opening: a short round in the ordinary tests, a longer one by `scripts/fuzz-opening`.
//!
//! Nothing opens but what was sealed, whatever is done to it, and a failure leaves no plaintext.

mod keys;
mod open;
mod random;
mod sealer;
