//! Users: idle ones, those who log in, those who watch, and a million who are away.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::rig::Failure;
use crate::rig::crowd;
use crate::rig::house::{self, House, SECRET, Service};
use crate::rig::logins::at_once;
use crate::rig::pairs::{Door, Yardstick};
use crate::rig::report::{Report, median, micros_each};
use crate::rig::shim;
use crate::rig::simp::Routing;
use crate::rig::transfer::Session;

/// Changes of presence in one round.
const CHANGES: u64 = 50;

fn user(index: usize) -> String {
    format!("user{index}")
}

/// The memory of an idle connection: growth of the server's resident memory over many.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn idle(bench: &Bench, report: &mut Report, service: Service, tls: bool) -> Result<(), Failure> {
    let domain = format!("{}.{}.test", service.name(), if tls { "secured" } else { "idle" });
    let house = bench.house_with(&domain, [127, 0, 0, 1], tls)?;
    house.populate((0..bench.idle).map(user), true)?;
    let server = house.serve(None)?;
    let mut door = Door::open((&house, service))?;
    let mut held: Vec<TcpStream> = Vec::with_capacity(bench.idle);
    // What is made once, at the first login, is not counted.
    let warm = 10.min(bench.idle);
    let mut before = 0;
    for index in 0..bench.idle {
        if index == warm {
            before = server.settled()?;
        }
        held.push(door.log_in(&house.user(&user(index)), true)?.0);
    }
    let growth = server.settled()?.saturating_sub(before);
    let each = growth as f64 / 1024.0 / (held.len() - warm) as f64;
    let (kind, limit) = if tls { ("TLS", 16.0) } else { ("plain TCP", 1.5) };
    let what = if service == Service::Simp { "logged-in" } else { "listening IMTP" };
    report.against(
        &format!("idle {what} connection, {kind} (over {} of them)", held.len()),
        format!("{each:.2} KiB"),
        &format!("{limit} KiB"),
        each <= limit,
    );
    Ok(())
}

/// The CPU time of a digest login: `login` on a new routing connection, `connect` on a new notification
/// connection, both closed again.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn logins(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("login.test", [127, 0, 0, 1])?;
    let accounts = 1000;
    house.populate((0..accounts).map(user), true)?;
    let server = house.serve(None)?;
    let count = (bench.operations / 20).max(1);
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let (mut fresh, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        yardstick.take()?;
        for (reuse, costs) in [(false, &mut fresh), (true, &mut kept)] {
            let before = server.cpu()?;
            at_once(count, accounts, |users| log_in_and_out(&house, users, reuse))?;
            costs.push(micros_each(server.cpu()? - before, count));
        }
    }
    let (fresh, kept, b) = (median(&fresh), median(&kept), yardstick.b());
    report.against(
        "digest login and logout, both connections new",
        format!("{fresh:.1} µs = {:.1} B", fresh / b),
        "8 B",
        fresh <= 8.0 * b,
    );
    report
        .figure("the same over a routing connection that stays", format!("{kept:.1} µs = {:.1} B", kept / b));
    Ok(())
}

/// The CPU time of a login by SCRAM: a new IMTP connection, the exchange, and its end.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn scram_logins(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("scram.test", [127, 0, 0, 1])?;
    let accounts = 1000;
    house.populate((0..accounts).map(user), false)?;
    let server = house.serve(None)?;
    let (target, keys) = (house.target(Service::Imtp), house::keys()?);
    let count = (bench.operations / 20).max(1);
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let mut costs = Vec::new();
    for _ in 0..bench.rounds {
        yardstick.take()?;
        let before = server.cpu()?;
        at_once(count, accounts, |users| {
            for index in users {
                Session::login(&target, &house.user(&user(index)), &keys)?;
            }
            Ok(())
        })?;
        costs.push(micros_each(server.cpu()? - before, count));
    }
    let (cost, b) = (median(&costs), yardstick.b());
    report.against(
        "SCRAM login and logout, the connection new",
        format!("{cost:.1} µs = {:.1} B", cost / b),
        "10 B",
        cost <= 10.0 * b,
    );
    Ok(())
}

