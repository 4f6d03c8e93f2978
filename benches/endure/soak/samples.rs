//! What the servers held, moment for moment, and whether that has grown.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::rig::Failure;
use crate::rig::proc::note;
use crate::rig::report::Report;

/// What is looked at, by how much it may grow from the second third to the last: a part of it, or this much.
const MEASURES: [(&str, f64, f64); 10] = [
    ("resident memory, KiB", 0.02, 384.0),
    // It changes with other processes of the same file.
    ("proportional memory, KiB", 0.0, f64::INFINITY),
    ("descriptors", 0.0, 3.0),
    ("threads", 0.0, 1.0),
    ("database, KiB", 0.02, 64.0),
    ("write-ahead log, KiB", 0.05, 512.0),
    ("connections", 0.0, 3.0),
    ("accounts in memory", 0.0, 3.0),
    ("requests waiting", 0.0, 3.0),
    ("peers known", 0.0, 8.0),
];

/// One server's values.
struct Series {
    domain: &'static str,
    /// When, seconds, and the values in the order of [`MEASURES`].
    rows: Vec<(f64, [f64; MEASURES.len()])>,
    /// CPU time at the first sample, and at the last.
    cpu: [Duration; 2],
    log: u64,
    counted: String,
}

/// All values so far.
pub struct Samples {
    begun: Instant,
    told: Duration,
    series: Vec<Series>,
}

impl Samples {
    /// None yet.
    ///
    /// # Errors
    /// If a server can't be looked at.
    pub fn new(homes: &[&Arc<Home>]) -> Result<Samples, Failure> {
        let mut series = Vec::new();
        for home in homes {
            let cpu = home.with_process(|process| process.cpu())?;
            let counted = String::new();
            series.push(Series { domain: home.domain, rows: Vec::new(), cpu: [cpu, cpu], log: 0, counted });
        }
        Ok(Samples { begun: Instant::now(), told: Duration::ZERO, series })
    }

    /// One more of each server.
    ///
    /// # Errors
    /// If one has ended.
    pub fn take(&mut self, homes: &[&Arc<Home>]) -> Result<(), Failure> {
        let at = self.begun.elapsed();
        for (series, home) in self.series.iter_mut().zip(homes) {
            let (id, threads, cpu) =
                home.with_process(|process| Ok((process.id(), process.threads()?, process.cpu()?)))?;
            let [rss, pss] = memory(id)?;
            let descriptors = fs::read_dir(format!("/proc/{id}/fd"))?.count();
            let (database, log) = home.octets();
            let status = home.status()?;
            let peers = home.peers()?;
            let kib = |octets: u64| octets as f64 / 1024.0;
            let count = |number: usize| number as f64;
            let values = [
                rss,
                pss,
                count(descriptors),
                count(threads),
                kib(database),
                kib(log),
                count(status.connections),
                count(status.accounts_in_memory),
                count(status.requests_waiting),
                count(peers),
            ];
            series.rows.push((at.as_secs_f64(), values));
            series.cpu[1] = cpu;
            series.log = home.log_octets();
            series.counted = format!(
                "{} messages ({} delivered, {} refused, {} kept), {} notifications, {} logins, {} failed, {} cut",
                status.messages,
                status.messages_delivered,
                status.messages_refused,
                status.messages_kept,
                status.notifications,
                status.logins,
                status.logins_failed,
                status.connections_cut
            );
        }
        if at >= self.told {
            self.told = at + Duration::from_secs(60);
            self.say(at);
        }
        Ok(())
    }

    fn say(&self, at: Duration) {
        for series in &self.series {
            let Some((_, values)) = series.rows.last() else { continue };
            let values: Vec<String> =
                MEASURES.iter().zip(values).map(|((n, ..), v)| format!("{n} {v:.0}")).collect();
            note(&format!("{:.0} s, {}: {}", at.as_secs_f64(), series.domain, values.join(", ")));
        }
    }

    /// Tells how each has gone; `judged`: it was long enough to say whether that is flat.
    pub fn tell(&self, report: &mut Report, judged: bool) {
        for series in &self.series {
            let seconds = series.rows.last().map_or(1.0, |(at, _)| at.max(1.0));
            let cpu = (series.cpu[1].saturating_sub(series.cpu[0])).as_secs_f64() / seconds;
            let domain = series.domain;
            report.figure(
                &format!("{domain}: load"),
                format!("{:.1} % of a core; {}", cpu * 100.0, series.counted),
            );
            report.figure(&format!("{domain}: its log"), format!("{} octets", series.log));
            for (at, (name, part, least)) in MEASURES.into_iter().enumerate() {
                let what = format!("{domain}: {name}");
                let (middle, last, slope) = series.course(at);
                let measured = format!("{middle:.1}, then {last:.1}; {slope:+.1} an hour");
                let most = (middle * part).max(least);
                if judged && most.is_finite() {
                    report.against(&what, measured, &format!("{most:+.1}"), last - middle <= most);
                } else {
                    report.figure(&what, measured);
                }
            }
        }
    }
}

impl Series {
    /// The medians of the second third and of the last, and the slope over both, for an hour: a password's check has
    /// 19 MiB for a moment, which is not what is asked about.
    fn course(&self, at: usize) -> (f64, f64, f64) {
        let third = self.rows.len() / 3;
        let later: Vec<(f64, f64)> = self
            .rows
            .iter()
            .skip(self.rows.len() - 2 * third)
            .map(|(time, values)| (*time, values[at]))
            .collect();
        let median = |part: &[(f64, f64)]| {
            let mut values: Vec<f64> = part.iter().map(|(_, value)| *value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let (middle, last) = later.split_at(later.len() / 2);
        let centre = later.iter().map(|(time, _)| time).sum::<f64>() / later.len().max(1) as f64;
        let value = later.iter().map(|(_, value)| value).sum::<f64>() / later.len().max(1) as f64;
        let above: f64 = later.iter().map(|(time, v)| (time - centre) * (v - value)).sum();
        let below: f64 = later.iter().map(|(time, _)| (time - centre).powi(2)).sum();
        (median(middle), median(last), if below > 0.0 { above / below * 3600.0 } else { 0.0 })
    }
}

/// Resident and proportional memory, KiB.
fn memory(id: u32) -> Result<[f64; 2], Failure> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok())
    };
    match (value("Rss:"), value("Pss:")) {
        (Some(rss), Some(pss)) => Ok([rss, pss]),
        _ => Err(Failure("smaps_rollup tells nothing".into())),
    }
}
