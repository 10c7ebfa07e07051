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
        let header: Vec<&str> = self.header.iter().map(String::as_str).collect();
        let columns = Columns::fit(&header, &self.right, self.rows(), terminal_width);
        let mut lines = String::with_capacity(self.text.len() * 2);
        for row in self.rows() {
            columns.push_line(&mut lines, row);
        }
        (columns.header(&header), lines)
    }

    /// The cells of each row with their widths.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, usize)>> {
        let mut start = 0;
        self.cells.chunks(self.header.len()).map(move |row| {
            let mut first = start;
            start = row.last().map_or(start, |cell| cell.end);
            row.iter().map(move |cell| {
                let text = &self.text[first..cell.end];
                first = cell.end;
                (text, cell.width)
            })
        })
    }
}

/// How wide the columns of a table are.
#[derive(Debug)]
pub(crate) struct Columns {
    widths: Vec<usize>,
    right: Vec<usize>,
    /// What is wider is cut, in the last column.
    limit: Option<usize>,
}

impl Columns {
    /// As wide as their widest cells.
    fn fit<'c, R: Iterator<Item = (&'c str, usize)>>(
        header: &[&str],
        right: &[usize],
        rows: impl Iterator<Item = R>,
        terminal_width: Option<usize>,
    ) -> Self {
        let mut widths: Vec<usize> = header.iter().map(|name| width(name)).collect();
        for row in rows {
            for (width, (_, own)) in widths.iter_mut().zip(row) {
                *width = (*width).max(own);
            }
        }
        let mut columns = Self { widths, right: right.to_vec(), limit: None };
        columns.cut_to(terminal_width);
        columns
    }

    /// As wide as the header's names and as cells of these widths.
    pub(crate) fn of_widths(
        header: &[&str],
        widths: &[usize],
        terminal_width: Option<usize>,
    ) -> Self {
        let names = header.iter().map(|name| width(name));
        let widths = names.zip(widths).map(|(name, own)| name.max(*own)).collect();
        let mut columns = Self { widths, right: Vec::new(), limit: None };
        columns.cut_to(terminal_width);
        columns
    }

    fn cut_to(&mut self, terminal_width: Option<usize>) {
        let Some((last, others)) = self.widths.split_last_mut() else { return };
        let taken: usize = others.iter().map(|width| width + GAP).sum();
        self.limit = terminal_width.map(|limit| limit.saturating_sub(taken).max(MINIMUM_LAST));
        *last = (*last).min(self.limit.unwrap_or(usize::MAX));
    }

    /// The header's line.
    pub(crate) fn header(&self, header: &[&str]) -> String {
        let mut line = String::new();
        self.push_line(&mut line, header.iter().map(|name| (*name, width(name))));
        line
    }

    /// Appends the line of a row that is not made printable yet.
    pub(crate) fn push_raw<const N: usize>(&self, lines: &mut String, row: [&str; N]) {
        let start = lines.len();
        self.push_cells(lines, row.iter().map(|cell| (*cell, cell.len())));
        if !is_plain(&lines[start..]) {
            lines.truncate(start);
            let row = row.map(printable);
            self.push_cells(lines, row.iter().map(|cell| (&**cell, width(cell))));
        }
        end_line(lines, start);
    }

    fn push_line<'c>(&self, lines: &mut String, cells: impl Iterator<Item = (&'c str, usize)>) {
        let start = lines.len();
        self.push_cells(lines, cells);
        end_line(lines, start);
    }

    fn push_cells<'c>(&self, lines: &mut String, cells: impl Iterator<Item = (&'c str, usize)>) {
        let last = self.widths.len().saturating_sub(1);
        for (column, ((cell, own), width)) in cells.zip(&self.widths).enumerate() {
            let limit = self.limit.filter(|limit| column == last && own > *limit);
            let cut = limit.map(|limit| cut(cell, limit));
            let (cell, own) = cut.as_deref().map_or((cell, own), |cut| (cut, cut.width()));
            let padding = width.saturating_sub(own);
            let is_right = self.right.contains(&column);
            let gap = if column == 0 { 0 } else { GAP };
            pad(lines, gap + if is_right { padding } else { 0 });
            lines.push_str(cell);
            pad(lines, if is_right || column == last { 0 } else { padding });
        }
    }
}

/// Ends a line, without spaces at its end.
fn end_line(lines: &mut String, start: usize) {
    lines.truncate(start + lines[start..].trim_end().len());
    lines.push('\n');
}

/// Columns of the terminal that a text takes.
fn width(text: &str) -> usize {
    if is_plain(text) { text.len() } else { text.width() }
}

fn pad(line: &mut String, mut width: usize) {
    const SPACES: &str = "                                                                ";
    while width > 0 {
        let some = width.min(SPACES.len());
        line.push_str(&SPACES[..some]);
        width -= some;
    }
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
    fn rows_that_nobody_keeps_look_the_same() {
        let rows = [
            ["acme-agent", "1.0", "Closes a heap overflow in the parser"],
            ["漢字", "12", "x\u{1b}y"],
            ["", "tab\tand\u{202e}more", "ends with blanks  "],
            ["breaks", "", "off\n"],
            ["a", "b", ""],
        ];
        for terminal_width in [None, Some(1), Some(40), Some(60), Some(400)] {
            let mut table = Table::new(["NAME", "SIZE", "SUMMARY"]);
            for row in &rows {
                table.row(row);
            }
            let header = ["NAME", "SIZE", "SUMMARY"];
            // the last one's is of no concern: nothing stands behind it
            let columns = Columns::of_widths(&header, &[10, 20, 0], terminal_width);
            let mut lines = columns.header(&header);
            for row in &rows {
                columns.push_raw(&mut lines, *row);
            }
            let lines: Vec<_> = lines.lines().collect();
            assert_eq!(lines, table.lines(terminal_width), "{terminal_width:?}");
        }
    }

    #[test]
    fn short_rows_are_filled() {
        let mut table = Table::new(["A", "B"]);
        assert!(table.is_empty());
        table.row(["x"]);
        assert_eq!(table.lines(None), ["A  B", "x"]);
    }
}
