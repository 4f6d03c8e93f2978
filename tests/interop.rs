//! The real program over real sockets, met by clients in another language: the scripts of `tests/interop`, stock
//! clients of SIMP 1.0, IMTP and PITP and their checks, which are written from the protocols' clauses and know
//! nothing of this server's code. Each script can be run by hand as well; they need nothing but python3,
//! dnsmasq for the two domains, and openssl for certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// The program under test.
const HEARTH: &str = env!("CARGO_BIN_EXE_hearth");

/// Runs a script and shows what it printed; it must succeed.
fn script(name: &str, arguments: &[&str]) {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIP {name}: python3 is not installed (apt-get install python3)");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let output = Command::new("python3")
        .arg("-B")
        .arg(folder.join(name))
        .args(arguments)
        .output()
        .expect("python3 runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    assert!(
        output.status.success(),
        "{name} failed:\n{}\n{}",
        printed.lines().filter(|line| !line.starts_with("ok ")).collect::<Vec<_>>().join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The client itself, without a server.
#[test]
fn the_stock_client_is_sound() {
    script("test_simp_client.py", &[]);
}

/// The clients of the new family, and their stub of a peer, without a server.
#[test]
fn the_transfer_clients_are_sound() {
    script("test_imtp_client.py", &[]);
}

/// Every clause that a client can see: login, messages, presence, profile, access lists, streams, peers.
#[test]
fn a_stock_client_sees_what_the_protocol_promises() {
    script("conformance.py", &[HEARTH]);
}

/// What a stock client and the server say to each other, as Wireshark shows it.
#[test]
fn wireshark_reads_what_is_said() {
    script("dissector.py", &[HEARTH]);
}

/// The same of IMTP, in clear and on TLS, with users and with servers of other domains.
#[test]
fn an_imtp_client_and_a_peer_see_what_the_protocol_promises() {
    script("conformance_imtp.py", &[HEARTH]);
}

/// The same of PITP, and one account over both families.
#[test]
fn a_pitp_client_and_a_peer_see_what_the_protocol_promises() {
    script("conformance_pitp.py", &[HEARTH]);
}

/// Two servers, two domains, a real name server, TLS with certificates of one authority, and a stub that lies.
#[test]
fn two_domains_meet_over_imtp_and_pitp() {
    script("two_domains_imtp.py", &[HEARTH]);
}

/// Two servers, two domains, a real name server.
#[test]
fn two_domains_meet_by_dns() {
    script("two_domains.py", &[HEARTH]);
}

/// `kill -9` under load, as a stock client sees it; how often is said by `HEARTH_CRASH_ROUNDS`. `tests/kill.rs`
/// does more of it.
#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = std::env::var("HEARTH_CRASH_ROUNDS").unwrap_or_else(|_| "25".to_owned());
    script("crash.py", &[HEARTH, "--rounds", &rounds]);
}
