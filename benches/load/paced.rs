//! Latency at fixed rates: SIMP and IMTP beside the bare relay, in turn.

use std::time::Duration;

use crate::Bench;
use crate::rig::engine::{Load, Wire};
use crate::rig::house::Service;
use crate::rig::lines;
use crate::rig::paced::{Paced, Spread, micros};
use crate::rig::pairs::{BODY, connect, users};
use crate::rig::report::{Report, median};
use crate::rig::{Failure, proc};

/// The rate at which hearth has to be as quick as twice the relay.
const TARGET_RATE: u64 = 5000;

/// The relay, and hearth's two protocols.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn beside_relay(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let services = [Service::Simp, Service::Imtp];
    let mut loads = Vec::new();
    for service in services {
        // A server for each, so that nobody has other business there.
        let house = bench.house(&format!("{}.paced.test", service.name()), [127, 0, 0, 1])?;
        house.populate(users(bench.pairs), true)?;
        let server = house.serve(None)?;
        loads.push((server, connect(bench.pairs, (&house, service), (&house, service))?));
    }
    let (_relay, mut plain) = lines::start(bench.pairs, BODY, 0)?;
    for rate in bench.rates.iter().copied() {
        let mut relay = Vec::new();
        let mut own = services.map(|_| Vec::new());
        for _ in 0..bench.turns {
            relay.push(take(bench, "relay", &mut plain, rate)?);
            for ((service, (_, load)), own) in services.iter().zip(&mut loads).zip(&mut own) {
                own.push(take(bench, service.name(), load, rate)?);
            }
        }
        report.figure(&format!("bare relay, {rate} messages per second"), told(&relay));
        for (service, own) in services.iter().zip(&own) {
            let what = format!("messages over {}, {rate} per second", service.name().to_uppercase());
            let ratios: Vec<f64> =
                own.iter().zip(&relay).map(|(a, b)| micros(a.latency.p99) / micros(b.latency.p99)).collect();
            let ratio = median(&ratios);
            let measured = format!("{}; p99 {ratio:.2} times the relay's", told(own));
            if rate == TARGET_RATE {
                let held = own.iter().filter(|paced| paced.held).count() * 2 > own.len();
                report.against(&what, measured, "p99 twice the relay's", held && ratio <= 2.0);
            } else {
                report.figure(&what, measured);
            }
        }
    }
    Ok(())
}

fn take<W: Wire>(bench: &Bench, who: &str, load: &mut Load<W>, rate: u64) -> Result<Paced, Failure> {
    let paced = load.pace(rate, Duration::try_from_secs_f64(bench.seconds)?)?;
    proc::note(&format!("{who} at {rate} per second: {paced}"));
    Ok(paced)
}

/// The medians of the turns, or, if most were too much, in how many.
fn told(turns: &[Paced]) -> String {
    let missed: Vec<f64> = turns.iter().filter(|paced| !paced.held).map(|paced| paced.completed).collect();
    if missed.len() * 2 > turns.len() {
        let (count, all, rate) = (missed.len(), turns.len(), median(&missed));
        return format!("not held in {count} of {all} turns: {rate:.0} per second");
    }
    let of = |part: fn(&Spread) -> Duration| {
        median(&turns.iter().map(|paced| micros(part(&paced.latency))).collect::<Vec<_>>())
    };
    let [p50, p99, p999, max] = [of(|s| s.p50), of(|s| s.p99), of(|s| s.p999), of(|s| s.max)];
    let late = median(&turns.iter().map(|paced| micros(paced.lateness.p99)).collect::<Vec<_>>());
    format!("p50 {p50:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0} µs (sent late by p99 {late:.0} µs)")
}
