//! How much a node holds: the sizes of all that can grow. Tests hold them against their bounds.

use super::Node;

impl Node {
    /// The size of each table, queue, heap and buffer, by its name.
    pub fn gauge(&self) -> Vec<(&'static str, usize)> {
        let (core, io) = (&self.core, &self.core.io);
        let mut sizes: Vec<_> = core.hub.gauge().collect();
        sizes.extend(io.conns.gauge());
        sizes.extend(io.links.gauge());
        sizes.extend([
            ("jobs", io.jobs.len()),
            ("outputs", io.outputs.len()),
            ("events", io.events.len()),
            ("node timers", io.timers.size()),
            ("guarded", core.guard.len()),
            ("turns", core.turns.len()),
            ("tickets", core.desk.size()),
        ]);
        sizes
    }
}
