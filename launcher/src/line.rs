//! The text of a failure in a buffer of fixed size, without an allocator.
//!
//! Owns what it may contain: no control characters except its own line ends, and no more than fits.

/// The size of the buffer in bytes; two lines and a command are shorter.
const CAPACITY: usize = 1024;

/// The most bytes of a name to show.
const NAME_MAX: usize = 256;

/// Text that is written to standard error in one call.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Line {
    /// Starts empty.
    pub fn new() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }

    /// Returns what was pushed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends the launcher's own text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.push_byte(byte);
        }
        self
    }

    /// Appends a name from outside: control characters become `?`, and a long one is cut.
    pub fn push_name(&mut self, name: &[u8]) -> &mut Self {
        for byte in name.iter().take(NAME_MAX) {
            self.push_byte(if byte.is_ascii_control() { b'?' } else { *byte });
        }
        if name.len() > NAME_MAX { self.push("…") } else { self }
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, mut number: usize) -> &mut Self {
        let mut digits = [0; 20];
        let mut first = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            first -= 1;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        for digit in &digits[first..] {
            self.push_byte(*digit);
        }
        self
    }

    fn push_byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 131_071, usize::MAX] {
            assert_eq!(Line::new().push_number(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_name_cannot_break_the_line() {
        assert_eq!(Line::new().push_name(b"a\nb\x1b[0m\x7f\xc3\xa9").as_bytes(), b"a?b?[0m?\xc3\xa9");
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut line = Line::new();
        line.push_name(&[b'x'; 300]);
        assert_eq!(line.as_bytes(), format!("{}…", "x".repeat(256)).as_bytes());
        assert_eq!(Line::new().push_name(&[b'x'; 256]).as_bytes(), [b'x'; 256]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(Line::new().push(&"x".repeat(2_000)).as_bytes().len(), CAPACITY);
    }
}
