//! Attacks of other domains: their servers, and their name servers.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Orders;
use super::users::{command, entry, message, press_all};
use crate::rig::Failure;

/// How a bad server behaves to whoever connects to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reads, and never says anything.
    Silent,
    /// Does not even read.
    Deaf,
    /// Answers what was not asked, what makes no sense, and the same again.
    Wrong,
    /// An octet now and then.
    Slow,
    /// Ends every connection at once.
    Reopen,
}

/// A bad server; ends when it is dropped.
pub struct Evil {
    stop: Arc<AtomicBool>,
    /// Connections that came.
    pub came: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts one where `evil.test` and `wicked.test` are said to be.
///
/// # Errors
/// If its port is taken.
pub fn listen(orders: &Orders, manner: Manner) -> Result<Evil, Failure> {
    let listener = TcpListener::bind(orders.evil)?;
    listener.set_nonblocking(true)?;
    let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ended, count) = (stop.clone(), came.clone());
    let thread = thread::spawn(move || {
        let mut conns: Vec<TcpStream> = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while !ended.load(Ordering::Relaxed) {
            while let Ok((stream, _)) = listener.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.set_nonblocking(true);
                if manner != Manner::Reopen {
                    conns.push(stream);
                }
            }
            conns.retain_mut(|conn| misbehave(conn, manner, &mut buffer));
            thread::sleep(Duration::from_millis(if manner == Manner::Slow { 50 } else { 2 }));
        }
    });
    Ok(Evil { stop, came, thread: Some(thread) })
}

/// One turn with one connection; false if it is over.
fn misbehave(conn: &mut TcpStream, manner: Manner, buffer: &mut [u8]) -> bool {
    if manner == Manner::Deaf {
        return true;
    }
    match conn.read(buffer) {
        Ok(0) => return false,
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::WouldBlock && manner == Manner::Slow => {}
        Err(e) => return e.kind() == ErrorKind::WouldBlock,
    }
    let said: &[u8] = match manner {
        Manner::Wrong => {
            b"<?xml version=\"1.0\"?><stream>\
              <properties><entry key=\"action\">okay</entry><entry key=\"response\">1</entry></properties>\
              <properties><entry key=\"action\">okay</entry><entry key=\"response\">1048576</entry></properties>\
              <properties><entry key=\"action\">properties</entry><entry key=\"response\">1048577</entry></properties>\
              <properties><entry key=\"response\">99999999999999999999</entry></properties>\
              <properties><entry key=\"action\">error</entry><entry key=\"response\">-1</entry></properties>"
        }
        Manner::Slow => b"<",
        Manner::Silent | Manner::Deaf | Manner::Reopen => return true,
    };
    !matches!(conn.write(said), Err(e) if e.kind() != ErrorKind::WouldBlock)
}

/// Twenty users write to, fetch from and subscribe to users of a bad server's domains.
pub fn outbound(orders: &Orders, manner: Manner) -> Result<String, Failure> {
    let evil = listen(orders, manner)?;
    let pressed = press_all(orders, 0..20, 64, |from, _, number| {
        let domain = if number % 2 == 0 { "evil.test" } else { "wicked.test" };
        let to = format!("x{}@{domain}", number % 1000);
        let parties = entry("to", &to) + &entry("from", from);
        match number % 6 {
            0 | 1 => command("fetch", &parties),
            2 | 3 => command("subscribe", &(parties + &entry("duration", "3600000"))),
            _ => message(from, &to, 1000),
        }
    });
    let came = evil.came.load(Ordering::Relaxed);
    Ok(format!("{came} connections of the server's; {}", pressed.told()))
}

