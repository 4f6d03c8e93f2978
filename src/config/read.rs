//! From the text of `hearth.toml` to [`Config`]: which keys there are and what each may hold.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::section::{Field, Section, Source};
use super::{Config, ConfigError, Federation, Listen, ListenProtocol, Routing, Simp, Tls};
use crate::federation::{Family, Place, Protocol, StaticPeer, Strength};
use crate::hub::address::{Domain, Domains};
use crate::limits::Limits;

/// The draft's port for routing connections (SIMP-3.1-2).
const NOTIFICATION_PORT: u16 = 7468;
/// The port of a name server that is given by its address alone.
const DNS_PORT: u16 = 53;
/// Protocols that hearth knows of and this version does not speak.
const NOT_YET: [&str; 3] = ["sip", "msrp", "metrics"];
/// Protocols between domains that hearth knows of and this version does not speak.
const PEERS_NOT_YET: &str = "sip";

type Read<T> = Result<T, ConfigError>;

/// Checks the whole text.
pub(super) fn config(text: &str, origin: &Path) -> Read<Config> {
    let source = Source { text, origin };
    let document = source.document()?;
    let keys =
        ["domains", "data_dir", "listen", "tls", "dns", "federation", "peer", "simp", "limits"].as_slice();
    let top = Section::open(&source, "the file", &document, keys)?;
    let folder = origin.parent().unwrap_or(Path::new(""));

    let tls =
        top.section("tls", &["certificate", "key", "ca"])?.map(|s| self::tls(&s, folder)).transpose()?;
    let limits = match top.section("limits", &LIMITS)? {
        Some(section) => self::limits(&section)?,
        None => Limits::default(),
    };
    let nameservers = match top.section("dns", &["nameservers"])? {
        Some(section) => nameservers(&section)?,
        None => Vec::new(),
    };
    let federation = match top.section("federation", &["order", "require", "open"])? {
        Some(section) => federation(&section)?,
        None => Federation { order: Family::ALL.to_vec(), require: Strength::default(), open: true },
    };
    let simp = match top.section("simp", &["host", "port", "routing", "divert"])? {
        Some(section) => simp(&section)?,
        None => Simp::default(),
    };
    Ok(Config {
        domains: domains(&top)?,
        data_dir: data_dir(&top, folder)?,
        listen: listeners(&top, tls.is_some())?,
        tls,
        nameservers,
        federation,
        peers: peers(&top)?,
        simp,
        limits,
    })
}

fn domains(top: &Section<'_>) -> Read<Domains> {
    let field = top.required("domains", "[\"example.org\"]")?;
    let mut domains: Vec<Domain> = Vec::new();
    for item in field.items()? {
        let domain = item.parse(parse_domain)?;
        if domains.contains(&domain) {
            return Err(item.error(format!("{domain} is listed twice: once is enough")));
        }
        domains.push(domain);
    }
    if domains.is_empty() {
        return Err(field.error("a server needs at least one domain, e.g. domains = [\"example.org\"]"));
    }
    Ok(Domains::new(domains))
}

fn data_dir(top: &Section<'_>, folder: &Path) -> Read<PathBuf> {
    let given = path(&top.required("data_dir", "\"/var/lib/hearth\"")?)?;
    // "." is the folder itself, and reads better without.
    let dir: PathBuf = folder.join(given).components().collect();
    Ok(if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir })
}

fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|_| {
        format!("{text:?} is no domain name: write it like \"example.org\", without '@' or '.' at its end")
    })
}

fn path(field: &Field<'_>) -> Read<PathBuf> {
    field.parse(|text| {
        if text.is_empty() {
            Err("the path is empty: name a file or folder".to_owned())
        } else {
            Ok(text.into())
        }
    })
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address: write IP:PORT, like \"127.0.0.1:7467\" or \"[::1]:7467\"")
    })
}

fn tls(section: &Section<'_>, folder: &Path) -> Read<Tls> {
    Ok(Tls {
        certificate: folder.join(path(&section.required("certificate", "\"fullchain.pem\"")?)?),
        key: folder.join(path(&section.required("key", "\"privkey.pem\"")?)?),
        ca: section.get("ca").map(|f| path(&f)).transpose()?.map(|p| folder.join(p)),
    })
}

