//! Help, and what is not understood.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::house::hearth_in;

const COMMANDS: &[&[&str]] = &[
    &["demo"],
    &["init"],
    &["serve"],
    &["user", "add"],
    &["user", "del"],
    &["user", "passwd"],
    &["user", "list"],
    &["user", "show"],
    &["user", "lock"],
    &["user", "unlock"],
    &["user", "set"],
    &["user", "key", "add"],
    &["user", "key", "list"],
    &["user", "key", "del"],
    &["peer", "list"],
    &["peer", "allow"],
    &["peer", "deny"],
    &["peer", "forget"],
    &["peer", "test"],
    &["status"],
    &["check"],
    &["backup"],
    &["send"],
];

#[test]
fn every_command_teaches_itself_by_an_example() {
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().chain(&["--help"]).copied().collect();
        let help = hearth_in(Path::new("/"), &args, "").ok();
        let example = format!("hearth {}", command.join(" "));
        let examples = help.split("Example").nth(1).unwrap_or_else(|| panic!("no example in {help}"));
        let shown = examples.contains(&example) || examples.contains(" serve") && *command == ["serve"];
        assert!(shown, "no `{example}` in {examples}");
    }
    let top = hearth_in(Path::new("/"), &["--help"], "").ok();
    for command in COMMANDS {
        assert!(top.contains(&format!("\n  {}", command[0])), "{} in {top}", command[0]);
    }
}

#[test]
fn nothing_said_gives_help_and_is_not_a_success() {
    let ran = hearth_in(Path::new("/"), &[], "");
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("hearth demo --once"), "{}", ran.err);
}

#[test]
fn what_is_not_understood_is_one_line_and_status_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["statu"], "unrecognized subcommand 'statu'; a similar subcommand exists: 'status'"),
        (&["user", "add"], "the following required arguments were not provided: <ADDRESS>"),
        (&["user", "add", "a b@example.org"], "the part before '@' is not a user name"),
        (&["user", "add", "alice@-x"], "the part after '@' is not a domain name"),
        (&["user", "set", "alice", "watchers=some"], "settings are watchers=refuse|ask|allow"),
        (&["user", "key", "add", "alice", ""], "a label has 1 to 64 printable characters"),
        (&["user", "key", "add", "alice", "\u{202e}x"], "a label has 1 to 64 printable characters"),
        (&["init", "--domain", "a b"], "not a domain name"),
        (&["init", "--domain", "a.test", "--bind", "localhost"], "invalid value 'localhost'"),
        (&["init", "--domain", "a.test", "--key", "k.pem"], "--certificate <FILE>"),
        (&["peer", "deny", "a@b.test"], "not a domain name"),
        (&["demo", "--twice"], "unexpected argument '--twice' found"),
    ];
    for (args, what) in cases {
        let line = hearth_in(Path::new("/"), args, "").refused(2);
        assert!(line.contains(what), "{args:?}: {line}");
        assert!(line.ends_with("`--help` tells how it is used"), "{line}");
    }
}

#[test]
fn the_version_is_told() {
    let said = hearth_in(Path::new("/"), &["--version"], "").ok();
    assert_eq!(said, format!("hearth {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_who_has_had_enough_is_no_failure_and_a_full_disk_is() {
    let run = |out: Stdio| {
        let output = Command::new(env!("CARGO_BIN_EXE_hearth"))
            .args(["init", "--domain", "a.test"])
            .current_dir(tempfile::tempdir().unwrap().path())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run(writer.into()), (Some(0), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (status, said) = run(full.into());
    assert_eq!(status, Some(1));
    assert!(said.starts_with("hearth: not all could be written to stdout: No space"), "{said}");
}
