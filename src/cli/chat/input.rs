//! The line that is being written, with a cursor that goes by what is seen as one character, and the lines
//! written before.

use unicode_segmentation::UnicodeSegmentation;

use super::text;
use crate::limits;

/// Lines remembered.
const HISTORY: usize = 200;

/// What is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    /// An octet of it; between two characters.
    cursor: usize,
}

impl Input {
    /// What there is.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Something else, with the cursor at its end.
    pub fn set(&mut self, text: &str) {
        self.text = text.to_owned();
        self.cursor = text.len();
    }

    /// Nothing any more; what there was.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Text at the cursor, as far as a message can be so long.
    pub fn insert(&mut self, text: &str) {
        if self.text.len() + text.len() <= limits::BODY {
            self.text.insert_str(self.cursor, text);
            self.cursor += text.len();
        }
    }

    /// One character to the left.
    pub fn left(&mut self) {
        self.cursor -= self.before().graphemes(true).next_back().map_or(0, str::len);
    }

    /// One character to the right.
    pub fn right(&mut self) {
        self.cursor += self.after().graphemes(true).next().map_or(0, str::len);
    }

    /// To the beginning of the word.
    pub fn word_left(&mut self) {
        let blank = self.before().trim_end();
        self.cursor = blank.rfind(char::is_whitespace).map_or(0, |at| at + char_at(blank, at));
    }

    /// To the end of the word.
    pub fn word_right(&mut self) {
        let after = self.after();
        let word = after.trim_start();
        let end = word.find(char::is_whitespace).unwrap_or(word.len());
        self.cursor += after.len() - word.len() + end;
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// To the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Takes away the character before the cursor.
    pub fn backspace(&mut self) {
        let end = self.cursor;
        self.left();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Takes away the character behind the cursor.
    pub fn delete(&mut self) {
        let length = self.after().graphemes(true).next().map_or(0, str::len);
        self.text.replace_range(self.cursor..self.cursor + length, "");
    }

    /// Takes away the word before the cursor.
    pub fn delete_word(&mut self) {
        let end = self.cursor;
        self.word_left();
        self.text.replace_range(self.cursor..end, "");
    }

    /// Takes away all before the cursor.
    pub fn delete_before(&mut self) {
        self.text.replace_range(..self.cursor, "");
        self.cursor = 0;
    }

    /// Takes away all behind the cursor.
    pub fn delete_after(&mut self) {
        self.text.truncate(self.cursor);
    }

    /// As it is shown in so many columns: the rows, and row and column of the cursor.
    pub fn rows(&self, room: usize) -> (Vec<String>, (usize, usize)) {
        let room = room.max(2);
        let (mut rows, mut used, mut cursor) = (vec![String::new()], 0, None);
        for (at, part) in self.text.grapheme_indices(true) {
            let is_end = part.starts_with(['\n', '\r']);
            let columns = if is_end { 0 } else { text::width(part) };
            if used + columns > room {
                rows.push(String::new());
                used = 0;
            }
            if at == self.cursor {
                cursor = Some((rows.len() - 1, used));
            }
            if is_end {
                rows.push(String::new());
                used = 0;
            } else if let Some(row) = rows.last_mut() {
                row.push_str(part);
                used += columns;
            }
        }
        if cursor.is_none() && used >= room {
            rows.push(String::new());
            used = 0;
        }
        let last = (rows.len() - 1, used);
        (rows, cursor.unwrap_or(last))
    }

    fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }
}

fn char_at(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

/// Lines written before.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<String>,
    /// Which of them is shown; none: what is being written.
    at: Option<usize>,
    /// What was being written when the first was asked for.
    draft: String,
}

impl History {
    /// A line was written.
    pub fn push(&mut self, line: &str) {
        self.at = None;
        if self.lines.last().is_none_or(|last| last != line) {
            self.lines.push(line.to_owned());
        }
        if self.lines.len() > HISTORY {
            self.lines.remove(0);
        }
    }

    /// The one before.
    pub fn earlier(&mut self, input: &mut Input) {
        let next = match self.at {
            None => self.lines.len().checked_sub(1),
            Some(at) => at.checked_sub(1),
        };
        let Some(line) = next.and_then(|at| self.lines.get(at)) else { return };
        if self.at.is_none() {
            self.draft = input.text().to_owned();
        }
        self.at = next;
        input.set(line);
    }

    /// The one after; at last what was being written.
    pub fn later(&mut self, input: &mut Input) {
        let Some(at) = self.at else { return };
        match self.lines.get(at + 1) {
            Some(line) => {
                self.at = Some(at + 1);
                input.set(line);
            }
            None => {
                self.at = None;
                input.set(&self.draft);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn the_cursor_goes_by_what_is_seen() {
        let mut line = input("a漢e\u{301}👩\u{200d}🚀");
        line.left();
        line.backspace();
        assert_eq!(line.text(), "a漢👩\u{200d}🚀");
        line.delete();
        line.home();
        line.right();
        line.insert("-");
        assert_eq!(line.text(), "a-漢");
        line.end();
        line.right();
        line.delete();
        line.insert("!");
        assert_eq!(line.take(), "a-漢!");
        line.left();
        line.backspace();
        assert!(line.is_empty());
    }

    #[test]
    fn words_go_at_once() {
        let mut line = input("one two  three ");
        line.delete_word();
        assert_eq!(line.text(), "one two  ");
        line.delete_word();
        assert_eq!(line.text(), "one ");
        line.home();
        line.word_right();
        line.insert("+");
        assert_eq!(line.text(), "one+ ");
        line.word_left();
        line.delete_after();
        assert!(line.is_empty());
        let mut spaced = input("zoë\u{3000}x");
        spaced.word_left();
        spaced.delete_before();
        assert_eq!(spaced.text(), "x");
    }

    #[test]
    fn a_long_line_takes_several_rows() {
        let (rows, cursor) = input("abcdef").rows(4);
        assert_eq!((rows, cursor), (vec!["abcd".to_owned(), "ef".to_owned()], (1, 2)));
        assert_eq!(input("abcd").rows(4), (vec!["abcd".to_owned(), String::new()], (1, 0)));
        assert_eq!(input("a漢漢").rows(4), (vec!["a漢".to_owned(), "漢".to_owned()], (1, 2)));
        let mut lines = input("a\nb");
        assert_eq!(lines.rows(9), (vec!["a".to_owned(), "b".to_owned()], (1, 1)));
        lines.home();
        assert_eq!(lines.rows(9).1, (0, 0));
        assert_eq!(Input::default().rows(9), (vec![String::new()], (0, 0)));
    }

    #[test]
    fn lines_written_before_come_back() {
        let (mut history, mut line) = (History::default(), input("draft"));
        history.earlier(&mut line);
        assert_eq!(line.text(), "draft");
        history.push("one");
        history.push("two");
        history.push("two");
        history.earlier(&mut line);
        history.earlier(&mut line);
        history.earlier(&mut line);
        assert_eq!(line.text(), "one");
        history.later(&mut line);
        assert_eq!(line.text(), "two");
        history.later(&mut line);
        history.later(&mut line);
        assert_eq!(line.text(), "draft");
    }
}
