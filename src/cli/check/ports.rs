//! The listeners: do they answer, or could they be opened?

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::Finding;
use crate::cli::house;
use crate::config::Config;

/// A listener on this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at each.
pub(super) fn look(config: &Config, running: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config
        .listen
        .iter()
        .map(|listen| if running { answers(listen.address) } else { is_free(listen.address) })
        .collect();
    if config.listen.iter().all(|l| l.address.ip().is_loopback()) {
        findings.push(Finding::note("listeners: all on loopback; nobody beyond this machine can reach them"));
    }
    findings
}

fn answers(address: SocketAddr) -> Finding {
    match TcpStream::connect_timeout(&house::here(address), PATIENCE) {
        Ok(_) => Finding::ok(format!("listener {address}: answers")),
        Err(error) => Finding::wrong(format!(
            "listener {address}: does not answer ({error}): was it added after the server's start? Restart it"
        )),
    }
}

fn is_free(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(format!("listener {address}: free")),
        Err(error) => Finding::wrong(format!(
            "listener {address}: cannot be opened: {}",
            match error.kind() {
                ErrorKind::AddrInUse => "another program has it, end that or choose another port".to_owned(),
                ErrorKind::AddrNotAvailable =>
                    "no address of this machine, choose one (`ip addr`)".to_owned(),
                ErrorKind::PermissionDenied => "ports below 1024 are root's, choose a higher one".to_owned(),
                _ => error.to_string(),
            }
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::Mark;

    #[test]
    fn a_taken_port_is_wrong_only_while_we_do_not_have_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(answers(address).mark, Mark::Ok);
        assert_eq!(is_free(address).mark, Mark::Wrong);
        drop(taken);
        assert_eq!(answers(address).mark, Mark::Wrong);
        assert_eq!(is_free(address).mark, Mark::Ok);
        let elsewhere = is_free("192.0.2.1:7467".parse().unwrap());
        assert!(elsewhere.text.contains("no address of this machine"), "{elsewhere}");
    }
}
