//! Responses: what each method's answer has to have.

use hearth::imtp::Protocol::{Imtp, Pitp};
use hearth::imtp::command::{Fault, Response, unfolded};
use hearth::imtp::error_type::{ErrorType, Reason};
use hearth::imtp::message::Header;
use hearth::imtp::method::{Allowed, Method};

use crate::response;

#[test]
fn oks() {
    // PITP-15.4-2, PITP-15.5-2, PITP-15.11-3, COMMON-14.1-11, IMTP-16.2-13, TOC-37, TOC-38, TOC-48, TOC-72, X15, X21
    for method in Method::ALL {
        let protocol = if method.is_of(Imtp) { Imtp } else { Pitp };
        let with = format!("<1 ok ({})\nContent-Length: 2\n\nhi", method.as_str());
        let without = format!("<1 ok ({})\n\n", method.as_str());
        response(&with, method, protocol, |read| {
            let Ok(Response::Ok(okay)) = read else { panic!("{read:?}") };
            let there = method.ok_payload() != Allowed::No;
            assert_eq!(okay.payload.map(|p| p.octets), there.then_some(&b"hi"[..]), "{method:?}");
        });
        response(&without, method, protocol, |read| match read {
            Ok(Response::Ok(okay)) => {
                assert!(okay.payload.is_none() && method.ok_payload() != Allowed::Must);
            }
            other => assert!(
                matches!(other, Err(Fault::NoPayload)) && method.ok_payload() == Allowed::Must,
                "{method:?}: {other:?}"
            ),
        });
    }
    response("<1 ok (send)\nUnreliable: b.example\nContent-Length: 0\n\n", Method::Send, Imtp, |read| {
        let Ok(Response::Ok(okay)) = read else { panic!("{read:?}") };
        assert_eq!((okay.unreliable, okay.payload.unwrap().octets), (Some("b.example"), &b""[..]));
    });
    response("<1 ok (listen)\nUnreliable: b.example\n\n", Method::Listen, Imtp, |read| {
        assert!(matches!(read, Ok(Response::Ok(okay)) if okay.unreliable.is_none()));
    });
}

#[test]
fn lists() {
    // PITP-15.7-2, PITP-15.10-3
    let text = "<1 ok (get-class)\nWpattern: presence:*\nX: y\nWpattern:\n *\n\n";
    response(text, Method::GetClass, Pitp, |read| {
        let Ok(Response::Ok(okay)) = read else { panic!("{read:?}") };
        assert_eq!(okay.patterns().collect::<Vec<_>>(), ["presence:*", "*"]);
    });
    let text = "<1 ok (start-wi)\nSubscription: K3/a@b\nSubscription: /c@d\n\n";
    response(text, Method::StartWi, Pitp, |read| {
        let Ok(Response::Ok(okay)) = read else { panic!("{read:?}") };
        assert_eq!(okay.subscriptions().map(|s| s.id).collect::<Vec<_>>(), [Some("K3"), None]);
    });
    response("<1 ok (start-wi)\nSubscription: x\n\n", Method::StartWi, Pitp, |read| {
        assert!(matches!(read, Err(Fault::Value(Header::Subscription))));
    });
}

#[test]
fn errors() {
    // COMMON-12-1, COMMON-12-2, COMMON-12-3, COMMON-14.1-12, COMMON-14.1-13, COMMON-14.1-14, G1, TOC-48
    for known in ErrorType::ALL {
        let text = format!("<1 error (send)\nError-Type: {known}\nContent-Length: 2\n\nhi");
        response(&text, Method::Send, Imtp, |read| {
            let Ok(Response::Error(failure)) = read else { panic!("{read:?}") };
            assert_eq!((failure.reason, failure.challenge), (Reason::Known(known), None));
        });
        assert_eq!(ErrorType::of(known.as_str()), Some(known));
    }
    for (value, reason) in [
        ("Loop", Some(Reason::Other("Loop"))),
        ("x-1", Some(Reason::Other("x-1"))),
        ("a b", None),
        ("", None),
    ] {
        response(
            &format!("<1 nrror (send)\nError-Type: {value}\n\n"),
            Method::Send,
            Imtp,
            |read| match read {
                Ok(Response::Error(failure)) => assert_eq!(Some(failure.reason), reason),
                read => assert!(
                    reason.is_none() && matches!(read, Err(Fault::Value(Header::ErrorType))),
                    "{value}"
                ),
            },
        );
    }
    response("<1 error (send)\n\n", Method::Send, Imtp, |read| {
        assert!(matches!(read, Err(Fault::Missing(Header::ErrorType))));
    });
    let challenge = "<1 error (auth)\nError-Type: sasl-challenge\n";
    response(&format!("{challenge}Content-Length: 0\n\n"), Method::Auth, Imtp, |read| {
        assert!(matches!(read, Ok(Response::Error(failure)) if failure.challenge == Some(b"")));
    });
    for (rest, fault) in [
        ("\n", Fault::NoPayload),
        ("Content-Type: text/plain\nContent-Length: 0\n\n", Fault::Value(Header::ContentType)),
    ] {
        response(&format!("{challenge}{rest}"), Method::Auth, Imtp, |read| {
            assert_eq!(read.err(), Some(fault))
        });
    }
    let text = "<1 error (send)\nError-Type: loop\nError-Description: a\n\t b\n  c\n\n";
    response(text, Method::Send, Imtp, |read| {
        let Ok(Response::Error(failure)) = read else { panic!("{read:?}") };
        assert_eq!(unfolded(failure.description.unwrap()), "a b c");
    });
    assert!(ErrorType::Resources.is_temporary() && !ErrorType::Loop.is_temporary());
}

#[test]
fn not_the_answer() {
    // COMMON-10-8, TOC-36, TOC-39
    response("<1 ok (send)\n\n", Method::Listen, Imtp, |read| assert!(matches!(read, Err(Fault::Response))));
    response(">1 send\n\n", Method::Send, Imtp, |read| assert!(matches!(read, Err(Fault::Response))));
    response("<1 ok (send)\nX\n\n", Method::Send, Imtp, |read| assert!(matches!(read, Err(Fault::Line))));
    response("<1 ok (send)\nX: \u{0}\n\n", Method::Send, Imtp, |read| {
        assert!(matches!(read, Err(Fault::Text)))
    });
}

#[test]
fn numbers_of_our_commands() {
    // COMMON-10-18: identifiers are compared octet by octet
    for (id, number) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("07", None),
        ("00", None),
        ("7a", None),
        ("x", None),
    ] {
        crate::with(format!("<{id} ok (send)\r\n\r\n").as_bytes(), |message| {
            assert_eq!(message.start().number(), number, "{id}");
        });
    }
}

#[test]
fn names_are_found_as_they_are_spelt() {
    // COMMON-10-27, COMMON-10-28
    for header in Header::ALL {
        let name = header.as_str();
        assert_eq!(Header::of(name), Some(header));
        assert_eq!(Header::of(&name.to_lowercase()), None);
        assert_eq!(Header::of(&name[..name.len() - 1]), None);
        let same_length = format!("{}~", &name[..name.len() - 1]);
        assert_eq!(Header::of(&same_length), None);
    }
    assert_eq!(Header::of(""), None);
    for method in Method::ALL {
        assert_eq!(Method::of(method.as_str()), Some(method));
    }
}
