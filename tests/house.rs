//! The house in order: what may stand where, how files are kept, and that the table of conformance
//! and the tests say the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under a folder with one of these endings, by path from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|x| *x == e)) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Rust files of ours.
fn sources() -> Vec<String> {
    ["src", "tests", "benches"].iter().flat_map(|f| files(f, &["rs"])).collect()
}

/// The code of a line: without comments.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or_default() }
}

/// Where words occur in the code of the sources, unless the file is under one of the places allowed.
fn offences(folder: &str, words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(folder, &["rs"]) {
        if allowed.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in read(&path).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| has_word(code(line), word)) {
                found.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    found
}

/// Does the word stand in the line, not as a part of another one?
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let inside =
            part(before) && part(word.chars().next()) || part(after) && part(word.chars().next_back());
        !inside
    })
}

/// Sockets, threads and clocks stand in the shell, the commands, and the blocking front of the client.
const SHELL: [&str; 3] = ["src/server/", "src/cli/", "src/client/blocking.rs"];

#[test]
fn sockets_threads_and_clocks_stand_in_the_shell_only() {
    let words = [
        "mio",
        "socket2",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "UnixListener",
        "std::thread",
        "thread::spawn",
        "thread::sleep",
        "Instant::now",
        "SystemTime::now",
        "getrandom",
        "tokio",
    ];
    // The simulator asks whether its thread panics, to print its seed.
    let found = offences("src", &words, &SHELL);
    let found: Vec<&String> = found.iter().filter(|f| !f.starts_with("src/sim/world.rs")).collect();
    assert!(found.is_empty(), "{found:#?}");
    let own = read("src/sim/world.rs");
    assert_eq!(own.matches("std::thread").count(), own.matches("std::thread::panicking()").count());
}

#[test]
fn rusqlite_stands_in_the_store_only() {
    let found = offences("src", &["rusqlite"], &["src/store/"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_hub_names_no_protocol() {
    let found = offences("src/hub", &["simp", "crate::simp", "imtp", "sip", "msrp", "xml"], &[]);
    assert!(found.is_empty(), "{found:#?}");
    for wall in ["crate::server", "crate::cli", "crate::sim"] {
        let found = offences("src/hub", &[wall], &[]);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .chain(files("tests/scripts", &["simp"]))
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > 800)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_put_off() {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
    ];
    for path in sources() {
        for (number, line) in read(&path).lines().enumerate() {
            let found = words.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{path}:{}: {}", number + 1, line.trim());
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for path in sources() {
        // The file of a macro's cases or of a fuzz target may begin with an attribute.
        let text = read(&path);
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
        assert!(first.is_some_and(|line| line.starts_with("//! ")), "{path} begins with {first:?}");
    }
}

#[test]
fn no_test_sleeps() {
    let found = offences("tests", &["thread::sleep"], &["tests/house.rs"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// A row of the table of conformance.
struct Row {
    asks: String,
    state: String,
    tested: Vec<String>,
}

/// The rows of `docs/conformance/simp.md` by clause.
fn table() -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in read("docs/conformance/simp.md").lines() {
        let Some(rest) = line.strip_prefix("| SIMP-") else { continue };
        let cells: Vec<&str> = rest.trim_end_matches('|').split('|').map(str::trim).collect();
        let [id, asks, state, tested] = cells[..] else { panic!("not four cells: {line}") };
        let tested = tested.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        let row = Row { asks: asks.to_owned(), state: state.to_owned(), tested };
        assert!(rows.insert(format!("SIMP-{id}"), row).is_none(), "{id} stands there twice");
    }
    rows
}

/// The clauses that tests cite, each with the files that do.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut cited: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let tests = files("tests", &["rs", "simp", "py", "txt", "xml"]);
    for path in tests.into_iter().chain(files("src", &["rs"])).filter(|p| p != "tests/house.rs") {
        let text = read(&path);
        let whole = path.starts_with("tests/") || path.ends_with("tests.rs") || path.contains("/tests/");
        let text = match !whole {
            true => text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests),
            false => &text,
        };
        for id in clauses(text) {
            cited.entry(id).or_default().insert(path.clone());
        }
    }
    cited
}

/// The ids of clauses in a text: `SIMP-`, a section, `-`, a number.
fn clauses(text: &str) -> BTreeSet<String> {
    let is_id = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let mut ids = BTreeSet::new();
    for (at, word) in text.match_indices("SIMP-") {
        let rest = &text[at + word.len()..];
        let end = rest.find(|c| !is_id(c)).unwrap_or(rest.len());
        let id = rest[..end].trim_end_matches(['.', '-']);
        let whole = id.split_once('-').is_some_and(|(s, n)| !s.is_empty() && !n.contains(['-', '.']));
        if whole {
            ids.insert(format!("SIMP-{id}"));
        }
    }
    ids
}

/// Writes the table's last column anew, from what the tests cite.
fn bless(cited: &BTreeMap<String, BTreeSet<String>>) {
    let path = "docs/conformance/simp.md";
    let mut text = String::new();
    for line in read(path).lines() {
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        let by = cells.get(1).filter(|id| id.starts_with("SIMP-")).and_then(|id| cited.get(*id));
        match (by, &cells[..]) {
            (Some(by), [_, id, asks, state, _]) => {
                let by: Vec<&str> = by.iter().map(String::as_str).collect();
                text += &format!("| {id} | {asks} | {state} | {} |\n", by.join(", "));
            }
            _ => text += &format!("{line}\n"),
        }
    }
    std::fs::write(root().join(path), text).unwrap();
}

/// `HEARTH_BLESS=1` writes the column of tests anew.
#[test]
fn the_table_of_conformance_and_the_tests_agree() {
    let cited = citations();
    if std::env::var_os("HEARTH_BLESS").is_some() {
        bless(&cited);
    }
    let table = table();
    let mut wrong = Vec::new();
    for (id, row) in &table {
        if row.asks.is_empty() {
            wrong.push(format!("{id} does not say what it asks"));
        }
        let states = ["done", "in part", "not applicable"];
        if !states.iter().any(|s| row.state == *s || row.state.starts_with(&format!("{s}: "))) {
            wrong.push(format!("{id} has the state {:?}", row.state));
        }
        if !row.state.starts_with("not applicable") && row.tested.is_empty() {
            wrong.push(format!("{id} does not say where it is tested"));
        }
        let by = cited.get(id);
        for path in &row.tested {
            if !by.is_some_and(|by| by.contains(path)) {
                wrong.push(format!("{path} does not cite {id}"));
            }
        }
    }
    for (id, by) in &cited {
        if !table.contains_key(id) {
            wrong.push(format!("{id} is in no row, but cited by {by:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n(HEARTH_BLESS=1 writes the last column anew)", wrong.join("\n"));
}

/// Paths that documents name exist.
#[test]
fn documents_name_what_exists() {
    for path in files("docs", &["md"]).into_iter().chain(["README.md".to_owned()]) {
        for part in read(&path).split(['`', '(', ')']) {
            let named = ["src/", "tests/", "docs/", "schema/", "contrib/", "benches/"]
                .iter()
                .any(|f| part.starts_with(f));
            let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
            if named && plain {
                let there: PathBuf = root().join(part);
                assert!(there.exists(), "{path} names {part}");
            }
        }
    }
}
