//! What was measured, beside what was aimed at.

use std::fmt;
use std::time::Duration;

/// One line of the results.
pub struct Row {
    what: String,
    measured: String,
    target: String,
    met: Option<bool>,
}

/// The results.
#[derive(Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// A figure that has no target.
    pub fn figure(&mut self, what: &str, measured: String) {
        self.push(Row { what: what.to_owned(), measured, target: String::new(), met: None });
    }

    /// A figure and whether it is as good as it is meant to be.
    pub fn against(&mut self, what: &str, measured: String, target: &str, met: bool) {
        self.push(Row { what: what.to_owned(), measured, target: target.to_owned(), met: Some(met) });
    }

    fn push(&mut self, row: Row) {
        // At once, since the whole takes minutes.
        super::proc::note(&row.to_string());
        self.0.push(row);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        write!(f, "| {} | {} | {} | {met} |", self.what, self.measured, self.target)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measure | figure | at most | |\n| --- | --- | --- | --- |")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// The one in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that all but a part of a thousand lie below.
pub fn per_mille(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times.get((times.len() * part / 1000).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Microseconds for each of so many operations.
pub fn micros_each(time: Duration, operations: u64) -> f64 {
    time.as_nanos() as f64 / 1000.0 / operations as f64
}
