#!/usr/bin/env python3
"""Wireshark's dissectors of `contrib/wireshark` against captures of real conversations: `dissector.py BINARY`.

Stock clients talk to a real server through taps that write a capture, its segments cut in four ways; more
conversations, good and bad, are written by hand.  Then tshark reads the capture, and what its dissectors say is held
against what the tests' own readers make of the same octets: every message, its fields, the pairs of requests and
responses with their frames and times, and what is expert information.  Prints `ok STEP` or `FAIL STEP why`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import imtp_wire as wire
import simp_wire
from capture import Capture, Tap, chance, pieces, WHOLE
from house import loopback
from imtp_client import ImtpClient
from imtp_stage import PASSWORD, TransferHouse, equal, refused
from pitp_client import PitpClient
from simp_client import Routing, Session
from stage import blame
from stage import refused as simp_refused

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../contrib/wireshark/hearth.lua")
DOMAIN = "wire.example"
CUTS = {"whole": WHOLE, "one": pieces(1), "seven": pieces(7), "chance": chance(7)}
PORTS = {"simp": 7467, "imtp": 4687, "pitp": 7487}
# The dissectors that show what is carried.
INNER = ("data", "data-text-lines", "xml")
DOCUMENT = b"contact = im:bob@wire.example {\r\n  status = open\r\n}\r\n"
BUDDIES = "<?xml version=\"1.0\"?>\n<properties><entry key='Team'>bob@wire.example</entry></properties>\n"


# --- What is said ---


class Talk:
    """The real conversations, each through taps with the same way of cutting."""

    def __init__(self, house, capture):
        self.house, self.capture = house, capture
        self.keys = {}

    def transfer(self, cut):
        """IMTP and PITP: logins of three kinds, messages, presence, errors."""
        imtp, pitp = (Tap(self.capture, self.house.place(name), cut) for name in ("imtp", "pitp"))
        alice = ImtpClient.log_in(imtp.place, f"alice@{DOMAIN}", PASSWORD, "SCRAM-SHA-256")
        bob = ImtpClient.log_in(imtp.place, f"bob@{DOMAIN}", PASSWORD, "PLAIN")
        wrong = ImtpClient.connect(imtp.place, f"bob@{DOMAIN}")
        refused("sasl-failure", wrong.authenticate, "not that one")
        bob.listen(only=["im:*@wire.example"])
        alice.link.raw(b"=nop\r\n")
        alice.send(bob.address, b"\0\xff\r\n>1 send\r\n\r\n", X_Mood=b"bright and\r\n    cheerful", Content_Type="a/x-odd")
        alice.send(bob.address, "Gr\u00fc\u00dfe, J\u00fcrgen")
        pending = [alice.message(bob.address, f"message {number}") for number in range(5)]
        for one in pending:
            one.accepted()
        refused("no-listeners", bob.send, alice.address, "anybody?")
        refused("target-not-found", bob.send, f"nobody@{DOMAIN}", "anybody?")
        equal(alice.link.call("frobnicate", b"ab").error, "unknown-method")
        watcher = PitpClient.log_in(pitp.place, alice.address, PASSWORD)
        owner = PitpClient.log_in(pitp.place, bob.address, PASSWORD)
        owner.insert(1, [watcher.url, "presence:*@*.example"], DOCUMENT)
        owner.start_wi()
        watcher.fetch(owner.address)
        watcher.subscribe(owner.address)
        owner.change(1, b"")
        watcher.expect("change-notify", b"")
        equal(owner.link.call("change", Presentity=owner.url, Mapping="9" * 100).error, "mapping-range")
        owner.change(1, None)
        watcher.expect("terminate-notify")
        owner.delete(1)
        for client in (alice, bob, wrong, watcher, owner):
            client.close()
        imtp.close()
        pitp.close()

    def simp(self, cut):
        """SIMP: a login, messages of several types, a profile, errors."""
        tap = Tap(self.capture, self.house.routing, cut)
        alice, bob = self._session(tap, "alice"), self._session(tap, "bob")
        alice.send(bob.ima, "3 < 4 & \u2603 ]]> lunch?")
        alice.send(bob.ima, "<p>plain <b>words</b></p>", type="text/html")
        alice.send(bob.ima, "<a>\n <b c='d'/>\n</a>", type="text/xml")
        alice.set_profile({"message": "in the lab", "buddies": BUDDIES, "odd key": ""})
        bob.subscribe(alice.ima, 60000)
        alice.expect("note subscription")
        simp_refused(alice.send, f"nobody@{DOMAIN}", "anybody?")
        alice.fence()
        alice.connection.inbox.forget()  # what she was told of bob before he came
        bob.close()
        alice.expect("note change", status="offline")
        alice.fence()
        alice.close()
        tap.close()

    def _session(self, tap, name):
        ima = f"{name}@{DOMAIN}"
        key = self.keys.setdefault(name, self.house.new_key(ima, "laptop") if name not in self.keys else None)
        routing = Routing.open(tap.place)
        challenge = {**routing.login(name), "host": tap.place[0], "port": str(tap.place[1])}
        routing.close()
        return Session.answer_challenge(challenge, ima, name, key)

    def secret(self, authority, log):
        """IMTP in TLS, whose keys go to a log."""
        tap = Tap(self.capture, self.house.place("imtp", True))
        context = authority.client("imtp")
        context.keylog_filename = log
        client = ImtpClient.log_in(tap.place, f"alice@{DOMAIN}", PASSWORD, tls=context, server_name=DOMAIN)
        client.listen()
        client.send(client.address, "for my own eyes")
        client.close()
        tap.close()


# --- Conversations written by hand ---


def simp_stream(*commands):
    """A stream, each command with its entries as pairs or as octets."""
    return b"".join(one if isinstance(one, bytes) else simp_wire.encode(one) for one in (simp_wire.HEADER, *commands))


def lines(*text):
    """A head."""
    return "".join(f"{line}\r\n" for line in (*text, "")).encode()


SEND = ("Sender: im:ana@alpha.example", "Inbox: im:ben@beta.example")

# What somebody writes, and the expert information that it must get: (service, [(who, octets)], {kind: text}).
FAULTS = {
    "unanswered": ("imtp", [("C", lines(">1 send", *SEND, "Content-Length: 2") + b"hi")], {"unanswered": ""}),
    "ports used again": ("imtp", [
        ("S", b"=mech PLAIN\r\n"), ("C", lines(">1 listen", SEND[1])),
        ("S", b"=mech PLAIN\r\n"), ("C", lines(">1 listen", SEND[1])), ("S", lines("<1 ok (listen)")),
    ], {"unanswered": ""}),
    "begun in the middle": ("imtp", [
        ("C", b"of a message\r\n"), ("C", lines(">2 listen", SEND[1])), ("S", lines("<2 ok (listen)")),
    ], {"broken": "this is not the beginning of a message"}),
    "unmatched": ("imtp", [("S", lines("<9 ok (send)"))], {"unmatched": ""}),
    "other method": ("imtp", [
        ("C", lines(">1 listen", SEND[1])), ("S", lines("<1 ok (send)")),
    ], {"violation": "The request was listen, the response names send"}),
    "id reused": ("imtp", [
        ("C", lines(">1 listen", SEND[1]) * 2), ("S", lines("<1 ok (listen)")),
    ], {"reused": "The id is still in use", "unanswered": ""}),
    "refused": ("imtp", [
        ("C", lines(">1 send", *SEND, "Content-Length: 2") + b"hi"),
        ("S", lines("<1 error (send)", "Error-Type: no-listeners", "Error-Description: gone", "Error-Originator: b.test")),
    ], {"refused": "no-listeners: gone"}),
    "no error type": ("imtp", [
        ("C", lines(">1 listen", SEND[1])), ("S", lines("<1 error (listen)")),
    ], {"violation": "an error needs Error-Type", "refused": "?"}),
    "transfer encoding": ("imtp", [
        ("C", lines(">1 send", *SEND, "Content-Transfer-Encoding: base64", "Content-Length: 0")), ("S", lines("<1 ok (send)")),
    ], {"violation": "Content-Transfer-Encoding is forbidden"}),
    "header lacking": ("imtp", [
        ("C", lines(">1 send", "Sender:", "Content-Length: 0")), ("S", lines("<1 ok (send)")),
    ], {"violation": "send needs Sender|send needs Inbox"}),
    "payload lacking": ("imtp", [
        ("C", lines(">1 send", *SEND)), ("S", lines("<1 ok (send)")),
    ], {"violation": "send needs a payload"}),
    "payload forbidden": ("imtp", [
        ("C", lines(">1 listen", SEND[1], "Content-Length: 1") + b"x"), ("S", lines("<1 ok (listen)")),
    ], {"violation": "listen has no payload"}),
    "header repeated": ("imtp", [
        ("C", lines(">1 listen", SEND[1], SEND[1])), ("S", lines("<1 ok (listen)")),
    ], {"violation": "Inbox stands there more than once: the first counts"}),
    "wrong service": ("pitp", [
        ("C", lines(">1 listen", SEND[1])), ("S", lines("<1 error (listen)", "Error-Type: unknown-method")),
    ], {"violation": "PITP has no method listen", "refused": "unknown-method"}),
    "unknown word": ("pitp", [("C", b"=hello\r\n")], {"violation": "=hello has no meaning"}),
    "lying length": ("imtp", [("C", lines(">1 send", "Content-Length: -1"))], {"broken": "Content-Length is no number"}),
    "huge length": ("imtp", [("C", lines(">1 send", "Content-Length: " + "9" * 30))], {"broken": "a payload of " + "9" * 30 + " octets"}),
    "bare LF": ("imtp", [("C", b">1 listen\nInbox: im:a@b\n\n")], {"broken": "a CR or LF that stands alone"}),
    "bare LF in headers": ("imtp", [("C", b">1 listen\r\nInbox: im:a@b\n\r\n")], {"broken": "a CR or LF that stands alone"}),
    "no start line": ("imtp", [("C", b">1\r\n\r\n")], {"broken": "this is no start line"}),
    "another protocol": ("imtp", [("C", b"GET / HTTP/1.1\r\n\r\n")], {"broken": "this is not the beginning of a message"}),
    "no header": ("pitp", [("C", lines(">1 fetch", "Watcher presence:a@b"))], {"broken": "a line that is no header"}),
    "continuation of nothing": ("pitp", [("C", lines(">1 fetch", " Watcher: a@b"))], {"broken": "a continuation of nothing"}),
    "no end": ("pitp", [("C", b">1 fetch\r\n" + b"X: y\r\n" * 10930)], {"broken": "headers without an end"}),
    "simp unanswered": ("simp", [
        ("C", simp_stream({"action": "login", "user": "a", "request": "1"})),
    ], {"unanswered": ""}),
    "simp unmatched": ("simp", [
        ("S", simp_stream({"action": "okay", "message": "", "response": "5"})),
    ], {"unmatched": ""}),
    "simp refused": ("simp", [
        ("C", simp_stream({"action": "login", "user": "a", "request": "1"})),
        ("S", simp_stream({"action": "error", "message": "go away", "response": "1"})),
    ], {"refused": "go away"}),
    "simp violations": ("simp", [
        ("C", simp_stream([("action", "send"), ("to", "a@b.test"), ("to", "c@b.test")], {"action": "dance"}, {})),
    ], {"violation": "more than one entry to|send needs from|send needs type|send needs body|send needs request|"
        "there is no action dance in SIMP 1.0|there is no action"}),
    "simp other element": ("simp", [("C", simp_stream(b"<html>"))], {"broken": "an element that no stream has"}),
    "simp no xml": ("simp", [("C", b"HELO there\r\n")], {"broken": "this is not the beginning of an element"}),
}


# --- What tshark says of it ---


class Shown:
    """One message as the dissector shows it."""

    def __init__(self, frame, stream, client, service, proto):
        self.frame, self.stream, self.from_client, self.service = frame, stream, client, service
        self.fields, self.experts, self.inner = {}, {}, []
        for field in proto.iter("field"):
            name = field.get("name")
            prefix, _, rest = name.partition(".")
            if field.get("name") == "_ws.expert":
                kind = next(one.get("name") for one in field if one.get("name").startswith(service))
                text = next(one.get("show") for one in field if one.get("name") == "_ws.expert.message")
                self.experts.setdefault(kind.partition(".")[2], []).append(text)
            elif prefix == service and field.get("show") is not None:
                self.fields.setdefault(rest, []).append(field.get("show"))
        self.inner = [one.get("name") for one in proto.iter() if one.get("name") in INNER]

    def get(self, name):
        """The first value of a field."""
        return self.fields.get(name, [None])[0]

    def __repr__(self):
        return f"<{self.frame}: {self.fields} {self.experts}>"


class Reading:
    """What tshark shows of a capture."""

    def __init__(self, capture, *options):
        self.line = ["tshark", "-2", "-n", "-r", capture, "-X", f"lua_script:{SCRIPT}", *options]
        self.shown, self.times = [], {}
        with tempfile.TemporaryFile() as out:
            done = subprocess.run([*self.line, "-Y", "simp || imtp || pitp", "-T", "pdml"], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
            assert done.returncode == 0 and "Lua" not in done.stderr, f"tshark: {done.stderr}"
            out.seek(0)
            for _, packet in ElementTree.iterparse(out):
                if packet.tag == "packet":
                    self._take(packet)
                    packet.clear()

    def _take(self, packet):
        protos = {proto.get("name"): proto for proto in packet.findall("proto")}
        frame = protos["frame"]

        def value(proto, name):
            return next(field.get("show") for field in proto.iter("field") if field.get("name") == name)

        number = int(value(frame, "frame.number"))
        self.times[number] = float(value(frame, "frame.time_epoch"))
        assert "_ws.lua.error" not in str(ElementTree.tostring(packet)), f"an error of Lua in frame {number}"
        stream = int(value(protos["tcp"], "tcp.stream"))
        client = int(value(protos["tcp"], "tcp.dstport")) < 10000
        for proto in packet.findall("proto"):
            service = proto.get("name")
            if service in PORTS:
                self.shown.append(Shown(number, stream, client, service, proto))

    def fields(self, *names, where):
        """`-T fields`: a list of rows."""
        options = [option for name in names for option in ("-e", name)]
        out = subprocess.run([*self.line, "-c", "200", "-Y", where, "-T", "fields", *options], capture_output=True, text=True, check=True)
        return [row.split("\t") for row in out.stdout.splitlines()]


def transfer_expected(octets):
    """What the tests' own reader makes of one direction: (kind, id, method, headers, length of the payload)."""
    for message in wire.Reader().feed(octets):
        headers = [f"{name.decode()}: {wire.unfolded(raw)}" for name, raw in message.lines]
        yield message.kind, message.id, message.method, headers, message.payload


