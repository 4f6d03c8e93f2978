#!/usr/bin/env python3
"""Tests of the IMTP and PITP clients themselves, without a server: the catalogue's wire examples octet for octet, the
exchanges of RFC 7677 and of PLAIN, the checks of what may be emitted, and the client against the stub of a peer.
"""

import hashlib
import socket
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import authority
import imtp_wire as wire
import pidf
from imtp_client import ImtpClient
from imtp_link import Link, Refused, Stream, silent
from imtp_peer import TransferPeer
from pitp_client import PitpClient
from sasl import External, Keys, Plain, Scram, ScramServer, Wrong, end_point

MECH = b"=mech PLAIN SCRAM-SHA-256\r\n"
NONCE = "rOprNGfwEbeRWgbNEkqO"
PART = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")
CLIENT_FIRST = b">1 auth\r\nMechanism: SCRAM-SHA-256\r\nContent-Length: 32\r\n\r\nn,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = (
    b"<1 error (auth)\r\nError-Type: sasl-challenge\r\nContent-Length: 86\r\n\r\n"
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b">2 auth\r\nContent-Length: 106\r\n\r\n"
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"<2 ok (auth)\r\nContent-Length: 46\r\n\r\nv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
PLAIN = b">1 auth\r\nMechanism: PLAIN\r\nContent-Length: 12\r\n\r\n\0user\0pencil"


def crlf(text):
    """An example as the catalogue prints it, on the wire: every line ends in CRLF."""
    return b"".join(line.encode() + b"\r\n" for line in text.split("\n"))


DOCUMENT = "contact = im:ben@beta.example {\r\n  status = open\r\n}\r\n"

# What servers write in the examples of parts 2.6, 6.3 and 7, and the same built by our writer.
EXAMPLES = (
    (
        "imtp", "client",
        crlf(
            "<b error (send)\nError-Type: no-listeners\nError-Description: nobody is at this inbox now\n"
            "Error-Originator: beta.example\nAstrength: strong\n"
        ),
        lambda: wire.error(
            wire.Message("command", "b", "send"), "no-listeners", "nobody is at this inbox now",
            Error_Originator="beta.example", Astrength="strong",
        ),
    ),
    ("imtp", "client", crlf("<a ok (listen)\n"), lambda: wire.ok(wire.Message("command", "a", "listen"))),
    (
        "pitp", "client",
        crlf(
            "<7 ok (fetch)\nAstrength: strong\nContent-Length: 53\n\ncontact = im:ben@beta.example {\n"
            "  status = open\n}"
        ),
        lambda: wire.ok(wire.Message("command", "7", "fetch"), DOCUMENT, Astrength="strong"),
    ),
    (
        "pitp", "client", crlf("<1 ok (start-wi)\nSubscription: b7Qe/presence:sue@example.net\n"),
        lambda: wire.ok(
            wire.Message("command", "1", "start-wi"), Subscription=["b7Qe/presence:sue@example.net"]
        ),
    ),
    (
        "pitp", "peer",
        crlf(
            ">a7 subscribe\nSubscription: K3x9/presence:fred@domain.com\nPresentity: presence:joe@example.net\n"
            "Astrength: strong\n"
        ),
        lambda: wire.command(
            "a7", "subscribe", Subscription="K3x9/presence:fred@domain.com",
            Presentity="presence:joe@example.net", Astrength="strong",
        ),
    ),
    (
        "pitp", "client",
        crlf(
            ">d1 change-notify\nPresentity: presence:joe@example.net\nSubscription: /presence:fred@domain.com\n"
            "Astrength: strong\nContent-Length: 50\n\ncontact = im:joe@example.net { status = closed }"
        ),
        lambda: wire.command(
            "d1", "change-notify", "contact = im:joe@example.net { status = closed }\r\n",
            Presentity="presence:joe@example.net", Subscription="/presence:fred@domain.com", Astrength="strong",
        ),
    ),
    (
        "pitp", "client",
        crlf(
            ">e2 unsubscribe-notify\nSubscription: K3x9/presence:fred@domain.com\n"
            "Watcher: K3x9/presence:fred@domain.com\nPresentity: presence:joe@example.net\n"
        ),
        lambda: wire.command(
            "e2", "unsubscribe-notify", Subscription="K3x9/presence:fred@domain.com",
            Watcher="K3x9/presence:fred@domain.com", Presentity="presence:joe@example.net",
        ),
    ),
    ("imtp", "client", MECH, lambda: wire.mech(["PLAIN", "SCRAM-SHA-256"])),
    ("imtp", "client", SERVER_FIRST, None),
    ("imtp", "client", SERVER_FINAL, None),
)

