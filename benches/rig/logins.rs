//! Logins by the thousand: several threads at a time, each with users of its own.

use super::Failure;

/// Threads that log in at the same time.
pub const AT_ONCE: usize = 32;

/// Has `count` logins made by several threads at a time; each has users of its own, so that nobody is there twice.
///
/// # Errors
/// The first login's that fails.
pub fn at_once(
    count: u64,
    accounts: usize,
    log_in: impl Fn(&mut dyn Iterator<Item = usize>) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let log_in = &log_in;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                scope.spawn(move || {
                    let turns = (thread as u64..count).step_by(AT_ONCE);
                    let round = |turn| turn as usize / AT_ONCE % (accounts / AT_ONCE);
                    log_in(&mut turns.map(|turn| thread + AT_ONCE * round(turn)))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Failure("a thread panicked".into()))))
    })
}
