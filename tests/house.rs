//! The house in order: what may stand where, how files are kept, and that the tables of conformance
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
const SHELL: [&str; 3] = ["src/server/", "src/cli/", "src/client/blocking"];

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
    let found = offences("src/hub", &["simp", "imtp", "pitp", "pidf", "sip", "msrp", "xml"], &[]);
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
        .chain(files("tests/scripts", &["simp", "imtp", "pitp", "mixed"]))
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

/// The tables of conformance, each with the series of clauses that stand in it; one that is not written
/// yet is passed over.
const TABLES: [(&str, &[&str]); 4] = [
    ("docs/conformance/simp.md", &["SIMP"]),
    ("docs/conformance/imtp.md", &["COMMON", "IMTP"]),
    ("docs/conformance/pitp.md", &["PITP"]),
    ("docs/conformance/pidf.md", &["PIDF"]),
];

/// A row of a table of conformance.
struct Row {
    asks: String,
    state: String,
    tested: Vec<String>,
}

/// The cells of a line of a table; a bar after a backslash is a part of its cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().replace("\\|", "\0");
    let Some(inner) = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) else { return Vec::new() };
    inner.split('|').map(|cell| cell.trim().replace('\0', "\\|")).collect()
}

/// Is a cell a clause of one of these series?
fn is_of(cell: &str, series: &[&str]) -> bool {
    series.iter().any(|s| cell.strip_prefix(s).is_some_and(|rest| rest.starts_with('-')))
}

/// The rows of a table by clause.
fn table(path: &str, series: &[&str]) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in read(path).lines() {
        let cells = cells(line);
        let Some(id) = cells.first().filter(|id| is_of(id, series)) else { continue };
        let [_, asks, state, tested] = &cells[..] else { panic!("not four cells: {line}") };
        let tested = tested.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        let row = Row { asks: asks.clone(), state: state.clone(), tested };
        assert!(rows.insert(id.clone(), row).is_none(), "{id} stands there twice");
    }
    rows
}

/// The clauses that tests cite, each with the files that do.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut cited: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let tests = files("tests", &["rs", "simp", "imtp", "pitp", "mixed", "py", "txt", "xml"]);
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

/// The ids of clauses in a text: a series, `-`, a section, `-`, a number.
fn clauses(text: &str) -> BTreeSet<String> {
    let is_id = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let mut ids = BTreeSet::new();
    for series in TABLES.iter().flat_map(|(_, series)| *series) {
        for (at, _) in text.match_indices(&format!("{series}-")) {
            let rest = &text[at + series.len() + 1..];
            let end = rest.find(|c| !is_id(c)).unwrap_or(rest.len());
            let id = rest[..end].trim_end_matches(['.', '-']);
            let whole = id.split_once('-').is_some_and(|(s, n)| !s.is_empty() && !n.contains(['-', '.']));
            if whole {
                ids.insert(format!("{series}-{id}"));
            }
        }
    }
    ids
}

/// Writes a table's last column anew, from what the tests cite.
fn bless(path: &str, series: &[&str], cited: &BTreeMap<String, BTreeSet<String>>) {
    let mut text = String::new();
    for line in read(path).lines() {
        let cells = cells(line);
        match &cells[..] {
            [id, asks, state, _] if is_of(id, series) => {
                let by: Vec<&str> = cited.get(id).into_iter().flatten().map(String::as_str).collect();
                text += &format!("| {id} | {asks} | {state} | {} |\n", by.join(", "));
            }
            _ => text += &format!("{line}\n"),
        }
    }
    std::fs::write(root().join(path), text).unwrap();
}

/// `HEARTH_BLESS=1` writes the columns of tests anew.
#[test]
fn the_tables_of_conformance_and_the_tests_agree() {
    let cited = citations();
    let mut wrong = Vec::new();
    for (path, series) in TABLES {
        if !root().join(path).exists() {
            continue;
        }
        if std::env::var_os("HEARTH_BLESS").is_some() {
            bless(path, series, &cited);
        }
        let cited = cited.iter().filter(|(id, _)| is_of(id, series)).map(|(id, by)| (id.as_str(), by));
        wrong.extend(disagreements(&table(path, series), &cited.collect()));
    }
    assert!(wrong.is_empty(), "{}\n(HEARTH_BLESS=1 writes the last columns anew)", wrong.join("\n"));
}

/// What is wrong with a table, a line each.
fn disagreements(table: &BTreeMap<String, Row>, cited: &BTreeMap<&str, &BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, row) in table {
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
        let by = cited.get(id.as_str());
        for path in &row.tested {
            if !by.is_some_and(|by| by.contains(path)) {
                wrong.push(format!("{path} does not cite {id}"));
            }
        }
    }
    for (id, by) in cited {
        if !table.contains_key(*id) {
            wrong.push(format!("{id} is in no row, but cited by {by:?}"));
        }
    }
    wrong
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

/// The tests that docs/security.md names, as `FILE::TEST`, exist; those of conversations as `FILE#TITLE`. Each row of
/// its threat model names one at least.
#[test]
fn the_page_on_security_names_tests_that_exist() {
    let page = read("docs/security.md");
    let mut wrong = Vec::new();
    let spans: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let is_file = |file: &str| file.starts_with("tests/") || file.starts_with("src/");
    for span in &spans {
        if let Some((file, name)) = span.split_once("::").filter(|(file, _)| is_file(file)) {
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            let there = text.contains(&format!("fn {name}(")) || text.contains(&format!("def {name}("));
            if !there {
                wrong.push(format!("no test {span}"));
            }
        } else if let Some((file, title)) = span.split_once('#').filter(|(file, _)| is_file(file)) {
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            if !text.lines().any(|line| line.strip_prefix("== ") == Some(title)) {
                wrong.push(format!("no conversation {span}"));
            }
        }
    }
    let (_, model) = page.split_once("## Threat model").expect("the heading");
    let (model, _) = model.split_once("\n## ").expect("the next heading");
    let mut rows = 0;
    for line in model.lines().filter(|line| line.starts_with("| ")) {
        let cells = cells(line);
        let [who, what, _, tests] = &cells[..] else { panic!("not four cells: {line}") };
        if who == "who" || who.starts_with("---") {
            continue;
        }
        rows += 1;
        let named = tests.split('`').skip(1).step_by(2);
        if named.filter(|span| is_file(span) && span.contains("::") || span.contains('#')).count() == 0 {
            wrong.push(format!("no test shows what stops {who}: {what}"));
        }
    }
    assert!(rows >= 20, "{rows} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every fuzz target has its corpus, and a row on the page on security; and nothing else does.
#[test]
fn every_fuzz_target_has_a_corpus_and_a_row() {
    let targets: BTreeSet<String> =
        hearth::fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folders = std::fs::read_dir(root().join("fuzz/corpus")).unwrap();
    let folders: BTreeSet<String> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders, targets);
    let page = read("docs/security.md");
    let (_, fuzzing) = page.split_once("## Fuzzing").expect("the heading");
    let rows: BTreeSet<String> = fuzzing
        .lines()
        .filter_map(|line| cells(line).first()?.strip_prefix('`')?.strip_suffix('`').map(str::to_owned))
        .collect();
    assert_eq!(rows, targets);
}

/// What a fuzzer keeps, and what it has found, is tried by every run of the tests.
#[test]
fn every_input_of_the_corpora_keeps_its_promise() {
    for (name, target) in hearth::fuzz::TARGETS {
        for entry in std::fs::read_dir(root().join("fuzz/corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            assert!(std::panic::catch_unwind(|| target(&input)).is_ok(), "{}", path.display());
        }
    }
}
