//! What the store costs with many accounts: opening, look-ups, commits.
//!
//! `cargo bench --bench store [ACCOUNTS]`, by default a million. The files lie in the system's temporary
//! directory (`TMPDIR`); commits measure its disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use hearth::clock::Date;
use hearth::credential::{Cost, PasswordRecord, Secret};
use hearth::hub::address::{Address, Domains};
use hearth::store::record::{Change, Read, Reading, Write};
use hearth::store::{DATABASE_FILE, KeyFile, Mode, Reader, Store};

const LOOKUPS: u64 = 20_000;
/// Accounts written in one transaction.
const CHUNK: u64 = 10_000;

fn user(number: u64) -> String {
    format!("user{number}@example.org")
}

/// Every account with a device key, all with one password record: making a million would take hours.
fn fill(store: &mut Store, accounts: u64) {
    let password = PasswordRecord::with_cost("benchmark", [7; 32], Cost::LEAST).unwrap();
    let secret = Secret::new("benchmark-device-key".into());
    for first in (0..accounts).step_by(CHUNK as usize) {
        let writes: Vec<Write> = (first..accounts.min(first + CHUNK))
            .flat_map(|n| {
                let (address, date) = (user(n), Date(0));
                let (password, secret) = (password.clone(), secret.clone());
                [
                    Change::AddAccount { address: address.clone(), password, date },
                    Change::AddKey { address, label: "phone".into(), secret, date },
                ]
            })
            .map(Write::Admin)
            .collect();
        store.commit(&writes).unwrap();
    }
}

/// Nanoseconds that this thread has had of a processor: tells more than the clock on a busy machine.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(f64::NAN)
}

/// Prints the time of one operation; `operation` is told which account, spread over all of them.
fn each(what: &str, times: u64, accounts: u64, mut operation: impl FnMut(u64)) {
    let (begun, begun_at) = (Instant::now(), processor_time());
    for turn in 0..times {
        // A step that has no divisor in common with the number of accounts but by rare accident.
        operation(turn.wrapping_mul(2_654_435_761) % accounts);
    }
    let (time, used) = (begun.elapsed().as_secs_f64() * 1e6, (processor_time() - begun_at) / 1e3);
    println!("{what:<32} {:>10.1} us, processor {:>8.1} us", time / times as f64, used / times as f64);
}

fn main() {
    let accounts: u64 = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let key = KeyFile::from_bytes([7; 32]);
    let begun = Instant::now();
    fill(&mut Store::open(&path, &key, Mode::Create).unwrap(), accounts);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{accounts} accounts with a device key each: {seconds:.1} s, {} MiB",
        std::fs::metadata(&path).unwrap().len() >> 20
    );

    each("open, to change", 20, accounts, |_| drop(Store::open(&path, &key, Mode::Open).unwrap()));
    each("open, to read", 20, accounts, |_| drop(Reader::open(&path, &key).unwrap()));

    let reader = Reader::open(&path, &key).unwrap();
    let address = |n: u64| Address::parse(&user(n), &Domains::default()).unwrap();
    each("read who was last told online", 200, accounts, |_| {
        assert!(matches!(reader.read(&Read::ToldOnline), Reading::Addresses(told) if told.is_empty()));
    });
    each("read an account", LOOKUPS, accounts, |n| {
        assert!(matches!(reader.read(&Read::Account(address(n))), Reading::Account(Some(_))));
    });
    each("read credentials", LOOKUPS, accounts, |n| {
        assert!(matches!(reader.read(&Read::Credentials(address(n))), Reading::Credentials(Some(_))));
    });
    each("read credentials of nobody", LOOKUPS, accounts, |n| {
        let nobody = address(accounts + n);
        assert!(matches!(reader.read(&Read::Credentials(nobody)), Reading::Credentials(None)));
    });

    let mut store = Store::open(&path, &key, Mode::Open).unwrap();
    let Reading::Account(Some(first)) = reader.read(&Read::Account(address(0))) else { return };
    let told = |n: u64| Write::SetToldOnline { account: first.id, since: Some(Date(n as i64)) };
    each("commit one write", 200, accounts, |n| drop(store.commit(&[told(n)]).unwrap()));
    let thousand: Vec<Write> = (0..1000).map(told).collect();
    each("commit a thousand writes", 50, accounts, |_| drop(store.commit(&thousand).unwrap()));
}
