//! The worked examples of a login, of requests out of order, and of a profile, octet by octet.

use hearth::clock::Date;
use hearth::simp::command::{Command, Ima, Message, OneWay, Parties, Reply, Request, Version};
use hearth::simp::object::{Key, Object, Scratch};

use crate::framing::frame;

const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

const LOGIN: &str = r#"<?xml version="1.0"?>
<stream>
<properties><entry key="action">login</entry><entry key="request">1</entry><entry key="user">alice</entry></properties>
</stream>
"#;

const CHALLENGE: &str = r#"<?xml version="1.0"?>
<stream>
<properties>
<entry key="action">challenge</entry>
<entry key="response">1</entry>
<entry key="nonce">7f3a9c51e0b24d68</entry>
<entry key="opaque">s-41d0</entry>
<entry key="algorithm">MD5</entry>
<entry key="min version">1.0</entry>
<entry key="max version">1.0</entry>
<entry key="host">im.example.org</entry>
<entry key="port">7468</entry>
</properties>
</stream>
"#;

/// Two outstanding requests, answered out of order; the client's objects are 0, 2 and 3.
const REQUESTS: &str = r#"<properties><entry key="action">connect</entry><entry key="request">1</entry>
 <entry key="authorization">OZj9/qxoYz93hRSA3X/2yg==</entry><entry key="opaque">s-41d0</entry><entry key="version">1.0</entry></properties>
<properties><entry key="action">self</entry><entry key="response">1</entry><entry key="message">Alice, R&amp;D</entry></properties>
<properties><entry key="action">send</entry><entry key="request">2</entry><entry key="to">bob@example.net</entry><entry key="from">alice@example.org</entry>
 <entry key="reply to">team@example.org</entry><entry key="type">text/plain</entry><entry key="body">3 &lt; 4 &amp; lunch?</entry></properties>
<properties><entry key="action">get acl</entry><entry key="request">3</entry></properties>
<properties><entry key="action">self</entry><entry key="response">3</entry><entry key="everybody">send change end</entry></properties>
<properties><entry key="action">okay</entry><entry key="response">2</entry><entry key="message">delivered</entry></properties>
"#;

const SET_PROFILE: &str = "<properties><entry key='action'>set profile</entry><entry key='request'>9</entry><entry key='message'>in the lab</entry>
<entry key='buddies'>&lt;?xml version=&quot;1.0&quot;?&gt;
&lt;properties&gt;&lt;entry key=&apos;Team&apos;&gt;bob@example.net carol@example.com&lt;/entry&gt;&lt;/properties&gt;
</entry></properties>
";

#[test]
fn login() {
    // SIMP-3.1-3, SIMP-3.3-1, SIMP-3.5-1, SIMP-3.5-2, SIMP-3.5-4, SIMP-3.6-1, SIMP-7.1-1
    let pieces = frame(LOGIN);
    assert!(pieces.opened && pieces.ended && pieces.objects.len() == 1);
    let mut scratch = Scratch::new();
    let Ok(Command::Request { id, request, .. }) = Command::read(pieces.objects[0].as_bytes(), &mut scratch)
    else {
        panic!("not a request")
    };
    assert_eq!((id, request), ("1", Request::Login { user: "alice", algorithms: None }));
}

#[test]
fn challenge() {
    // SIMP-3.6-2, SIMP-7.1-2, SIMP-7.1-8
    let pieces = frame(CHALLENGE);
    assert!(pieces.opened && pieces.ended && pieces.objects.len() == 1);
    let mut scratch = Scratch::new();
    let Ok(Command::Reply { id, reply }) = Command::read(pieces.objects[0].as_bytes(), &mut scratch) else {
        panic!("not a reply")
    };
    let Reply::Challenge { challenge, min_version, max_version } = reply else { panic!("not a challenge") };
    assert_eq!(id, "1");
    assert_eq!(
        (challenge.nonce, challenge.opaque, challenge.algorithm),
        ("7f3a9c51e0b24d68", "s-41d0", "MD5")
    );
    assert_eq!((challenge.host, challenge.port), ("im.example.org", 7468));
    assert_eq!((min_version, max_version), (Version::V1_0, Version::V1_0));
}

