#!/usr/bin/env python3
"""Tests of the client itself, without a server: the reader, the patterns, the digest, the matching of replies."""

import unittest

import simp_wire
from peer import Peer
from simp_client import Connection, Refused, Routing, authorization, error, okay, silent
from simp_wire import FOOTER, HEADER, StreamError, StreamReader, decode, encode, fault


class Wire(unittest.TestCase):
    """Octets to commands and back."""

    def test_any_pieces_give_the_same_commands(self):
        first = {"action": "send", "body": "  <&>\"' ]]> \r\n\t\U0001f600 ", "key \n\t<&\">": ""}
        stream = HEADER + encode(first) + b"\n \n" + encode({"action": "okay"}) + FOOTER
        for size in (1, 2, 3, 7, 64, len(stream)):
            reader, commands = StreamReader(), []
            for start in range(0, len(stream), size):
                commands += reader.feed(stream[start:start + size])
            self.assertEqual(commands, [first, {"action": "okay"}], size)
            self.assertTrue(reader.ended)

    def test_what_the_grammar_forbids_is_an_error(self):
        forbidden = (
            b"<stream>", b'<?xml version="1.1"?><stream>', HEADER + b"<other>", HEADER + b"text<properties>",
            HEADER + b"<properties a='b'>", HEADER + b"<properties><entry>",
            HEADER + b"<properties><entry key='a' b='c'>",
            HEADER + b"<properties><entry key='a'/><entry key='a'/></properties>", HEADER + b"<!-- x -->",
            b'<?xml version="1.0"?><!DOCTYPE stream>', HEADER + b"<?x y?>", HEADER + b"&x;<properties>",
            HEADER + FOOTER + b"more", HEADER + b"<properties><entry key='a'>\x01</entry>",
        )
        for octets in forbidden:
            with self.assertRaises(StreamError, msg=octets):
                reader = StreamReader()
                for start in range(0, len(octets), 30):
                    reader.feed(octets[start:start + 30])

    def test_a_buddy_list_is_read(self):
        text = '<?xml version="1.0"?>\n<properties><entry key="T">a b</entry></properties>\n'
        self.assertEqual(decode(text), {"T": "a b"})

    def test_patterns(self):
        note = {"action": "note change", "to": "a@b", "from": "c@d"}
        note.update({"regarding": "e@f", "status": "online", "message": ""})
        self.assertIsNone(fault(note))
        for key, value in (("to", "a"), ("to", "a@b@c"), ("status", "away"), ("online", "1.5"), ("online", "-1")):
            self.assertIsNotNone(fault({**note, key: value}), (key, value))
        for version in ("1.0", "0.9", "1.10"):
            self.assertTrue(simp_wire.TYPES["version"](version), version)
        for version in ("01.0", "1", "1.00", "1.0.0", "1.-1"):
            self.assertFalse(simp_wire.TYPES["version"](version), version)


class Digest(unittest.TestCase):
    """SIMP-7.1-4 to SIMP-7.1-6, with the values of the catalogue."""

    def test_vectors(self):
        for user, password, nonce, algorithm, expected in (
            ("alice", "correct horse", "7f3a9c51e0b24d68", "MD5", "OZj9/qxoYz93hRSA3X/2yg=="),
            ("alice", "correct horse", "c0ffee00d15ea5e5", "MD5", "63gHr08vGq/BwVIZ/gpFZw=="),
            ("bob", "a:b", "n:1", "md5", "UuueofQS5hqEecrdVUdcqw=="),
            ("zo\u00eb", "p\u00e2ss w\u00f6rd", "42", "", "Bxy2q4T7Z5CSI9PgfaBfkQ=="),
            ("alice@example.org", "correct horse", "7f3a9c51e0b24d68", "MD5", "8xW2YbOcfa+GXXrrFlEgSQ=="),
            ("alice", "correct horse", "7f3a9c51e0b24d68", "SHA-256", "jT2nW4q37pxY0C/KYyjvCyeErs4u1dT0K54k6mZZqtg="),
        ):
            self.assertEqual(authorization(user, password, nonce, algorithm), expected)


class Conversation(unittest.TestCase):
    """Both ends of a connection are this client's."""

    def setUp(self):
        self.peer = Peer("peer.example", port=0)
        self.caller = Routing(Connection.open(self.peer.place), "alice@home.example")

    def tearDown(self):
        self.caller.connection.abort()
        self.assertEqual(self.peer.close() + self.caller.connection.faults, [])

    def test_replies_in_any_order(self):
        self.peer.rules["bob@peer.example"] = silent
        pending = [self.caller.message("bob@peer.example", str(number)) for number in range(20)]
        for number in reversed(range(20)):
            self.peer.expect("send", body=str(number)).respond(okay(str(number)))
        self.assertEqual([one.reply()["message"] for one in pending], [str(number) for number in range(20)])

    def test_refusals(self):
        self.peer.rules["bob@peer.example"] = lambda command: error("no")
        with self.assertRaises(Refused):
            self.caller.send("bob@peer.example", "hello")
        self.assertEqual(self.caller.connection.call("no such request")["action"], "error")

    def test_presence(self):
        self.assertEqual(self.caller.fetch("bob@peer.example")["regarding"], "bob@peer.example")
        told = self.caller.subscribe("bob@peer.example", 5000)
        self.assertEqual(told["duration"], "5000")
        self.caller.unsubscribe("bob@peer.example", told["opaque"])


if __name__ == "__main__":
    unittest.main()
