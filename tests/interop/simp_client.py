"""A stock SIMP 1.0 client, written from the catalogue alone.

`Connection` is one TCP connection with its two streams; `Routing` is a client's use of a routing
connection, `Session` a logged-in user's notification connection.  Every command that the other side
writes is checked against its pattern; what is wrong is noted in `Connection.faults`.
"""

import base64
import hashlib
import socket
import struct
import threading
import time

from simp_wire import FOOTER, HEADER, ONE_WAY, StreamError, StreamReader, encode, fault, reply_fault

# Longer than any of the server's own limits, seconds: only a hung server meets it.
PATIENCE = 90


class Closed(Exception):
    """The connection ended before what was waited for came."""


class Refused(Exception):
    """The server answered a request with `error`."""

    def __init__(self, request, reply):
        super().__init__(f"{request['action']}: {reply.get('message')}")
        self.reply = reply


def authorization(user, password, nonce, algorithm="MD5"):
    """SIMP-7.1-4, SIMP-7.1-5, SIMP-7.1-6: the Base64 of the digest of user:password:nonce."""
    name = {"": "md5", "MD5": "md5", "SHA-256": "sha256"}[algorithm.upper()]
    digest = hashlib.new(name, f"{user}:{password}:{nonce}".encode()).digest()
    return base64.b64encode(digest).decode()


def spaced(names):
    """Keyword arguments as keys: `reply_to` is `reply to`, `from_` is `from`."""
    return {key.rstrip("_").replace("_", " "): value for key, value in names.items()}


def okay(message="okay"):
    """The reply that most requests want."""
    return {"action": "okay", "message": message}


def error(message):
    """The reply to a request that failed."""
    return {"action": "error", "message": message}


def stock_answers(command):
    """What a stock client answers; None: nothing now."""
    if command["action"] in ("send", "note change", "note subscription end"):
        return okay() if fault(command) is None else error("malformed command")
    if command["action"] in ONE_WAY:
        return None
    return error("unrecognized request")  # SIMP-11-1


def silent(_command):
    """Answers nothing: a test answers by hand."""
    return None


class Pending:
    """A request whose reply has not come yet."""

    def __init__(self, command):
        self.command = command
        self._reply = None
        self._event = threading.Event()

    def settle(self, reply):
        """Called by the reader: the reply, or None when the connection ended."""
        self._reply = reply
        self._event.set()

    def settled(self):
        """Has anything come?"""
        return self._event.is_set()

    def reply(self, patience=PATIENCE):
        """The reply; waits for it."""
        if not self._event.wait(patience):
            raise TimeoutError(f"no reply to {self.command['action']!r} in {patience} s")
        if self._reply is None:
            raise Closed(f"closed before the reply to {self.command['action']!r}")
        return self._reply


class Command(dict):
    """A command that came, and the connection that it came on."""

    connection = None

    def respond(self, reply):
        """Answers it, if it is a request."""
        self.connection.post({**reply, "response": self["request"]})


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

    def _find(self, action, match):
        for command in self._commands:
            if command.get("action") == action and all(command.get(key) == value for key, value in match.items()):
                return command
        return None

    def expect(self, action, patience=PATIENCE, **match):
        """The first command of that action (and those values) that came; waits for it, and removes it."""
        match = spaced(match)
        deadline = time.monotonic() + patience
        with self._changed:
            while (found := self._find(action, match)) is None:
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = Closed if self._closed else TimeoutError
                    raise why(f"no {action!r} {match} in {patience} s; came: {self._commands}")
                self._changed.wait(left)
            self._commands.remove(found)
            return found

    def seen(self, action=None):
        """The commands that came and were not yet taken by `expect`."""
        with self._changed:
            return [command for command in self._commands if action in (None, command.get("action"))]

    def forget(self):
        """Empties it."""
        with self._changed:
            self._commands.clear()


