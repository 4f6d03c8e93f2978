//! Writing: exact octets, and that what is written is read as the same command.

use hearth::clock::Date;
use hearth::simp::command::{
    Challenge, Command, Granted, Ima, Message, Note, OneWay, Parties, Presence, Reply, Request, State,
    Version,
};
use hearth::simp::object::{Object, Scratch};
use hearth::simp::write;

fn ima(text: &str) -> Ima<'_> {
    Ima::parse(text).unwrap()
}

fn parties() -> Parties<'static> {
    Parties { to: ima("bob@example.net"), from: ima("alice@example.org") }
}

fn presence(online: Option<i64>) -> Presence<'static> {
    Presence {
        regarding: ima("bob@example.net"),
        status: if online.is_some() { State::Online } else { State::Offline },
        online: online.map(Date),
        message: "R&D <\u{e9}>\r\n",
    }
}

const CHALLENGE: Challenge<'_> =
    Challenge { nonce: "n", opaque: "o", algorithm: "MD5", host: "im.example.org", port: 7468 };

/// What a function writes: one line.
fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before\n".to_vec();
    write(&mut out);
    let text = String::from_utf8(out).unwrap().split_off(7);
    assert!(text.ends_with("</properties>\n") && text.matches("<properties>").count() == 1, "{text:?}");
    text
}

/// A request that is read as it was written.
#[track_caller]
fn request(expected: Request<'_>, write: impl FnOnce(&mut Vec<u8>)) {
    let text = line(write);
    let mut scratch = Scratch::new();
    let Ok(Command::Request { id: "42", request, .. }) =
        Command::read(text.trim_end().as_bytes(), &mut scratch)
    else {
        panic!("{text}")
    };
    assert_eq!(request, expected);
}

#[track_caller]
fn reply(expected: Reply<'_>, write: impl FnOnce(&mut Vec<u8>)) {
    let text = line(write);
    let mut scratch = Scratch::new();
    let Ok(Command::Reply { id: "a&b", reply }) = Command::read(text.trim_end().as_bytes(), &mut scratch)
    else {
        panic!("{text}")
    };
    assert_eq!(reply, expected);
}

#[track_caller]
fn one_way(expected: OneWay<'_>, write: impl FnOnce(&mut Vec<u8>)) {
    let text = line(write);
    let mut scratch = Scratch::new();
    assert_eq!(Command::read(text.trim_end().as_bytes(), &mut scratch), Ok(Command::OneWay(expected)));
}

#[test]
fn every_request_is_read_as_written() {
    // SIMP-3.6-1, SIMP-5.1-1, SIMP-5.2-1, SIMP-5.3-1, SIMP-5.4-1, SIMP-5.5-1, SIMP-6.1-1, SIMP-6.2-1,
    // SIMP-7.1-1, SIMP-7.2-3, SIMP-8.1-1, SIMP-9.1-1, SIMP-10.1-1
    for reply_to in [None, Some(ima("team@example.org"))] {
        let message =
            Message { parties: parties(), reply_to, content_type: "text/plain; a=\"b\"", body: " ]]>\r\n\t" };
        request(Request::Send(message), |out| write::send(out, 42, &message));
    }
    request(Request::Fetch(parties()), |out| write::fetch(out, 42, &parties()));
    for duration in [0, -1, i64::MAX, i64::MIN] {
        let expected = Request::Subscribe { parties: parties(), duration };
        request(expected, |out| write::subscribe(out, 42, &parties(), duration));
    }
    let expected = Request::Unsubscribe { parties: parties(), opaque: "o" };
    request(expected, |out| write::unsubscribe(out, 42, &parties(), "o"));
    request(Request::Inquire(parties()), |out| write::inquire(out, 42, &parties()));
    for online in [None, Some(0), Some(1_767_605_400_000)] {
        let note = Note { parties: parties(), presence: presence(online) };
        request(Request::NoteChange(note), |out| {
            let mut entries = Vec::new();
            write::note_entries(&mut entries, note.parties.from, &note.presence);
            write::note_change(out, 42, note.parties.to, &entries);
        });
        request(Request::NoteSubscriptionEnd(note), |out| write::note_subscription_end(out, 42, &note));
    }
    for algorithms in [None, Some("PLAIN SHA-256 MD5")] {
        request(Request::Login { user: "al", algorithms }, |out| write::login(out, 42, "al", algorithms));
    }
    let version = Version { major: 1, minor: 10 };
    let expected = Request::Connect { authorization: "OZ==", opaque: "o", version };
    request(expected, |out| write::connect(out, 42, "OZ==", "o", version));
    request(Request::GetProfile, |out| write::get_profile(out, 42));
    request(Request::GetAcl, |out| write::get_acl(out, 42));
    let expected = Request::DropSubscription { subscriber: ima("a@b") };
    request(expected, |out| write::drop_subscription(out, 42, ima("a@b")));
}