fn listeners(top: &Section<'_>, has_tls: bool) -> Read<Vec<Listen>> {
    let keys = ["protocol", "address", "tls", "transport", "notification", "clear"].as_slice();
    let mut listen = Vec::new();
    let mut taken = BTreeSet::new();
    for section in top.sections("listen", keys)? {
        let one = listener(&section, has_tls)?;
        if !taken.insert(one.address) {
            return Err(section.error(format!("{} is taken by an earlier [[listen]]", one.address)));
        }
        listen.push(one);
    }
    if listen.is_empty() {
        return Err(top
            .error("no [[listen]]: add one with protocol = \"simp\" and address = \"127.0.0.1:7467\", say"));
    }
    Ok(listen)
}

fn listener(section: &Section<'_>, has_tls: bool) -> Read<Listen> {
    let named = section.required("protocol", "\"simp\"")?;
    let protocol = named.parse(|text| match text {
        "simp" => Ok(ListenProtocol::Simp),
        "imtp" => Ok(ListenProtocol::Imtp),
        "pitp" => Ok(ListenProtocol::Pitp),
        "tls" => Ok(ListenProtocol::Tls),
        later if NOT_YET.contains(&later) => {
            Err(format!("this version does not serve {later} yet: remove this [[listen]]"))
        }
        _ => Err(format!("{text:?} is no protocol: use \"simp\", \"imtp\", \"pitp\" or \"tls\"")),
    })?;
    let address = section.required("address", "\"127.0.0.1:7467\"")?.parse(parse_address)?;
    if let Some(field) = section.get("transport") {
        field.parse(|text| match text {
            "tcp" => Ok(()),
            "udp" => Err("only sip goes over udp: remove this line".to_owned()),
            _ => Err(format!("{text:?} is no transport: remove this line, tcp is meant")),
        })?;
    }
    let tls = match section.get("tls") {
        Some(field) => {
            let tls = field.boolean()?;
            if !tls && protocol == ListenProtocol::Tls {
                return Err(field.error("protocol = \"tls\" is always on TLS: remove this line"));
            }
            tls
        }
        None => protocol == ListenProtocol::Tls,
    };
    if tls && !has_tls {
        return Err(named.error(
            "TLS needs a certificate: add [tls] with certificate and key, or remove this [[listen]]",
        ));
    }
    let notification = match section.get("notification") {
        Some(field) => {
            let only = field.boolean()?;
            if only && protocol != ListenProtocol::Simp {
                return Err(field.error(
                    "only a simp listener can be for notification connections alone: remove this line",
                ));
            }
            only
        }
        None => protocol == ListenProtocol::Simp && address.port() == NOTIFICATION_PORT,
    };
    let clear = match section.get("clear") {
        Some(field) => field.boolean()?,
        None => false,
    };
    Ok(Listen { protocol, address, tls, notification, clear })
}

fn nameservers(section: &Section<'_>) -> Read<Vec<SocketAddr>> {
    let Some(field) = section.get("nameservers") else { return Ok(Vec::new()) };
    field.items()?.iter().map(|item| item.parse(parse_nameserver)).collect()
}

fn parse_nameserver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    bare.or_else(|_| text.parse())
        .map_err(|_| format!("{text:?} is no name server: write IP or IP:PORT, like \"127.0.0.1:5353\""))
}

fn federation(section: &Section<'_>) -> Read<Federation> {
    let order = match section.get("order") {
        Some(field) => {
            let mut order = Vec::new();
            for item in field.items()? {
                match item.parse(family)? {
                    Some(family) if order.contains(&family) => {
                        return Err(item.error("listed twice: once is enough"));
                    }
                    Some(family) => order.push(family),
                    None => log::info!("{}", item.error("not spoken by this version yet: passed over")),
                }
            }
            if order.is_empty() {
                return Err(field.error("none of these is spoken by this version: add \"imtp\" or \"simp\""));
            }
            order
        }
        None => Family::ALL.to_vec(),
    };
    let require = match section.get("require") {
        Some(field) => field.parse(|text| match text {
            "medium" => Ok(Strength::Medium),
            "strong" => Ok(Strength::Strong),
            _ => Err(format!("{text:?} is no strength: use \"strong\" or \"medium\"")),
        })?,
        None => Strength::default(),
    };
    let open = section.get("open").map(|f| f.boolean()).transpose()?.unwrap_or(true);
    Ok(Federation { order, require, open })
}

