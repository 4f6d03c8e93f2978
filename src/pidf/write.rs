//! Documents as we write them: one definition a line, subtrees indented, quotes where they are needed.

use super::doc::Name;
use super::read::is_illegal;

/// Makes a document. What can't stand in one is written as well as can be: control characters of the
/// upper half are left out, others are U+FFFD, and every end of a line is CRLF.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A definition without a subtree.
    pub fn define(&mut self, name: Name<'_>, value: &str) {
        self.begin(name, value);
        self.text.push_str("\r\n");
    }

    /// A definition whose subtree follows, up to [`close`](Writer::close).
    pub fn open(&mut self, name: Name<'_>, value: &str) {
        self.begin(name, value);
        self.text.push_str(" {\r\n");
        self.depth += 1;
    }

    /// The end of the subtree that was opened last; nothing if none is open.
    pub fn close(&mut self) {
        if self.depth > 0 {
            self.depth -= 1;
            self.indent();
            self.text.push_str("}\r\n");
        }
    }

    /// The whole text; subtrees that are open yet are closed.
    pub fn finish(mut self) -> String {
        while self.depth > 0 {
            self.close();
        }
        self.text
    }

    fn indent(&mut self) {
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn begin(&mut self, name: Name<'_>, value: &str) {
        self.indent();
        self.text.push_str(name.as_str());
        self.text.push_str(" = ");
        if !value.is_empty() && value.chars().all(needs_no_quotes) {
            self.text.push_str(value);
        } else {
            self.text.push('"');
            quote(&mut self.text, value);
            self.text.push('"');
        }
    }
}

fn needs_no_quotes(c: char) -> bool {
    !matches!(c, '\0'..=' ' | '"' | '\\' | '{' | '}' | '\x7f'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
}

fn quote(out: &mut String, value: &str) {
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\r' | '\n' => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                out.push_str("\r\n");
            }
            '\u{80}'..='\u{9f}' => {}
            _ if is_illegal(c) => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(c),
        }
    }
}
