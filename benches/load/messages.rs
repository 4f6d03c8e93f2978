//! Messages: one server beside the relay, two federating servers, what they ask of the system, and
//! whether a slow disk is felt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hearth::client::blocking::{Client, Place};
use hearth::client::{Account, Proof};
use hearth::credential::Secret;

use crate::Bench;
use crate::rig::Failure;
use crate::rig::house::{House, SECRET, Service};
use crate::rig::lines;
use crate::rig::pairs::{BODY, Pairs, connect, cost, users};
use crate::rig::proc::Process;
use crate::rig::report::{Report, median, per_mille};
use crate::rig::shim;

/// What SIMP puts around a body, octets.
const ENVELOPE: usize = 240;
/// And a reply's octets beyond its number.
const REPLY: usize = 120;

/// Messages as multiples of B.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn against_relay(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("one.test", [127, 0, 0, 1])?;
    house.populate(users(bench.pairs), true)?;
    let server = house.serve(None)?;
    let simp = (&house, Service::Simp);
    let mut messages = connect(bench.pairs, simp, simp)?;
    let (relay, mut plain) = lines::start(bench.pairs, BODY, 0)?;
    // As many octets as SIMP takes to say the same.
    let (wide_relay, mut wide) = lines::start(bench.pairs, BODY + ENVELOPE, REPLY)?;
    let federation = Federation::start(bench)?;
    let mut federated =
        connect(bench.pairs, (&federation.here, Service::Simp), (&federation.there, Service::Simp))?;
    let both = [&federation.processes[0], &federation.processes[1]];
    for window in bench.windows.iter().copied() {
        let times = if window == 1 { 2.5 } else { 1.1 };
        let operations = bench.operations * if window == 1 { 1 } else { 4 };
        let (mut b, mut w, mut own, mut far) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            b.push(cost(&[&relay], &mut plain, operations, window)?);
            w.push(cost(&[&wide_relay], &mut wide, operations, window)?);
            own.push(cost(&[&server], &mut messages, operations, window)?);
            far.push(cost(&both, &mut federated, operations / 2, window)?);
        }
        let (b, w, own, far) = (median(&b), median(&w), median(&own), median(&far));
        report.figure(&format!("bare relay, {window} in flight per pair"), format!("{b:.2} µs (B)"));
        report.figure(
            &format!("the same with lines as long as SIMP's, {window} in flight"),
            format!("{w:.2} µs = {:.2} B", w / b),
        );
        report.against(
            &format!("message, {window} in flight per pair"),
            format!("{own:.2} µs = {:.2} B", own / b),
            &format!("{times} B"),
            own <= times * b,
        );
        report.against(
            &format!("message between two servers, {window} in flight, both added"),
            format!("{far:.2} µs = {:.2} times one server", far / own),
            "3 times one server",
            far <= 3.0 * own,
        );
    }
    Ok(())
}

/// Messages over IMTP as multiples of B, and across the families beside those within them.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn of_both_families(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let (simp, imtp) = (Service::Simp, Service::Imtp);
    let ways = [(imtp, imtp), (simp, simp), (simp, imtp), (imtp, simp)];
    let mut kept = Vec::new();
    for (from, to) in ways {
        // A server for each, so that nobody has other business there.
        let domain = format!("{}-{}.test", from.name(), to.name());
        let house = bench.house(&domain, [127, 0, 0, 1])?;
        house.populate(users(bench.pairs), true)?;
        let server = house.serve(None)?;
        kept.push((server, connect(bench.pairs, (&house, from), (&house, to))?));
    }
    let (relay, mut plain) = lines::start(bench.pairs, BODY, 0)?;
    for window in bench.windows.iter().copied() {
        let times = if window == 1 { 2.2 } else { 0.9 };
        let operations = bench.operations * if window == 1 { 1 } else { 4 };
        let (mut b, mut beside) = (Vec::new(), Vec::new());
        let mut costs = ways.map(|_| Vec::new());
        for _ in 0..bench.rounds {
            b.push(cost(&[&relay], &mut plain, bench.operations, 1)?);
            beside.push(cost(&[&relay], &mut plain, operations, window)?);
            for ((server, load), costs) in kept.iter_mut().zip(&mut costs) {
                costs.push(cost(&[server], load, operations, window)?);
            }
        }
        let (b, beside) = (median(&b), median(&beside));
        let [imtp, simp, into, out_of] = costs.map(|costs| median(&costs));
        report.figure("bare relay, 1 in flight per pair", format!("{b:.2} µs (B)"));
        report.against(
            &format!("message over IMTP, {window} in flight per pair"),
            format!("{imtp:.2} µs = {:.2} B; {:.1} times that relay", imtp / b, imtp / beside),
            &format!("{times} B"),
            imtp <= times * b,
        );
        report.figure(
            &format!("message over SIMP beside it, {window} in flight"),
            format!("{simp:.2} µs = {:.2} B", simp / b),
        );
        let dearer = imtp.max(simp);
        for (way, cost) in [("SIMP to IMTP", into), ("IMTP to SIMP", out_of)] {
            report.against(
                &format!("message from {way}, {window} in flight"),
                format!("{cost:.2} µs = {:.2} B", cost / b),
                &format!("the dearer family: {dearer:.2} µs"),
                cost <= dearer,
            );
        }
    }
    Ok(())
}

