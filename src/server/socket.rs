//! Sockets with the options we want: listening, dialling, and how many of them there may be.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 4096;
/// Descriptors kept for the store, the resolver's sockets, the control socket and dialling.
const RESERVE: usize = 400;
/// The server itself has some thirty open; with fewer than these there would be no place for anybody.
const FEWEST: usize = 64;
/// Silence after which the kernel probes whether the peer still exists, and the time between probes.
const PROBE_AFTER: Duration = Duration::from_secs(300);
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// A listening socket. Accepted connections inherit its options.
///
/// # Errors
/// The operating system's: the port is taken, or privileged, or the address is not ours.
pub(super) fn listen(address: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `[::]` are two listeners.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

/// A socket on its way to `to`, from the server's own address if it has one that fits: peers know
/// us by it.
///
/// # Errors
/// The operating system's. That the connection is still on its way is none.
pub(super) fn dial(to: SocketAddr, from: Option<IpAddr>) -> io::Result<mio::net::TcpStream> {
    let socket = stream_socket(to)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
        Err(e) => return Err(e),
    }
    Ok(mio::net::TcpStream::from_std(socket.into()))
}

fn stream_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
    Ok(socket)
}

/// The address to dial `to` from: the first listener's that is of the same family and, like `to`, on
/// loopback or not. None: the kernel chooses.
pub(super) fn source(listeners: &[SocketAddr], to: SocketAddr) -> Option<IpAddr> {
    listeners
        .iter()
        .map(SocketAddr::ip)
        .filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == to.is_ipv4())
        .find(|ip| ip.is_loopback() == to.ip().is_loopback())
}

/// With [`send`]: the end of our side follows at once, and the octets wait for it, so that one segment carries both.
#[cfg(target_os = "linux")]
pub(super) const LAST: i32 = libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
pub(super) const LAST: i32 = 0;

/// One write; none taken if the socket is full.
///
/// # Errors
/// The operating system's: the connection is lost.
pub(super) fn send(stream: &mio::net::TcpStream, data: &[u8], flags: i32) -> io::Result<usize> {
    let socket = SockRef::from(stream);
    loop {
        match socket.send_with_flags(data, flags | libc::MSG_NOSIGNAL) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Is this the address of somebody on this machine?
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Raises the number of descriptors to the hardest limit, and says how many connections that leaves room for.
///
/// # Errors
/// There are too few even for the server itself.
pub(super) fn room() -> io::Result<usize> {
    let limits = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let granted = if setrlimit(Resource::Nofile, wanted).is_ok() { limits.maximum } else { limits.current };
    let descriptors = granted.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    if descriptors < FEWEST {
        let text = format!(
            "{descriptors} open files are too few, {FEWEST} the least: raise the limit (ulimit -n, LimitNOFILE)"
        );
        return Err(io::Error::other(text));
    }
    Ok(descriptors - RESERVE.min(descriptors / 2))
}

/// Is the process or the machine out of descriptors or memory for sockets?
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn we_dial_from_the_address_that_peers_know_us_by() {
        // SIMP-2-1, OC-01: peers believe an address.
        let listeners =
            [at("0.0.0.0:1"), at("127.0.0.2:1"), at("127.0.0.3:1"), at("192.0.2.1:1"), at("[::1]:1")];
        let from = |to| source(&listeners, at(to)).map(|ip| ip.to_string());
        assert_eq!(from("127.0.0.9:7467").as_deref(), Some("127.0.0.2"));
        assert_eq!(from("198.51.100.1:7467").as_deref(), Some("192.0.2.1"));
        assert_eq!(from("[::1]:7467").as_deref(), Some("::1"));
        assert_eq!(from("[2001:db8::1]:7467"), None);
    }

    #[test]
    fn accepted_connections_have_the_listeners_options() {
        let listener: std::net::TcpListener = listen(at("127.0.0.1:0")).unwrap().into();
        let dialled = dial(listener.local_addr().unwrap(), None).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap() && dialled.nodelay().unwrap());
        for socket in [SockRef::from(&accepted), SockRef::from(&dialled)] {
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        }
    }

    #[test]
    fn last_words_wait_for_the_end_and_come_with_it() {
        use std::io::Read;
        use std::net::Shutdown;
        let listener: std::net::TcpListener = listen(at("127.0.0.1:0")).unwrap().into();
        let dialled = dial(listener.local_addr().unwrap(), None).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(send(&dialled, b"first", 0).unwrap(), 5);
        assert_eq!(send(&dialled, b", last", LAST).unwrap(), 6);
        dialled.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        accepted.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "first, last");
    }
}
