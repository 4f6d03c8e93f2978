//! `hearth check`: what is wrong, and how to mend it; a line for each thing looked at.

mod certificate;
mod dns;
mod ports;

use crate::cli::output::say;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::failure::{Done, Failure};
use super::house::{self, House};
use crate::cli::harmless::one_line;
use crate::store::{Counts, Lock};

/// How a thing looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// As it should.
    Ok,
    /// Worth knowing; may be meant so.
    Note,
    /// Wrong.
    Wrong,
}

/// What was found: about what, how it looks, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    mark: Mark,
    text: String,
}

impl Finding {
    fn ok(text: impl fmt::Display) -> Finding {
        Finding { mark: Mark::Ok, text: text.to_string() }
    }

    fn note(text: impl fmt::Display) -> Finding {
        Finding { mark: Mark::Note, text: text.to_string() }
    }

    fn wrong(text: impl fmt::Display) -> Finding {
        Finding { mark: Mark::Wrong, text: text.to_string() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ok => "ok",
            Mark::Note => "note",
            Mark::Wrong => "wrong",
        };
        write!(f, "{mark:<6} {}", one_line(&self.text))
    }
}

/// Looks at everything; prints each finding as it comes.
pub fn run(house: &House) -> Done {
    let mut wrong = 0_usize;
    let mut tell = |findings: Vec<Finding>| {
        for finding in findings {
            say!("{finding}");
            wrong += usize::from(finding.mark == Mark::Wrong);
        }
    };
    let domains: Vec<&str> = house.config.domains.iter().map(|d| d.as_str()).collect();
    tell(vec![Finding::ok(format!("configuration {}: serves {}", house.file.display(), domains.join(", ")))]);
    tell(files(house));
    tell(certificate::look(&house.config, house::now()));
    tell(house::socket_fits(&house.config).err().map(Finding::wrong).into_iter().collect());
    let running = Lock::is_serving(&house.config.data_dir);
    tell(vec![match &running {
        Ok(true) => Finding::ok("server: runs"),
        Ok(false) => Finding::note("server: does not run; start it with `hearth serve`"),
        Err(error) => Finding::wrong(error),
    }]);
    tell(ports::look(&house.config, running.unwrap_or(false)));
    tell(dns::look(&house.config));
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::new("1 thing is wrong, see above")),
        n => Err(Failure::new(format!("{n} things are wrong, see above"))),
    }
}

/// Key file and database.
fn files(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    let key = house.config.key_file();
    match house.key() {
        Ok(_) => {
            findings.push(Finding::ok(format!("key file {}: readable by its owner only", key.display())))
        }
        Err(error) => {
            findings.push(Finding::wrong(error));
            return findings;
        }
    }
    let database = house.config.database();
    if let Ok(meta) = fs::metadata(&database)
        && meta.permissions().mode() & 0o077 != 0
    {
        let path = database.display();
        findings.push(Finding::wrong(format!(
            "database {path}: open to others than its owner, it holds what passwords are checked with: `chmod 600 {path}`"
        )));
    }
    let looked = house.reader().and_then(|reader| {
        let damage = reader.check().map_err(Failure::new)?;
        Ok((damage, reader.counts().map_err(Failure::new)?))
    });
    match looked {
        Ok((damage, counts)) if damage.is_empty() => findings.push(Finding::ok(sound(house, &counts))),
        Ok((damage, _)) => findings.extend(damage.iter().map(|what| {
            Finding::wrong(format!("database {}: {what}: restore a backup", database.display()))
        })),
        Err(error) => findings.push(Finding::wrong(error)),
    }
    findings
}

fn sound(house: &House, counts: &Counts) -> String {
    format!(
        "database {}: sound, version {}, {} account{} ({} locked), {} KiB",
        house.config.database().display(),
        counts.version,
        counts.accounts,
        if counts.accounts == 1 { "" } else { "s" },
        counts.locked,
        (counts.file_octets + counts.log_octets) / 1024
    )
}