fn log_in_and_out(house: &House, users: &mut dyn Iterator<Item = usize>, reuse: bool) -> Result<(), Failure> {
    let mut kept = None;
    for index in users {
        let mut routing = match kept.take() {
            Some(routing) => routing,
            None => Routing::open(&house.target(Service::Simp))?,
        };
        routing.login(&house.user(&user(index)), SECRET)?;
        kept = reuse.then_some(routing);
    }
    Ok(())
}

/// The CPU time of each notification when one user of many watchers changes his presence.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn fan_out(bench: &Bench, report: &mut Report, service: Service) -> Result<(), Failure> {
    let house = bench.house(&format!("{}.star.test", service.name()), [127, 0, 0, 1])?;
    house.populate((0..bench.watchers).map(user).chain(["star".into()]), true)?;
    let server = house.serve(None)?;
    let mut crowd = crowd::of_house((&house, service), "star", bench.watchers, user)?;
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let mut costs = Vec::new();
    for round in 0..=bench.rounds {
        yardstick.take()?;
        let before = server.cpu()?;
        for change in 0..CHANGES {
            crowd.change(round as u64 * CHANGES + change)?;
        }
        costs.push(micros_each(server.cpu()? - before, CHANGES * bench.watchers as u64));
    }
    // The first round warms up.
    let (cost, b) = (median(&costs[1..]), yardstick.b());
    let what = match service {
        Service::Simp => "notifications of a presence change",
        Service::Imtp | Service::Pitp => "PITP change-notifies",
    };
    report.against(
        &format!("one of {} {what}, with its answer", bench.watchers),
        format!("{cost:.2} µs = {:.2} B", cost / b),
        "0.6 B",
        cost <= 0.6 * b,
    );
    Ok(())
}

/// Allocations and system calls for each notification, and for each login.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn counted(bench: &Bench, report: &mut Report, service: Service) -> Result<(), Failure> {
    let house = bench.house(&format!("{}.counted-star.test", service.name()), [127, 0, 0, 1])?;
    house.populate((0..bench.watchers).map(user).chain(["star".into()]), true)?;
    let counter = bench.shim()?;
    let _server = house.serve(Some(counter))?;
    let (simp, keys) = (service == Service::Simp, house::keys()?);
    // Everybody is here once before anything is counted.
    let mut crowd = crowd::of_house((&house, service), "star", bench.watchers, user)?;
    crowd.change(0)?;
    let before = counter.counts()?;
    for change in 1..=CHANGES {
        crowd.change(change)?;
    }
    let notifications = CHANGES * bench.watchers as u64;
    let calls = counter.counts()?.since(before);
    let what = if simp { "SIMP notification" } else { "PITP change-notify" };
    report.figure(&format!("calls for one of {} {what}s", bench.watchers), shim::each(calls, notifications));
    let before = counter.counts()?;
    let count = bench.watchers as u64;
    at_once(count, bench.watchers, |users| {
        if simp {
            return log_in_and_out(&house, users, false);
        }
        for index in users {
            Session::login(&house.target(Service::Imtp), &house.user(&user(index)), &keys)?;
        }
        Ok(())
    })?;
    let calls = counter.counts()?.since(before);
    let what = if simp { "digest login over SIMP" } else { "SCRAM login over IMTP" };
    report.figure(&format!("calls for a {what}, and its end"), shim::each(calls, count));
    Ok(())
}

/// The time from the start of a server with many accounts to its first answered login.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn start(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("many.test", [127, 0, 0, 1])?;
    crate::rig::proc::note(&format!("writing {} accounts", bench.accounts));
    house.populate((0..bench.accounts).map(user), false)?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        let server = house.serve(None)?;
        Routing::open(&house.target(Service::Simp))?.challenge(&house.user(&user(0)))?;
        times.push(begun.elapsed().as_secs_f64());
        server.stop(Duration::from_secs(10));
    }
    let time = median(&times);
    report.against(
        &format!("start with {} accounts, to the first challenge", bench.accounts),
        format!("{:.0} ms", time * 1000.0),
        "1 s",
        time < 1.0,
    );
    Ok(())
}
