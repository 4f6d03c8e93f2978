//! Commands: their patterns, the types of their values, and what is not one.

use hearth::limits;
use hearth::simp::command::{Command, Ima, Reply, Request, Version};
use hearth::simp::object::{BadObject, Concerns, Fault, Key, Scratch};

use crate::object;

/// What a command is, in short; or its fault and whom that concerns.
fn judge(entries: &[(&str, &str)]) -> Result<&'static str, (Fault, String)> {
    let data = object(entries);
    let mut scratch = Scratch::new();
    match Command::read(&data, &mut scratch) {
        Ok(Command::Request { request: Request::Unrecognized, .. }) => Ok("unrecognized"),
        Ok(Command::Request { .. }) => Ok("request"),
        Ok(Command::Reply { .. }) => Ok("reply"),
        Ok(Command::OneWay(_)) => Ok("one-way"),
        Ok(Command::Ignored) => Ok("ignored"),
        Err(BadObject::Malformed(m)) => {
            let concerns = match m.concerns {
                Concerns::Request(id) => format!("request {id}"),
                Concerns::Response(id) => format!("response {id}"),
                Concerns::Nobody => "nobody".to_owned(),
            };
            Err((m.fault, concerns))
        }
        Err(BadObject::Stream(bad)) => panic!("{bad}"),
    }
}

/// A command of the draft: its class, its action, and its required and its bracketed entries.
type Row = (&'static str, &'static str, &'static [(Key, &'static str)], &'static [(Key, &'static str)]);

const TO: (Key, &str) = (Key::To, "bob@example.net");
const FROM: (Key, &str) = (Key::From, "alice@example.org");
const REGARDING: (Key, &str) = (Key::Regarding, "bob@example.net");
const STATUS: (Key, &str) = (Key::Status, "online");
const MESSAGE: (Key, &str) = (Key::Message, "");
const ONLINE: (Key, &str) = (Key::Online, "1767605400000");
const OPAQUE: (Key, &str) = (Key::Opaque, "x");
const NONCE: (Key, &str) = (Key::Nonce, "n");
const ALGORITHM: (Key, &str) = (Key::Algorithm, "MD5");
const HOST: (Key, &str) = (Key::Host, "im.example.org");
const PORT: (Key, &str) = (Key::Port, "7468");
const SUBSCRIBER: (Key, &str) = (Key::Subscriber, "carol@example.com");

const COMMANDS: &[Row] = &[
    // SIMP-5.1-1, SIMP-4.3-1
    (
        "request",
        "send",
        &[TO, FROM, (Key::Type, "text/plain"), (Key::Body, "hi")],
        &[(Key::ReplyTo, "team@example.org")],
    ),
    // SIMP-5.2-1, SIMP-4.3-1
    ("request", "fetch", &[TO, FROM], &[]),
    // SIMP-5.3-1, SIMP-5.3-4, SIMP-4.3-1
    ("request", "subscribe", &[TO, FROM, (Key::Duration, "-1")], &[]),
    // SIMP-5.4-1, SIMP-4.3-1
    ("request", "unsubscribe", &[TO, FROM, OPAQUE], &[]),
    // SIMP-5.5-1
    ("request", "inquire", &[TO, FROM], &[]),
    // SIMP-6.1-1
    ("request", "note change", &[TO, FROM, REGARDING, STATUS, MESSAGE], &[ONLINE]),
    // SIMP-6.2-1
    ("request", "note subscription end", &[TO, FROM, REGARDING, STATUS, MESSAGE], &[ONLINE]),
    // SIMP-7.1-1
    ("request", "login", &[(Key::User, "alice")], &[(Key::Algorithms, "SHA-256 MD5")]),
    // SIMP-7.2-3
    ("request", "connect", &[(Key::Authorization, "OZ=="), OPAQUE, (Key::Version, "1.0")], &[]),
    // SIMP-8.1-1, SIMP-8.2-1, SIMP-9.1-1, SIMP-9.2-1
    ("request", "get profile", &[], &[]),
    ("request", "set profile", &[], &[MESSAGE]),
    ("request", "get acl", &[], &[]),
    ("request", "set acl", &[], &[]),
    // SIMP-10.1-1
    ("request", "drop subscription", &[SUBSCRIBER], &[]),
    // SIMP-5.1-6, SIMP-6.1-5, SIMP-6.2-6
    ("reply", "okay", &[MESSAGE], &[]),
    ("reply", "error", &[MESSAGE], &[]),
    // SIMP-5.2-3, SIMP-5.2-4, SIMP-5.2-5, SIMP-5.2-6
    ("reply", "describe", &[REGARDING, STATUS, MESSAGE], &[ONLINE]),
    // SIMP-5.3-5, SIMP-5.3-6, SIMP-5.3-7
    ("reply", "describe", &[REGARDING, STATUS, MESSAGE, (Key::Duration, "60000"), OPAQUE], &[ONLINE]),
    // SIMP-7.1-2
    (
        "reply",
        "challenge",
        &[NONCE, OPAQUE, ALGORITHM, (Key::MinVersion, "1.0"), (Key::MaxVersion, "1.0"), HOST, PORT],
        &[],
    ),
    ("reply", "self", &[], &[MESSAGE]),
    // SIMP-6.3-1, SIMP-6.4-1
    ("one-way", "note subscription", &[SUBSCRIBER], &[]),
    ("one-way", "note subscription lapse", &[SUBSCRIBER], &[]),
    // SIMP-6.5-1
    ("one-way", "divert", &[NONCE, OPAQUE, ALGORITHM, HOST, PORT], &[]),
];

