//! `hearth status`: how the running server is.

use super::failure::{Done, Failure};
use super::house::House;
use crate::admin::{AdminReply, AdminRequest, Status};
use crate::cli::output::say;

/// Asks and prints.
pub fn run(house: &House, json: bool) -> Done {
    let status = match house.ask(&AdminRequest::Status)? {
        Some(AdminReply::Status(status)) => status,
        Some(other) => return Err(house.unexpected(&other)),
        None => return Err(house.not_running()),
    };
    if json {
        let text = serde_json::to_string(&status).map_err(Failure::new)?;
        say!("{text}");
    } else {
        say!("{}", described(&status));
    }
    Ok(())
}

fn described(s: &Status) -> String {
    let domains = s.domains.join(" ");
    let links: Vec<_> = s.links_by_protocol.iter().map(|(protocol, up)| format!("{protocol} {up}")).collect();
    let rows = [
        ("version", s.version.clone()),
        ("up for", span(s.uptime_seconds)),
        ("domains", domains),
        ("users online", format!("{} (on {} endpoints)", s.users_online, s.endpoints)),
        (
            "connections",
            format!("{}, links to other domains {} ({})", s.connections, s.links, links.join(", ")),
        ),
        ("accounts in memory", s.accounts_in_memory.to_string()),
        ("waiting for answers", s.requests_waiting.to_string()),
        (
            "messages",
            format!(
                "{}: {} delivered, {} refused or failed, {} kept for a login",
                s.messages, s.messages_delivered, s.messages_refused, s.messages_kept
            ),
        ),
        ("presence told", s.notifications.to_string()),
        ("logins", format!("{}, failed {}", s.logins, s.logins_failed)),
        ("connections cut", format!("{} (broke the protocol or a limit)", s.connections_cut)),
        ("database", format!("{} batches written, {} failed", s.batches, s.batches_failed)),
    ];
    rows.map(|(name, value)| format!("{name:<20} {value}")).join("\n")
}

/// Seconds as days, hours, minutes and seconds, from the first that is not zero.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_by_people() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(61), "1 min 1 s");
        assert_eq!(span(3600), "1 h 0 min");
        assert_eq!(span(90_061), "1 d 1 h 1 min");
    }

    #[test]
    fn each_counter_has_its_place() {
        let status = Status { messages: 71, messages_kept: 72, batches_failed: 73, ..Status::default() };
        let text = described(&status);
        assert!(text.contains("messages             71: "), "{text}");
        assert!(text.contains(" 72 kept"), "{text}");
        assert!(text.contains(" 73 failed"), "{text}");
    }
}
