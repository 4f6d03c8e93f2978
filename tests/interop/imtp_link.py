"""One connection of IMTP or PITP, as a client or a server's program holds it, in clear or in TLS.

A thread reads; what comes is checked by `imtp_wire.fault`, and what is wrong is noted in `Link.faults`.  Commands of
the other side are put into an inbox and answered as the link's `answer` says.
"""

import itertools
import socket
import ssl
import struct
import threading
import time

import imtp_wire as wire
from simp_client import PATIENCE, Closed


class Refused(Exception):
    """The other side answered with an error."""

    def __init__(self, reply):
        super().__init__(repr(reply))
        self.reply = reply


class Stream:
    """A TCP connection in clear."""

    alpn = None

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self):
        """Some octets; none at the end."""
        return self.sock.recv(65536)

    def write(self, octets):
        """Writes all."""
        self.sock.sendall(octets)

    def stop(self, how=socket.SHUT_RDWR):
        """Ends it, or one direction of it."""
        try:
            self.sock.shutdown(how)
        except OSError:
            pass

    def certificate(self):
        """The other side's, as DER."""
        return None


class TlsStream(Stream):
    """TLS over memory buffers, so that one thread may read while another writes."""

    def __init__(self, sock, context, server_name=None, server=False):
        super().__init__(sock)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=server_name)
        self._lock = threading.Lock()
        self._shake_hands()
        self.alpn = self._tls.selected_alpn_protocol()

    def _flush(self):
        data = self._out.read()
        if data:
            self.sock.sendall(data)

    def _receive(self):
        data = self.sock.recv(65536)
        with self._lock:
            self._in.write(data) if data else self._in.write_eof()
        return bool(data)

    def _shake_hands(self):
        self.sock.settimeout(PATIENCE)
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                self.sock.settimeout(None)
                return
            except ssl.SSLWantReadError:
                self._flush()
                if not self._receive():
                    raise Closed("closed in the handshake") from None
            except ssl.SSLError:
                self._flush()
                raise

    def read(self):
        while True:
            with self._lock:
                try:
                    data = self._tls.read(65536)
                    self._flush()
                    return data
                except ssl.SSLWantReadError:
                    self._flush()
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    return b""
            if not self._receive():
                return b""

    def write(self, octets):
        with self._lock:
            if octets:
                self._tls.write(octets)
            self._flush()

    def certificate(self):
        return self._tls.getpeercert(binary_form=True)

    def names(self):
        """The domains that the other side's certificate names, if it has been verified."""
        certificate = self._tls.getpeercert() or {}
        return [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]


def dial(place, source=None, tls=None, server_name=None):
    """A stream to a place, from a local address; in TLS with a context."""
    sock = socket.create_connection(place, timeout=PATIENCE, source_address=source and (source, 0))
    try:
        return Stream(sock) if tls is None else TlsStream(sock, tls, server_name)
    except Exception:
        sock.close()
        raise


class Pending:
    """A command whose answer has not come yet."""

    def __init__(self, method, aborts=False):
        self.method = method
        self.aborts = aborts
        self._reply = None
        self._event = threading.Event()

    def settle(self, reply):
        """Called by the reader: the answer, or None when the connection ended."""
        self._reply = reply
        self._event.set()

    def settled(self):
        """Has anything come?"""
        return self._event.is_set()

    def reply(self, patience=PATIENCE):
        """The answer; waits for it."""
        if not self._event.wait(patience):
            raise TimeoutError(f"no answer to {self.method} in {patience} s")
        if self._reply is None:
            raise Closed(f"closed before the answer to {self.method}")
        return self._reply

    def accepted(self):
        """The answer, which must be ok."""
        reply = self.reply()
        if reply.kind != "ok":
            raise Refused(reply)
        return reply


