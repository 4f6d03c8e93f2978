//! Prosody.

use std::fs;
use std::path::Path;

use crate::rig::Failure;
use crate::rig::group::Group;
use crate::xmpp::{Kind, Site, fill_in, kept};

/// It.
pub struct Prosody;

const PROGRAM: &str = "/usr/bin/prosody";

impl Kind for Prosody {
    const NAME: &'static str = "Prosody";
    const CONFIGURATION: &'static str = "generational collector, epoll; modules: saslauth, c2s, message, iq, for \
        presence also roster and presence, between domains s2s and dialback; no blocklist; \
        all stores in memory; SCRAM-SHA-1, 10,000 iterations (its default); no TLS";

    const DOMAINS: [(&'static str, [u8; 4]); 2] = [("a.test", [127, 0, 0, 2]), ("b.test", [127, 0, 0, 3])];

    fn version() -> Result<String, Failure> {
        Ok(format!("Prosody {}", fs::read_to_string("/usr/lib/prosody/prosody.version")?.trim()))
    }

    fn start(site: &Site) -> Result<Group, Failure> {
        let dir = &site.folder;
        let mut modules = String::new();
        let mut without = vec!["\"s2s\","];
        let mut more = String::new();
        if site.presence {
            modules.push_str("\"roster\", ");
        } else {
            without.push("\"presence\",");
        }
        if let Some(other) = &site.other {
            without.clear();
            without.push("\"presence\",");
            modules.push_str("\"dialback\", ");
            // Its resolver answers by itself; nobody is asked.
            more = format!(
                "unbound = {{ resolvconf = false, hoststxt = false, options = {{ \
                 [\"local-zone:\"] = \"{0}. static\", [\"local-data:\"] = \"{0}. A {1}\" }} }}\n",
                other.domain, other.ip
            );
        }
        let accounts: String =
            site.accounts.iter().map(|(name, count)| format!("{name} = {count}; ")).collect();
        let (file, plugins) = (dir.join("prosody.cfg.lua"), kept("prosody"));
        let values = [
            ("DIR", &*dir.to_string_lossy()),
            ("PLUGINS", &*plugins.to_string_lossy()),
            ("IP", &site.clients.ip().to_string()),
            ("C2S", &site.clients.port().to_string()),
            ("S2S", if site.other.is_some() { "5269" } else { "" }),
            ("MODULES", &modules),
            ("WITHOUT", &without.concat()),
            ("ACCOUNTS", &accounts),
            ("WATCHERS", &site.watchers.to_string()),
            ("MORE", &more),
            ("DOMAIN", site.domain),
        ];
        fill_in("prosody/prosody.cfg.lua", &file, &values)?;
        let mut command = Group::command(Path::new(PROGRAM));
        command.arg("-F").arg("--config").arg(&file);
        Group::start(command)
    }
}
