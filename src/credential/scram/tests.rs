//! Both ends against RFC 7677's octets, against each other, and against whoever says something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::credential::{Cost, PasswordRecord, Secret};

// RFC 7677 3
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn keys(password: &str) -> Keys {
    let mut salts = [0; 32];
    salts[16..].copy_from_slice(&STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap());
    Keys::of(&PasswordRecord::with_cost(password, salts, Cost::LEAST).unwrap()).unwrap()
}

fn challenged() -> Box<Exchange> {
    ClientFirst::parse(CLIENT_FIRST, false, None).unwrap().challenge(&keys("pencil"), SERVER_NONCE).0
}

/// A whole exchange; the client's end has verified the server's.
fn login(
    user: &str,
    password: &str,
    keys: &Keys,
    binding: Binding<'_>,
    plus: bool,
    ours: Option<&[u8]>,
) -> Result<ClientFirst, SaslError> {
    let (mut client, first) = Client::start(user, secret(password), "cnonce", binding)?;
    let parsed = ClientFirst::parse(&first, plus, ours)?;
    let (exchange, challenge) = parsed.clone().challenge(keys, "snonce");
    let last = exchange.answer(&client.respond(&challenge)?)?;
    client.verify(Some(&last))?;
    Ok(parsed)
}

#[test]
fn the_exchange_of_rfc_7677_octet_for_octet() {
    // RFC 7677 3: the server's end
    let first = ClientFirst::parse(CLIENT_FIRST, false, None).unwrap();
    assert_eq!((&*first.user, first.authzid.as_deref()), ("user", None));
    let (exchange, challenge) = first.challenge(&keys("pencil"), SERVER_NONCE);
    assert_eq!(challenge, SERVER_FIRST);
    assert_eq!(exchange.answer(CLIENT_FINAL).unwrap(), SERVER_FINAL);
    // and the client's
    let start = || Client::start("user", secret("pencil"), CLIENT_NONCE, Binding::None).unwrap();
    let (mut client, first) = start();
    assert_eq!(first, CLIENT_FIRST);
    assert_eq!(client.respond(SERVER_FIRST).unwrap(), CLIENT_FINAL);
    client.verify(Some(SERVER_FINAL)).unwrap();
    // Server-final as one more challenge is answered with nothing, before an ok without data.
    let (mut client, _) = start();
    client.respond(SERVER_FIRST).unwrap();
    assert_eq!(client.respond(SERVER_FINAL).unwrap(), b"");
    client.verify(None).unwrap();
    client.verify(Some(b"")).unwrap();
}

#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike() {
    // TOC-24
    let wrong = login("user", "pencils", &keys("pencil"), Binding::None, false, None);
    assert_eq!(wrong, Err(SaslError::Proof));
    let decoy = Keys::decoy(&[7; 32], "nobody@a.test");
    assert_eq!(login("user", "pencil", &decoy, Binding::None, false, None), Err(SaslError::Proof));
}

#[test]
fn a_decoy_looks_like_a_real_user_and_is_the_same_each_time() {
    // TOC-24
    let real = Keys::of(&PasswordRecord::make("pencil", [1; 32]).unwrap()).unwrap();
    let decoy = |secret: u8, user| {
        let first = ClientFirst::parse(CLIENT_FIRST, false, None).unwrap();
        let (_, challenge) = first.challenge(&Keys::decoy(&[secret; 32], user), SERVER_NONCE);
        String::from_utf8(challenge).unwrap()
    };
    let one = decoy(1, "a@a.test");
    assert_eq!(one, decoy(1, "a@a.test"));
    assert_ne!(one, decoy(1, "b@a.test"));
    assert_ne!(one, decoy(2, "a@a.test"));
    let (_, challenge) =
        ClientFirst::parse(CLIENT_FIRST, false, None).unwrap().challenge(&real, SERVER_NONCE);
    let shape = |text: &str| text.split(',').map(str::len).collect::<Vec<_>>();
    assert_eq!(shape(&one), shape(std::str::from_utf8(&challenge).unwrap()));
    assert_eq!(one.rsplit_once(',').unwrap().1, "i=100000");
}

