//! Colours and bars on a terminal; plain text elsewhere. Two escape codes need no crate.

use std::io::IsTerminal;

/// How text may be dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// It is drawn on a terminal: bars, and redrawing.
    pub(super) terminal: bool,
    /// Colours are wanted.
    pub(super) colour: bool,
}

/// What a colour means here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Strong,
    Good,
    Bad,
    Faint,
}

impl Style {
    /// As the standard output is, and <https://no-color.org> asks.
    pub(super) fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { terminal: terminal && !dumb, colour: terminal && !refused && !dumb }
    }

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Strong => 1,
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A percentage, as a bar where one can be drawn.
    pub(super) fn bar(self, percent: i32) -> String {
        const WIDTH: usize = 12;
        let percent = percent.clamp(0, 100);
        if !self.terminal {
            return format!("{percent}%");
        }
        let full = usize::try_from(percent).unwrap_or_default() * WIDTH / 100;
        format!("[{}{}] {percent:>3}%", "#".repeat(full), ".".repeat(WIDTH - full))
    }
}

/// Rows as columns, each as wide as its widest cell; the last one is left as it is.
pub(super) fn columns(rows: &[Vec<String>], indent: &str) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{indent}{}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Style, Tone, columns};

    #[test]
    fn bars_and_colours_are_for_terminals() {
        let terminal = Style { terminal: true, colour: true };
        let plain = Style { terminal: false, colour: false };
        assert_eq!(terminal.bar(50), "[######......]  50%");
        assert_eq!(terminal.bar(250), "[############] 100%");
        assert_eq!(plain.bar(50), "50%");
        assert_eq!(terminal.paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Style { colour: false, ..terminal }.paint(Tone::Bad, "x"), "x");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "bcd".to_owned()], vec!["äö".to_owned(), String::new()]];
        assert_eq!(columns(&rows, " "), [" a   bcd", " äö"]);
    }
}
