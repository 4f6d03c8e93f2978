//! What the server's process gives up before it begins: writing outside its data directory, running programs,
//! showing its memory to others.
//!
//! A flaw that lets a stranger run code of his in the server shall gain him as little as can be. systemd's sandbox
//! (`contrib/hearth.service`) does more, where it is used; this is for everybody. It has to come before
//! the first thread: Landlock binds the thread that asks for it, and those that it starts.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::config::Config;

/// The newest of the kernel's promises that we know; of an older kernel we take what it has.
const KNOWN: ABI = ABI::V6;
/// Set by who wants to measure or debug the server without being root: others may look into its memory then.
const TRACEABLE: &str = "HEARTH_TRACEABLE";

/// From now on the process can write beneath the data directory only, and run no program. What is read, and over
/// which sockets, is as before: SIGHUP finds its files wherever they are. Gives a line for the log.
///
/// # Errors
/// The same, where the kernel has no Landlock (Linux 5.13) or refuses: the server is none the worse, only less
/// safe.
pub(super) fn confine(config: &Config) -> Result<String, String> {
    let writable = writable(config);
    match restrict(&writable) {
        Ok(RulesetStatus::NotEnforced) => Err(
            "this kernel has no Landlock: nothing but permissions keeps the server from writing elsewhere"
                .into(),
        ),
        Ok(_) => Ok(format!("writes are confined to {}", config.data_dir.display())),
        Err(e) => Err(format!("writes are not confined to the data directory: {e}")),
    }
}

/// The data directory, and where the database is if that is a link to elsewhere.
fn writable(config: &Config) -> Vec<PathBuf> {
    let database = config.database().canonicalize().ok();
    let elsewhere = database.and_then(|file| file.parent().map(PathBuf::from));
    [Some(config.data_dir.clone()), elsewhere].into_iter().flatten().collect()
}

fn restrict(writable: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let write = AccessFs::from_write(KNOWN);
    let handled: BitFlags<AccessFs> = write | AccessFs::Execute;
    let ruleset = Ruleset::default()
        .handle_access(handled)?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(writable, write))?;
    Ok(ruleset.restrict_self()?.ruleset)
}

/// From now on the process leaves no core when it ends, and nobody but root reads its memory: keys are in it.
/// Best effort: without it the server is none the worse, only less safe.
pub(super) fn keep_memory_private() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    if std::env::var_os(TRACEABLE).is_none() {
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
