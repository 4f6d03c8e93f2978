//! What a configuration may say, and what each mistake is answered with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::federation::Protocol;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/hearth/hearth.toml")).map_err(|e| e.to_string())
}

/// A configuration that is right, and `more` below it.
fn with(more: &str) -> Result<Config, String> {
    parse(&format!(
        "domains = ['example.org']\ndata_dir = 'data'\n[[listen]]\nprotocol = 'simp'\naddress = '127.0.0.1:7467'\n{more}"
    ))
}

fn error(more: &str) -> String {
    let text = with(more).expect_err("this must be refused");
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

#[test]
fn the_sample_of_the_contract_loads() {
    let config = parse(
        r#"
domains  = ["example.org"]
data_dir = "/var/lib/hearth"       # hearth.db, hearth.key, control.sock

[[listen]]
protocol = "simp"                  # simp imtp pitp sip msrp tls (ALPN) metrics
address  = "127.0.0.1:7467"
# tls = true                       # direct TLS on this port;   transport = "udp" for sip

[tls]
certificate = "fullchain.pem"
key = "privkey.pem"
# ca = "extra-roots.pem"

[dns]
# nameservers = ["127.0.0.1:5353"] # default: the system's

[federation]
# order = ["imtp", "simp", "sip"]
# require = "strong"               # strong | medium

[[peer]]                           # by hand, ahead of DNS
domain = "lab.example"
protocol = "imtp"
address = "127.0.0.2:4687"
"#,
    )
    .unwrap();
    assert_eq!(config.domains.default_domain().unwrap().as_str(), "example.org");
    assert_eq!(config.database(), Path::new("/var/lib/hearth/hearth.db"));
    assert_eq!(config.key_file(), Path::new("/var/lib/hearth/hearth.key"));
    assert_eq!(config.control_socket(), Path::new("/var/lib/hearth/control.sock"));
    assert_eq!(config.listen[0].address, "127.0.0.1:7467".parse().unwrap());
    assert_eq!(config.tls.unwrap().certificate, Path::new("/etc/hearth/fullchain.pem"));
    assert_eq!(config.federation.require, Strength::Medium);
    assert!(config.federation.open);
    let place = config.peers[0].place;
    assert_eq!((place.protocol, place.tls, place.address.port()), (Protocol::Imtp, false, 4687));
    assert_eq!(config.federation.order, [Family::Imtp, Family::Simp]);
}

#[test]
fn the_example_file_loads_and_says_all_there_is() {
    let example = include_str!("../../contrib/hearth.toml");
    let config = parse(example).unwrap();
    assert_eq!(config.listen.len(), 5);
    assert!(!config.listen[0].notification && config.listen[1].notification);
    assert!(config.listen[4].tls && !config.listen[4].clear);
    // The values behind '#' must be right too, and are the defaults unless they are examples.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(set) if set.starts_with("[[") || set.split(' ').nth(1) == Some("=") => format!("{set}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let all = parse(&all).unwrap_or_else(|e| panic!("{e}\n{all}"));
    assert_eq!(all.peers.len(), 1);
    assert_eq!(all.simp.divert, Some(("im2.example.org".into(), 7468)));
    assert_eq!(format!("{:?}", all.limits), format!("{:?}", config.limits));
    assert_eq!(all.federation, config.federation);
    assert_eq!(all.listen[4], config.listen[4]);
}

#[test]
fn all_settings_arrive() {
    let config = with(
        "notification = true\nclear = true\n[dns]\nnameservers = ['127.0.0.9', '[::1]:5353']\n\
         [federation]\norder = ['imtp', 'simp']\nrequire = 'strong'\nopen = false\n\
         [[peer]]\ndomain = 'B.test'\nprotocol = 'simp'\naddress = '127.0.0.3:7443'\ntls = true\n\
         [simp]\nhost = 'im.example.org'\nport = 17468\nrouting = 'closed'\ndivert = '[::1]:7468'\n\
         [limits]\nkept_messages = 0\nkept_days = 7\nlogins_per_second = 5\n",
    )
    .unwrap();
    assert!(config.listen[0].notification && config.listen[0].clear);
    assert_eq!(config.nameservers, ["127.0.0.9:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    assert_eq!(
        config.federation,
        Federation { order: vec![Family::Imtp, Family::Simp], require: Strength::Strong, open: false }
    );
    assert_eq!(config.peers[0].domain.as_str(), "b.test");
    assert!(config.peers[0].place.tls);
    let divert = Some(("::1".to_owned(), 7468));
    assert_eq!(
        config.simp,
        Simp { host: Some("im.example.org".into()), port: Some(17468), routing: Routing::Closed, divert }
    );
    assert_eq!(
        (config.limits.kept_messages, config.limits.kept_days, config.limits.logins_per_second),
        (0, 7, 5)
    );
    assert_eq!(config.data_dir, Path::new("/etc/hearth/data"));
}

#[test]
fn imtp_and_pitp_have_listeners_and_peers_of_their_own() {
    // TOC-1, TOC-8, design 7
    let config = with(
        "[tls]\ncertificate = 'c'\nkey = 'k'\n\
         [[listen]]\nprotocol = 'imtp'\naddress = '127.0.0.1:4687'\n\
         [[listen]]\nprotocol = 'pitp'\naddress = '[::1]:7487'\nclear = true\n\
         [[listen]]\nprotocol = 'imtp'\naddress = '0.0.0.0:4688'\ntls = true\n\
         [[peer]]\ndomain = 'b.test'\nprotocol = 'imtp'\naddress = '127.0.0.3:4687'\n\
         [[peer]]\ndomain = 'b.test'\nprotocol = 'pitp'\naddress = '127.0.0.3:7487'\ntls = true\n\
         [[peer]]\ndomain = 'b.test'\nprotocol = 'simp'\naddress = '127.0.0.3:7467'\n",
    )
    .unwrap();
    let listens: Vec<_> =
        config.listen.iter().map(|l| (l.protocol, l.tls, l.clear, l.notification)).collect();
    use ListenProtocol::{Imtp, Pitp, Simp};
    assert_eq!(
        listens,
        [
            (Simp, false, false, false),
            (Imtp, false, false, false),
            (Pitp, false, true, false),
            (Imtp, true, false, false)
        ]
    );
    let peers: Vec<_> = config.peers.iter().map(|p| (p.place.protocol, p.place.tls)).collect();
    assert_eq!(peers, [(Protocol::Imtp, false), (Protocol::Pitp, true), (Protocol::Simp, false)]);
    assert!(
        error("[[listen]]\nprotocol = 'imtp'\naddress = '127.0.0.1:4687'\nnotification = true")
            .contains(":9: notification: only a simp listener")
    );
    assert!(
        error("[[peer]]\ndomain = 'b.test'\nprotocol = 'smtp'\naddress = '127.0.0.3:1'")
            .contains(":8: protocol: \"smtp\" is no protocol between domains")
    );
}

#[test]
fn an_unknown_key_names_its_line_and_what_was_meant() {
    assert_eq!(
        error("[[listen]]\nprotocol = 'simp'\nadress = '127.0.0.1:1'"),
        "/etc/hearth/hearth.toml:8: unknown key \"adress\" in [[listen]]: did you mean \"address\"?"
    );
    assert_eq!(
        error("[weather]\nsun = true"),
        "/etc/hearth/hearth.toml:6: unknown key \"weather\" in the file: known here are domains, data_dir, \
         listen, tls, dns, federation, peer, simp, limits"
    );
    assert!(error("[limits]\nkept_day = 3").ends_with("did you mean \"kept_days\"?"));
}

#[test]
fn a_bad_value_names_its_line_and_what_to_write() {
    let cases = [
        (
            "[federation]\nrequire = 'weak'",
            7,
            "require: \"weak\" is no strength: use \"strong\" or \"medium\"",
        ),
        ("[federation]\nopen = 'yes'", 7, "open: this is a text, write true or false"),
        ("[federation]\norder = ['simp',\n 'simp']", 8, "order: listed twice: once is enough"),
        ("[federation]\norder = ['xmpp']", 7, "order: \"xmpp\" is no protocol between domains"),
        (
            "[federation]\norder = ['sip']",
            7,
            "order: none of these is spoken by this version: add \"imtp\" or",
        ),
        ("[federation]\norder = [\n'pitp']", 8, "order: write \"imtp\": it stands for IMTP and PITP"),
        ("[dns]\nnameservers = ['localhost']", 7, "nameservers: \"localhost\" is no name server"),
        ("[dns]\nnameservers = '127.0.0.1'", 7, "nameservers: this is a text, write a list in [brackets]"),
        ("[limits]\nkept_days = 0", 7, "kept_days: 0 is out of bounds: write a whole number from 1 to 3650"),
        ("[limits]\nkept_days = 99_999_999_999_999_999_999", 7, "kept_days: 99999999999999999999 is out"),
        ("[simp]\nport = 70000", 7, "port: 70000 is out of bounds"),
        ("[simp]\ndivert = 'im2.example.org'", 7, "divert: \"im2.example.org\" is no place: write HOST:PORT"),
        ("[simp]\nrouting = 'free'", 7, "routing: \"free\" is no rule"),
        ("[tls]\ncertificate = 'a.pem'", 6, "[tls] has no key: add key = \"privkey.pem\", say"),
        ("[listen]\nprotocol = 'simp'", 6, "not TOML:"),
        ("[[tls]]\nkey = 'k'", 6, "tls: tls is a section: write [tls]"),
        ("[peer]\ndomain = 'b.test'", 6, "peer: peer is a list of sections: write [[peer]]"),
        ("[[listen]]\nprotocol = 'simp'\naddress = '127.0.0.1:7467'", 6, "127.0.0.1:7467 is taken"),
        (
            "[[listen]]\nprotocol = 'simp'\naddress = ':7469'",
            8,
            "address: \":7469\" is no address: write IP:PORT",
        ),
        ("[[listen]]\nprotocol = 'tls'\naddress = '127.0.0.1:1'", 7, "protocol: TLS needs a certificate"),
        ("[[listen]]\nprotocol = 'sip'", 7, "protocol: this version does not serve sip yet: remove this"),
        (
            "[[listen]]\nprotocol = 'irc'",
            7,
            "protocol: \"irc\" is no protocol: use \"simp\", \"imtp\", \"pitp\" or",
        ),
        ("transport = 'udp'", 6, "transport: only sip goes over udp"),
        ("tls = true", 4, "protocol: TLS needs a certificate"),
        ("[dns", 6, "not TOML:"),
    ];
    for (more, line, what) in cases {
        let text = error(more);
        let expected = format!("/etc/hearth/hearth.toml:{line}: {what}");
        assert!(text.starts_with(&expected), "{more}\n wanted {expected}\n got    {text}");
    }
}

#[test]
fn what_must_be_there_is_asked_for() {
    let refused = |text: &str| parse(text).unwrap_err();
    assert!(refused("").contains("the file has no "));
    assert!(refused("domains = []\ndata_dir = 'd'").contains("at least one domain"));
    assert!(
        refused("domains = ['a.test', 'A.test']\ndata_dir = 'd'")
            .contains(":1: domains: a.test is listed twice")
    );
    assert!(refused("domains = ['a@b']\ndata_dir = 'd'").contains("is no domain name"));
    assert!(refused("domains = ['a.test']\ndata_dir = 'd'").contains("no [[listen]]"));
    assert!(refused("domains = ['a.test']\ndata_dir = ''").contains(":2: data_dir: the path is empty"));
    let missing = Config::load(Path::new("/nonexistent/hearth.toml")).unwrap_err().to_string();
    assert_eq!(
        missing,
        "/nonexistent/hearth.toml: no such file: make one with `hearth init --domain YOUR.DOMAIN`"
    );
}
