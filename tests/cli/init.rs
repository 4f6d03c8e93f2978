//! `hearth init`: what it writes, and what it does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::house::hearth_in;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        dir.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_makes_a_server_and_prints_its_records() {
    let room = tempfile::tempdir().unwrap();
    let args = ["init", "--domain", "A.test", "--dir", "A", "--bind", "127.0.0.2", "--dns", "127.0.0.1:5353"];
    let said = hearth_in(room.path(), &args, "").ok();
    let records: Vec<Vec<&str>> =
        said.lines().filter(|l| !l.starts_with(';')).map(|l| l.split_whitespace().collect()).collect();
    let srv = |owner, port| [owner, "3600", "IN", "SRV", "0", "5", port, "im.a.test."].to_vec();
    let wanted = [
        ["im.a.test.", "3600", "IN", "A", "127.0.0.2"].to_vec(),
        srv("_im-servers._tcp.a.test.", "4687"),
        srv("_presence-servers._tcp.a.test.", "7487"),
        // IMTP-6.1-1, PITP-6.1-1
        srv("_im-clients._tcp.a.test.", "4687"),
        srv("_presence-clients._tcp.a.test.", "7487"),
        srv("_simp._tcp.a.test.", "7467"),
    ];
    assert_eq!(records, wanted, "{said}");
    // A zone file: what is no record is a comment.
    for line in said.lines() {
        assert!(line.starts_with(';') || line.contains(" IN "), "{line}");
    }
    let dir = room.path().join("A");
    assert_eq!(names(&dir), ["hearth.db", "hearth.key", "hearth.toml"]);
    assert_eq!((mode(&dir.join("hearth.db")), mode(&dir.join("hearth.key"))), (0o600, 0o600));
    let text = fs::read_to_string(dir.join("hearth.toml")).unwrap();
    for part in [
        "\"a.test\"",
        "\"127.0.0.2:7467\"",
        "\"127.0.0.2:7468\"",
        "\"127.0.0.2:4687\"",
        "[\"127.0.0.1:5353\"]",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn it_makes_a_certificate_for_trying_things_out() {
    let room = tempfile::tempdir().unwrap();
    let said = hearth_in(room.path(), &["init", "--domain", "a.test", "--dev"], "").ok();
    assert_eq!(
        names(room.path()),
        ["fullchain.pem", "hearth.db", "hearth.key", "hearth.toml", "privkey.pem"]
    );
    assert_eq!(mode(&room.path().join("privkey.pem")), 0o600);
    for service in ["ims-servers", "presences-servers", "ims-clients", "presences-clients", "simps"] {
        assert!(said.contains(&format!("; _{service}._tcp.a.test. ")), "{said}");
    }
    let text = fs::read_to_string(room.path().join("hearth.toml")).unwrap();
    assert!(text.contains("\"127.0.0.1:7443\""), "{text}");
    let checked = hearth_in(room.path(), &["check"], "").out;
    assert!(checked.contains("ok     certificate fullchain.pem: names a.test\n"), "{checked}");
    assert!(!checked.contains("wrong  TLS"), "{checked}");
}

#[test]
fn it_overwrites_nothing() {
    let room = tempfile::tempdir().unwrap();
    let init = ["init", "--domain", "a.test"];
    hearth_in(room.path(), &init, "").ok();
    let before: Vec<Vec<u8>> =
        names(room.path()).iter().map(|n| fs::read(room.path().join(n)).unwrap()).collect();
    let line = hearth_in(room.path(), &init, "").refused(1);
    assert!(line.starts_with("./hearth.toml exists already"), "{line}");
    let after: Vec<Vec<u8>> =
        names(room.path()).iter().map(|n| fs::read(room.path().join(n)).unwrap()).collect();
    assert_eq!(before, after);
}

#[test]
fn it_leaves_nothing_behind_if_it_fails_half_way() {
    let room = tempfile::tempdir().unwrap();
    fs::create_dir(room.path().join("A")).unwrap();
    fs::write(room.path().join("A/hearth.db"), "mine").unwrap();
    let line = hearth_in(room.path(), &["init", "--domain", "a.test", "--dir", "A", "--dev"], "").refused(1);
    assert!(line.contains("hearth.db exists already"), "{line}");
    assert_eq!(names(&room.path().join("A")), ["hearth.db"]);
    assert_eq!(fs::read_to_string(room.path().join("A/hearth.db")).unwrap(), "mine");

    let args = ["init", "--domain", "b.test", "--dir", "B/deep", "--certificate", "c.pem", "--key", "k.pem"];
    let line = hearth_in(room.path(), &args, "").refused(1);
    assert!(line.contains("c.pem: cannot be read"), "{line}");
    assert_eq!(names(room.path()), ["A"]);
}

#[test]
fn data_may_live_elsewhere() {
    let room = tempfile::tempdir().unwrap();
    hearth_in(room.path(), &["init", "--domain", "a.test", "--dir", "etc", "--data-dir", "var"], "").ok();
    assert_eq!(names(&room.path().join("etc")), ["hearth.toml"]);
    assert_eq!(names(&room.path().join("var")), ["hearth.db", "hearth.key"]);
    assert_eq!(mode(&room.path().join("var")), 0o700);
    let list = hearth_in(room.path(), &["--config", "etc/hearth.toml", "user", "list"], "").ok();
    assert_eq!(list, "");
}

#[test]
fn a_folder_whose_path_leaves_no_room_for_the_control_socket_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let long = "x".repeat(100);
    let refused = hearth_in(room.path(), &["init", "--domain", "a.test", "--dir", &long], "");
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(format!("{refused:?}").contains("107 octets at most"), "{refused:?}");
    assert_eq!(names(room.path()), Vec::<String>::new(), "nothing is left behind");
}

#[test]
fn a_path_that_the_control_socket_can_not_have_is_found_before_the_server_is_started() {
    let room = tempfile::tempdir().unwrap();
    hearth_in(room.path(), &["init", "--domain", "a.test", "--dir", "A"], "").ok();
    let long = "d".repeat(120);
    fs::rename(room.path().join("A"), room.path().join(&long)).unwrap();
    let checked = hearth_in(room.path(), &["--config", &format!("{long}/hearth.toml"), "check"], "").out;
    assert!(checked.contains("too long for a Unix socket"), "{checked}");
}
