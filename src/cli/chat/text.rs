//! Text on a terminal, as wide as there is room.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

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
