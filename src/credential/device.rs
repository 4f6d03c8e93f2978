//! Device keys: random secrets made by the server, one for each device of a user.

use zeroize::Zeroizing;

use super::Secret;

/// Letters and digits that can't be taken for one another: no `l`, `1`, `o`, `0`. 32 of them.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 28 letters of 5 bits: 140 bits, more than the 128 that OC-14 asks for.
const GROUPS: usize = 7;
const GROUP: usize = 4;

/// A device key: seven groups of four lower-case letters and digits, joined by hyphens, which are part
/// of it. `random` is used up (140 of its 144 bits).
pub fn device_key(random: [u8; 18]) -> Secret {
    let random = Zeroizing::new(random);
    // Of its full length from the start: growing would leave a copy behind.
    let mut key = String::with_capacity(GROUPS * (GROUP + 1));
    for at in 0..GROUPS * GROUP {
        if at > 0 && at % GROUP == 0 {
            key.push('-');
        }
        let five = (0..5).fold(0, |bits, i| {
            let bit = at * 5 + i;
            bits << 1 | usize::from(random[bit / 8] >> (7 - bit % 8) & 1)
        });
        key.push(char::from(LETTERS[five]));
    }
    Secret::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_easily_typed() {
        // OC-14
        assert_eq!(device_key([0; 18]).expose(), "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaa");
        assert_eq!(device_key([255; 18]).expose(), "9999-9999-9999-9999-9999-9999-9999");
    }

    proptest! {
        #[test]
        fn every_bit_counts(random: [u8; 18], bit in 0usize..140) {
            let mut other = random;
            other[bit / 8] ^= 0x80 >> (bit % 8);
            let (a, b) = (device_key(random), device_key(other));
            prop_assert_ne!(&a, &b);
            prop_assert_eq!(a.expose().len(), 34);
            prop_assert!(a.expose().bytes().all(|c| c == b'-' || LETTERS.contains(&c)));
        }
    }
}