#[test]
fn a_channel_is_bound() {
    // RFC 5802 6, RFC 5929 4, TOC-18
    let keys = keys("pencil");
    let attempt = |binding, plus, ours| login("user", "pencil", &keys, binding, plus, ours).map(|_| ());
    let (ours, other) = (Some(&[1_u8; 32][..]), [2_u8; 32]);
    assert_eq!(attempt(Binding::EndPoint(&[1; 32]), true, ours), Ok(()));
    assert_eq!(attempt(Binding::EndPoint(&other), true, ours), Err(SaslError::Binding));
    // A client that can't bind needn't.
    assert_eq!(attempt(Binding::None, false, ours), Ok(()));
    assert_eq!(attempt(Binding::NotOffered, false, None), Ok(()));
    // One that could, and was not told of PLUS, has been lied to.
    assert_eq!(attempt(Binding::NotOffered, false, ours), Err(SaslError::Downgrade));
    assert_eq!(attempt(Binding::NotOffered, true, ours), Err(SaslError::Downgrade));
    // The flag and the mechanism must go together.
    assert_eq!(attempt(Binding::None, true, ours), Err(SaslError::BindingFlag));
    assert_eq!(attempt(Binding::EndPoint(&[1; 32]), false, ours), Err(SaslError::BindingFlag));
    assert_eq!(attempt(Binding::EndPoint(&[1; 32]), true, None), Err(SaslError::BindingFlag));
    let unique = ClientFirst::parse(b"p=tls-unique,,n=u,r=x", true, ours);
    assert_eq!(unique, Err(SaslError::BindingType));
}

#[test]
fn what_the_client_has_said_of_the_channel_can_t_be_changed_on_the_way() {
    // RFC 5802 6: `c=` repeats the header
    let (mut client, first) = Client::start("user", secret("pencil"), "c", Binding::NotOffered).unwrap();
    let changed = String::from_utf8(first).unwrap().replacen("y,,", "n,,", 1);
    let parsed = ClientFirst::parse(changed.as_bytes(), false, Some(&[1; 32])).unwrap();
    let (exchange, challenge) = parsed.challenge(&keys("pencil"), "s");
    assert_eq!(exchange.answer(&client.respond(&challenge).unwrap()), Err(SaslError::Binding));
}

#[test]
fn names_are_decoded_and_prepared() {
    // RFC 5802 5.1: `=2C`, `=3D`, SASLprep; TOC-21
    let parse = |text: &str| ClientFirst::parse(text.as_bytes(), false, None);
    let first = parse("n,a=x=3D=2Cy,n=a=2Cb=3D2C\u{2168},r=x").unwrap();
    assert_eq!((&*first.user, first.authzid.as_deref()), ("a,b=2CIX", Some("x=,y")));
    for bad in ["n,,n=a=,r=x", "n,,n=a=2c,r=x", "n,,n==3,r=x", "n,,n=a=\u{e9},r=x", "n,,n=\u{ad},r=x"] {
        assert_eq!(parse(bad), Err(SaslError::Name), "{bad}");
    }
    let name = "Zo\u{eb},=\u{1f980}";
    let parsed = login(name, "pencil", &keys("pencil"), Binding::None, false, None).unwrap();
    assert_eq!(&*parsed.user, name);
    assert!(matches!(Client::start("", secret("x"), "n", Binding::None), Err(SaslError::Name)));
}

#[test]
fn what_is_no_client_first_is_refused() {
    // RFC 5802 5, 7
    let cases: [(&[u8], SaslError); 18] = [
        (b"", SaslError::Malformed),
        (b"n", SaslError::Malformed),
        (b"n,,", SaslError::Malformed),
        (b"x,,n=u,r=x", SaslError::Malformed),
        (b"F,n,,n=u,r=x", SaslError::Malformed),
        (b"p=,,n=u,r=x", SaslError::Malformed),
        (b"n,u,n=u,r=x", SaslError::Malformed),
        (b"n,a=,n=u,r=x", SaslError::Name),
        (b"n,,r=x,n=u", SaslError::Malformed),
        (b"n,,n=u", SaslError::Malformed),
        (b"n,,n=,r=x", SaslError::Malformed),
        (b"n,,n=u,r=", SaslError::Malformed),
        (b"n,,n=u,r=a b", SaslError::Malformed),
        (b"n,,n=u,r=x,y", SaslError::Malformed),
        (b"n,,n=u\0,r=x", SaslError::Malformed),
        (b"n,,n=\xff,r=x", SaslError::Malformed),
        // A mandatory extension, at its place and elsewhere.
        (b"n,,m=1,n=u,r=x", SaslError::Extension),
        (b"n,,n=u,r=x,m=1", SaslError::Extension),
    ];
    for (bad, why) in cases {
        assert_eq!(ClientFirst::parse(bad, false, None), Err(why), "{}", String::from_utf8_lossy(bad));
    }
    assert!(ClientFirst::parse(b"n,,n=u,r=x,q=1,z=a=b", false, None).is_ok(), "others are passed over");
    let long = [b"n,,n=u,r=".as_slice(), &[b'x'; 4096]].concat();
    assert_eq!(ClientFirst::parse(&long, false, None), Err(SaslError::Malformed));
}

