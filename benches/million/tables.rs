//! The tables of `docs/performance.md`.

use std::fmt;

use crate::crowd::Crowd;
use crate::curves::Point;
use crate::rig::house::Service;
use crate::sockets::Real;

const MILLION: f64 = 1e6;
const GIB: f64 = (1_u64 << 30) as f64;

/// All that was found.
#[derive(Default)]
pub struct Found {
    notes: Vec<String>,
    /// Real connections.
    pub real: Vec<Real>,
    /// Nodes in process.
    pub crowds: Vec<(Service, Crowd)>,
    /// The curves.
    pub accounts: Vec<Point>,
    /// Of users who say nothing.
    pub idle_subscriptions: Vec<Point>,
    /// To those who write.
    pub active_subscriptions: Vec<Point>,
    /// The operator's.
    pub rules: Vec<Point>,
    /// In the configuration.
    pub peers: Vec<Point>,
    /// Up; and what a message over any of them costs.
    pub links: Vec<(Point, f64)>,
}

/// A curve: its name, its points, and by how much its last is above its first.
pub struct Curve {
    /// What grows.
    pub name: String,
    /// Where, and microseconds.
    pub points: Vec<(usize, f64)>,
}

impl Curve {
    fn of(name: &str, points: impl Iterator<Item = (usize, f64)>) -> Option<Curve> {
        let points: Vec<_> = points.collect();
        (points.len() > 1).then(|| Curve { name: name.to_owned(), points })
    }

    /// The last over the first.
    pub fn ratio(&self) -> f64 {
        match (self.points.first(), self.points.last()) {
            (Some((_, first)), Some((_, last))) => last / first,
            _ => f64::NAN,
        }
    }
}

impl Found {
    /// Says something before the tables.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// The curves of a message between users who are always the same.
    pub fn curves(&self) -> Vec<Curve> {
        let crowd = |service, name: &str, pick: fn(&Crowd) -> f64| {
            let of_it = self.crowds.iter().filter(move |(s, _)| *s == service);
            Curve::of(name, of_it.map(|(_, crowd)| (crowd.users, pick(crowd))))
        };
        let points = |name, points: &[Point]| Curve::of(name, points.iter().map(|p| (p.at, p.message)));
        let links: Vec<_> = self.links.iter().map(|(point, _)| point.clone()).collect();
        let over = self.links.iter().filter_map(|(p, _)| Some((p.at, p.beside?)));
        let all = [
            crowd(Service::Simp, "idle connections (SIMP)", |c| c.fixed),
            crowd(Service::Imtp, "idle connections (IMTP)", |c| c.fixed),
            points("accounts", &self.accounts),
            points("subscriptions of idle users", &self.idle_subscriptions),
            points("subscriptions to those who write", &self.active_subscriptions),
            points("rules about peers", &self.rules),
            points("peers in the configuration", &self.peers),
            points("links that are up", &links),
            Curve::of("links, message over one of 100", over),
            crowd(Service::Simp, "between any two of all (SIMP)", |c| c.random),
            crowd(Service::Imtp, "between any two of all (IMTP)", |c| c.random),
            Curve::of("over any of all links", self.links.iter().map(|(p, any)| (p.at, *any))),
        ];
        all.into_iter().flatten().collect()
    }

    fn real(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### Real connections\n")?;
        writeln!(
            f,
            "| connections | server, each | kernel: the server's end | kernel: both ends, slabs + buffers \
             | MemAvailable less, both ends | a minute's silence, CPU |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for real in &self.real {
            let slabs: f64 = real.kernel.slabs.iter().map(|(_, octets)| octets).sum();
            let silence = real.silence.map_or("".to_owned(), |micros| format!("{micros:.1} µs"));
            writeln!(
                f,
                "| {} {} | {} | {} | {} + {} | {} | {silence} |",
                real.count,
                real.what,
                kib(real.server),
                kib(real.kernel.accepting),
                kib(slabs),
                kib(real.kernel.buffers),
                kib(real.kernel.missing),
            )?;
        }
        let Some(first) = self.real.first() else { return Ok(()) };
        let slabs: Vec<_> =
            first.kernel.slabs.iter().map(|(name, octets)| format!("{name} {octets:.0}")).collect();
        writeln!(f, "\nOctets of each slab for a connection, both ends: {}.\n", slabs.join(", "))
    }

