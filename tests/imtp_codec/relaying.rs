//! What a relay takes out of a message: headers to be passed on, and how far it can be trusted.

use hearth::imtp::Protocol::{Imtp, Pitp};
use hearth::imtp::command::{Command, Response};
use hearth::imtp::message::{Astrength, Message};
use hearth::imtp::method::{Method, Side};
use hearth::imtp::write::{self, Relayed};

use crate::{crlf, ours, with};

fn extras(message: &Message<'_>) -> String {
    let mut extras = Vec::new();
    message.copy_extras(&mut extras);
    String::from_utf8(extras).unwrap().replace("\r\n", "\n")
}

#[test]
fn unknown_headers_octet_for_octet() {
    // COMMON-8-1, COMMON-10-21, COMMON-10-22, TOC-41, TOC-49
    let unknown = "X-Mood: bright and\n    cheerful \t\nx:y\nX-Mood:again\nsender: x";
    let known = "Mapping: 1\nPresentity: ?\nError-Type: x\nWpattern: *";
    let text = format!(
        ">1 send\n{unknown}\nSender: a@b\n{known}\nInbox: c@d\nAStrength: weak\nContent-Length: 0\nX: \u{e9}\n\n"
    );
    with(&crlf(&text), |message| {
        assert_eq!(extras(message), format!("{unknown}\n{known}\nX: \u{e9}\n"));
        assert_eq!(message.extras().count(), 9);
    });
    let text = ">1 frobnicate\nSender: a@b\nX: y\n\n";
    with(&crlf(text), |message| assert_eq!(extras(message), "X: y\n"));
    let text = "<1 ok (change-notify)\nSender: a@b\nUnreliable: x\nError-Type: y\nX: z\n\n";
    with(&crlf(text), |message| assert_eq!(extras(message), "Sender: a@b\nError-Type: y\nX: z\n"));
}

#[test]
fn repeated_headers() {
    // COMMON-10-24, COMMON-10-25, TOC-42: the first counts at the next hop too
    let text = ">1 send
Sender: im:a@alpha.example
Sender: im:mallory@alpha.example
Inbox: im:c@d
Content-Type: text/plain
Content-Type: text/html
Visited: x
Visited: y
Content-Length: 2
Content-Length: 1
Inbox: im:e@f

hi";
    let onward = ">7 send
Sender: im:a@alpha.example
Inbox: im:c@d
Content-Type: text/plain
Sender: im:mallory@alpha.example
Content-Type: text/html
Inbox: im:e@f
Astrength: strong
Visited: x alpha.example
Content-Length: 2

hi";
    with(&crlf(text), |message| {
        let command = Command::parse(message, Imtp, Side::Client, &ours()).unwrap();
        let mut extras = Vec::new();
        message.copy_extras(&mut extras);
        let relayed =
            Relayed { astrength: Some(Astrength::Strong), extras: &extras, visited: Some("alpha.example") };
        let mut out = Vec::new();
        write::command(&mut out, 7, &command, &relayed);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&crlf(onward)));
        with(&out, |next| {
            assert_eq!(Command::parse(next, Imtp, Side::Peer, &ours()).unwrap().source(), command.source());
        });
    });
    let text = ">1 subscribe\nSubscription: /a@b\nSubscription: /c@d\nPresentity: e@f\nPresentity: g@h\n\n";
    with(&crlf(text), |message| assert_eq!(extras(message), "Subscription: /c@d\nPresentity: g@h\n"));
    let text = ">1 set-class\nPresentity: e@f\nMapping: 1\nWpattern: *\nWpattern: a@b\n\n";
    with(&crlf(text), |message| assert_eq!(extras(message), ""));
    let text = "<1 ok (start-wi)\nSubscription: /a@b\nSubscription: /c@d\n\n";
    with(&crlf(text), |message| assert_eq!(extras(message), ""));
}

#[test]
fn origins() {
    // IMTP-16.2-5, IMTP-16.2-6, IMTP-16.2-7, TOC-53: kept, with a scheme
    let text = ">1 send
Sender: a@b
Inbox: c@d
Orig-Sender: list@b
Orig-Inbox: im:c@d
Orig-Inbox:
  \"e f\"@d
Orig-Inbox: zephyr:g
Content-Length: 0

";
    with(&crlf(text), |message| {
        let kept =
            "Orig-Sender: im:list@b\nOrig-Inbox: im:c@d\nOrig-Inbox: im:\"e f\"@d\nOrig-Inbox: zephyr:g\n";
        assert_eq!(extras(message), kept);
    });
}

#[test]
fn astrength() {
    // COMMON-11.4-2, COMMON-11.4-7, TOC-50, TOC-51, X6, X7
    for (headers, expected) in [
        ("", Astrength::Strong),
        ("Astrength: strong\n", Astrength::Strong),
        ("Astrength: medium\n", Astrength::Medium),
        ("Astrength:weak\n", Astrength::Weak),
        ("Astrength:\n none\n", Astrength::None),
        ("Astrength: Medium\n", Astrength::None),
        ("Astrength:\n", Astrength::None),
        ("Astrength: strong weak\n", Astrength::None),
        ("AStrength: medium\n", Astrength::Medium),
        ("AStrength: weak\nAstrength: strong\n", Astrength::Weak),
        ("Astrength: medium\nAstrength: none\n", Astrength::Medium),
        ("ASTRENGTH: none\n", Astrength::Strong),
    ] {
        with(&crlf(&format!("<1 ok (listen)\n{headers}\n")), |message| {
            assert_eq!(message.astrength(), expected, "{headers}");
        });
    }
    assert!(Astrength::None < Astrength::Weak && Astrength::Weak < Astrength::Medium);
    assert!(Astrength::Medium < Astrength::Strong);
}

#[test]
fn errors_pass_unmodified() {
    // COMMON-11.2-1, COMMON-12-4, COMMON-12-5, COMMON-12-6, COMMON-12-7, IMTP-16.2-12, TOC-60, X3, X4, X8
    let text = "<1 error (send)
Error-Type: auth
Error-Description: kein Anschlu\u{df}
   unter dieser Nummer
Error-Originator: ~what? <this>
X: y

";
    with(&crlf(text), |message| {
        let Ok(Response::Error(failure)) = Response::parse(message, Method::Send, Imtp) else { panic!() };
        let mut extras = Vec::new();
        message.copy_extras(&mut extras);
        let mut out = Vec::new();
        let relayed = Relayed { astrength: Some(Astrength::Weak), extras: &extras, visited: None };
        write::error(&mut out, "1", "send", &failure, &relayed);
        let expected = text.replace("X: y\n", "X: y\nAstrength: weak\n");
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&crlf(&expected)));
    });
    let text = "<1 ok (change-notify)\nUnreliable: im:x@gateway.example\nAstrength: strong\n\n";
    with(&crlf(text), |message| {
        let Ok(Response::Ok(okay)) = Response::parse(message, Method::ChangeNotify, Pitp) else { panic!() };
        assert_eq!(okay.unreliable, Some("im:x@gateway.example"));
        assert_eq!(crate::examples::rewritten(message, Pitp, Side::Peer), crlf(text));
    });
}
