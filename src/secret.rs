//! Owns the only type that holds a secret value: wiped on drop, never shown, with one greppable accessor.
//!
//! It has no `Debug`, `Display`, `Serialize` or `PartialEq`, so a type that contains one cannot derive them by accident.

use zeroize::Zeroizing;

use crate::diagnostic::scrub;

/// A secret's bytes. `expose` is the only way to them.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of the bytes without copying them.
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretBytes(Zeroizing::new(bytes))
    }

    /// Returns the value itself. Review every call.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Registers the secret, and each value in it if it is JSON, to be removed from all output of this run.
    pub fn remember(&self) {
        scrub::remember_with_members(&self.0);
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether the value is the empty string.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        SecretBytes::new(text.into_bytes())
    }
}

/// A buffer for secret bytes. It is wiped on drop and when it grows, so no copy stays in freed memory.
#[derive(Default)]
pub struct SecretBuffer(Zeroizing<Vec<u8>>);

impl SecretBuffer {
    /// Returns an empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        SecretBuffer(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.0.len() + bytes.len() > self.0.capacity() {
            let mut larger = Vec::with_capacity((self.0.len() + bytes.len()) * 2);
            larger.extend_from_slice(&self.0);
            // dropping the old allocation wipes it
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    /// Returns the bytes as a secret, without a copy.
    pub fn finish(mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut *self.0))
    }
}

impl std::io::Write for SecretBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_what_was_pushed_through_growth() {
        let mut buffer = SecretBuffer::with_capacity(2);
        for byte in 0..=255u8 {
            buffer.push(&[byte]);
        }
        let expected: Vec<u8> = (0..=255).collect();
        assert!(buffer.finish().expose() == expected);
    }
}
