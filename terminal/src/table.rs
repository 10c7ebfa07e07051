//! Tables with aligned columns.

use unicode_width::UnicodeWidthStr as _;

use crate::human::printable;

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
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(str::to_owned).to_vec(), right: Vec::new(), rows: Vec::new() }
    }

    /// Aligns the column of this number, from 0, to the right: for sizes and counts.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row; missing cells are empty, cells beyond the header are dropped.
    pub fn row<I: IntoIterator<Item: AsRef<str>>>(&mut self, cells: I) {
        let mut row: Vec<String> =
            cells.into_iter().map(|cell| printable(cell.as_ref()).into_owned()).collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, the header's first, none with trailing spaces.
    pub(crate) fn lines(&self, terminal_width: Option<usize>) -> Vec<String> {
        let widths = self.widths(terminal_width);
        std::iter::once(&self.header).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn widths(&self, terminal_width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let (Some(limit), Some((last, others))) = (terminal_width, widths.split_last_mut()) {
            let taken: usize = others.iter().map(|width| width + GAP).sum();
            *last = (*last).min(limit.saturating_sub(taken).max(MINIMUM_LAST));
        }
        widths
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = cut(cell, *width);
            let padding = " ".repeat(width - cell.width());
            let gap = if column == 0 { 0 } else { GAP };
            line.extend(std::iter::repeat_n(' ', gap));
            if self.right.contains(&column) {
                line.push_str(&padding);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&padding);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// `text`, or as much of it as fits with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
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
