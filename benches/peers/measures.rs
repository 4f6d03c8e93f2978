//! The measures: each server in turn within each round.

use std::net::TcpStream;
use std::time::Duration;

use crate::Bench;
use crate::peer::{Idle, Logins, Messages, Peer, Watchers};
use crate::results::Results;
use crate::rig::Failure;
use crate::rig::engine::Load;
use crate::rig::group::Group;
use crate::rig::logins::at_once;
use crate::rig::paced::micros;
use crate::rig::pairs::Pairs;
use crate::rig::proc::note;
use crate::rig::report::micros_each;

/// Changes of presence in one round.
const CHANGES: u64 = 20;
/// Silence after which a crowd is at rest.
const QUIET: Duration = Duration::from_millis(300);
/// Users who log in before memory is first looked at: what is made once is not counted.
const FIRST: usize = 20;

/// Servers, and those who load them.
struct Running<T> {
    peer: &'static str,
    what: T,
}

/// Starts what each peer has for a measure.
fn start<T>(
    measure: &str,
    peers: &[Box<dyn Peer>],
    results: &mut Results,
    prepare: impl Fn(&dyn Peer) -> Result<Option<T>, Failure>,
) -> Vec<Running<T>> {
    let mut running = Vec::new();
    for peer in peers {
        match prepare(&**peer) {
            Ok(Some(what)) => running.push(Running { peer: peer.name(), what }),
            Ok(None) => {}
            Err(Failure(why)) => results.fail(measure, peer.name(), &why),
        }
    }
    running
}