#[test]
fn every_reply_is_read_as_written() {
    // SIMP-3.6-2, SIMP-5.1-6, SIMP-5.2-3, SIMP-5.2-5, SIMP-5.3-5, SIMP-5.3-6, SIMP-5.3-7, SIMP-7.1-2
    reply(Reply::Okay { message: "okay", unreliable: None }, |out| write::okay(out, "a&b", "okay"));
    reply(Reply::Error { message: "" }, |out| write::error(out, "a&b", ""));
    for online in [None, Some(5)] {
        let presence = presence(online);
        for subscription in [None, Some(Granted { duration: 86_400_000, opaque: "o" })] {
            let expected = Reply::Describe { presence, subscription };
            reply(expected, |out| write::describe(out, "a&b", &presence, subscription));
        }
    }
    let expected =
        Reply::Challenge { challenge: CHALLENGE, min_version: Version::V1_0, max_version: Version::V1_0 };
    reply(expected, |out| write::challenge(out, "a&b", &CHALLENGE));
}

#[test]
fn every_one_way_command_is_read_as_written() {
    // SIMP-6.3-1, SIMP-6.4-1, SIMP-6.5-1
    let subscriber = ima("a@b");
    one_way(OneWay::NoteSubscription { subscriber }, |out| write::note_subscription(out, "a@b"));
    one_way(OneWay::NoteSubscriptionLapse { subscriber }, |out| write::note_subscription_lapse(out, "a@b"));
    one_way(OneWay::Divert(CHALLENGE), |out| write::divert(out, &CHALLENGE));
}

#[test]
fn profiles_and_lists_are_written_whole() {
    // SIMP-3.7-2, SIMP-3.7-8, SIMP-7.2-5, SIMP-8.1-1, SIMP-8.2-1, SIMP-9.1-1, SIMP-9.2-1
    let entries = [("message", "in the lab"), ("@spam.example", ""), ("a\"b", "<properties>\n</properties>")];
    let written: [(&str, String); 3] = [
        ("set profile", line(|out| write::set_profile(out, 1, entries))),
        ("set acl", line(|out| write::set_acl(out, 1, entries))),
        ("self", line(|out| write::own(out, "1", entries))),
    ];
    for (action, text) in written {
        let mut scratch = Scratch::new();
        let found = match Command::read(text.trim_end().as_bytes(), &mut scratch).unwrap() {
            Command::Request { id: "1", request: Request::SetProfile(e) | Request::SetAcl(e), .. } => e,
            Command::Reply { id: "1", reply: Reply::Own(e) } => e,
            other => panic!("{other:?}"),
        };
        assert_eq!(found.iter().map(|e| (e.key, e.value)).collect::<Vec<_>>(), entries, "{action}");
        assert!(text.contains(&format!(">{action}<")));
    }
}

#[test]
fn exact_octets() {
    // SIMP-3.5-7, OC-24, OC-26, OC-27
    assert_eq!(
        line(|out| write::okay(out, "2", "delivered")),
        "<properties><entry key=\"action\">okay</entry><entry key=\"response\">2</entry>\
         <entry key=\"message\">delivered</entry></properties>\n"
    );
    assert_eq!(
        line(|out| write::subscribe(out, u64::MAX, &parties(), i64::MIN)),
        "<properties><entry key=\"action\">subscribe</entry><entry key=\"request\">18446744073709551615</entry>\
         <entry key=\"to\">bob@example.net</entry><entry key=\"from\">alice@example.org</entry>\
         <entry key=\"duration\">-9223372036854775808</entry></properties>\n"
    );
    assert_eq!(
        line(|out| write::object(out, [("k\"'<&>\t\n\r", "v\"'<&>\t\n\r]]>"), ("", "")])),
        "<properties><entry key=\"k&quot;'&lt;&amp;&gt;&#9;&#10;&#13;\">v\"'&lt;&amp;&gt;\t\n&#13;]]&gt;</entry>\
         <entry key=\"\"></entry></properties>\n"
    );
    assert_eq!(
        line(|out| write::object(out, [("\u{0}", "a\u{b}b\u{fffe}c\u{ffff}\u{fffd}\u{ff21}\u{7f}\u{1f}")])),
        "<properties><entry key=\"\u{fffd}\">a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}\u{ff21}\u{7f}\u{fffd}</entry></properties>\n"
    );
}

#[test]
fn a_relayed_request_keeps_all_but_its_identifier() {
    // SIMP-3.6-5, SIMP-5.1-3, OC-64
    let data = "<properties>\n<entry key='action'>send</entry><!-- x --><entry key='request'>7</entry>\
                <entry  key='thread'>&#x41;&lt;</entry ><entry key=\"body\"><![CDATA[<b>]]></entry>\
                <entry key='x'>a\r\nb</entry><entry key='to' >ben@b.test</entry>\
                <entry key='from'>ANA@a.test</entry></properties>";
    let mut scratch = Scratch::new();
    let object = Object::parse(data.as_bytes(), &mut scratch).unwrap();
    let mut entries = Vec::new();
    let parties = Parties { to: Ima::parse("ben@b.test").unwrap(), from: Ima::parse("ana@a.test").unwrap() };
    write::relayed_entries(&mut entries, &object, &parties);
    assert_eq!(
        line(|out| write::relay(out, 99, &entries)),
        "<properties><entry key=\"request\">99</entry><entry key='action'>send</entry>\
         <entry  key='thread'>&#x41;&lt;</entry ><entry key=\"body\">&lt;b&gt;</entry>\
         <entry key=\"x\">a\nb</entry><entry key='to' >ben@b.test</entry>\
         <entry key=\"from\">ana@a.test</entry></properties>\n"
    );
}