/// The entries of a command of this class, but for those in the pattern, and whom its faults concern.
fn frame_of(class: &'static str, action: &'static str) -> (Vec<(&'static str, &'static str)>, String) {
    match class {
        "request" => (vec![("action", action), ("request", "17")], "request 17".to_owned()),
        "reply" => (vec![("action", action), ("response", "17")], "response 17".to_owned()),
        _ => (vec![("action", action)], "nobody".to_owned()),
    }
}

#[test]
fn patterns() {
    // SIMP-3.3-1, SIMP-3.6-1, SIMP-3.6-2, SIMP-4.2.2-1, SIMP-4.2.2-3, SIMP-4.2.2-4
    for (class, action, required, bracketed) in COMMANDS {
        let (base, concerns) = frame_of(class, action);
        let with = |keys: &[(Key, &'static str)]| {
            let mut entries = base.clone();
            entries.extend(keys.iter().map(|(key, value)| (key.as_str(), *value)));
            entries
        };
        assert_eq!(judge(&with(required)), Ok(*class), "{action}");
        assert_eq!(judge(&with(&[*required, *bracketed].concat())), Ok(*class), "{action}, all");
        let mut extra = with(required);
        extra.extend([("thread", "x"), ("port of call", "70000"), ("", "")]);
        assert_eq!(judge(&extra), Ok(*class), "{action}, more than its pattern");
        extra.reverse();
        assert_eq!(judge(&extra), Ok(*class), "{action}, in another order");
        for (i, (key, _)) in required.iter().enumerate() {
            let mut less = required.to_vec();
            less.remove(i);
            assert_eq!(judge(&with(&less)), Err((Fault::Missing(*key), concerns.clone())), "{action}");
        }
    }
    assert_eq!(COMMANDS.iter().filter(|row| row.0 == "request").count(), 14);
    assert_eq!(COMMANDS.iter().filter(|row| row.0 == "one-way").count(), 3);
}

/// Values that fit the type of a key, and values that do not.
fn values(key: Key) -> (Vec<String>, Vec<String>) {
    let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let long = |local: usize, domain: usize| format!("{}@{}", "l".repeat(local), "d".repeat(domain));
    match key {
        // SIMP-4.2.1.2-1, SIMP-4.2.1.2-2, OC-22, OC-25
        Key::To | Key::From | Key::ReplyTo | Key::Regarding | Key::Subscriber => {
            let mut good = texts(&["a@b", "a.b+c@d.e", "zo\u{eb}@example.org", "o'neill@b"]);
            let mut bad = texts(&[
                "",
                "a",
                "@",
                "@b",
                "a@",
                "a@b@c",
                " a@b",
                "a@b ",
                "a b@c",
                "<a@b>",
                "A <a@b>",
                "\"a\"@b",
                "a(c)@b",
                "a@[127.0.0.1]",
                "a@b,c@d",
                "a\n@b",
                "mailto:a@b",
            ]);
            good.push(long(64, 255));
            bad.extend([long(65, 1), long(1, 256)]);
            (good, bad)
        }
        // SIMP-4.2.1.3-1, OC-21, OC-25
        Key::Duration => (
            texts(&["0", "-0", "1", "-1", "007", "9223372036854775807", "-9223372036854775808"]),
            texts(&[
                "",
                "-",
                "+1",
                " 1",
                "1 ",
                "1.0",
                "1e3",
                "0x1",
                "\u{661}",
                "--1",
                "9223372036854775808",
                "-9223372036854775809",
                "1m",
            ]),
        ),
        // SIMP-4.2.1.4-1, OC-21, OC-70
        Key::Online => (
            texts(&["0", "1767605400000", "0001"]),
            texts(&["", "-1", "+1", "Mon, 05 Jan 2026 09:30:00 GMT", "9223372036854775808", "1 "]),
        ),
        // SIMP-4.2.1.5-1
        Key::Port => (
            texts(&["1", "7468", "65535", "07468"]),
            texts(&["", "0", "-1", "65536", "2147483648", "4294974764", "7468 ", "simp"]),
        ),
        // SIMP-4.2.1.6-1
        Key::Status => (
            texts(&["online", "offline"]),
            texts(&["", "Online", "OFFLINE", "away", "online ", " offline", "onlineoffline"]),
        ),
        // SIMP-4.2.1.7-1, SIMP-5.1-4
        Key::Type => (
            texts(&[
                "text/plain",
                "TEXT/HTML",
                "application/vnd.a+xml",
                "text/plain; charset=utf-8",
                "text/plain;charset=\"a \\\" b\" ; format=flowed",
                "*/*",
            ]),
            texts(&[
                "",
                "text",
                "text/",
                "/plain",
                "text/plain/x",
                "text /plain",
                " text/plain",
                "text/plain ",
                "text/plain;",
                "text/plain; charset",
                "text/plain; =x",
                "text/plain; a=\"b",
                "t\u{e9}xt/plain",
                "text/plain, text/html",
            ]),
        ),
        // SIMP-4.2.1.8-1, SIMP-4.2.1.8-2, OC-23, OC-25
        Key::Version | Key::MinVersion | Key::MaxVersion => (
            texts(&["1.0", "0.9", "1.10", "0.0", "65535.65535"]),
            texts(&[
                "", "1", "1.", ".1", "01.0", "1.00", "1.01", "1.0.0", "1.-1", "+1.0", "1. 0", " 1.0", "1.0 ",
                "65536.0", "1.65536", "a.b", "1,0",
            ]),
        ),
        // SIMP-4.2.1.1-1
        _ => (texts(&["", " ", "\n", "\u{1F600} <&>'\" ]]>"]), Vec::new()),
    }
}

#[test]
fn types() {
    // SIMP-4.2.2-2, SIMP-4.2.2-3
    for (class, action, required, bracketed) in COMMANDS {
        let all = [*required, *bracketed].concat();
        for (i, (key, _)) in all.iter().enumerate() {
            let (good, bad) = values(*key);
            for (value, fits) in good.iter().map(|v| (v, true)).chain(bad.iter().map(|v| (v, false))) {
                let (mut entries, concerns) = frame_of(class, action);
                entries.extend(all.iter().map(|(key, value)| (key.as_str(), *value)));
                let at = entries.len() - all.len() + i;
                let mut entries: Vec<(&str, &str)> = entries;
                entries[at].1 = value;
                let expected = if fits { Ok(*class) } else { Err((Fault::Value(*key), concerns)) };
                assert_eq!(judge(&entries), expected, "{action}: {} {value:?}", key.as_str());
            }
        }
    }
}

#[test]
fn versions_are_compared_number_by_number() {
    // SIMP-4.2.1.8-1, OC-18
    let version = |text| Version::parse(text).unwrap();
    assert!(version("1.10") > version("1.9") && version("2.0") > version("1.65535"));
    assert!(version("0.9") < Version::V1_0);
}

#[test]
fn addresses_are_kept_as_they_came() {
    // SIMP-4.2.1.2-1: canonical form is for whoever resolves them
    assert_eq!(Ima::parse("Alice@Example.ORG").unwrap().as_str(), "Alice@Example.ORG");
}

#[test]
fn identifiers() {
    // SIMP-3.6-1, SIMP-3.6-2, SIMP-3.6-7, OC-30, OC-61
    let longest = "i".repeat(limits::SEQUENCE_ID);
    for id in ["1", "", " x ", "-9223372036854775808", "\u{1F600}&<", &longest] {
        let data = object(&[("action", "get acl"), ("request", id)]);
        let mut scratch = Scratch::new();
        let Ok(Command::Request { id: found, .. }) = Command::read(&data, &mut scratch) else {
            panic!("{id}")
        };
        assert_eq!(found, id);
        let data = object(&[("action", "okay"), ("response", id), ("message", "")]);
        let Ok(Command::Reply { id: found, .. }) = Command::read(&data, &mut scratch) else { panic!("{id}") };
        assert_eq!(found, id);
    }
    let longer = longest + "i";
    let too_large = Err((Fault::TooLarge, format!("request {longer}")));
    assert_eq!(judge(&[("action", "get acl"), ("request", &longer)]), too_large);
    let both = Err((Fault::BothIds, "request 1".to_owned()));
    assert_eq!(judge(&[("action", "okay"), ("message", ""), ("request", "1"), ("response", "2")]), both);
}

#[test]
fn what_is_no_command() {
    // SIMP-3.3-1, OC-28
    assert_eq!(judge(&[]), Err((Fault::NoAction, "nobody".to_owned())));
    assert_eq!(judge(&[("to", "a@b")]), Err((Fault::NoAction, "nobody".to_owned())));
    assert_eq!(judge(&[("request", "1")]), Err((Fault::NoAction, "request 1".to_owned())));
    assert_eq!(judge(&[("response", "1")]), Err((Fault::NoAction, "response 1".to_owned())));
    // SIMP-3.3-1, OC-61: a request form that gives no identifier is ignored
    for (class, action, required, _) in COMMANDS.iter().filter(|row| row.0 != "one-way") {
        let mut entries = vec![("action", *action)];
        entries.extend(required.iter().map(|(key, value)| (key.as_str(), *value)));
        assert_eq!(judge(&entries), Ok("ignored"), "{class} {action}");
    }
}

#[test]
fn what_is_not_recognized() {
    // SIMP-11-1, OC-60
    for action in
        ["", "shout", "Send", "send ", "set  profile", "get ACL", "okay", "divert", "note subscription"]
    {
        assert_eq!(judge(&[("action", action), ("request", "1")]), Ok("unrecognized"), "{action:?}");
    }
    assert_eq!(judge(&[("action", "shout")]), Ok("ignored"));
    // SIMP-6.1-7: such a reply is none, and the request has failed
    for action in ["", "send", "ok", "Okay", "divert"] {
        let failed = Err((Fault::Value(Key::Action), "response 1".to_owned()));
        assert_eq!(judge(&[("action", action), ("response", "1"), ("message", "")]), failed, "{action:?}");
    }
}

#[test]
fn describe_has_both_parts_of_a_subscription_or_none() {
    // SIMP-5.3-6, SIMP-5.3-7
    let base = [
        ("action", "describe"),
        ("response", "17"),
        ("regarding", "a@b"),
        ("status", "offline"),
        ("message", "x"),
    ];
    let data = object(&base);
    let mut scratch = Scratch::new();
    let Ok(Command::Reply { reply: Reply::Describe { subscription: None, presence }, .. }) =
        Command::read(&data, &mut scratch)
    else {
        panic!("not a describe")
    };
    assert_eq!((presence.online, presence.message), (None, "x"));
    let mut one: Vec<_> = base.to_vec();
    one.push(("duration", "1"));
    assert_eq!(judge(&one), Err((Fault::Missing(Key::Opaque), "response 17".to_owned())));
    let mut other: Vec<_> = base.to_vec();
    other.push(("opaque", "1"));
    assert_eq!(judge(&other), Err((Fault::Missing(Key::Duration), "response 17".to_owned())));
}

#[test]
fn sizes_of_commands() {
    // OC-30: over a limit of a value the answer is `error`
    let send = |body: &str| {
        judge(&[
            ("action", "send"),
            ("request", "1"),
            ("to", "a@b"),
            ("from", "c@d"),
            ("type", "text/plain"),
            ("body", body),
        ])
    };
    let too_large = Err((Fault::TooLarge, "request 1".to_owned()));
    assert_eq!(send(&"x".repeat(limits::BODY)), Ok("request"));
    assert_eq!(send(&"x".repeat(limits::BODY + 1)), too_large);

    let half = "x".repeat(limits::PROFILE / 2 - 1);
    let profile = |extra: &str| {
        judge(&[("action", "set profile"), ("request", "1"), ("a", &half), ("b", &half), ("c", extra)])
    };
    assert_eq!(profile(""), Err((Fault::TooLarge, "request 1".to_owned())));
    let half = &half[..half.len() - 1];
    let profile = |extra: &str| {
        judge(&[("action", "set profile"), ("request", "1"), ("a", half), ("b", half), ("c", extra)])
    };
    assert_eq!(profile(""), Ok("request"));
    assert_eq!(profile("xx"), too_large);
}

#[test]
fn faults_have_a_text() {
    // OC-62
    for (fault, text) in [
        (Fault::TooLarge, "too large"),
        (Fault::Duplicate, "malformed command: a key occurs twice"),
        (Fault::NoAction, "malformed command: there is no 'action'"),
        (Fault::BothIds, "malformed command: both 'request' and 'response'"),
        (Fault::Missing(Key::ReplyTo), "malformed command: there is no 'reply to'"),
        (Fault::Value(Key::Port), "malformed command: 'port' has no proper value"),
    ] {
        assert_eq!(fault.to_string(), text);
    }
}