#[test]
fn requests_and_replies() {
    // SIMP-3.6-3, SIMP-3.6-4, SIMP-3.6-5, SIMP-5-3, SIMP-5.1-4, SIMP-5.1-5, SIMP-7.2-3, SIMP-7.2-5, SIMP-9.1-1
    let pieces = frame(&format!("{HEADER}{REQUESTS}"));
    assert_eq!((pieces.objects.len(), pieces.ended, pieces.broken), (6, false, None));
    let mut scratch: Vec<Scratch> = (0..6).map(|_| Scratch::new()).collect();
    let commands: Vec<Command<'_>> = pieces
        .objects
        .iter()
        .zip(&mut scratch)
        .map(|(object, scratch)| Command::read(object.as_bytes(), scratch).unwrap())
        .collect();
    let request = |i: usize| match commands[i] {
        Command::Request { id, request, .. } => (id, request),
        other => panic!("{other:?}"),
    };
    let reply = |i: usize| match commands[i] {
        Command::Reply { id, reply } => (id, reply),
        other => panic!("{other:?}"),
    };
    let connect = Request::Connect {
        authorization: "OZj9/qxoYz93hRSA3X/2yg==",
        opaque: "s-41d0",
        version: Version { major: 1, minor: 0 },
    };
    assert_eq!(request(0), ("1", connect));
    let ("1", Reply::Own(profile)) = reply(1) else { panic!("{:?}", reply(1)) };
    assert_eq!(profile.iter().map(|e| (e.key, e.value)).collect::<Vec<_>>(), [("message", "Alice, R&D")]);
    let ima = |text| Ima::parse(text).unwrap();
    let send = Request::Send(Message {
        parties: Parties { to: ima("bob@example.net"), from: ima("alice@example.org") },
        reply_to: Some(ima("team@example.org")),
        content_type: "text/plain",
        body: "3 < 4 & lunch?",
    });
    assert_eq!(request(2), ("2", send));
    assert_eq!(request(3), ("3", Request::GetAcl));
    let ("3", Reply::Own(acl)) = reply(4) else { panic!("{:?}", reply(4)) };
    assert_eq!(acl.find("everybody"), Some("send change end"));
    assert_eq!((acl.find("action"), acl.find("response"), acl.iter().count()), (None, None, 1));
    assert_eq!(reply(5), ("2", Reply::Okay { message: "delivered", unreliable: None }));
}

#[test]
fn profile_with_buddies() {
    // SIMP-3.2-6, SIMP-3.2-7, SIMP-3.7-2, SIMP-3.7-3, SIMP-3.7-5, SIMP-3.7-6, SIMP-3.7-7, SIMP-3.7-8, SIMP-8.2-1
    let pieces = frame(&format!("{HEADER}{SET_PROFILE}</stream>"));
    let mut scratch = Scratch::new();
    let Ok(Command::Request { id: "9", request: Request::SetProfile(profile), .. }) =
        Command::read(pieces.objects[0].as_bytes(), &mut scratch)
    else {
        panic!("not a set profile")
    };
    let entries: Vec<_> = profile.iter().map(|e| (e.key, e.value)).collect();
    let buddies = "<?xml version=\"1.0\"?>\n<properties><entry key='Team'>bob@example.net carol@example.com</entry></properties>\n";
    assert_eq!(entries, [("message", "in the lab"), ("buddies", buddies)]);
    let mut scratch = Scratch::new();
    let groups = Object::parse_document(buddies, &mut scratch).unwrap();
    assert_eq!(groups.find("Team"), Some("bob@example.net carol@example.com"));
}

#[test]
fn dates_are_milliseconds() {
    // SIMP-4.2.1.4-1: 2026-01-05T09:30:00Z
    let data = crate::object(&[
        ("action", "describe"),
        ("response", "1"),
        ("regarding", "a@b"),
        ("status", "online"),
        ("online", "1767605400000"),
        ("message", ""),
    ]);
    let mut scratch = Scratch::new();
    let Ok(Command::Reply { reply: Reply::Describe { presence, .. }, .. }) =
        Command::read(&data, &mut scratch)
    else {
        panic!("not a describe")
    };
    assert_eq!(presence.online, Some(Date(1_767_605_400_000)));
}

#[test]
fn one_way_commands_carry_no_identifier() {
    // SIMP-6.3-1
    let data = crate::object(&[("action", "note subscription"), ("subscriber", "a@b")]);
    let mut scratch = Scratch::new();
    let subscriber = Ima::parse("a@b").unwrap();
    assert_eq!(
        Command::read(&data, &mut scratch),
        Ok(Command::OneWay(OneWay::NoteSubscription { subscriber }))
    );
    assert!(Object::parse(&data, &mut Scratch::new()).unwrap().get(Key::Request).is_none());
}
