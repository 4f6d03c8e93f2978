//! Reading the configuration and the certificates again, on a thread of its own: the disk may be slow.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::config::Config;
use crate::server::answers::{Answer, Answers, Reloaded};
use crate::server::keys::Keys;

/// Starts it; the answer is [`Answer::Reloaded`].
pub(super) fn start(current: Arc<Config>, path: Option<PathBuf>, answers: Answers) {
    let replies = answers.clone();
    let work = move || replies.send(Answer::Reloaded(read(&current, path.as_deref())));
    if let Err(e) = thread::Builder::new().name("reload".to_owned()).spawn(work) {
        answers.send(Answer::Reloaded(Err(e.to_string())));
    }
}

fn read(current: &Config, path: Option<&Path>) -> Result<Reloaded, String> {
    let mut config = match path {
        Some(path) => Config::load(path).map_err(|e| e.to_string())?,
        None => current.clone(),
    };
    // What sockets, files and threads were made from stays until the next start.
    let restart = kept(current, &config);
    config.domains = current.domains.clone();
    config.listen = current.listen.clone();
    config.data_dir = current.data_dir.clone();
    config.nameservers = current.nameservers.clone();
    let keys = load_keys(&config)?;
    Ok(Reloaded { config: Arc::new(config), keys, restart })
}

/// The keys of the configuration that have changed and can't be taken up without a restart.
fn kept(current: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("domains", !current.domains.iter().eq(new.domains.iter())),
        ("data_dir", current.data_dir != new.data_dir),
        ("[[listen]]", current.listen != new.listen),
        ("[dns] nameservers", current.nameservers != new.nameservers),
    ];
    changed.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

/// The keys that this configuration needs.
///
/// # Errors
/// One line that says which file is wrong or missing.
pub(super) fn load_keys(config: &Config) -> Result<Keys, String> {
    let keys = Keys::load(config.tls.as_ref())?;
    match config.listen.iter().find(|l| l.tls) {
        Some(listen) if keys.server.is_none() => Err(format!(
            "listener {} needs a certificate: set certificate and key under [tls]",
            listen.address
        )),
        _ => Ok(keys),
    }
}
