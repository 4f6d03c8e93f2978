//! Which configuration is used, and what its mistakes are answered with.

use std::fs;
use std::process::Command;

use crate::house::{House, hearth_in};

#[test]
fn a_mistake_is_named_by_file_and_line() {
    let house = House::new();
    let file = house.path("hearth.toml");
    let text = fs::read_to_string(&file).unwrap().replacen("address ", "adress ", 1);
    let line = 1 + text.lines().position(|l| l.starts_with("adress")).unwrap();
    fs::write(&file, text).unwrap();
    for command in [&["serve"][..], &["user", "list"], &["check"], &["status"]] {
        assert_eq!(
            house.run(command).refused(1),
            format!("hearth.toml:{line}: unknown key \"adress\" in [[listen]]: did you mean \"address\"?")
        );
    }
}

#[test]
fn it_is_found_by_option_then_environment_then_folder() {
    let (a, b, c) = (House::new(), House::new(), House::new());
    a.add("alice");
    b.add("bob");
    c.add("carol");
    let list = |option: bool, environment: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
        command.current_dir(c.path(".")).env_remove("HEARTH_CONFIG");
        if option {
            command.arg("--config").arg(a.path("hearth.toml"));
        }
        if environment {
            command.env("HEARTH_CONFIG", b.path("hearth.toml"));
        }
        String::from_utf8(command.args(["user", "list"]).output().unwrap().stdout).unwrap()
    };
    assert_eq!(list(true, true), "alice@example.org\n");
    assert_eq!(list(false, true), "bob@example.org\n");
    assert_eq!(list(false, false), "carol@example.org\n");
}

#[test]
fn none_at_all_says_how_to_make_one() {
    if std::path::Path::new("/etc/hearth/hearth.toml").exists() {
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    let line = hearth_in(empty.path(), &["user", "list"], "").refused(1);
    assert!(line.contains("hearth init --domain"), "{line}");
    let line = hearth_in(empty.path(), &["--config", "x.toml", "user", "list"], "").refused(1);
    assert!(line.starts_with("x.toml: no such file"), "{line}");
    let line = hearth_in(empty.path(), &["--config", "/dev/zero", "user", "list"], "").refused(1);
    assert!(line.starts_with("/dev/zero: longer than"), "{line}");
}