/// A protocol between domains; `None` is one that this version does not speak yet. Those are no error,
/// so that one configuration can be kept while a server is upgraded.
fn peer_protocol(text: &str) -> Result<Option<Protocol>, String> {
    match text {
        "simp" => Ok(Some(Protocol::Simp)),
        "imtp" => Ok(Some(Protocol::Imtp)),
        "pitp" => Ok(Some(Protocol::Pitp)),
        PEERS_NOT_YET => Ok(None),
        _ => Err(format!(
            "{text:?} is no protocol between domains: use \"imtp\", \"pitp\", \"simp\" or \"sip\""
        )),
    }
}

/// A word of `order`; `None` as for [`peer_protocol`].
fn family(text: &str) -> Result<Option<Family>, String> {
    match text {
        "imtp" => Ok(Some(Family::Imtp)),
        "simp" => Ok(Some(Family::Simp)),
        PEERS_NOT_YET => Ok(None),
        "pitp" => Err("write \"imtp\": it stands for IMTP and PITP together".to_owned()),
        _ => Err(format!(
            "{text:?} is no protocol between domains: use \"imtp\" (with PITP), \"simp\" or \"sip\""
        )),
    }
}

fn peers(top: &Section<'_>) -> Read<Vec<StaticPeer>> {
    let mut peers = Vec::new();
    for section in top.sections("peer", &["domain", "protocol", "address", "tls"])? {
        let domain = section.required("domain", "\"lab.example\"")?.parse(parse_domain)?;
        let named = section.required("protocol", "\"simp\"")?;
        let protocol = named.parse(peer_protocol)?;
        let address = section.required("address", "\"192.0.2.1:7467\"")?.parse(parse_address)?;
        let tls = section.get("tls").map(|f| f.boolean()).transpose()?.unwrap_or(false);
        match protocol {
            Some(protocol) => peers.push(StaticPeer { domain, place: Place { protocol, tls, address } }),
            None => {
                log::warn!("{}", named.error("not spoken by this version yet: this [[peer]] is passed over"))
            }
        }
    }
    Ok(peers)
}

fn simp(section: &Section<'_>) -> Read<Simp> {
    let host = section.get("host").map(|f| f.parse(parse_host)).transpose()?;
    let port = section.get("port").map(|f| f.number(1..=65_535)).transpose()?.map(|n| n as u16);
    let routing = match section.get("routing") {
        Some(field) => field.parse(|text| match text {
            "verified" => Ok(Routing::Verified),
            "open" => Ok(Routing::Open),
            "closed" => Ok(Routing::Closed),
            _ => Err(format!("{text:?} is no rule: use \"verified\", \"open\" or \"closed\"")),
        })?,
        None => Routing::default(),
    };
    let divert = section.get("divert").map(|f| f.parse(parse_host_port)).transpose()?;
    Ok(Simp { host, port, routing, divert })
}

fn parse_host(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || Domain::parse(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no host: write a name like \"im.example.org\", or an IP address"))
    }
}

fn parse_host_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is no place: write HOST:PORT, like \"im2.example.org:7468\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
    Ok((parse_host(host).map_err(|_| wrong())?, port))
}

const LIMITS: [&str; 8] = [
    "unproven_per_address",
    "connections_per_address",
    "logins_per_second",
    "requests_per_second_user",
    "requests_per_second_peer",
    "kept_messages",
    "kept_octets",
    "kept_days",
];

fn limits(section: &Section<'_>) -> Read<Limits> {
    let at_least_one = |key: &str, default: u32| match section.get(key) {
        Some(field) => field.number(1..=u32::MAX),
        None => Ok(default),
    };
    let from_none = |key: &str, default: u32, most: u32| match section.get(key) {
        Some(field) => field.number(0..=most),
        None => Ok(default),
    };
    let d = Limits::default();
    Ok(Limits {
        unproven_per_address: at_least_one("unproven_per_address", d.unproven_per_address as u32)? as usize,
        connections_per_address: at_least_one("connections_per_address", d.connections_per_address as u32)?
            as usize,
        logins_per_second: at_least_one("logins_per_second", d.logins_per_second)?,
        requests_per_second_user: at_least_one("requests_per_second_user", d.requests_per_second_user)?,
        requests_per_second_peer: at_least_one("requests_per_second_peer", d.requests_per_second_peer)?,
        kept_messages: from_none("kept_messages", d.kept_messages, 1_000_000)?,
        kept_octets: from_none("kept_octets", d.kept_octets, 1 << 30)?,
        kept_days: match section.get("kept_days") {
            Some(field) => field.number(1..=3650)?,
            None => d.kept_days,
        },
    })
}
