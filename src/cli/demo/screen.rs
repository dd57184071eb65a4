//! Redraws the table in place on a terminal, and writes plain lines elsewhere.

use std::io::{self, Write};

use super::table::Snapshot;

/// Cursor up by so many lines, then clear to the end of the screen. Source: ECMA-48, CUU and ED.
fn over(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

/// Where the demo's text goes.
pub(super) struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: bool,
    /// Lines of the picture that the next one replaces.
    lines: usize,
}

// === impl Screen ===

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), terminal: bool) -> Self {
        Self { out, terminal, lines: 0 }
    }

    pub(super) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a text that stays.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        self.lines = 0;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Shows the demo as it is. The last picture is the table everywhere.
    pub(super) fn show(&mut self, snapshot: &Snapshot, last: bool) -> io::Result<()> {
        let text = if self.terminal || last { snapshot.table() } else { snapshot.line() };
        if self.terminal {
            self.out.write_all(over(self.lines).as_bytes())?;
            self.lines = text.lines().count();
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool) -> String {
        let snapshot =
            Snapshot { elapsed: std::time::Duration::ZERO, sent: 0, split_traces: 0, rows: Vec::new() };
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, terminal);
        screen.say("hello").unwrap();
        screen.show(&snapshot, false).unwrap();
        screen.show(&snapshot, true).unwrap();
        screen.say("done").unwrap();
        String::from_utf8(out).unwrap()
    }

    // Scenario: a text, two pictures and a text, on a terminal and in a pipe.
    // Guarantees: on a terminal the second picture replaces exactly the first; a pipe gets no escape sequences.
    #[test]
    fn pictures_replace_each_other_on_a_terminal_only() {
        let terminal = shown(true);
        assert_eq!(terminal.matches("backend").count(), 2);
        assert_eq!(terminal.matches("\x1b[3A\x1b[J").count(), 1);
        assert_eq!(terminal.matches('\x1b').count(), 2);
        let pipe = shown(false);
        assert!(!pipe.contains('\x1b'));
        assert_eq!(pipe.lines().count(), 1 + 1 + 3 + 1);
    }
}