class Inbox:
    """Commands that came and that nobody has taken yet."""

    def __init__(self):
        self._commands = []
        self._closed = False
        self._changed = threading.Condition()

    def put(self, command):
        """Adds a command."""
        with self._changed:
            self._commands.append(command)
            self._changed.notify_all()

    def close(self):
        """No more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_closed(self):
        """Will nothing more come?"""
        return self._closed

    def wait_closed(self, patience=PATIENCE):
        """Waits until nothing more can come."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed, patience):
                raise TimeoutError(f"still open after {patience} s")

    def expect(self, method, payload=None, patience=PATIENCE, **headers):
        """The first command of that method (with that payload and those values) that came; waits, and removes it."""
        payload = wire.octets(payload)

        def fits(command):
            if command.method != method or payload not in (None, command.payload):
                return False
            return all(command.get(wire.spelt(name)) == value for name, value in headers.items())

        deadline = time.monotonic() + patience
        with self._changed:
            while (found := next(filter(fits, self._commands), None)) is None:
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = Closed if self._closed else TimeoutError
                    raise why(f"no {method} {payload or ''} {headers} in {patience} s; came: {self._commands}")
                self._changed.wait(left)
            self._commands.remove(found)
            return found

    def seen(self, method=None):
        """The commands that came and were not yet taken."""
        with self._changed:
            return [command for command in self._commands if method in (None, command.method)]

    def forget(self):
        """Empties it."""
        with self._changed:
            self._commands.clear()


def stock_answers(command):
    """What an obliging client answers; None: nothing now."""
    if command.method in wire.TO_CLIENT[command.connection.protocol]:
        return wire.ok(command)
    return wire.error(command, "unknown-method")


def silent(_command):
    """Answers nothing: a test answers by hand."""
    return None


