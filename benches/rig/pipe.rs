//! Blocking connections to a server, in clear or on TLS: for logins, before the generator takes over.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use super::Failure;

/// The longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to reach a server.
#[derive(Clone)]
pub struct Target {
    /// The listener.
    pub address: SocketAddr,
    /// On TLS: with these roots, to this name.
    pub tls: Option<(Arc<ClientConfig>, String)>,
    /// The address to connect from, if not the one that the kernel chooses: one has no more than so many ports.
    pub from: Option<IpAddr>,
}

/// A blocking connection.
pub enum Pipe {
    /// In clear.
    Clear(TcpStream),
    /// On TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Pipe {
    /// Opens it, to `address` with what the target says of TLS.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(target: &Target, address: SocketAddr) -> Result<Pipe, Failure> {
        let stream = match target.from {
            None => TcpStream::connect(address)?,
            Some(from) => {
                let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
                socket.bind(&SocketAddr::new(from, 0).into())?;
                socket.connect(&address.into())?;
                socket.into()
            }
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some((config, name)) = &target.tls else { return Ok(Pipe::Clear(stream)) };
        let name = name.clone().try_into().map_err(|_| "no server name")?;
        let session = ClientConnection::new(config.clone(), name)?;
        Ok(Pipe::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If the connection has failed.
    pub fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        match self {
            Pipe::Clear(stream) => stream.write_all(octets)?,
            Pipe::Tls(stream) => stream.write_all(octets)?,
        }
        Ok(())
    }

    /// Reads what comes next to the end of `input`.
    ///
    /// # Errors
    /// If the connection has failed, has ended, or is silent.
    pub fn fill(&mut self, input: &mut Vec<u8>) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        let count = match self {
            Pipe::Clear(stream) => stream.read(&mut buffer)?,
            Pipe::Tls(stream) => stream.read(&mut buffer)?,
        };
        if count == 0 {
            return Err(Failure("the server closed a connection at login".into()));
        }
        input.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// The socket below.
    pub fn into_stream(self) -> TcpStream {
        match self {
            Pipe::Clear(stream) => stream,
            Pipe::Tls(stream) => stream.into_parts().1,
        }
    }
}
