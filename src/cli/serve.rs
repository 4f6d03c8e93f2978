//! `hearth serve`: runs the server.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::failure::{Done, Failure};
use super::house::House;

/// Runs it until it is told to end.
pub fn run(config: Option<&Path>) -> Done {
    start_log();
    let house = House::open(config)?;
    warn_of_open_files(&house);
    crate::server::run(Arc::new(house.config), Some(house.file)).map_err(Failure::new)
}

/// What others than the owner may do with the data, which `hearth check` calls wrong too.
fn warn_of_open_files(house: &House) {
    for (path, others, mend) in
        [(house.config.database(), 0o077, "600"), (house.config.data_dir.clone(), 0o022, "700")]
    {
        let mode = std::fs::metadata(&path).map_or(0, |meta| meta.permissions().mode() & 0o777);
        if mode & others != 0 {
            log::warn!(
                "{} is open to others (mode {mode:04o}): run 'chmod {mend} {}'",
                path.display(),
                path.display()
            );
        }
    }
}

/// The log goes to stderr, a line for each event. Under systemd the journal knows the time, and is told how
/// grave each is.
fn start_log() {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Info);
    // They warn of what strangers and name servers send, as often as those like: who wants it names them in RUST_LOG.
    for library in ["rustls", "hickory_net", "hickory_proto", "hickory_resolver"] {
        builder.filter_module(library, log::LevelFilter::Error);
    }
    builder.parse_default_env();
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.format(|out, record| {
            let level = match record.level() {
                log::Level::Error => 3,
                log::Level::Warn => 4,
                log::Level::Info => 6,
                log::Level::Debug | log::Level::Trace => 7,
            };
            writeln!(out, "<{level}>{}", record.args())
        });
    } else {
        builder.format(|out, record| {
            let time = out.timestamp_millis();
            writeln!(out, "{time} {:<5} {}", record.level(), record.args())
        });
    }
    builder.init();
}