class Link:
    """A connection; `role` says what the other side is to us: it writes as to a `client` or as to a `peer`."""

    def __init__(self, stream, protocol, answer=stock_answers, acceptor=False, role="client"):
        self.stream, self.protocol, self.answer = stream, protocol, answer
        self.acceptor, self.role = acceptor, role
        self.faults, self.received = [], b""
        self.inbox, self.mechs = Inbox(), []
        self.responses = []  # those to no command of ours
        self.ids = map(str, itertools.count(1))
        self.on_close = None
        self._pending = {}
        self._ended = False
        self._wants_mech = not acceptor
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._greeted = threading.Condition()
        self._reads = threading.Event()
        self._reads.set()
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def open(cls, place, protocol, source=None, tls=None, server_name=None, **options):
        """Connects."""
        return cls(dial(place, source, tls, server_name), protocol, **options)

    # --- Writing ---

    def raw(self, octets):
        """Writes octets as they are; a connection that is gone shows on the reading side."""
        try:
            with self._writing:
                self.stream.write(octets)
        except (OSError, ssl.SSLError):
            pass

    def await_reply(self, method, identity, aborts=False):
        """The `Pending` of a command that is written by other means."""
        pending = Pending(method, aborts)
        with self._lock:
            if not self._ended:
                self._pending[identity] = pending
        if self._ended:
            pending.settle(None)
        return pending

    def request(self, method, payload=None, identity=None, **headers):
        """Sends a command and returns its `Pending`; `Orig_Inbox=[...]` is a repeated header `Orig-Inbox`."""
        if identity is None:
            with self._lock:
                identity = next(self.ids)
        pending = self.await_reply(method, identity, "Abort" in headers)
        self.raw(wire.command(identity, method, payload, **headers))
        return pending

    def call(self, method, payload=None, **headers):
        """Sends a command and waits for its answer, whatever it is."""
        return self.request(method, payload, **headers).reply()

    def accepted(self, method, payload=None, **headers):
        """The same, and it must be ok."""
        return self.request(method, payload, **headers).accepted()

    def fence(self):
        """Waits until all that the other side wrote before now is here."""
        reply = self.call("no-such-method")
        assert reply.error == "unknown-method", reply

    def nothing(self, method=None):
        """Fails if such a command came up to now."""
        self.fence()
        came = self.inbox.seen(method)
        assert not came, f"unwanted: {came}"

    def expect(self, method, payload=None, **headers):
        """What the other side sends us."""
        return self.inbox.expect(method, payload, **headers)

    # --- Authentication ---

    def mechanisms(self, which=0, patience=PATIENCE):
        """The first mechanism list, or a later one."""
        with self._greeted:
            ready = self._greeted.wait_for(lambda: len(self.mechs) > which or self._ended, patience)
        if len(self.mechs) > which:
            return self.mechs[which]
        raise (Closed if ready else TimeoutError)(f"no mechanism list {which}")

    def authenticate(self, mechanism, initial=True):
        """The `auth` exchange of part 8; returns the last answer, or raises `Refused`."""
        self.mechanisms()
        first = mechanism.first()
        reply = self.call("auth", Mechanism=mechanism.name, payload=first if initial else None)
        while reply.error == "sasl-challenge":
            reply = self.call("auth", mechanism.respond(reply.payload))
        if reply.kind != "ok":
            raise Refused(reply)
        mechanism.finish(reply.payload)
        self.mechanisms(1)
        return reply

    # --- Ending ---

    def half_close(self):
        """Says that we write no more."""
        self.stream.stop(socket.SHUT_WR)

    def close(self):
        """Ends the connection, and waits until the reader has seen it."""
        self._reads.set()
        self.stream.stop()
        self.wait_closed()

    def reset(self):
        """Breaks the connection, as a machine that falls does: the other side sees a reset."""
        self.stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reads.set()
        self.stream.stop(socket.SHUT_RD)
        self.wait_closed()

    def hold(self):
        """Stops reading, as a peer that hangs does."""
        self._reads.clear()

    def wait_closed(self, patience=PATIENCE):
        """Waits until the other side has closed."""
        self.inbox.wait_closed(patience)

    @property
    def is_closed(self):
        """Has the connection ended?"""
        return self.inbox.is_closed

    # --- Reading ---

    def _read(self):
        reader = wire.Reader()
        try:
            while self._reads.wait() and (data := self.stream.read()):
                self.received = (self.received + data)[:4096]
                for message in reader.feed(data):
                    message.connection = self
                    self._take(message)
            if not reader.is_between:
                self.faults.append("closed within a message")
        except (OSError, ValueError, ssl.SSLError):
            pass
        except wire.WireError as wrong:
            self.faults.append(str(wrong))
        with self._lock:
            self._ended = True
            waiting = list(self._pending.values())
            self._pending.clear()
        for pending in waiting:
            pending.settle(None)
        with self._greeted:
            self._greeted.notify_all()
        self.stream.sock.close()
        self.inbox.close()
        if self.on_close:
            self.on_close(self)

    def _take(self, message):
        wrong = wire.fault(message, self.protocol, self.role)
        if wrong:
            self.faults.append(f"{message}: {wrong}")
        self._expect_mech(message)
        if message.kind == "command":
            self.inbox.put(message)
            answer = self.answer(message)
            if answer is not None:
                self.raw(answer)
                if message.method == "shutdown":
                    self.stream.stop()  # COMMON-14.2-2: there is no other server to go to
        elif message.kind in ("ok", "error"):
            self._take_answer(message)

    def _expect_mech(self, message):
        """COMMON-6.4-1, COMMON-14.1-17, COMMON-14.1-18: when a mechanism list comes, and what it says."""
        if message.kind != "mech":
            if self._wants_mech:
                self.faults.append(f"{message} where a mechanism list is due")
                self._wants_mech = False
            return
        if not self._wants_mech:
            self.faults.append("a mechanism list that is not due (COMMON-10-3)")
        self._wants_mech = False
        with self._greeted:
            self.mechs.append(message.names)
            self._greeted.notify_all()
        if message.names != self.mechs[0]:
            self.faults.append(f"two lists that differ: {self.mechs} (COMMON-14.1-18)")

    def _take_answer(self, message):
        with self._lock:
            pending = self._pending.pop(message.id, None)
        if pending is None:
            self.responses.append(message)
            self.faults.append(f"an answer to nothing: {message}")
            return
        if pending.method != message.method:
            self.faults.append(f"an answer to {pending.method} that says {message.method}")
        if message.method == "auth" and message.kind == "ok" and not pending.aborts:
            self._wants_mech = True
        pending.settle(message)
