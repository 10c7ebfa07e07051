//! Text in a column of its own.

use unicode_width::UnicodeWidthStr as _;

/// No column is made narrower than this, however narrow the terminal.
const MINIMUM: usize = 20;

/// `text` in lines that fit a column which begins at `indent`, broken between words. Without a
/// terminal's width nothing is broken. A word that is too long stays whole. Lines behind the first
/// are indented.
pub(crate) fn wrap(text: &str, indent: usize, terminal_width: Option<usize>) -> String {
    let limit =
        terminal_width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(MINIMUM));
    let lines: Vec<String> = text.split('\n').flat_map(|line| wrap_line(line, limit)).collect();
    lines.join(&format!("\n{:indent$}", ""))
}

fn wrap_line(line: &str, limit: usize) -> Vec<String> {
    if line.width() <= limit {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is always one");
        if last.is_empty() {
            last.push_str(word);
        } else if last.width() + 1 + word.width() <= limit {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_are_indented() {
        let text = "Closes a heap overflow in the parser of the agent";
        let broken = wrap(text, 4, Some(30));
        assert_eq!(broken, "Closes a heap overflow in\n    the parser of the agent");
        assert_eq!(wrap(text, 4, None), text);
        let hash = "a".repeat(64);
        assert_eq!(wrap(&format!("of {hash}"), 4, Some(30)), format!("of\n    {hash}"));
        assert_eq!(wrap("one\ntwo", 2, None), "one\n  two");
        assert_eq!(wrap("a narrow terminal", 16, Some(5)), "a narrow terminal");
    }
}