def simp_expected(octets):
    """The same of SIMP: each command's entries."""
    return simp_wire.StreamReader().feed(octets)


class Checks:
    """The steps; each may use what `Reading` holds."""

    def __init__(self, capture, reading, made, faults):
        self.capture, self.reading, self.made, self.faults = capture, reading, made, faults

    def of(self, flow, client=None):
        """What is shown of a flow, of one direction of it or of both."""
        stream = self.capture.flows.index(flow)
        return [
            one for one in self.reading.shown if one.stream == stream and client in (None, one.from_client)
        ]

    def flows(self, service):
        """The real conversations in a protocol."""
        return [flow for flow in self.made if flow.server.port == PORTS[service]]

    def step_every_message_is_shown(self):
        """Each message of IMTP and PITP, in order, once, whatever its segments."""
        count = 0
        for flow in (*self.flows("imtp"), *self.flows("pitp")):
            for side in (flow.client, flow.server):
                shown = [one for one in self.of(flow, side is flow.client)]
                expected = list(transfer_expected(side.octets))
                equal(len(shown), len(expected), "messages")
                for one, (kind, identity, method, headers, payload) in zip(shown, expected):
                    equal((one.get("id"), one.get("method")), (identity, method))
                    if kind in ("mech", "nop"):
                        assert kind in one.fields, one
                        continue
                    equal(one.get("kind"), kind)
                    equal(one.fields.get("header", []), headers)
                    equal(one.get("payload.length"), None if payload is None else str(len(payload)), f"payload of {one}")
                    equal((one.get("payload") or "").replace(":", ""), (payload or b"").hex())
                    count += 1
        assert count > 250, count

    def step_every_command_is_shown(self):
        """Each command of SIMP, with each entry."""
        for flow in self.flows("simp"):
            for side in (flow.client, flow.server):
                shown = [one for one in self.of(flow, side is flow.client) if "entry" in one.fields]
                expected = list(simp_expected(side.octets))
                equal(len(shown), len(expected), "commands")
                for one, entries in zip(shown, expected):
                    # An attribute of PDML holds no line breaks.
                    equal(one.fields["entry"], [f"{key}: {value}".replace("\n", " ") for key, value in entries.items()])
                    assert "xml" in one.inner, one

    def step_requests_and_responses_are_linked(self):
        """By id and direction, with the time between them, at each way of cutting."""
        pairs = 0
        for flow in self.made:
            for client in (True, False):
                waiting = {}
                for one in self.of(flow):
                    is_simp = one.service == "simp"
                    asks = "request" in one.fields if is_simp else one.get("kind") == "command"
                    answers = "response" in one.fields if is_simp else one.get("kind") in ("ok", "error")
                    identity = one.get("request") or one.get("response") if is_simp else one.get("id")
                    if asks and one.from_client == client:
                        waiting[identity] = one
                    elif answers and one.from_client != client:
                        asked = waiting.pop(identity)
                        equal(asked.fields.get("response_in"), [str(one.frame)], f"the link of {asked}")
                        equal(one.fields.get("request_in"), [str(asked.frame)], f"the link of {one}")
                        span = self.reading.times[one.frame] - self.reading.times[asked.frame]
                        assert abs(float(one.get("time")) - span) < 1e-5, (one.get("time"), span)
                        pairs += 1
                equal(waiting, {}, "requests without a response")
        assert pairs > 200, pairs

    def step_real_conversations_are_without_fault(self):
        """No violation where the server and the stock clients spoke."""
        for flow in self.made:
            for one in self.of(flow):
                wrong = set(one.experts) - {"refused", "secret"}
                asked = one.get("method") == "frobnicate" and wrong == {"violation"}
                assert not wrong or asked, one

    def step_sasl(self):
        """The exchange is recognised: mechanism, step, user, messages, outcome."""
        for flow in self.flows("imtp")[0::3]:
            steps = [one for one in self.of(flow) if one.get("method") == "auth"]
            equal({one.get("sasl.mechanism") for one in steps}, {"SCRAM-SHA-256"})
            equal([one.get("sasl.step") for one in steps], ["begin", "challenge", "continue", "success"])
            equal([one.get("sasl.message") for one in steps], [
                "client-first-message", "server-first-message", "client-final-message", "server-final-message",
            ])
            equal((steps[0].get("sasl.user"), steps[-1].get("sasl.outcome")), ("alice", "success"))
            assert any(value.startswith("i=") for value in steps[1].fields["sasl.attribute"]), steps[1]
        for flow in self.flows("imtp")[1::3]:
            steps = [one for one in self.of(flow) if one.get("method") == "auth"]
            equal([one.get("sasl.mechanism") for one in steps], ["PLAIN", "PLAIN"])
            equal((steps[0].get("sasl.user"), steps[0].experts.get("secret") is not None), ("bob", True))
        for flow in self.flows("imtp")[2::3]:
            last = [one for one in self.of(flow) if one.get("method") == "auth"][-1]
            equal((last.get("sasl.outcome"), last.get("error_type")), ("failure", "sasl-failure"))
            equal(len(last.experts["refused"]), 1)

    def step_payloads_are_shown_by_their_type(self):
        """Text as lines, XML as XML, what is unknown as octets."""
        sends = [one for one in self.reading.shown if one.service == "imtp" and one.get("method") == "send"]
        texts = [one for one in sends if one.get("payload.type") == "text/plain; charset=UTF-8" and one.get("payload")]
        assert texts and all("data-text-lines" in str(one.inner) for one in texts), texts[:1]
        odd = [one for one in sends if one.get("payload.type") == "a/x-odd"]
        assert odd and all("data" in str(one.inner) for one in odd), odd[:1]
        documents = [one for one in self.reading.shown if one.get("payload.type") == "application/presence"]
        assert documents and all("data-text-lines" in str(one.inner) for one in documents if one.get("payload")), documents[:1]
        bodies = [one for one in self.reading.shown if one.service == "simp" and one.get("body") and one.get("request")]
        inner = {one.get("type"): one.inner for one in bodies}
        assert "data-text-lines" in str(inner["text/plain"]) and inner["text/xml"].count("xml") == 2, inner

    def step_a_login_is_followed_to_its_connection(self):
        """SIMP's `connect` names the frame of its challenge on another connection."""
        connects = [one for one in self.reading.shown if one.get("action") == "connect"]
        challenges = {one.get("opaque"): one.frame for one in self.reading.shown if one.get("action") == "challenge"}
        assert len(connects) >= 8, connects
        for one in connects:
            equal(one.get("challenge_in"), str(challenges[one.get("opaque")]))

    def step_what_is_wrong_is_told(self):
        """Each fault of `FAULTS`, once, and nothing else."""
        for title, (flow, expected) in self.faults.items():
            told = {}
            for one in self.of(flow):
                for kind, texts in one.experts.items():
                    told.setdefault(kind, []).extend(texts)
            equal(set(told), set(expected), f"{title}: {told}")
            for kind, text in expected.items():
                wanted = text.split("|")
                equal(len(told[kind]), len(wanted), f"{title}: {told}")
                for got, want in zip(told[kind], wanted):
                    assert want in got, f"{title}: {told}"

    def step_inside_tls(self):
        """ALPN finds the dissector where the keys are known."""
        flow = next(flow for flow in self.capture.flows if flow.server.port == 7443)
        methods = [one.get("method") for one in self.of(flow) if one.get("kind") == "command"]
        equal([one for one in methods if one != "no-such-method"], ["auth", "auth", "listen", "send", "send"])
        assert any("tls-server-end-point" in str(one.fields.get("sasl.attribute")) for one in self.of(flow))

    def step_fields_for_scripts(self):
        """The display filters and fields that README.md shows."""
        rows = self.reading.fields("frame.number", "imtp.error_type", "imtp.time", where="imtp.error_type == \"no-listeners\"")
        assert rows and all(row[1] == "no-listeners" and float(row[2].split(",")[0]) >= 0 for row in rows), rows
        rows = self.reading.fields("simp.from", "simp.to", where="simp.action == \"send\" && simp.request")
        assert rows and rows[0] == [f"alice@{DOMAIN}", f"bob@{DOMAIN}"], rows

    def step_ports_are_a_preference(self):
        """`imtp.ports` moves the dissector."""
        other = Reading(self.capture.path, "-o", "imtp.ports:9999", "-o", "simp.ports:7467,7487", "-c", "200")
        equal({one.service for one in other.shown}, {"simp"})
        assert any("broken" in one.experts for one in other.shown), "PITP read as SIMP"