/// The server of a domain that is believed says as much as it can, over eight connections: messages,
/// subscriptions, news that nobody asked for.
pub fn inbound(orders: &Orders) -> Result<String, Failure> {
    let end = orders.end();
    let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut text = String::new();
    for number in 0..60 {
        let to = format!("alice{number}@{}", orders.domain);
        let parties = |from: &str| entry("to", &to) + &entry("from", from);
        text += &message("m@evil.test", &format!("nobody{number}@{}", orders.domain), 100);
        text += &command("subscribe", &(parties("m@evil.test") + &entry("duration", "3600000")));
        text += &command("fetch", &parties("m@evil.test"));
        let news = entry("regarding", "m@evil.test") + &entry("status", "online") + &entry("message", "");
        text += &command("note change", &(parties("notifier@evil.test") + &news));
    }
    thread::scope(|scope| {
        for _ in 0..8 {
            let (text, sent, answered) = (&text, &sent, &answered);
            scope.spawn(move || {
                while Instant::now() < end {
                    let Ok(mut stream) = from_evil(orders) else { continue };
                    let mut buffer = vec![0; 64 * 1024];
                    let mut out: Vec<u8> = b"<?xml version=\"1.0\"?>\n<stream>\n".to_vec();
                    while Instant::now() < end {
                        if out.is_empty() {
                            out.extend_from_slice(text.as_bytes());
                            sent.fetch_add(240, Ordering::Relaxed);
                        }
                        match stream.write(&out) {
                            Ok(count) => drop(out.drain(..count)),
                            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                                thread::sleep(Duration::from_millis(1))
                            }
                            Err(_) => break,
                        }
                        match stream.read(&mut buffer) {
                            Ok(0) => break,
                            Ok(count) => drop(answered.fetch_add(count as u64, Ordering::Relaxed)),
                            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                            Err(_) => break,
                        }
                    }
                }
            });
        }
    });
    Ok(format!(
        "{:.0} requests a second sent, {} MiB of answers",
        sent.into_inner() as f64 / orders.seconds,
        answered.into_inner() >> 20
    ))
}

fn from_evil(orders: &Orders) -> Result<TcpStream, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::new(orders.evil.ip(), 0).into())?;
    socket.connect(&orders.simp.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Twenty users write to ever new domains; the name server never answers, or lies.
pub fn dns(orders: &Orders, lies: bool) -> Result<String, Failure> {
    let socket = UdpSocket::bind(orders.dns)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let stop = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    let pressed = thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
                let number = asked.fetch_add(1, Ordering::Relaxed);
                if lies {
                    let _ = socket.send_to(&lie(&buffer[..count], number, orders), from);
                }
            }
        });
        let pressed = press_all(orders, 0..20, 64, |from, index, number| {
            message(from, &format!("x@d{index}-{number}.nowhere.test"), 1000)
        });
        stop.store(true, Ordering::Relaxed);
        pressed
    });
    Ok(format!("{} queries; {}", asked.into_inner(), pressed.told()))
}

/// An answer that is none: cut off, of another id, all octets wrong, or records that point at the server itself.
fn lie(query: &[u8], number: u64, orders: &Orders) -> Vec<u8> {
    let mut answer = query.to_vec();
    if answer.len() < 12 {
        return answer;
    }
    // A response, with recursion, and one record.
    answer[2] |= 0x80;
    answer[3] = 0x80;
    match number % 5 {
        0 => answer.truncate(13),
        1 => answer[0] ^= 0x55,
        2 => answer.iter_mut().skip(4).for_each(|octet| *octet = octet.wrapping_mul(31) ^ 0xC0),
        // Truncated, without end.
        3 => answer[2] |= 0x02,
        _ => {
            answer[6..8].copy_from_slice(&[0, 1]);
            answer[8..12].fill(0);
            if let Some(end) = answer[12..].iter().position(|octet| *octet == 0) {
                answer.truncate(12 + end + 5);
            }
            // The name of the question, class IN, a day.
            let kind = answer[answer.len() - 3];
            answer.extend_from_slice(&[0xC0, 12, 0, kind, 0, 1, 0, 1, 0x51, 0x80]);
            let [high, low] = orders.simp.port().to_be_bytes();
            match kind {
                1 => answer.extend_from_slice(&[0, 4, 127, 0, 0, 1]),
                33 => answer.extend_from_slice(&[0, 8, 0, 0, 0, 0, high, low, 0xC0, 12]),
                _ => answer.extend_from_slice(&[0, 0]),
            }
        }
    }
    answer
}