#[test]
fn what_is_no_client_final_is_refused() {
    // RFC 5802 5.1, 7
    let right = std::str::from_utf8(CLIENT_FINAL).unwrap();
    let refused =
        |message: &str, why| assert_eq!(challenged().answer(message.as_bytes()), Err(why), "{message}");
    refused("", SaslError::Malformed);
    refused(&right.replace(",p=", ",q="), SaslError::Malformed);
    refused(&right.replace("c=biws,", ""), SaslError::Malformed);
    refused(&right.replace("biws", "eSws"), SaslError::Binding);
    refused(&right.replace("k0,p=", "k1,p="), SaslError::Nonce);
    refused(&right.replace("k0,p=", "k0,m=1,p="), SaslError::Extension);
    refused(&right.replace("VQ=", "VQ"), SaslError::Malformed);
    refused(&right.replace("p=dHz", "p=dHzbZ"), SaslError::Malformed);
    refused(&right.replace("p=dHz", "p=dHa"), SaslError::Proof);
    // An extension is signed like the rest: slipped in, it breaks the proof.
    refused(&right.replace("k0,p=", "k0,x=1,p="), SaslError::Proof);
}

#[test]
fn a_client_does_not_believe_a_server_that_does_not_know_him() {
    // RFC 5802 5: the client checks nonce and signature; 5.1
    let begun = || Client::start("user", secret("pencil"), CLIENT_NONCE, Binding::None).unwrap().0;
    let right = std::str::from_utf8(SERVER_FIRST).unwrap();
    let refused =
        |challenge: &str, why| assert_eq!(begun().respond(challenge.as_bytes()), Err(why), "{challenge}");
    refused(&right.replace("r=rOp", "r=rOq"), SaslError::Nonce);
    refused(&right.replace(SERVER_NONCE, ""), SaslError::Nonce);
    refused(&right.replace("i=4096", "i=4095"), SaslError::Iterations);
    refused(&right.replace("i=4096", "i=10000001"), SaslError::Iterations);
    refused(&right.replace("i=4096", "i=99999999999"), SaslError::Iterations);
    refused(&right.replace("i=4096", "i=04096"), SaslError::Malformed);
    refused(&right.replace("i=4096", "i=+4096"), SaslError::Malformed);
    refused(&right.replace("s=W2", "s=W"), SaslError::Malformed);
    refused(&format!("m=1,{right}"), SaslError::Extension);
    let verdict = |last: Option<&[u8]>| {
        let mut client = begun();
        client.respond(SERVER_FIRST).unwrap();
        client.verify(last)
    };
    assert_eq!(verdict(None), Err(SaslError::Server));
    assert_eq!(verdict(Some(b"")), Err(SaslError::Malformed));
    assert_eq!(verdict(Some(b"e=invalid-proof")), Err(SaslError::Refused));
    assert_eq!(verdict(Some(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Err(SaslError::Server));
    assert_eq!(begun().verify(Some(SERVER_FINAL)), Err(SaslError::Server), "before any proof");
}

proptest! {
    #[test]
    fn any_octets_are_answered(octets: Vec<u8>, plus: bool) {
        let _ = ClientFirst::parse(&octets, plus, Some(&[1; 32]));
        let _ = challenged_once().answer(&octets);
        let (mut client, _) = Client::start("u", secret("p"), "n", Binding::None).unwrap();
        let _ = client.verify(Some(&octets));
    }

    #[test]
    fn any_name_arrives(name in "[^\\p{Cc}\u{ad}\u{340}-\u{10ffff}]{1,40}") {
        let Ok((_, first)) = Client::start(&name, secret("p"), "n", Binding::None) else { return Ok(()) };
        let parsed = ClientFirst::parse(&first, false, None).unwrap();
        prop_assert_eq!(parsed.user, crate::credential::sasl::prepare_name(&name).unwrap());
    }
}

fn challenged_once() -> &'static Exchange {
    static ONCE: std::sync::OnceLock<Box<Exchange>> = std::sync::OnceLock::new();
    ONCE.get_or_init(challenged)
}
