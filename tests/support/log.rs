//! What a running binary says, for tests that wait for a line of it.

#![expect(clippy::unwrap_used, reason = "a helper of tests: what cannot happen fails the test")]

use std::io::BufRead;

/// Reads on to the next log line that contains a text.
pub(crate) fn line_with(log: &mut impl BufRead, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended without {text:?}:\n{seen}");
        if line.contains(text) {
            return line;
        }
        seen.push_str(&line);
    }
}
