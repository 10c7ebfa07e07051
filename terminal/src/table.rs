//! Tables with aligned columns.

use unicode_width::UnicodeWidthStr as _;

use crate::human::{is_plain, printable};

/// Between two columns.
const GAP: usize = 2;
/// The last column never shrinks below this, however narrow the terminal.
const MINIMUM_LAST: usize = 16;

/// A table whose columns are as wide as their widest cell. On a terminal the last column is cut so
/// that a row stays one line; elsewhere nothing is cut. Cells are made printable.
#[derive(Debug, Clone)]
pub struct Table {
    header: Vec<String>,
    right: Vec<usize>,
    /// The cells of all rows, one behind the other.
    text: String,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Where it ends in the text.
    end: usize,
    /// Columns of the terminal.
    width: usize,
}

impl Table {
    /// A table with these column names.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        let header = header.map(str::to_owned).to_vec();
        Self { header, right: Vec::new(), text: String::new(), cells: Vec::new() }
    }

    /// Aligns the column of this number, from 0, to the right: for sizes and counts.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row; missing cells are empty, cells beyond the header are dropped.
    pub fn row<I: IntoIterator<Item: AsRef<str>>>(&mut self, cells: I) {
        let whole = self.cells.len() + self.header.len();
        for cell in cells.into_iter().take(self.header.len()) {
            let cell = printable(cell.as_ref());
            self.text.push_str(&cell);
            self.cells.push(Cell { end: self.text.len(), width: width(&cell) });
        }
        self.cells.resize(whole, Cell { end: self.text.len(), width: 0 });
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The header's line and those of the rows, each with its line break and none with trailing
    /// spaces.
    pub(crate) fn render(&self, terminal_width: Option<usize>) -> (String, String) {
        let widths = self.widths(terminal_width);
        let mut header = String::new();
        let cells = self.header.iter().map(|name| (name.as_str(), width(name)));
        self.push_line(&mut header, cells, &widths);
        let mut lines = String::with_capacity(self.text.len() * 2);
        let mut start = 0;
        for row in self.cells.chunks(self.header.len()) {
            let cells = row.iter().map(|cell| {
                let text = &self.text[start..cell.end];
                start = cell.end;
                (text, cell.width)
            });
            self.push_line(&mut lines, cells, &widths);
        }
        (header, lines)
    }

    fn widths(&self, terminal_width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| width(name)).collect();
        for row in self.cells.chunks(self.header.len()) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width);
            }
        }
        if let (Some(limit), Some((last, others))) = (terminal_width, widths.split_last_mut()) {
            let taken: usize = others.iter().map(|width| width + GAP).sum();
            *last = (*last).min(limit.saturating_sub(taken).max(MINIMUM_LAST));
        }
        widths
    }

    fn push_line<'c>(
        &self,
        lines: &mut String,
        cells: impl Iterator<Item = (&'c str, usize)>,
        widths: &[usize],
    ) {
        let start = lines.len();
        for (column, ((cell, own), width)) in cells.zip(widths).enumerate() {
            let cut = (own > *width).then(|| cut(cell, *width));
            let (cell, own) = cut.as_deref().map_or((cell, own), |cut| (cut, cut.width()));
            let padding = width.saturating_sub(own);
            let is_right = self.right.contains(&column);
            let gap = if column == 0 { 0 } else { GAP };
            pad(lines, gap + if is_right { padding } else { 0 });
            lines.push_str(cell);
            pad(lines, if is_right { 0 } else { padding });
        }
        lines.truncate(start + lines[start..].trim_end().len());
        lines.push('\n');
    }
}

/// Columns of the terminal that a text takes.
fn width(text: &str) -> usize {
    if is_plain(text) { text.len() } else { text.width() }
}

fn pad(line: &mut String, width: usize) {
    line.extend(std::iter::repeat_n(' ', width));
}

/// As much of a text as fits with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if cut.width() + 1 > width {
            cut.pop();
            break;
        }
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Table {
        fn lines(&self, terminal_width: Option<usize>) -> Vec<String> {
            let (header, rows) = self.render(terminal_width);
            (header + &rows).lines().map(str::to_owned).collect()
        }
    }

    fn table() -> Table {
        let mut table = Table::new(["NAME", "SIZE", "SUMMARY"]).right(1);
        table.row(["acme-agent", "1.0 MiB", "Closes a heap overflow in the parser"]);
        table.row(["漢字", "12 B", "x\u{1b}y"]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_is_shown() {
        assert_eq!(
            table().lines(None),
            [
                "NAME           SIZE  SUMMARY",
                "acme-agent  1.0 MiB  Closes a heap overflow in the parser",
                "漢字           12 B  x\\u{1b}y",
            ]
        );
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal() {
        let lines = table().lines(Some(40));
        assert_eq!(lines[1], "acme-agent  1.0 MiB  Closes a heap over…");
        assert!(lines.iter().all(|line| line.width() <= 40));
        // too narrow to be of use: the other columns stay whole
        assert_eq!(table().lines(Some(1))[1], "acme-agent  1.0 MiB  Closes a heap o…");
    }

    #[test]
    fn short_rows_are_filled() {
        let mut table = Table::new(["A", "B"]);
        assert!(table.is_empty());
        table.row(["x"]);
        assert_eq!(table.lines(None), ["A  B", "x"]);
    }
}
