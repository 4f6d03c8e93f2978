//! How much each node holds after every step, and what it may hold at most.

use hearth::limits;

use super::Campaign;

/// Entries of a node's tables that nobody in a campaign needs more of: its own, peers', and guards'.
const FEW: usize = 64;

impl Campaign {
    /// All sizes are within their bounds: those of the program, and those that follow from what the users have.
    pub(super) fn measure(&self) {
        let conns: usize = self.users.iter().map(|user| user.conns.len()).sum();
        let open = self.open.len();
        for host in &self.world.hosts {
            let Some(node) = &host.node else { continue };
            let gauge: std::collections::BTreeMap<_, _> = node.gauge().into_iter().collect();
            let connections = host.slots.iter().filter(|slot| slot.used).count();
            assert_eq!(gauge["connections"], connections, "{}: connections", host.name);
            let watches = gauge["watches"] + gauge["watching"];
            let bounds = [
                ("accounts", self.users.len()),
                ("names", self.users.len()),
                ("idle accounts", self.users.len()),
                // Also of connections that were cut while the store was asked.
                ("parked requests", connections * limits::REQUESTS_IN_FLIGHT + open + watches + FEW),
                ("endpoints", connections),
                // What users have asked, what watchers are told, and what waits for a login.
                ("transactions", open + watches + FEW),
                ("endpoint queues", (open + watches + FEW) * limits::ENDPOINTS),
                ("remote queues", open + watches + FEW),
                ("remotes", 3),
                ("peers", 3),
                ("link queues", open + watches + FEW),
                ("dials", 9),
                ("dead places", FEW),
                ("granting", open + FEW),
                ("endings", self.users.len() * (conns + self.users.len())),
                ("watches", self.users.len() * (conns + self.users.len())),
                ("watching", self.users.len() * (conns + self.users.len())),
                ("refusals", open + FEW),
                ("unreported", self.sent.len()),
                ("expected", self.users.len()),
                ("outputs", 0),
                ("events", 0),
                ("dirty", 0),
                ("writes", 0),
                ("jobs", connections + self.users.len() + FEW),
                // Never cancelled: several for each connection that there has been, each request and each watcher.
                ("node timers", 8 * (conns + FEW)),
                ("hub timers", 8 * (conns + self.sent.len() + self.step + FEW)),
                ("guarded", FEW),
                ("turns", connections + FEW),
                ("tickets", conns),
                ("unsent octets", connections * limits::UNSENT),
                ("partial octets", connections * limits::COMMAND),
                ("pooled octets", 4 * limits::UNSENT),
            ];
            for (what, bound) in bounds {
                assert!(gauge[what] <= bound, "{}: {} {what}, more than {bound}", host.name, gauge[what]);
            }
        }
    }

    /// When nobody has been here for a day, nothing is left over.
    pub(super) fn measure_rest(&self) {
        for host in &self.world.hosts {
            let node = host.node.as_ref().expect("a running node");
            let gauge = node.gauge();
            let may_stay = [
                ("accounts", 3),
                ("idle accounts", 3),
                ("names", 3),
                ("hub timers", 16),
                ("committing", 1),
                ("jobs", 1),
            ];
            let may_stay = may_stay.into_iter().chain([
                ("guarded", FEW),
                ("tickets", FEW),
                ("pooled octets", FEW * 4096),
            ]);
            let may_stay: std::collections::BTreeMap<_, _> = may_stay
                .chain([
                    ("watches", FEW * 8),
                    ("leases", FEW * 8),
                    ("watching", FEW * 8),
                    ("peers", 2),
                    ("dead places", FEW),
                    ("node timers", 16),
                ])
                .collect();
            for (what, size) in gauge {
                let bound = may_stay.get(what).copied().unwrap_or(0);
                assert!(size <= bound, "{}: {size} {what} when all is quiet", host.name);
            }
        }
    }
}
