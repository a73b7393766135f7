//! Reading a secret from the console.

use std::io;

use console::{Key, Term};
use zeroize::Zeroizing;

/// Reads a line of at most `longest` bytes; `None` if ctrl-c or ctrl-d comes first. Keys are read one by one, so the console shows
/// none.
pub fn read_hidden(prompt: impl FnOnce() -> io::Result<()>, longest: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let terminal = Term::stderr();
    prompt()?;
    let mut typed: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(longest));
    loop {
        match terminal.read_key_raw()? {
            Key::CtrlC | Key::Char('\u{3}' | '\u{4}') => return Ok(None),
            Key::Enter => return Ok(Some(typed)),
            Key::Backspace => {
                typed.pop();
            }
            Key::Char('\u{15}') => typed.clear(),
            Key::Char(key) if typed.len() + key.len_utf8() <= longest => {
                typed.extend_from_slice(key.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => {}
        }
    }
}