def main():
    """Runs the script; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--keep", metavar="FILE", help="leave the capture there")
    arguments = parser.parse_args()
    for needed in ("tshark", "openssl"):
        if shutil.which(needed) is None:
            print(f"SKIP {needed} is not installed")
            return 0
    from authority import Authority

    failed = 0
    with tempfile.TemporaryDirectory(prefix="hearth-capture-") as directory:
        path, log = arguments.keep or os.path.join(directory, "talk.pcap"), os.path.join(directory, "keys.log")
        authority = Authority(directory)
        house = TransferHouse(arguments.binary, DOMAIN).init().furnish(authority).start()
        for name in ("alice", "bob"):
            house.add_account(f"{name}@{DOMAIN}", PASSWORD)
        capture = Capture(path)
        talk = Talk(house, capture)
        for cut in CUTS.values():
            talk.transfer(cut)
            talk.simp(cut)
        made = list(capture.flows)
        talk.secret(authority, log)
        house.stop()
        faults = {}
        for title, (service, said, expected) in FAULTS.items():
            # What cannot be read is told once for each segment.
            for name in ("whole",) if "broken" in expected else ("whole", "seven"):
                flow = capture.play((loopback(), PORTS[service]), said, CUTS[name])
                faults[f"{title}, {name}"] = (flow, expected)
        capture.close()
        checks = Checks(capture, Reading(path, "-o", f"tls.keylog_file:{log}"), made, faults)
        for name in [name for name in dir(checks) if name.startswith("step_")]:
            try:
                getattr(checks, name)()
                print(f"ok {name[5:].replace('_', '-')}", flush=True)
            except Exception as problem:  # whatever it is, the other steps go on
                failed += 1
                print(f"FAIL {name[5:].replace('_', '-')} {blame(problem)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
