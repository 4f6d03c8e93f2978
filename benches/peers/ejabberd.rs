//! ejabberd.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::rig::Failure;
use crate::rig::group::Group;
use crate::xmpp::{Kind, Site, fill_in};

/// It.
pub struct Ejabberd;

const PROGRAM: &str = "/usr/bin/erl";
/// Where Debian keeps it.
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";
/// One scheduler of each kind, since there is one core; none of them waits busily, which would be counted as work.
const MACHINE: &str = "-noinput +K true +P 250000 +S 1:1 +SDcpu 1:1 +SDio 1 +A 1 \
    +sbwt none +sbwtdcpu none +sbwtdio none";

impl Kind for Ejabberd {
    const NAME: &'static str = "ejabberd";
    const CONFIGURATION: &'static str = "one scheduler, no busy waiting; modules: none, for presence mod_roster, \
        between domains mod_s2s_dialback; accounts and rosters in memory (Mnesia); SCRAM-SHA-1 from stored keys, \
        4,096 iterations (its default); no TLS, no shapers";

    /// It asks the system's resolver, which can't be told of other names by this process alone.
    const DOMAINS: [(&'static str, [u8; 4]); 2] =
        [("127.0.0.4", [127, 0, 0, 4]), ("127.0.0.5", [127, 0, 0, 5])];

    fn version() -> Result<String, Failure> {
        let output =
            Command::new("dpkg-query").args(["--show", "--showformat=${Version}", "ejabberd"]).output()?;
        Ok(format!("ejabberd {}", String::from_utf8(output.stdout)?))
    }

    fn start(site: &Site) -> Result<Group, Failure> {
        let dir = &site.folder;
        let (mut modules, mut listen) = (String::new(), String::new());
        if site.presence {
            modules.push_str("\n  mod_roster: {}");
        }
        if site.other.is_some() {
            let ip = site.clients.ip();
            modules.push_str("\n  mod_s2s_dialback: {}");
            listen = format!("  -\n    port: 5269\n    ip: \"{ip}\"\n    module: ejabberd_s2s_in\n");
        }
        if modules.is_empty() {
            modules.push_str("{}");
        }
        let accounts: Vec<String> =
            site.accounts.iter().map(|(name, count)| format!("{{\"{name}\", {count}}}")).collect();
        let values = [
            ("DOMAIN", site.domain),
            ("IP", &site.clients.ip().to_string()),
            ("C2S", &site.clients.port().to_string()),
            ("LISTEN", &listen),
            ("MODULES", &modules),
            ("ACCOUNTS", &accounts.join(", ")),
            ("WATCHERS", &site.watchers.to_string()),
        ];
        for file in ["ejabberd.yml", "start.erl"] {
            fill_in(&format!("ejabberd/{file}"), &dir.join(file), &values)?;
        }
        let start = fs::read_to_string(dir.join("start.erl"))?;
        let start: String = start.lines().filter(|line| !line.starts_with("%%")).collect();
        let mut command = Group::command(Path::new(PROGRAM));
        command
            .args(MACHINE.split_whitespace())
            .args(["-mnesia", "dir", &format!("{:?}", dir.join("db"))])
            .args(["-s", "ejabberd", "-eval", &start])
            .current_dir(dir)
            .env("ERL_LIBS", LIBRARIES)
            .env("ERL_MAX_PORTS", "32000")
            .env("ERL_CRASH_DUMP_BYTES", "0")
            .env("EJABBERD_CONFIG_PATH", dir.join("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", dir.join("ejabberd.log"));
        Group::start(command)
    }
}