# Octets that no server may emit: the framing is at fault.
UNFRAMED = (
    b"<1 ok (send)\n\n", b"<1  ok (send)\r\n\r\n", b"<1 ok(send)\r\n\r\n", b"<1 ok (send) \r\n\r\n", b"\r\n",
    b"<1 nrror (send)\r\n\r\n", b"=mec8\r\n", b"=mech  PLAIN\r\n", b"=mech plain\r\n", b"=mech PLAIN \r\n",
    b"=else\r\n", b"<a_1 ok (send)\r\n\r\n", b">1 send\r\nSender : im:a@b\r\n\r\n",
    b">1 send\r\nContent-Length: 01\r\n\r\nx",
    b">1 send\r\nContent-Length:1\r\n\r\nx", b">1 send\r\nContent-Length: +1\r\n\r\nx", b">1 send\r\n x\r\n\r\n",
    b">1 send\r\nX: a\r\n \r\n\r\n", b">1 send\r\nX: a\rb\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2000,
    b">1 send\r\n" + b"X: y\r\n" * 321 + b"\r\n", b">1 send\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
)

SEND = {"Sender": "im:a@b", "Inbox": "im:c@d", "Visited": "b", "Astrength": "strong"}
# Commands that can be read and yet must not be written.
FAULTY = (
    ("imtp", "client", wire.command("1", "send", "x", **{**SEND, "Sender": "a@b"})),
    ("imtp", "client", wire.command("1", "send", "x", **{**SEND, "Sender": "IM:a@b"})),
    ("imtp", "client", wire.command("1", "send", "x", **{**SEND, "Visited": None})),
    ("imtp", "client", wire.command("1", "send", "x", **{**SEND, "Astrength": "Strong"})),
    ("imtp", "client", wire.command("1", "send", None, **SEND)),
    ("imtp", "client", wire.command("1", "listen", Inbox="im:a@b")),
    ("imtp", "client", wire.command("1", "send", "x", Content_Transfer_Encoding="base64", **SEND)),
    ("imtp", "client", b">1 send\r\nSender:\r\n  im:a@b\r\nInbox: im:c@d\r\nContent-Length: 0\r\n\r\n"),
    ("imtp", "client", wire.command("1", "send", "x", **{**SEND, "Inbox": ["im:c@d", "im:c@d"]})),
    ("pitp", "client", wire.command(
        "1", "change-notify", "x", Presentity="presence:a@b", Subscription="id/presence:c@d", Astrength="strong"
    )),
    ("pitp", "client", wire.command("1", "unsubscribe-notify", Subscription="id/presence:c@d",
                                    Presentity="presence:a@b")),
    ("pitp", "peer", wire.command("1", "change", Presentity="presence:a@b", Mapping=1)),
    ("pitp", "client", wire.ok(wire.Message("command", "1", "fetch"))),
    ("pitp", "client", wire.error(wire.Message("command", "1", "fetch"), None)),
    ("pitp", "client", wire.error(wire.Message("command", "1", "fetch"), "mapping-range")),
    ("pitp", "client", wire.error(wire.Message("command", "1", "start-wi"), "target-not-found")),
    ("pitp", "client", wire.error(wire.Message("command", "1", "fetch"), "resources", Error_Originator="b")),
    ("pitp", "client", wire.error(wire.Message("command", "1", "fetch"), "resources", payload="why")),
    ("imtp", "client", b"<1 ok (listen)\r\nX-Bad: \x01\r\n\r\n"),
    ("imtp", "client", b"<1 ok (listen)\r\nX-Bad: \xff\r\n\r\n"),
)


