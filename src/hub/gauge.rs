//! How much the hub holds: the sizes of all that can grow.

use super::{Hub, Name};

impl Hub {
    /// The size of each table, queue and heap, by its name.
    pub fn gauge(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let parked = |name: &Name| match name {
            Name::Here(_) => 0,
            Name::Loading(waiting, _) => waiting.len(),
        };
        let of_accounts = |size: fn(&super::Account) -> usize| self.accounts.iter().map(size).sum();
        let lanes = crate::federation::Traffic::ALL;
        [
            ("accounts", self.accounts.len()),
            ("idle accounts", self.accounts.idle.len()),
            ("names", self.names.len()),
            ("parked requests", self.names.values().map(parked).sum()),
            ("endpoints", self.endpoints.len()),
            ("endpoint queues", self.endpoints.iter().map(|(_, endpoint)| endpoint.queue.len()).sum()),
            ("transactions", self.transactions.len()),
            ("remotes", self.remotes.len()),
            (
                "remote queues",
                self.remotes.values().flat_map(|r| lanes.iter().map(|t| r.lane(*t).len())).sum(),
            ),
            ("granting", self.granting.len()),
            ("endings", self.endings.len()),
            ("hub timers", self.timers.size()),
            ("refusals", self.refusals.len()),
            ("unreported", self.unreported.len()),
            ("dirty", self.dirty.len()),
            ("writes", self.writes.len()),
            ("committing", self.committing.len()),
            ("expected", self.expected.len()),
            ("watches", of_accounts(|account| account.watches.len())),
            (
                "leases",
                of_accounts(|account| account.watches.iter().map(|(_, watch)| watch.leases.len()).sum()),
            ),
            ("watching", of_accounts(|account| account.watching.len())),
        ]
        .into_iter()
    }
}