/// Two servers that are each other's peer.
struct Federation {
    here: House,
    there: House,
    processes: [Process; 2],
}

impl Federation {
    fn start(bench: &Bench) -> Result<Federation, Failure> {
        let (a, b) = (bench.address([127, 0, 0, 2])?, bench.address([127, 0, 0, 3])?);
        let here = House::build(bench.dir(), "a.test", a, &[("b.test", b)], false)?;
        let there = House::build(bench.dir(), "b.test", b, &[("a.test", a)], false)?;
        here.populate(users(bench.pairs), true)?;
        there.populate(users(bench.pairs), true)?;
        let processes = [here.serve(None)?, there.serve(None)?];
        Ok(Federation { here, there, processes })
    }
}

/// Allocations and system calls for each message.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn counted(bench: &Bench, report: &mut Report, service: Service) -> Result<(), Failure> {
    let house = bench.house(&format!("{}.counted.test", service.name()), [127, 0, 0, 1])?;
    house.populate(users(bench.pairs), true)?;
    let counter = bench.shim()?;
    let _server = house.serve(Some(counter))?;
    let mut messages = connect(bench.pairs, (&house, service), (&house, service))?;
    for window in bench.windows.iter().copied() {
        let operations = bench.operations / 4;
        messages.run(operations, window, None)?;
        let before = counter.counts()?;
        messages.run(operations, window, None)?;
        report.figure(
            &format!("calls for a message over {}, {window} in flight", service.name().to_uppercase()),
            shim::each(counter.counts()?.since(before), operations),
        );
    }
    Ok(())
}

/// Delivery while the store is busy, with a disk as it is and with one that takes 50 ms for every sync.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn slow_disk(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("slow.test", [127, 0, 0, 1])?;
    let editors = 4;
    let names = (0..editors).map(|i| format!("editor{i}"));
    house.populate(users(bench.pairs).chain(names.clone()), true)?;
    let shim = bench.shim()?;
    let _server = house.serve(Some(shim))?;
    let simp = (&house, Service::Simp);
    let mut messages = connect(10.min(bench.pairs), simp, simp)?;
    let stop = AtomicBool::new(false);
    let mut result = Ok([Duration::ZERO; 2]);
    std::thread::scope(|scope| {
        for name in names {
            let (house, stop) = (&house, &stop);
            scope.spawn(move || edit(house, &name, stop));
        }
        result = measure_delays(bench, shim, &mut messages);
        stop.store(true, Ordering::Relaxed);
    });
    shim.delay_syncs(0)?;
    let [fast, slow] = result?;
    report.figure("p99 of a delivery beside profile changes", format!("{} µs", fast.as_micros()));
    report.against(
        "the same with every fsync delayed by 50 ms",
        format!("{} µs", slow.as_micros()),
        "the same p99 (to a fifth and 100 µs)",
        slow <= fast.mul_f64(1.2) + Duration::from_micros(100),
    );
    Ok(())
}

fn measure_delays(
    bench: &Bench,
    shim: &crate::rig::shim::Shim,
    messages: &mut Pairs,
) -> Result<[Duration; 2], Failure> {
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..bench.rounds {
        for (delay, p99s) in [0, 50].into_iter().zip(&mut rounds) {
            shim.delay_syncs(delay)?;
            messages.run(2000, 1, None)?;
            let syncs = shim.counts()?.syncs;
            let mut times = Vec::new();
            messages.run(bench.operations / 4, 1, Some(&mut times))?;
            if shim.counts()?.syncs == syncs {
                return Err(Failure("no fsync happened meanwhile: nothing was measured".into()));
            }
            p99s.push(per_mille(&mut times, 990).as_nanos() as f64);
        }
    }
    Ok(rounds.map(|p99s| Duration::from_nanos(median(&p99s) as u64)))
}

/// Changes a profile some fifty times a second, waiting for each change to be kept.
fn edit(house: &House, name: &str, stop: &AtomicBool) -> Option<()> {
    let proof = Proof::DeviceKey(Secret::new(SECRET.to_owned()));
    let account = Account::new(&house.user(name), proof).ok()?;
    let place = Place::clear(&house.address.ip().to_string(), house.address.port());
    let mut client = Client::login(&place, account).ok()?;
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let next = Instant::now() + Duration::from_millis(20);
        count += 1;
        client.set_profile(&[("message".into(), format!("change {count}"))]).ok()?;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    client.close().ok()
}