class Wire(unittest.TestCase):
    """Octets to messages and back."""

    def test_the_examples_of_the_catalogue(self):
        """COMMON-13-1: read without a fault, in pieces of any size, and written octet for octet."""
        for protocol, role, octets, build in EXAMPLES:
            for size in (1, 2, 7, len(octets)):
                reader, read = wire.Reader(), []
                for start in range(0, len(octets), size):
                    read += reader.feed(octets[start:start + size])
                self.assertEqual(len(read), 1, octets)
                self.assertIsNone(wire.fault(read[0], protocol, role), octets)
                self.assertTrue(reader.is_between)
            if build:
                self.assertEqual(build(), octets)

    def test_unknown_headers_keep_every_octet(self):
        octets = b">8 send\r\nX-Mood: bright and\r\n    cheerful\r\nX-Mood:\r\nX-Tab:\ty \r\nContent-Length: 0\r\n\r\n"
        message, = wire.Reader().feed(octets)
        self.assertEqual(message.raw("X-Mood"), [b" bright and\r\n    cheerful", b""])
        self.assertEqual(message.raw("X-Tab"), [b"\ty "])
        self.assertEqual(message.all("X-Mood"), ["bright and cheerful", ""])

    def test_what_cannot_be_framed_is_an_error(self):
        for octets in UNFRAMED:
            with self.assertRaises(wire.WireError, msg=octets):
                reader = wire.Reader()
                for start in range(0, len(octets), 11):
                    reader.feed(octets[start:start + 11])

    def test_what_may_not_be_emitted_is_a_fault(self):
        good, = wire.Reader().feed(wire.command("1", "send", "x", **SEND))
        self.assertIsNone(wire.fault(good, "imtp"))
        for protocol, role, octets in FAULTY:
            message, = wire.Reader().feed(octets)
            self.assertIsNotNone(wire.fault(message, protocol, role), octets)


class Sasl(unittest.TestCase):
    """Part 8, with the vector of RFC 7677."""

    def test_keys(self):
        keys = Keys("pencil", SALT, 4096)
        for value, expected in (
            (keys.salted, "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d"),
            (keys.client, "a60fc923d67e8644a92d16b96eda5ef4656b0c725c484374be25535576996e8b"),
            (keys.stored, "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6"),
            (keys.server, "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5"),
        ):
            self.assertEqual(value.hex(), expected)

    def converse(self, mechanism, *expected):
        """The client of one end of a socket pair; the other end is played here, octet for octet."""
        near, far = pair()
        link = Link(Stream(near), "imtp")
        far.sendall(MECH)
        link.mechanisms()
        pending = InThread(link.authenticate, mechanism)
        for octets, answer in zip(expected[::2], expected[1::2]):
            self.assertEqual(exactly(far, len(octets)), octets)
            far.sendall(answer)
        try:
            return pending.result()
        finally:
            faults = link.faults
            link.close()
            far.close()
            self.assertEqual(faults, [])

    def test_scram_octet_for_octet(self):
        """8.3: six messages."""
        scram = Scram("user", "pencil", nonce=NONCE)
        reply = self.converse(scram, CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, SERVER_FINAL + MECH)
        self.assertEqual(reply.kind, "ok")

    def test_scram_ended_by_one_more_challenge(self):
        """8.3: server-final as a challenge, answered by nothing."""
        last = SERVER_FINAL.replace(b"<2 ok (auth)\r\n", b"<2 error (auth)\r\nError-Type: sasl-challenge\r\n")
        empty, done = b">3 auth\r\nContent-Length: 0\r\n\r\n", b"<3 ok (auth)\r\n\r\n"
        scram = Scram("user", "pencil", nonce=NONCE)
        self.converse(scram, CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, last, empty, done + MECH)

    def test_a_server_that_proves_nothing_is_not_believed(self):
        forged = SERVER_FINAL.replace(b"v=6rr", b"v=7rr")
        scram = Scram("user", "pencil", nonce=NONCE)
        with self.assertRaises(Wrong):
            self.converse(scram, CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, forged + MECH)

    def test_plain_octet_for_octet(self):
        """8.2."""
        self.assertEqual(len(PLAIN), 61)
        self.converse(Plain("user", "pencil"), PLAIN, b"<1 ok (auth)\r\n\r\n" + MECH)
        with self.assertRaises(Refused):
            failure = b"<1 error (auth)\r\nError-Type: sasl-failure\r\n\r\n"
            self.converse(Plain("user", "pencil"), PLAIN, failure)

    def test_both_sides_of_scram_agree(self):
        binding = hashlib.sha256(b"a certificate").digest()
        for more in ({}, {"binding": binding}):
            server = ScramServer("us,er", "pencil", SALT, PART, **more)
            client = Scram("us,er", "pencil", nonce=NONCE, **more)
            kind, data = server.step(client.first())
            self.assertEqual(kind, "challenge")
            kind, data = server.step(client.respond(data))
            self.assertEqual(kind, "ok")
            client.finish(data)
        server = ScramServer("user", "pencil", SALT, PART, binding=binding)
        client = Scram("user", "pencil", nonce=NONCE, binding=b"another")
        self.assertEqual(server.step(client.respond(server.step(client.first())[1])), ("failure", None))