    fn crowds(&self, f: &mut fmt::Formatter<'_>, service: Service) -> fmt::Result {
        let crowds: Vec<_> = self.crowds.iter().filter(|(s, _)| *s == service).map(|(_, c)| c).collect();
        if crowds.is_empty() {
            return Ok(());
        }
        writeln!(f, "### One node in process, {}\n", service.name().to_uppercase())?;
        let head: Vec<_> = crowds.iter().map(|crowd| thousands(crowd.users)).collect();
        writeln!(f, "| | {} |\n| --- |{}", head.join(" | "), " --- |".repeat(head.len()))?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cell: &dyn Fn(&Crowd) -> String| {
            let cells: Vec<_> = crowds.iter().map(|crowd| cell(crowd)).collect();
            writeln!(f, "| {name} | {} |", cells.join(" | "))
        };
        row(f, "memory of a connection, logged in and idle", &|c| kib(c.idle))?;
        row(f, "the same after so many messages among all", &|c| kib(c.used))?;
        row(f, "login: node + store", &|c| format!("{} + {}", us(c.login.0), us(c.login.1)))?;
        row(f, "logins a second (node and store on a core each)", &|c| {
            thousands((MILLION / c.login.0.max(c.login.1)) as usize)
        })?;
        row(f, "message, the same pairs, all in one tick", &|c| us(c.fixed))?;
        row(f, "message, the same pair, alone in its ticks", &|c| us(c.alone))?;
        row(f, "message between any two", &|c| us(c.random))?;
        row(f, "a connection's minute of silence", &|c| us(c.silence))?;
        row(f, "longest call while all came; p99.9", &|c| calls(&c.coming))?;
        row(f, "longest call while all wrote; p99.9", &|c| calls(&c.writing))?;
        row(f, "longest call in silence; p99.9", &|c| calls(&c.silent))?;
        row(f, "operator: status; a domain denied", &|c| {
            format!("{:.2} ms; {:.2} ms", c.operator.0, c.operator.1)
        })?;
        let churn = |c: &Crowd, cell: &dyn Fn(&crate::crowd::Churn) -> String| {
            c.churn.as_ref().map_or(String::new(), cell)
        };
        if crowds.iter().any(|crowd| crowd.churn.is_some()) {
            row(f, "subscriptions for contact lists", &|c| churn(c, &|x| thousands(x.subscriptions)))?;
            row(f, "memory of one", &|c| churn(c, &|x| format!("{:.0} octets", x.octets)))?;
            row(f, "taking one out", &|c| churn(c, &|x| us(x.taking)))?;
            row(f, "changes of presence in a minute; notifications", &|c| {
                churn(c, &|x| format!("{}; {}", thousands(x.changes), thousands(x.notifications as usize)))
            })?;
            row(f, "a new description, all told: node + store", &|c| {
                churn(c, &|x| format!("{} + {}", us(x.description.0), us(x.description.1)))
            })?;
            row(f, "going and coming back, all told: node + store", &|c| {
                churn(c, &|x| format!("{} + {}", us(x.away.0), us(x.away.1)))
            })?;
            row(f, "share of a core for that minute, node", &|c| {
                churn(c, &|x| {
                    let micros = (x.description.0 + x.away.0) / 2.0 * x.changes as f64;
                    format!("{:.2} %", micros / 60e6 * 100.0)
                })
            })?;
            row(f, "longest call meanwhile; p99.9", &|c| churn(c, &|x| calls(&x.calls)))?;
        }
        if let Some(crowd) = crowds.last() {
            writeln!(f, "\nThe longest calls among {}:\n", thousands(crowd.users))?;
            for (when, calls) in
                [("coming", &crowd.coming), ("writing", &crowd.writing), ("silent", &crowd.silent)]
            {
                let moments: Vec<_> = calls
                    .longest
                    .iter()
                    .take(6)
                    .map(|m| format!("{} ({}, at {})", us(m.micros), m.what, thousands(m.place)))
                    .collect();
                writeln!(f, "* {when}: {}", moments.join("; "))?;
            }
        }
        writeln!(f)
    }

    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let curves = self.curves();
        if curves.is_empty() {
            return Ok(());
        }
        writeln!(f, "### Curves: microseconds of the node for a message\n")?;
        writeln!(f, "| what grows | at: µs | last over first |\n| --- | --- | --- |")?;
        for curve in &curves {
            let points: Vec<_> =
                curve.points.iter().map(|(at, micros)| format!("{}: {micros:.2}", thousands(*at))).collect();
            writeln!(f, "| {} | {} | {:.2} |", curve.name, points.join(", "), curve.ratio())?;
        }
        let beside = [
            ("login, node + store: accounts", &self.accounts),
            ("a notification: watchers of one, altogether", &self.active_subscriptions),
            ("message to a peer: peers in the configuration", &self.peers),
        ];
        for (name, points) in beside {
            let cells: Vec<_> = points
                .iter()
                .filter_map(|p| Some(format!("{}: {:.2}", thousands(p.at), p.beside?)))
                .collect();
            if !cells.is_empty() {
                writeln!(f, "| {name} | {} | |", cells.join(", "))?;
            }
        }
        writeln!(f)
    }

    /// What a machine needs for a million.
    fn needs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.real.is_empty() {
            return Ok(());
        }
        writeln!(f, "### What a machine needs for a million users\n")?;
        writeln!(
            f,
            "| a million of | server | kernel, its end of the sockets | together | silence, share of a core \
             |\n| --- | --- | --- | --- | --- |"
        )?;
        for real in &self.real {
            let kernel = real.kernel.accepting + real.kernel.buffers / 2.0;
            let silence = real
                .silence
                .map_or("".to_owned(), |micros| format!("{:.0} %", micros * MILLION / 60e6 * 100.0));
            let gib = |octets: f64| format!("{:.2} GiB", octets * MILLION / GIB);
            let (server, sum) = (real.server, real.server + kernel);
            writeln!(f, "| {} | {} | {} | {} | {silence} |", real.what, gib(server), gib(kernel), gib(sum))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}.\n")?;
        }
        if !self.real.is_empty() {
            self.real(f)?;
        }
        self.crowds(f, Service::Simp)?;
        self.crowds(f, Service::Imtp)?;
        self.lines(f)?;
        self.needs(f)
    }
}

fn calls(calls: &crate::spent::Calls) -> String {
    format!("{}; {}", us(calls.longest()), us(calls.per_mille(999.0)))
}

fn kib(octets: f64) -> String {
    format!("{:.2} KiB", octets / 1024.0)
}

fn us(micros: f64) -> String {
    if micros >= 1000.0 { format!("{:.2} ms", micros / 1000.0) } else { format!("{micros:.2} µs") }
}

/// A number with a comma before every three digits.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
