//! Text of others on a terminal: harmless, and as wide as there is room.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

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

/// The same on one line.
pub fn harmless_line(text: &str) -> String {
    harmless(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of a text as fits, with `…` where some is missing.
pub fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else { return String::new() };
    let (mut kept, mut used) = (String::new(), 0);
    for part in text.graphemes(true) {
        used += width(part);
        if used > room {
            break;
        }
        kept.push_str(part);
    }
    kept.push('…');
    kept
}

/// A text in lines of at most so many columns, broken between words where that can be.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut used) = (String::new(), 0);
        for word in paragraph.split_inclusive(' ') {
            let bare = width(word.trim_end_matches(' '));
            if used > 0 && used + bare > room {
                lines.push(trimmed(std::mem::take(&mut line)));
                used = 0;
            }
            for part in word.graphemes(true) {
                let columns = width(part);
                if used + columns > room {
                    // Blanks at the end of a line are not seen.
                    if part == " " {
                        continue;
                    }
                    lines.push(trimmed(std::mem::take(&mut line)));
                    used = 0;
                }
                line.push_str(part);
                used += columns;
            }
        }
        lines.push(trimmed(line));
    }
    lines
}

fn trimmed(mut line: String) -> String {
    line.truncate(line.trim_end_matches(' ').len());
    line
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
        assert_eq!(harmless_line(" a\n\tb\u{1b} "), "a b␛");
    }

    #[test]
    fn lines_are_as_wide_as_there_is_room() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(wrap("  in", 9), ["  in"]);
        assert_eq!(wrap("", 9), [""]);
        for room in 1..20 {
            for text in ["the quick 漢字 brown👩\u{200d}🚀 fox", "   ", "a    b    c", "漢"] {
                assert!(wrap(text, room).iter().all(|line| width(line) <= room.max(2)), "{text} in {room}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_seen_to_be_cut() {
        assert_eq!(fit("alice", 5), "alice");
        assert_eq!(fit("alice", 4), "ali…");
        assert_eq!(fit("漢字", 3), "漢…");
        assert_eq!(fit("漢字", 2), "…");
        assert_eq!(fit("ab", 0), "");
    }
}
