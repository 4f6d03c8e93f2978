//! Users, keys and peers' rules on the database itself, with no server running.

use serde_json::{Value, json};

use crate::house::House;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_user_comes_changes_and_goes() {
    let house = House::new();
    house.add("Alice");
    house.add("bob@example.org");
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org\nbob@example.org\n");
    house.run(&["user", "lock", "ALICE@EXAMPLE.ORG"]).ok();
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org  locked\nbob@example.org\n");
    house.run(&["user", "unlock", "alice"]).ok();
    house.run(&["user", "set", "alice", "watchers=allow", "messages=keep"]).ok();
    let shown = json_of(&house.run(&["user", "show", "alice", "--json"]).ok());
    assert_eq!(shown["address"], "alice@example.org");
    assert_eq!(
        (&shown["locked"], &shown["watchers"], &shown["messages"]),
        (&json!(false), &json!("allow"), &json!("keep"))
    );
    assert!(house.run(&["user", "show", "alice"]).ok().contains("watchers    allow\n"));
    house.run_with(&["user", "passwd", "alice", "--password-stdin"], "another horse\n").ok();
    house.run(&["user", "del", "alice"]).ok();
    let list = json_of(&house.run(&["user", "list", "--json"]).ok());
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["address"], "bob@example.org");
}

#[test]
fn who_cannot_be_named_in_imtp_and_pitp_is_told_so() {
    let house = House::new();
    let ran = house.run_with(&["user", "add", "j\u{fc}rgen", "--password-stdin"], "x\n");
    assert_eq!(
        ran.err,
        "hearth: j\u{fc}rgen@example.org can use SIMP only: IMTP and PITP have ASCII names and no others\n"
    );
    assert_eq!(ran.status, 0);
    assert_eq!(house.run(&["user", "list"]).ok(), "j\u{fc}rgen@example.org\n");
}

#[test]
fn no_users_are_an_empty_list() {
    let house = House::new();
    assert_eq!(house.run(&["user", "list"]).ok(), "");
    assert_eq!(json_of(&house.run(&["user", "list", "--json"]).ok()), json!([]));
}

#[test]
fn a_user_who_can_not_be_is_refused() {
    let house = House::new();
    house.add("alice");
    let add = |who: &str| house.run_with(&["user", "add", who, "--password-stdin"], "x\n").refused(1);
    assert!(add("ALICE").contains("alice@example.org exists already"));
    // SIMP-4.2.1.2-3
    assert!(add("Notifier").contains("notifier is reserved for servers"));
    assert!(
        add("alice@example.net")
            .contains("example.net is no domain of this server, which serves example.org")
    );
    for command in ["del", "show", "lock", "unlock"] {
        let line = house.run(&["user", command, "nobody"]).refused(1);
        assert!(line.starts_with("there is no user nobody@example.org"), "{line}");
    }
    let passwd = house.run_with(&["user", "passwd", "nobody", "--password-stdin"], "x\n").refused(1);
    assert!(passwd.starts_with("there is no user nobody@example.org"), "{passwd}");
}

#[test]
fn a_password_must_be_given() {
    let house = House::new();
    let no_terminal = house.run(&["user", "add", "alice"]).refused(2);
    assert!(no_terminal.contains("use --password-stdin"), "{no_terminal}");
    for nothing in ["", "\n"] {
        let line = house.run_with(&["user", "add", "alice", "--password-stdin"], nothing).refused(1);
        assert!(line.contains("stdin has no password"), "{line}");
    }
    assert_eq!(house.run(&["user", "list"]).ok(), "");
}

