//! The conversations of `tests/scripts`, a test for each file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hearth::sim::play::play;
use hearth::sim::script::parse;

use crate::seeds;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
/// The files' endings: the families that their conversations are about.
const FAMILIES: [&str; 4] = [".simp", ".imtp", ".pitp", ".mixed"];

/// Acts out all conversations of a file; tells all that failed.
fn act(name: &str) {
    let paths = FAMILIES.map(|family| format!("{SCRIPTS}/{name}{family}"));
    let path = paths.iter().find(|path| std::path::Path::new(path).exists()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let scripts = parse(&text).unwrap_or_else(|mistake| panic!("{path}: {mistake}"));
    let only = std::env::var("HEARTH_ONLY").unwrap_or_default();
    let mut failures = Vec::new();
    let mut played = 0;
    for script in scripts.iter().filter(|s| s.title.contains(&only)) {
        played += 1;
        let failed = seeds(3).find_map(|seed| match catch_unwind(AssertUnwindSafe(|| play(script, seed))) {
            Ok(played) => played.err(),
            Err(_) => Some(format!("{} (seed {seed}): panicked, see above", script.title)),
        });
        failures.extend(failed);
    }
    assert!(
        failures.is_empty(),
        "{} of {played} conversations of {path} failed:\n\n== {}",
        failures.len(),
        failures.join("\n== ")
    );
}

macro_rules! conversations {
    ($($name:ident),*) => {
        $(#[test] fn $name() { act(stringify!($name)); })*

        /// Each file has its test.
        #[test]
        fn every_file_is_acted_out() {
            let mut files: Vec<String> = std::fs::read_dir(SCRIPTS)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|file| FAMILIES.iter().find_map(|f| file.strip_suffix(f)).map(str::to_owned))
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($name)),*]);
        }
    };
}

conversations!(
    acl,
    crosswise,
    entrance,
    families,
    federation,
    kept,
    limits,
    login,
    messages,
    presence,
    profiles,
    restart,
    send,
    store,
    streams,
    subscriptions,
    uncertain,
    watch
);
