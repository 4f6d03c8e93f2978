//! Text of others, made harmless for a terminal: for every command, [`chat`](super::chat) or not.

/// What others say, without what would move the cursor, turn the direction of the text or hide something in it:
/// control characters are shown as pictures of themselves, invisible ones left out. Lines stay apart.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            '\0'..'\u{20}' => shown.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\u{7f}' => shown.push('\u{2421}'),
            '\u{80}'..='\u{9f}' => shown.push(char::REPLACEMENT_CHARACTER),
            // Soft hyphen, marks and overrides of direction, invisible signs, tags.
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => {}
            _ => shown.push(c),
        }
    }
    shown
}

/// The same on one line: also where a text from anywhere, a peer maybe, becomes part of what a command says.
pub fn one_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_send_does_nothing_to_the_terminal() {
        // G5
        assert_eq!(harmless("a\u{1b}[2Jb\u{7}\0\u{7f}\u{9b}c"), "a␛[2Jb␇␀␡\u{fffd}c");
        assert_eq!(harmless("a\r\nb\rc\u{2028}d\te"), "a\nb\nc\nd    e");
        assert_eq!(harmless("\u{202e}evil\u{202c}\u{2066}x\u{200b}\u{feff}\u{e0041}"), "evilx");
        assert_eq!(harmless("zoë 漢字 👩\u{200d}🚀 e\u{301}"), "zoë 漢字 👩\u{200d}🚀 e\u{301}");
        assert_eq!(one_line(" a\n\tb\u{1b} "), "a b␛");
    }
}
