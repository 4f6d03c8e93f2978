//! How a command ends when it does not do what was asked.

use crate::cli::harmless::one_line;
use crate::cli::output::complain;
use std::fmt;
use std::process::ExitCode;

/// Exit status of a command that was understood and failed.
pub const FAILED: u8 = 1;
/// Exit status of a command that was not understood.
pub const USAGE: u8 = 2;

/// Why a command failed: an exit status, and a line that says what to do.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    line: String,
}

/// What comes of a command.
pub type Done = Result<(), Failure>;

impl Failure {
    /// It failed; `line` says why and what to do.
    pub fn new(line: impl fmt::Display) -> Failure {
        Failure { status: FAILED, line: line.to_string() }
    }

    /// It was not understood.
    pub fn usage(line: impl fmt::Display) -> Failure {
        Failure { status: USAGE, line: line.to_string() }
    }

    /// Tells the operator, in one line, and gives the exit status.
    pub fn report(self) -> ExitCode {
        complain!("hearth: {}", one_line(&self.line));
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// clap's explanation of bad usage, as one line: its first paragraph and its tips, without the usage.
pub fn usage_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said).replace(" tip: ", "; ");
    format!("{said}; `--help` tells how it is used")
}
