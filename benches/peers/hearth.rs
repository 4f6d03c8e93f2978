//! hearth in each of its native families, and the bare relay.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Bench;
use crate::peer::{Idle, Logins, Messages, Peer, Watchers};
use crate::rig::group::Group;
use crate::rig::house::{self, House, SECRET, Service};
use crate::rig::pairs::{self, BODY, Door, users};
use crate::rig::simp::Routing;
use crate::rig::transfer::Session;
use crate::rig::{Failure, crowd, hearth_binary, lines};

/// hearth, spoken to in one family.
pub struct Hearth {
    messages: Service,
    presence: Service,
}

/// In SIMP.
pub const SIMP: Hearth = Hearth { messages: Service::Simp, presence: Service::Simp };
/// In IMTP and PITP.
pub const IMTP: Hearth = Hearth { messages: Service::Imtp, presence: Service::Pitp };

fn user(index: usize) -> String {
    format!("user{index}")
}

impl Hearth {
    /// A server with users, in a folder for one measure.
    fn house(
        &self,
        bench: &Bench,
        measure: &str,
        names: impl Iterator<Item = String>,
    ) -> Result<(House, Group), Failure> {
        let parent = bench.folder(&format!("hearth-{}-{measure}", self.messages.name()))?;
        let house = House::build(&parent, "one.test", bench.address([127, 0, 0, 1])?, &[], false)?;
        house.populate(names, self.messages == Service::Simp)?;
        let server = Group::of(house.serve(None)?);
        Ok((house, server))
    }

    /// One of two federating servers: its house.
    fn half(&self, bench: &Bench, parent: &Path, own: &Site, other: &Site) -> Result<House, Failure> {
        let at = other.1[usize::from(self.messages != Service::Simp)];
        let house = House::build_at(parent, own.0, own.1, &[(other.0, self.messages, at)], false)?;
        house.populate(users(bench.pairs), self.messages == Service::Simp)?;
        Ok(house)
    }
}

/// A domain and the addresses of its server, for SIMP, IMTP and PITP.
type Site = (&'static str, [SocketAddr; 3]);

impl Peer for Hearth {
    fn name(&self) -> &'static str {
        if self.messages == Service::Simp { "hearth SIMP" } else { "hearth IMTP" }
    }

    fn version(&self) -> Result<String, Failure> {
        let output = Command::new(hearth_binary()).arg("--version").output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn configuration(&self) -> &'static str {
        "as shipped, limits on one address and on rates lifted; its database on disk"
    }

    fn messages(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let (house, server) = self.house(bench, "messages", users(bench.pairs))?;
        let at = (&house, self.messages);
        let (wire, pairs) = pairs::log_in(bench.pairs, at, at)?;
        Ok(Some(Messages { servers: vec![server], wire, pairs, most: u64::MAX }))
    }

    fn federated(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let parent = bench.folder(&format!("hearth-{}-federated", self.messages.name()))?;
        let ports = |ip| Ok::<_, Failure>([bench.address(ip)?, bench.address(ip)?, bench.address(ip)?]);
        let (a, b) = (("a.test", ports([127, 0, 0, 2])?), ("b.test", ports([127, 0, 0, 3])?));
        let (here, there) = (self.half(bench, &parent, &a, &b)?, self.half(bench, &parent, &b, &a)?);
        let servers = vec![Group::of(here.serve(None)?), Group::of(there.serve(None)?)];
        let (wire, pairs) = pairs::log_in(bench.pairs, (&here, self.messages), (&there, self.messages))?;
        Ok(Some(Messages { servers, wire, pairs, most: u64::MAX }))
    }

    fn watchers(&self, bench: &Bench) -> Result<Option<Watchers>, Failure> {
        let names = (0..bench.watchers).map(user).chain(["star".into()]);
        let (house, server) = self.house(bench, "watchers", names)?;
        let crowd = crowd::of_house((&house, self.presence), "star", bench.watchers, user)?;
        Ok(Some(Watchers { server, crowd }))
    }

    fn logins(&self, bench: &Bench) -> Result<Option<Logins>, Failure> {
        let (house, server) = self.house(bench, "logins", (0..bench.accounts).map(user))?;
        let target = house.target(self.messages);
        let log_in: Box<dyn Fn(usize) -> Result<(), Failure> + Sync> = if self.messages == Service::Simp {
            Box::new(move |index| {
                Routing::open(&target)?.login(&house.user(&user(index)), SECRET).map(|_| ())
            })
        } else {
            let keys = house::keys()?;
            Box::new(move |index| Session::login(&target, &house.user(&user(index)), &keys).map(|_| ()))
        };
        Ok(Some(Logins { server, log_in }))
    }

    fn idle(&self, bench: &Bench) -> Result<Option<Idle>, Failure> {
        let (house, server) = self.house(bench, "idle", (0..bench.most_idle()).map(user))?;
        let mut door = Door::open((&house, self.messages))?;
        let log_in = move |index| Ok(door.log_in(&house.user(&user(index)), true)?.0);
        Ok(Some(Idle { server, log_in: Box::new(log_in) }))
    }
}

/// The relay: messages, and nothing else.
pub struct Relay;

impl Peer for Relay {
    fn name(&self) -> &'static str {
        "bare relay"
    }

    fn version(&self) -> Result<String, Failure> {
        Ok("this benchmark's own".into())
    }

    fn configuration(&self) -> &'static str {
        "forwards what it reads between paired sockets: one read and one write for each wake-up"
    }

    fn messages(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let (process, lines, pairs) = lines::prepare(bench.pairs, BODY, 0)?;
        Ok(Some(Messages { servers: vec![Group::of(process)], wire: Box::new(lines), pairs, most: u64::MAX }))
    }
}