class Connection:
    """A TCP connection with a stream in each direction, read by a thread of its own."""

    def __init__(self, sock, answer=stock_answers, header=HEADER):
        self.sock = sock
        self.answer = answer
        self.faults = []
        self.received = b""
        self.ended_by_peer = False
        self._reader = StreamReader()
        self.inbox = Inbox()
        self._next = 0
        self._pending = {}
        self._ended = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._reads = threading.Event()
        self._reads.set()
        self.raw(header)
        threading.Thread(target=self._read, daemon=True).start()

    @classmethod
    def open(cls, address, source=None, **options):
        """Connects; `source` is the local address to come from."""
        sock = socket.create_connection(address, timeout=PATIENCE, source_address=source and (source, 0))
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock, **options)

    # --- Writing ---

    def raw(self, octets):
        """Writes octets as they are; a connection that is gone shows on the reading side."""
        try:
            with self._writing:
                self.sock.sendall(octets)
        except OSError:
            pass

    def post(self, command):
        """Writes a command as it is."""
        self.raw(encode(command))

    def await_reply(self, command, sequence):
        """The `Pending` of a request that is written by other means."""
        pending = Pending(command)
        with self._lock:
            if not self._ended:
                self._pending.setdefault(sequence, []).append(pending)
        if self._ended:
            pending.settle(None)
        return pending

    def request(self, command, sequence=None):
        """Sends a request (entries as a dict or as pairs) and returns its `Pending`.

        The id is given, or the next of a counter.
        """
        pairs = list(command.items() if isinstance(command, dict) else command)
        if sequence is None:
            with self._lock:
                self._next += 1
                sequence = str(self._next)
        pending = self.await_reply(dict(pairs), sequence)
        self.post([*pairs, ("request", sequence)])
        return pending

    def call(self, action, **entries):
        """Sends a request and waits for its reply, whatever it is."""
        return self.request({"action": action, **spaced(entries)}).reply()

    def end(self):
        """Ends our stream and leaves the other side's open."""
        self.raw(FOOTER)

    def close(self):
        """Ends our stream and the connection, and waits until the reader has seen it."""
        self.end()
        self.abort()

    def abort(self):
        """Ends the connection without a word, as a program that ends does."""
        self._stop_reading(socket.SHUT_RDWR)

    def reset(self):
        """Breaks the connection, as a machine that falls does: the other side sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stop_reading(socket.SHUT_RD)

    def _stop_reading(self, how):
        self._reads.set()
        try:
            self.sock.shutdown(how)
        except OSError:
            pass
        self.wait_closed()

    # --- Reading ---

    def hold(self):
        """Stops reading, as a peer that hangs does."""
        self._reads.clear()

    def _read(self):
        try:
            while self._reads.wait() and (data := self.sock.recv(65536)):
                self.received = (self.received + data)[:256]
                for command in self._reader.feed(data):
                    self._take(command)
                self.ended_by_peer = self._reader.ended
        except (OSError, ValueError):
            pass
        except StreamError as wrong:
            self.faults.append(str(wrong))
        with self._lock:
            self._ended = True
            waiting = [pending for queue in self._pending.values() for pending in queue]
            self._pending.clear()
        for pending in waiting:
            pending.settle(None)
        self.sock.close()
        self.inbox.close()

    def _take(self, command):
        if "response" in command:
            self._take_reply(command)
            return
        command = Command(command)
        command.connection = self
        wrong = fault(command)
        if wrong:
            self.faults.append(f"{command}: {wrong}")
        self.inbox.put(command)
        if "request" in command:
            reply = self.answer(command)
            if reply is not None:
                command.respond(reply)

    def _take_reply(self, command):
        with self._lock:
            queue = self._pending.get(command["response"])
            pending = queue.pop(0) if queue else None
            if not queue:
                self._pending.pop(command["response"], None)
        if pending is None:
            self.faults.append(f"a reply to nothing: {command}")
            return
        wrong = reply_fault(pending.command, command)
        if wrong:
            self.faults.append(f"{command}: {wrong}")
        pending.settle(command)

    def wait_closed(self, patience=PATIENCE):
        """Waits until the other side has closed."""
        self.inbox.wait_closed(patience)

    @property
    def is_closed(self):
        """Has the connection ended?"""
        return self.inbox.is_closed


class Caller:
    """The requests of part 5, which a client may issue on its N or on any R (SIMP-5-1)."""

    def __init__(self, connection, ima):
        self.connection = connection
        self.ima = ima

    def checked(self, action, entries):
        """Sends a request and returns its reply, or raises `Refused`."""
        command = {"action": action, **entries}
        reply = self.connection.request(command).reply()
        if reply["action"] == "error":
            raise Refused(command, reply)
        return reply

    def _addressed(self, to, more):
        return {"to": to, "from": self.ima, **more}

    def message(self, to, body, type="text/plain", **more):
        """A `send`, not yet answered: the `Pending`."""
        command = {"action": "send", **self._addressed(to, {"type": type, "body": body, **spaced(more)})}
        return self.connection.request(command)

    def send(self, to, body, **more):
        """A `send` and its answer."""
        pending = self.message(to, body, **more)
        reply = pending.reply()
        if reply["action"] == "error":
            raise Refused(pending.command, reply)
        return reply

    def fetch(self, to):
        """The presence of a user."""
        return self.checked("fetch", self._addressed(to, {}))

    def subscribe(self, to, duration=-1):
        """Asks for notifications for so many milliseconds."""
        return self.checked("subscribe", self._addressed(to, {"duration": str(duration)}))

    def unsubscribe(self, to, opaque):
        """Ends a subscription."""
        return self.checked("unsubscribe", self._addressed(to, {"opaque": opaque}))

    def inquire(self, to=None):
        """Asks what serves an address."""
        return self.checked("inquire", self._addressed(to or self.ima, {}))

    def close(self):
        """Ends the connection in order."""
        self.connection.close()


class Routing(Caller):
    """A routing connection."""

    @classmethod
    def open(cls, address, ima=None, **options):
        """Connects to R."""
        return cls(Connection.open(address, **options), ima)

    def login(self, user, **more):
        """The challenge for a user."""
        return self.checked("login", {"user": user, **more})


class Session(Caller):
    """A logged-in user."""

    @classmethod
    def log_in(cls, address, ima, password, user=None, source=None, **options):
        """SIMP-7.1, SIMP-7.2: login on R, then connect on the N that the challenge names."""
        user = user or ima.split("@")[0]
        routing = Routing.open(address, source=source)
        try:
            challenge = routing.login(user)
        finally:
            routing.close()
        return cls.answer_challenge(challenge, ima, user, password, source=source, **options)

    @classmethod
    def answer_challenge(cls, challenge, ima, user, password, version="1.0", **options):
        """Opens N and connects; also after a `divert`, whose keys are the same."""
        place = (challenge["host"], int(challenge["port"]))
        session = cls(Connection.open(place, **options), ima)
        session.user, session.password = user, password
        answer = authorization(user, password, challenge["nonce"], challenge["algorithm"])
        entries = {"authorization": answer, "opaque": challenge["opaque"], "version": version}
        try:
            reply = session.checked("connect", entries)
        except (Refused, Closed, TimeoutError):
            session.connection.abort()
            raise
        session.profile = flat(reply)
        return session

    def follow_divert(self, divert, **options):
        """SIMP-6.5-3: a new N where the server says, without a new login."""
        return type(self).answer_challenge(divert, self.ima, self.user, self.password, **options)

    def get_profile(self):
        """The profile."""
        return flat(self.checked("get profile", {}))

    def set_profile(self, entries):
        """The whole new profile."""
        return self.checked("set profile", entries)

    def get_acl(self):
        """The access control list."""
        return flat(self.checked("get acl", {}))

    def set_acl(self, entries):
        """The whole new access control list."""
        return self.checked("set acl", entries)

    def drop_subscription(self, subscriber):
        """Ends somebody's subscription to our presence."""
        return self.checked("drop subscription", {"subscriber": subscriber})

    def expect(self, action, **match):
        """What the server sends us."""
        return self.connection.inbox.expect(action, **match)

    def fence(self):
        """Waits until all that the server wrote to us before now is here."""
        self.inquire()

    def nothing(self, action=None):
        """Fails if such a command came up to now; keeps the order by a request of our own."""
        self.fence()
        came = self.connection.inbox.seen(action)
        assert not came, f"unwanted: {came}"


def flat(reply):
    """The entries of a `self` without those of the command."""
    return {key: value for key, value in reply.items() if key not in ("action", "response")}
