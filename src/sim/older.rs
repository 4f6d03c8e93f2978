//! Servers of an older release, which know none of the words that hearth has added to its protocols.
//!
//! The process is the same, but what it and other servers say to each other is rewritten on its way, letter for
//! letter: each word of ours becomes one that means nothing to anybody.

use memchr::memmem;

use super::host::Host;
use super::net::End;

/// Our words as they stand on the wire, where their first letter is, and what becomes of it.
const WORDS: [(&[u8], usize, u8); 6] = [
    (b"\nHearth-", 1, b'Y'),
    (b"\nUnreliable:", 1, b'Y'),
    (b"<entry key=\"unreliable\"", 12, b'y'),
    (b"<entry key=\"item\"", 12, b'y'),
    (b"<entry key=\"sent\"", 12, b'y'),
    (b"<entry key=\"algorithms\"", 12, b'y'),
];

/// Is this a connection between servers of which one is older?
pub fn is_between(hosts: &[Host], one: End, other: End) -> bool {
    let older = |end| match end {
        End::Node { host, .. } => Some(hosts[host].older),
        End::Client(_) | End::Gone => None,
    };
    matches!((older(one), older(other)), (Some(a), Some(b)) if a || b)
}

/// The first octets of what a server writes, about `count` of them so that no word of ours is cut, in the words of
/// an older one, and how many there are.
pub fn without_our_words(unsent: &[u8], count: usize) -> (Vec<u8>, usize) {
    let mut data = unsent.to_vec();
    let mut count = count;
    for (word, first, letter) in WORDS {
        for at in memmem::find_iter(unsent, word) {
            data[at + first] = letter;
            if at < count && count < at + word.len() {
                count = at + word.len();
            }
        }
    }
    data.truncate(count);
    (data, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_ours_is_left_nor_cut() {
        let text = b"ok 1\r\nUnreliable: b.test\r\nHearth-Item: 1\r\n\r\n<entry key=\"item\">";
        for count in 1..=text.len() {
            let (data, taken) = without_our_words(text, count);
            assert!(taken >= count && data.len() == taken);
            let (rest, all) = without_our_words(&text[taken..], text.len() - taken);
            assert_eq!(all, text.len() - taken);
            let whole = String::from_utf8([data, rest].concat()).unwrap();
            let want = "ok 1\r\nYnreliable: b.test\r\nYearth-Item: 1\r\n\r\n<entry key=\"ytem\">";
            assert_eq!(whole, want);
        }
    }
}