#[test]
fn a_device_key_is_shown_once_alone() {
    let house = House::new();
    house.add("alice");
    let key = house.run(&["user", "key", "add", "alice", "phone"]).ok();
    assert!(
        key.ends_with('\n') && key.trim_end().len() >= 26 && !key.trim_end().contains(char::is_whitespace),
        "{key}"
    );
    let other = house.run(&["user", "key", "add", "alice", "laptop"]).ok();
    assert_ne!(key, other);
    let twice = house.run(&["user", "key", "add", "alice", "phone"]).refused(1);
    assert!(twice.contains("has a key \"phone\" already"), "{twice}");
    let list = house.run(&["user", "key", "list", "alice"]).ok();
    assert!(list.contains("  phone\n") && list.contains("  laptop\n"), "{list}");
    assert!(!list.contains(key.trim_end()), "{list}");
    house.run(&["user", "key", "del", "alice", "phone"]).ok();
    let left = json_of(&house.run(&["user", "key", "list", "alice", "--json"]).ok());
    assert_eq!((left.as_array().unwrap().len(), &left[0]["label"]), (1, &json!("laptop")));
    let gone = house.run(&["user", "key", "del", "alice", "phone"]).refused(1);
    assert!(gone.contains("has no key \"phone\""), "{gone}");
    let nobody = house.run(&["user", "key", "add", "nobody", "phone"]).refused(1);
    assert!(nobody.starts_with("there is no user nobody@example.org"), "{nobody}");
}

#[test]
fn rules_about_peers_are_kept() {
    let house = House::new();
    house.run(&["peer", "deny", "Spam.example"]).ok();
    house.run(&["peer", "allow", "good.example"]).ok();
    assert_eq!(house.run(&["peer", "list"]).ok(), "allow  good.example\ndeny   spam.example\n");
    let list = json_of(&house.run(&["peer", "list", "--json"]).ok());
    assert_eq!(list["links"], Value::Null, "no server runs");
    assert_eq!(list["rules"][1], json!({ "domain": "spam.example", "rule": "deny" }));
    house.run(&["peer", "forget", "spam.example"]).ok();
    assert_eq!(house.run(&["peer", "list"]).ok(), "allow  good.example\n");
    let again = house.run(&["peer", "forget", "spam.example"]).refused(1);
    assert!(again.starts_with("there is no rule about spam.example"), "{again}");
    let own = house.run(&["peer", "deny", "example.org"]).refused(1);
    assert!(own.contains("is a domain of this server"), "{own}");
}

#[test]
fn a_backup_is_a_database() {
    let house = House::new();
    house.add("alice");
    house.run(&["backup", "copy.db"]).ok();
    house.run(&["user", "del", "alice"]).ok();
    let twice = house.run(&["backup", "copy.db"]).refused(1);
    assert!(twice.contains("copy.db exists already"), "{twice}");
    std::fs::rename(house.path("copy.db"), house.path("hearth.db")).unwrap();
    for left in ["hearth.db-wal", "hearth.db-shm"] {
        let _ = std::fs::remove_file(house.path(left));
    }
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org\n");
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    let key = house.path("hearth.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    for command in [&["user", "list"][..], &["serve"]] {
        let ran = house.run(command);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.err.contains("chmod 600 ./hearth.key"), "{ran:?}");
    }
    let checked = house.run(&["check"]);
    assert_eq!(checked.status, 1);
    assert!(checked.out.contains("wrong  the key file"), "{checked:?}");
}

#[test]
fn a_lost_key_file_is_renewed_at_the_cost_of_the_device_keys() {
    let house = House::new();
    house.add("alice");
    house.run(&["user", "key", "add", "alice", "phone"]).ok();
    std::fs::remove_file(house.path("hearth.key")).unwrap();
    let lost = house.run(&["user", "list"]).refused(1);
    assert!(lost.contains("see 'hearth user key renew'"), "{lost}");
    let renewed = house.run(&["user", "key", "renew"]).ok();
    assert!(renewed.ends_with("hearth.key is new; device keys taken away: 1\n"), "{renewed}");
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org\n");
    assert_eq!(house.run(&["user", "key", "list", "alice"]).ok(), "");
    house.run(&["user", "key", "add", "alice", "phone"]).ok();
}
