//! The configuration that `hearth init` writes: what was asked for, and why it is so.

use super::{Certificate, NOTIFICATION, Plan, TLS};
use crate::federation::{IMTP_PORT, PITP_PORT, SIMP_PORT};

/// The text of `hearth.toml`.
pub(super) fn config(plan: &Plan) -> String {
    let mut text = format!(
        "# hearth: the home server of {domain}. Everything that can be set is in contrib/hearth.toml.\n\
         # Relative paths are relative to the folder of this file.\n\n\
         domains  = [\"{domain}\"]\n\
         data_dir = {data_dir:<24} # hearth.db, hearth.key, control.sock\n\n",
        domain = plan.domain,
        data_dir = quoted(&plan.data_dir.display().to_string()),
    );
    clear_listeners(plan, &mut text);
    tls_listener(plan, &mut text);
    let (nameservers, mark) = match plan.dns {
        Some(dns) => (dns.to_string(), ""),
        None => ("127.0.0.1:5353".to_owned(), "# "),
    };
    text.push_str(&format!(
        "[dns]\n{mark}nameservers = [\"{nameservers}\"]  # default: the system's\n\n\
         [federation]\n\
         # require = \"medium\"  # medium: a peer's address must be one that its domain publishes in DNS\n\
         #                     # strong: its certificate must name its domain\n\
         # open = true         # false: only domains that `hearth peer allow` has let in\n"
    ));
    text
}

fn clear_listeners(plan: &Plan, text: &mut String) {
    let ip = if plan.is_public() {
        text.push_str(
            "# Without TLS only programs on this machine are served: what others send must not be read on its\n\
             # way. To serve them all the same, on a private network say, put its address here and add\n\
             # `clear = true`.\n",
        );
        match plan.bind {
            std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        }
    } else {
        plan.bind
    };
    let at = |port| std::net::SocketAddr::new(ip, port);
    let (routing, notification) = (at(SIMP_PORT), at(NOTIFICATION));
    let (imtp, pitp) = (at(IMTP_PORT), at(PITP_PORT));
    text.push_str(&format!(
        "[[listen]]\n\
         protocol = \"simp\"\n\
         address  = \"{routing}\"  # logins, and servers of other domains\n\n\
         [[listen]]\n\
         protocol = \"simp\"\n\
         address  = \"{notification}\"  # what a logged-in client keeps open\n\n\
         [[listen]]\n\
         protocol = \"imtp\"\n\
         address  = \"{imtp}\"  # messages: clients, and servers of other domains\n\n\
         [[listen]]\n\
         protocol = \"pitp\"\n\
         address  = \"{pitp}\"  # presence: likewise\n\n"
    ));
}

fn tls_listener(plan: &Plan, text: &mut String) {
    let address = std::net::SocketAddr::new(plan.bind, TLS);
    let (chain, key) = match &plan.certificate {
        Certificate::Given { chain, key } => {
            (quoted(&chain.display().to_string()), quoted(&key.display().to_string()))
        }
        Certificate::Dev | Certificate::None => (quoted("fullchain.pem"), quoted("privkey.pem")),
    };
    let mark = if plan.has_tls() { "" } else { "# " };
    match plan.certificate {
        Certificate::None => text.push_str(
            "# With a certificate that names the domain (from Let's Encrypt, say), remove the '#' below: this is\n\
             # the port for clients and servers elsewhere.\n",
        ),
        Certificate::Dev => {
            text.push_str("# The certificate is self-signed: good for trying things out, trusted by nobody.\n");
        }
        Certificate::Given { .. } => {}
    }
    text.push_str(&format!(
        "{mark}[[listen]]\n\
         {mark}protocol = \"tls\"            # every protocol, chosen by ALPN\n\
         {mark}address  = \"{address}\"\n\n\
         {mark}[tls]\n\
         {mark}certificate = {chain}\n\
         {mark}key = {key}\n\n"
    ));
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{Config, ListenProtocol};
    use crate::hub::address::Domain;

    fn plan(bind: &str, certificate: Certificate) -> Plan {
        Plan {
            domain: Domain::parse("a.test").unwrap(),
            host: Domain::parse("im.a.test").unwrap(),
            bind: bind.parse().unwrap(),
            certificate,
            data_dir: PathBuf::from("."),
            dns: None,
        }
    }

    fn listens(plan: &Plan) -> Vec<String> {
        let config = Config::parse(&config(plan), Path::new("/h/hearth.toml")).unwrap();
        assert!(config.listen.iter().all(|l| !l.clear));
        assert_eq!(config.data_dir, Path::new("/h"));
        config.listen.iter().map(|l| l.address.to_string()).collect()
    }

    #[test]
    fn on_loopback_everything_listens_there() {
        assert_eq!(
            listens(&plan("127.0.0.2", Certificate::None)),
            ["127.0.0.2:7467", "127.0.0.2:7468", "127.0.0.2:4687", "127.0.0.2:7487"]
        );
        let dev = listens(&plan("::1", Certificate::Dev));
        assert_eq!(dev, ["[::1]:7467", "[::1]:7468", "[::1]:4687", "[::1]:7487", "[::1]:7443"]);
    }

    #[test]
    fn beyond_loopback_only_tls_is_served() {
        let given = Certificate::Given { chain: "/c \"1\".pem".into(), key: "/k.pem".into() };
        assert_eq!(
            listens(&plan("0.0.0.0", Certificate::None)),
            ["127.0.0.1:7467", "127.0.0.1:7468", "127.0.0.1:4687", "127.0.0.1:7487"]
        );
        assert_eq!(
            listens(&plan("2001:db8::7", given.clone())),
            ["[::1]:7467", "[::1]:7468", "[::1]:4687", "[::1]:7487", "[2001:db8::7]:7443"]
        );
        let config = Config::parse(&config(&plan("0.0.0.0", given)), Path::new("hearth.toml")).unwrap();
        assert_eq!(config.listen[2].protocol, ListenProtocol::Imtp);
        assert_eq!(config.listen[3].protocol, ListenProtocol::Pitp);
        assert_eq!(config.listen[4].protocol, ListenProtocol::Tls);
        assert_eq!(config.tls.unwrap().certificate, Path::new("/c \"1\".pem"));
    }

    #[test]
    fn without_a_certificate_the_way_to_add_one_is_there() {
        let text = config(&plan("0.0.0.0", Certificate::None));
        let later: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(set)
                    if set.starts_with('[')
                        || set.starts_with(char::is_alphabetic)
                            && set.split_whitespace().nth(1) == Some("=") =>
                {
                    format!("{set}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let config = Config::parse(&later, Path::new("hearth.toml")).unwrap();
        assert_eq!(config.listen[4].address.to_string(), "0.0.0.0:7443");
        assert!(config.tls.is_some());
    }

    #[test]
    fn a_name_server_of_ones_own_is_written_down() {
        let mut plan = plan("127.0.0.2", Certificate::None);
        plan.dns = Some("127.0.0.1:5300".parse().unwrap());
        let config = Config::parse(&config(&plan), Path::new("hearth.toml")).unwrap();
        assert_eq!(config.nameservers, ["127.0.0.1:5300".parse().unwrap()]);
    }
}
