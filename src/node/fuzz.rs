//! Entry point for fuzzing a whole server: a script of what happens around a node, kept within the contract of
//! its driver, with everything that must always hold looked at after each step.
//!
//! The steps are those of [`script`]; the letter is what happens:
//!
//! | letter | what | with |
//! | --- | --- | --- |
//! | `o` | somebody connects, and is spoken for from now on | listener, address, and on TLS protocol and certificate |
//! | `l` | a user logs in by a client of ours | kind of client, user |
//! | `b`, `p` | octets, in one piece or in small ones; an octet 0xFE stands for a new number | the octets |
//! | `*` | the last octets again | how often |
//! | `a` | the last request on a connection is answered | with what |
//! | `h`, `x` | the peer ends his stream, or is gone | |
//! | `c` | another connection is spoken for | which |
//! | `w` | its peer reads no more, or again | |
//! | `t` | time passes | how much |
//! | `m` | which answers of helpers are late from now on | a bit for each kind |
//! | `j`, `k`, `d` | a late job, commit or dial is done | which, and how |
//! | `n` | what DNS says of everybody | which of some answers |
//! | `r` | a request on the control socket | JSON |
//! | `g` | a new configuration | which |
//! | `f` | there is no room: all but users have to go | how many |
//! | `u` | the end | |

mod stage;

use crate::fuzz::script;
use stage::Stage;

/// Runs the script, then ends everything: nothing may be left of it.
pub fn node(data: &[u8]) {
    let Some(mut stage) = Stage::new() else { return };
    for (op, with) in script(data).take(200) {
        stage.step(op, with);
        stage.check();
    }
    stage.wind_down();
}

/// What has happened before a connection is given raw octets.
type Prelude = &'static [(u8, &'static [u8])];

const ALICE_BY_SIMP: (u8, &[u8]) = (b'l', &[1, 0]);
const ALICE_BY_IMTP: (u8, &[u8]) = (b'l', &[2, 0]);
const ALICE_BY_PITP: (u8, &[u8]) = (b'l', &[3, 0]);
const BOB_BY_SIMP: (u8, &[u8]) = (b'l', &[1, 1]);
const BOB_BY_IMTP: (u8, &[u8]) = (b'l', &[2, 1]);
const BOB_BY_PITP: (u8, &[u8]) = (b'l', &[3, 1]);
/// A server of another domain, with its certificate: by SIMP, IMTP and PITP.
const C_BY_SIMP: (u8, &[u8]) = (b'o', &[2, 1, 0, 1]);
const C_BY_IMTP: (u8, &[u8]) = (b'o', &[2, 1, 1, 1]);
const C_BY_PITP: (u8, &[u8]) = (b'o', &[2, 1, 2, 1]);
const MESSAGE: (u8, &[u8]) = (
    b'b',
    b"<properties><entry key='request'>1009</entry><entry key='action'>send</entry>\
    <entry key='from'>alice@a.test</entry><entry key='to'>carol@c.test</entry>\
    <entry key='type'>text/plain</entry><entry key='body'>hello</entry></properties>",
);
const SUBSCRIPTION: (u8, &[u8]) = (
    b'b',
    b"<properties><entry key='request'>1008</entry><entry key='action'>subscribe</entry>\
    <entry key='from'>alice@a.test</entry><entry key='to'>carol@c.test</entry>\
    <entry key='duration'>-1</entry></properties>",
);

/// One connection on which SIMP is spoken, by what it is: a stranger's, one that may only become a notification
/// connection, a user's, another server's.
pub fn simp(data: &[u8]) {
    let preludes: [Prelude; 4] = [
        &[BOB_BY_SIMP, (b'o', &[0])],
        &[(b'o', &[1])],
        &[BOB_BY_IMTP, ALICE_BY_SIMP],
        &[BOB_BY_SIMP, C_BY_SIMP],
    ];
    raw(data, &preludes);
}

/// The same with IMTP.
pub fn imtp(data: &[u8]) {
    let preludes: [Prelude; 4] = [
        &[(b'o', &[3])],
        &[BOB_BY_IMTP, ALICE_BY_IMTP],
        &[BOB_BY_SIMP, ALICE_BY_IMTP],
        &[BOB_BY_IMTP, C_BY_IMTP],
    ];
    raw(data, &preludes);
}

/// The same with PITP.
pub fn pitp(data: &[u8]) {
    let preludes: [Prelude; 4] = [
        &[(b'o', &[4])],
        &[BOB_BY_PITP, ALICE_BY_PITP],
        &[BOB_BY_SIMP, BOB_BY_IMTP, ALICE_BY_PITP],
        &[BOB_BY_PITP, C_BY_PITP],
    ];
    raw(data, &preludes);
}

/// The other end of our own connections: to servers that speak SIMP, IMTP and PITP, by what DNS says.
pub fn link(data: &[u8]) {
    let preludes: [Prelude; 4] = [
        &[(b'n', &[9]), ALICE_BY_SIMP, MESSAGE],
        &[(b'n', &[12]), ALICE_BY_SIMP, MESSAGE],
        &[(b'n', &[12]), ALICE_BY_SIMP, SUBSCRIPTION],
        &[(b'n', &[15]), ALICE_BY_SIMP, SUBSCRIPTION, MESSAGE],
    ];
    raw(data, &preludes);
}

/// After one of the preludes, by the first octet, what is said on the last connection, by the second in pieces. A
/// [`STEP`](crate::fuzz::STEP) lets half a minute pass.
fn raw(data: &[u8], preludes: &[Prelude; 4]) {
    let (Some(mut stage), Some((head, said))) = (Stage::new(), data.split_first_chunk::<2>()) else { return };
    let [which, size] = *head;
    for (op, with) in preludes.get(usize::from(which) % preludes.len()).copied().unwrap_or_default() {
        stage.step(*op, with);
        stage.check();
    }
    let how = if size & 1 == 0 { b'b' } else { b'p' };
    for (at, said) in said.split(|octet| *octet == crate::fuzz::STEP).take(20).enumerate() {
        if at > 0 {
            stage.step(b't', &[6]);
        }
        stage.step(how, said);
        stage.check();
    }
    stage.wind_down();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::stage::Stage;

    #[test]
    fn users_of_a_script_get_in_and_nobody_else() {
        // The fuzzer would learn little from scripts whose users stay outside.
        let mut stage = Stage::new().unwrap();
        for kind in 0..5 {
            stage.step(b'l', &[kind, kind % 2]);
            stage.check();
            assert_eq!(stage.online(), usize::from(kind) + 1, "kind {kind}");
            stage.step(b'l', &[kind, 4]);
            assert_eq!(stage.online(), usize::from(kind) + 1, "wrong, kind {kind}");
        }
        stage.wind_down();
    }
}