/// Takes a measure of each in turn, as often as there are rounds; who fails is out.
fn in_turn<T>(
    bench: &Bench,
    (measure, unit): (&str, &'static str),
    running: &mut Vec<Running<T>>,
    results: &mut Results,
    mut take: impl FnMut(&mut T) -> Result<Option<f64>, Failure>,
) {
    for _ in 0..bench.rounds {
        running.retain_mut(|one| match take(&mut one.what) {
            Ok(figure) => {
                if let Some(figure) = figure {
                    results.add(measure, unit, one.peer, figure);
                }
                true
            }
            Err(Failure(why)) => {
                results.fail(measure, one.peer, &why);
                false
            }
        });
    }
}

fn cpu(servers: &[Group]) -> Result<Duration, Failure> {
    servers.iter().map(Group::cpu).sum()
}

/// Servers, the load of their pairs of users, and the most messages that may be under way in a pair.
type Loaded = (Vec<Group>, Pairs, u64);

fn prepare(bench: &Bench, peer: &dyn Peer, federated: bool) -> Result<Option<Loaded>, Failure> {
    let prepared = if federated { peer.federated(bench) } else { peer.messages(bench) }?;
    let Some(Messages { servers, wire, pairs, most }) = prepared else { return Ok(None) };
    Ok(Some((servers, Load::new(wire, pairs)?, most)))
}

/// Acknowledged messages, within one domain or between two.
pub fn messages(bench: &Bench, peers: &[Box<dyn Peer>], results: &mut Results, federated: bool) {
    let what = if federated { "message between two domains" } else { "message" };
    let mut running = start(what, peers, results, |peer| prepare(bench, peer, federated));
    for window in bench.windows.iter().copied() {
        let operations = bench.operations * if window == 1 { 1 } else { 2 };
        let measure = format!("{what}, {window} in flight");
        in_turn(bench, (&measure, "µs"), &mut running, results, |(servers, load, most)| {
            if window > *most {
                return Ok(None);
            }
            // Caches, buffers and collectors as they are in the middle of things.
            load.run(operations / 5, window, None)?;
            let before = cpu(servers)?;
            load.run(operations, window, None)?;
            Ok(Some(micros_each(cpu(servers)? - before, operations)))
        });
    }
}

/// Latency at fixed rates, and what a message costs at them.
pub fn paced(bench: &Bench, peers: &[Box<dyn Peer>], results: &mut Results) {
    let what = "message at a fixed rate";
    let mut running = start(what, peers, results, |peer| prepare(bench, peer, false));
    // An open loop can't promise how many are under way.
    running.retain(|one| one.what.2 == u64::MAX);
    for rate in bench.rates.iter().copied() {
        for _ in 0..bench.turns {
            running.retain_mut(|one| match pace(bench, rate, one, results) {
                Ok(()) => true,
                Err(Failure(why)) => {
                    results.fail(&format!("{what}, {rate} per second"), one.peer, &why);
                    false
                }
            });
        }
    }
}

fn pace(bench: &Bench, rate: u64, one: &mut Running<Loaded>, results: &mut Results) -> Result<(), Failure> {
    let (servers, load, _) = &mut one.what;
    let before = cpu(servers)?;
    let paced = load.pace(rate, Duration::try_from_secs_f64(bench.seconds)?)?;
    let cost = micros_each(cpu(servers)? - before, paced.operations);
    let mut add = |what: &str, unit, figure| {
        results.add(&format!("{rate} per second, {what}"), unit, one.peer, figure);
    };
    if !paced.held {
        add("not held: completed", "per second", paced.completed);
        return Ok(());
    }
    let latency = &paced.latency;
    for (part, time) in [
        ("p50", latency.p50),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
        ("generator late, p99", paced.lateness.p99),
    ] {
        add(part, "µs", micros(time));
    }
    add("CPU of a message", "µs", cost);
    Ok(())
}

/// A change of presence and all who are told.
pub fn watchers(bench: &Bench, peers: &[Box<dyn Peer>], results: &mut Results) {
    let measure = format!("one of {} notifications", bench.watchers);
    let mut running = start(&measure, peers, results, |peer| {
        let Some(Watchers { server, mut crowd }) = peer.watchers(bench)? else { return Ok(None) };
        crowd.hush(QUIET)?;
        for number in 0..CHANGES / 4 {
            crowd.change(number)?;
        }
        Ok(Some((server, crowd, CHANGES / 4)))
    });
    in_turn(bench, (&measure, "µs"), &mut running, results, |(server, crowd, number)| {
        crowd.hush(QUIET)?;
        let before = server.cpu()?;
        for _ in 0..CHANGES {
            crowd.change(*number)?;
            *number += 1;
        }
        // The last answers.
        crowd.hush(QUIET)?;
        Ok(Some(micros_each(server.cpu()? - before, CHANGES * crowd.watchers())))
    });
}

/// Logins over new connections, each ended again.
pub fn logins(bench: &Bench, peers: &[Box<dyn Peer>], results: &mut Results) {
    let measure = "login and logout";
    let count = (bench.operations / 20).max(32);
    let all = |log_in: &(dyn Fn(usize) -> Result<(), Failure> + Sync), count| {
        at_once(count, bench.accounts, |users| {
            for user in users {
                log_in(user)?;
            }
            Ok(())
        })
    };
    let mut running = start(measure, peers, results, |peer| {
        let Some(Logins { server, log_in }) = peer.logins(bench)? else { return Ok(None) };
        all(&*log_in, (count / 4).max(32))?;
        Ok(Some((server, log_in)))
    });
    in_turn(bench, (measure, "µs"), &mut running, results, |(server, log_in)| {
        std::thread::sleep(QUIET);
        let before = server.cpu()?;
        all(&**log_in, count)?;
        // Let it tidy up behind the last ones.
        std::thread::sleep(QUIET);
        Ok(Some(micros_each(server.cpu()? - before, count)))
    });
}

/// Memory of idle users. Only one server at a time can have so many, so each is started anew in each round.
pub fn idle(bench: &Bench, peers: &[Box<dyn Peer>], results: &mut Results) {
    let mut out = Vec::new();
    for _ in 0..bench.rounds {
        for peer in peers {
            if out.contains(&peer.name()) {
                continue;
            }
            let measured = peer.idle(bench).and_then(|idle| match idle {
                Some(idle) => fill(bench, peer.name(), idle, results),
                None => Ok(()),
            });
            if let Err(Failure(why)) = measured {
                results.fail("idle connection", peer.name(), &why);
                out.push(peer.name());
            }
        }
    }
}

/// Logs users in up to each number, and sees what they take.
fn fill(bench: &Bench, peer: &str, mut idle: Idle, results: &mut Results) -> Result<(), Failure> {
    let mut held: Vec<TcpStream> = Vec::with_capacity(bench.most_idle());
    let first = FIRST.min(bench.most_idle() / 2);
    for index in 0..first {
        held.push((idle.log_in)(index)?);
    }
    let before = idle.server.settled()?;
    let mut numbers = bench.idle.clone();
    numbers.sort_unstable();
    for number in numbers {
        note(&format!("{peer}: {number} idle users"));
        for index in held.len()..number {
            held.push((idle.log_in)(index)?);
        }
        let grown = idle.server.settled()?.saturating_sub(before);
        let each = grown as f64 / 1024.0 / (number - first) as f64;
        results.add(&format!("idle connection, {number} of them"), "KiB", peer, each);
        idle.server.check()?;
    }
    Ok(())
}
