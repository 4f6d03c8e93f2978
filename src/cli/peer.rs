//! `hearth peer`: rules about other domains, and how it goes with them.

use crate::cli::output::say;
use serde_json::json;

use super::args::{Other, Peer};
use super::failure::{Done, Failure};
use super::house::House;
use crate::admin::{AdminReply, AdminRequest, PeerStatus};
use crate::cli::harmless::one_line;
use crate::hub::address::Domain;
use crate::store::record::{Change, Outcome, PeerRule};

/// Does what is asked.
pub fn run(house: &House, command: Peer) -> Done {
    match command {
        Peer::List { json } => list(house, json),
        Peer::Allow(other) => set(house, &other, Some(PeerRule::Allow)),
        Peer::Deny(other) => set(house, &other, Some(PeerRule::Deny)),
        Peer::Forget(other) => set(house, &other, None),
        Peer::Test(other) => test(house, &other),
    }
}

fn set(house: &House, other: &Other, rule: Option<PeerRule>) -> Done {
    let domain = &other.domain;
    if house.config.domains.contains(domain.as_str()) {
        return Err(Failure::new(format!("{domain} is a domain of this server: rules are about others")));
    }
    match house.change(Change::SetPeerRule { domain: domain.to_string(), rule })? {
        Outcome::NotFound => {
            Err(Failure::new(format!("there is no rule about {domain}: see `hearth peer list`")))
        }
        _ => Ok(()),
    }
}

fn list(house: &House, json: bool) -> Done {
    let rules = house.reader()?.peer_rules().map_err(Failure::new)?;
    let links = match house.ask(&AdminRequest::Peers)? {
        Some(AdminReply::Peers(links)) => Some(links),
        Some(other) => return Err(house.unexpected(&other)),
        None => None,
    };
    if json {
        let rules: Vec<_> =
            rules.iter().map(|(domain, rule)| json!({ "domain": domain.as_str(), "rule": rule })).collect();
        say!("{}", json!({ "rules": rules, "links": links }));
        return Ok(());
    }
    for (domain, rule) in &rules {
        say!("{:<5}  {domain}", word(*rule));
    }
    for link in links.iter().flatten() {
        say!("{}", described(link));
    }
    Ok(())
}

fn word(rule: PeerRule) -> &'static str {
    match rule {
        PeerRule::Allow => "allow",
        PeerRule::Deny => "deny",
    }
}

fn described(link: &PeerStatus) -> String {
    let mut text = format!("link   {}: {}", link.domain, link.state);
    if let Some(protocol) = &link.protocol {
        text.push_str(&format!(", {protocol}"));
    }
    if !link.carries.is_empty() {
        text.push_str(&format!(" for {}", link.carries.join(" and ")));
    }
    if let Some(address) = &link.address {
        text.push_str(&format!(", {address}"));
    }
    if link.waiting > 0 {
        text.push_str(&format!(", {} requests on their way", link.waiting));
    }
    if let Some(trouble) = &link.trouble {
        text.push_str(&format!(", last trouble: {}", one_line(trouble)));
    }
    text
}

fn test(house: &House, other: &Other) -> Done {
    let domain: &Domain = &other.domain;
    let request = AdminRequest::PeerTest { domain: domain.to_string() };
    match house.ask(&request)? {
        Some(AdminReply::PeerTest { reached, steps }) => {
            for step in &steps {
                say!("{}", one_line(step));
            }
            if reached {
                say!("{domain} is reached");
                Ok(())
            } else {
                Err(Failure::new(format!(
                    "{domain} is not reached for all that it may be sent: the steps above tell how far it went"
                )))
            }
        }
        Some(other) => Err(house.unexpected(&other)),
        None => Err(house.not_running()),
    }
}
