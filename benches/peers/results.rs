//! What was measured of whom: as tables, as JSON, and against the targets.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::rig::proc::note;
use crate::rig::report::median;

/// Differences below this are called nothing: machines drift.
const SHOWN: f64 = 1.5;

/// Who was measured.
#[derive(Serialize)]
pub struct Who {
    /// As the results call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it is configured.
    pub configuration: String,
}

/// One measure: for each server its rounds.
#[derive(Serialize)]
pub struct Measure {
    /// What it is called.
    pub name: String,
    /// Of the figures.
    pub unit: &'static str,
    /// By server, in order.
    pub rounds: BTreeMap<String, Vec<f64>>,
}

/// Whether an aim was reached.
#[derive(Serialize)]
struct Verdict {
    aim: String,
    /// How many times less than the other, or more than it where that is the aim.
    times: f64,
    met: bool,
}

/// All of it.
#[derive(Serialize, Default)]
pub struct Results {
    /// When, where, and with what settings.
    pub machine: BTreeMap<&'static str, String>,
    /// In the order of the tables.
    pub peers: Vec<Who>,
    measures: Vec<Measure>,
    verdicts: Vec<Verdict>,
    failures: Vec<String>,
}

impl Results {
    /// A figure of one round.
    pub fn add(&mut self, measure: &str, unit: &'static str, peer: &str, figure: f64) {
        note(&format!("{measure}: {peer}: {figure:.2} {unit}"));
        let at = self.measures.iter().position(|m| m.name == measure).unwrap_or_else(|| {
            self.measures.push(Measure { name: measure.to_owned(), unit, rounds: BTreeMap::new() });
            self.measures.len() - 1
        });
        self.measures[at].rounds.entry(peer.to_owned()).or_default().push(figure);
    }

    /// What could not be measured, and why.
    pub fn fail(&mut self, measure: &str, peer: &str, why: &str) {
        note(&format!("{measure}: {peer} could not be measured: {why}"));
        self.failures.push(format!("{measure}: {peer}: {why}"));
    }

    /// Was everything measured?
    pub fn complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// How many times another's figure is ours: the median over the rounds, compared within each.
    fn ratio(&self, measure: &str, ours: &str, theirs: &str) -> Option<f64> {
        let rounds = &self.measures.iter().find(|m| m.name == measure)?.rounds;
        let (own, other) = (rounds.get(ours)?, rounds.get(theirs)?);
        let ratios: Vec<f64> = own.iter().zip(other).map(|(own, other)| other / own).collect();
        Some(median(&ratios))
    }

    /// The aim that `ours` be at least so many times below each of `theirs` that was measured.
    pub fn below(&mut self, measure: &str, ours: &str, theirs: &[&str], aimed: f64) {
        for their in theirs {
            if let Some(times) = self.ratio(measure, ours, their) {
                let aim = format!("{measure}: {ours} at least {aimed} times below {their}");
                self.verdicts.push(Verdict { aim, times, met: times >= aimed });
            }
        }
    }

    /// The aim that `ours` be at most so many times `theirs`.
    pub fn at_most(&mut self, measure: &str, ours: &str, their: &str, aimed: f64) {
        if let Some(times) = self.ratio(measure, their, ours) {
            let aim = format!("{measure}: {ours} at most {aimed} times {their}");
            self.verdicts.push(Verdict { aim, times, met: times <= aimed });
        }
    }

    /// For reading, as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).map_or_else(|e| e.to_string(), |()| text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "| server | version | configuration |\n| --- | --- | --- |")?;
        for who in &self.peers {
            writeln!(text, "| {} | {} | {} |", who.name, who.version, who.configuration)?;
        }
        writeln!(text, "\nMedians:\n")?;
        write!(text, "| measure |")?;
        self.peers.iter().try_for_each(|who| write!(text, " {} |", who.name))?;
        writeln!(text, "\n| --- |{}", " ---: |".repeat(self.peers.len()))?;
        for measure in &self.measures {
            write!(text, "| {}, {} |", measure.name, measure.unit)?;
            for who in &self.peers {
                let cell = measure.rounds.get(&who.name).map_or(String::new(), |r| figure(median(r)));
                write!(text, " {cell} |")?;
            }
            writeln!(text)?;
        }
        writeln!(text, "\nAll rounds, in the order taken:\n")?;
        writeln!(text, "| measure | server | rounds |\n| --- | --- | --- |")?;
        for measure in &self.measures {
            for (who, rounds) in self.peers.iter().filter_map(|w| Some((w, measure.rounds.get(&w.name)?))) {
                let rounds: Vec<String> = rounds.iter().map(|r| figure(*r)).collect();
                writeln!(
                    text,
                    "| {}, {} | {} | {} |",
                    measure.name,
                    measure.unit,
                    who.name,
                    rounds.join(", ")
                )?;
            }
        }
        if !self.verdicts.is_empty() {
            writeln!(text, "\n| aim | times | |\n| --- | ---: | --- |")?;
        }
        for Verdict { aim, times, met } in &self.verdicts {
            // A difference that these machines make by themselves.
            let doubt = if (1.0 / SHOWN..SHOWN).contains(times) { " (too little to be shown)" } else { "" };
            writeln!(text, "| {aim} | {times:.1} | {}{doubt} |", if *met { "met" } else { "missed" })?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(text, "\nNot measured: {failure}"))
    }
}

/// Three digits that say something.
fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