def pair():
    """Two ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname(), timeout=60)
        far, _ = listener.accept()
    far.settimeout(60)
    return near, far


def exactly(sock, count):
    """So many octets."""
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


class InThread:
    """A call in a thread of its own."""

    def __init__(self, call, *arguments):
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(call, *arguments)

    def result(self):
        """What it returned or raised."""
        try:
            return self._future.result(60)
        finally:
            self._pool.shutdown()


class Documents(unittest.TestCase):
    """The worked examples of 9.5."""

    def test_examples(self):
        for text, told in pidf.EXAMPLES:
            self.assertEqual(pidf.told(pidf.read(text)), told)

    def test_ill_formed(self):
        for text in pidf.ILL_FORMED:
            with self.assertRaises(pidf.IllFormed, msg=text):
                pidf.read(text)


@unittest.skipUnless(authority.available(), "openssl is not installed (apt-get install openssl)")
class Peers(unittest.TestCase):
    """The client and the stub of a peer's server, over TLS with EXTERNAL."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hearth-interop-")
        self.authority = authority.Authority(self.directory.name)
        self.beta = TransferPeer("beta.example", self.authority, port=0)
        self.alpha = TransferPeer("alpha.example", self.authority, port=0)

    def tearDown(self):
        self.assertEqual(self.alpha.close() + self.beta.close(), [])
        self.directory.cleanup()

    def test_messages_in_any_order(self):
        link = self.alpha.connect(self.beta.place, "imtp", "beta.example")
        sender = ImtpClient(link, "ana@alpha.example")
        self.beta.rules["im:ben@beta.example"] = silent
        more = {"Visited": "alpha.example", "Astrength": "strong"}
        pending = [sender.message("ben@beta.example", str(number), **more) for number in range(20)]
        for number in reversed(range(20)):
            message = self.beta.expect("send", str(number))
            message.connection.raw(wire.ok(message, f"re {number}", Astrength="strong"))
        self.assertEqual([one.accepted().text for one in pending], [f"re {number}" for number in range(20)])

    def test_presence(self):
        link = self.alpha.connect(self.beta.place, "pitp", "beta.example")
        watcher = PitpClient(link, "ana@alpha.example")
        self.assertIn("status = open", watcher.fetch("ben@beta.example").text)
        watcher.subscribe("ben@beta.example")
        self.assertEqual(self.beta.expect("subscribe")["Subscription"], "/presence:ana@alpha.example")

    def test_a_liar_is_refused(self):
        with self.assertRaises(Refused):
            self.alpha.connect(self.beta.place, "imtp", "beta.example", authorize="gamma.example")
        self.assertEqual(len(self.beta.faults), 1)
        self.beta.faults.clear()

    def test_channel_binding(self):
        link = self.alpha.connect(self.beta.place, "imtp", "beta.example", authenticate=False)
        link.mechanisms()
        der = link.stream.certificate()
        self.assertEqual(end_point(der), hashlib.sha256(der).digest())
        link.authenticate(External("alpha.example"), initial=True)


if __name__ == "__main__":
    unittest.main()
