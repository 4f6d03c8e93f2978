#!/usr/bin/env python3
"""Two real servers, two domains, one real DNS server, TLS with certificates of a test authority, over IMTP and PITP:
`two_domains_imtp.py target/debug/hearth`.

`a.test` and `b.test` are configured by `hearth init` alone and find each other by the records that it prints, on the
shared TLS port; `b.test` also publishes a server that is down, ahead of the one that is up.  `c.test` and `e.test` are
this script's own stubs; `d.test` is a stub whose certificate names another domain.  Prints `ok STEP` or
`FAIL STEP why`.
"""

import argparse
import os
import sys
import tempfile
import threading

import authority
import imtp_wire as wire
import pidf
from house import Person, loopback
from imtp_client import TLS_PORT, ImtpClient
from imtp_link import silent
from imtp_peer import TransferPeer
from imtp_stage import PASSWORD, TransferHouse, equal, refused
from name_server import NameServer, find_service, from_zone, program
from pitp_client import PitpClient
from sasl import External
from stage import blame
from stage import refused as simp_refused

CLIENTS = {"imtp": "_ims-clients._tcp", "pitp": "_presences-clients._tcp"}
SERVICES = ("_ims-servers._tcp", "_presences-servers._tcp")
OPERATIONS = "send fetch subscribe unsubscribe change end"
DOC = [f"contact = im:x{number}@example.org {{ status = open }}\r\n".encode() for number in range(9)]


def records(domain, address):
    """What a domain publishes, as dnsmasq's options."""
    srv = [f"--srv-host={service}.{domain},im.{domain},{TLS_PORT},10,5" for service in SERVICES]
    return [f"--host-record=im.{domain},{address}", *srv]


class Play:
    """The houses, the stubs and those who live in them; each method named `step_...` is a step, in order."""

    def __init__(self, binary):
        self.dns = NameServer()
        self.directory = tempfile.TemporaryDirectory(prefix="hearth-interop-ca-")
        self.authority = authority.Authority(self.directory.name)
        self.c = TransferPeer("c.test", self.authority)
        self.d = TransferPeer("d.test", self.authority, names=("elsewhere.test",))
        self.e = TransferPeer("e.test", self.authority)
        self.a, self.b = self.houses = [TransferHouse(binary, domain) for domain in ("a.test", "b.test")]
        dead = [f"--srv-host={service}.b.test,dead.b.test,{TLS_PORT},0,0" for service in SERVICES]
        options = [f"--host-record=dead.b.test,{loopback()}", *dead]
        for stub in (self.c, self.d, self.e):
            options += records(stub.domain, stub.address)
        for house in self.houses:
            options += from_zone(house.settle(self.authority, self.dns.name))
        self.dns.start(options)
        for house, names in zip(self.houses, (("alice", "ann"), ("bob", "ben"))):
            house.start()
            for name in names:
                house.add_account(f"{name}@{house.domain}", PASSWORD)
        self.links, self.sessions = [], []
        self.alice = self.bob = self.alice_p = self.bob_p = None

    def enter(self, kind, address, **options):
        """Logs somebody in, where DNS says, over TLS, with the certificate's domain verified."""
        domain = address.split("@")[1]
        tls = self.authority.client(kind.protocol)
        place = find_service(self.dns.place, f"{CLIENTS[kind.protocol]}.{domain}")[0]
        client = kind.log_in(place, address, PASSWORD, tls=tls, server_name=domain, **options)
        self.links.append(client.link)
        return client

    def simp(self, name, house):
        """Logs somebody in to SIMP."""
        address = f"{name}@{house.domain}"
        session = Person(house, address, house.new_key(address, f"laptop{len(self.sessions)}")).log_in()
        self.sessions.append(session)
        return session

    def stub(self, protocol, house, **options):
        """A link of the stub to a house."""
        link = self.c.connect(house.place(protocol, True), protocol, house.domain, **options)
        self.links.append(link)
        return link

    def step_messages(self):
        """COMMON-4-1 COMMON-4-2 COMMON-6.1-2 COMMON-6.3-1 IMTP-6.1-1 PITP-6.1-1 IMTP-6.3-1 COMMON-7-3: both ways.

        IMTP-16.2-2 IMTP-16.2-10: the relays' marks, and an ok for each.
        """
        self.alice = self.enter(ImtpClient, "alice@a.test")
        self.bob = self.enter(ImtpClient, "bob@b.test")
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            one.listen()
            other.listen()
            one.send(other.address, b"\0first\xff", X_Mood=b"bright and\r\n    cheerful", Content_Type="text/x-odd")
            message = other.expect("send", b"\0first\xff")
            ours, theirs = one.address.split("@")[1], other.address.split("@")[1]
            equal((message["Sender"], message["Inbox"], message["Visited"]), (one.url, other.url, f"{ours} {theirs}"))
            equal((message["Astrength"], message["Content-Type"]), ("strong", "text/x-odd"))
            equal(message.raw("X-Mood"), [b" bright and\r\n    cheerful"])
        pending = [self.alice.message(self.bob.address, str(number)) for number in range(50)]
        equal([one.accepted()["Astrength"] for one in pending], ["strong"] * 50)
        equal([message.text for message in self.bob.link.inbox.seen("send")], [str(number) for number in range(50)])
        self.bob.link.inbox.forget()

    def step_answers(self):
        """IMTP-16.2-12 IMTP-16.2-16 COMMON-12-6 COMMON-12-7 COMMON-11.2-2 TOC-64: answers from afar, and who failed."""
        self.bob.link.answer = lambda message: wire.ok(message, "away", Unreliable="pager.example", X_Odd="yes")
        reply = self.alice.send(self.bob.address, "hello")
        equal((reply.text, reply["Unreliable"], reply["X-Odd"]), ("away", "pager.example", "yes"))
        self.bob.link.answer = lambda message: wire.error(message, "resources", "no room")
        reply = refused("resources", self.alice.send, self.bob.address, "hello")
        equal((reply["Error-Originator"], reply["Error-Description"], reply["Astrength"]),
              (self.bob.url, "no room", "strong"))
        self.bob.link.answer = wire.ok
        shapes = set()
        for nobody in ("ben@b.test", "nobody-here@b.test"):
            reply = refused("no-listeners", self.alice.send, nobody, "hello")
            equal((reply["Error-Originator"], reply["Astrength"]), ("b.test", "strong"))
            shapes.add(str(reply.lines))
        equal(len(shapes), 1, f"answers {shapes}")
        refused("target-not-found", self.alice.send, "x@no-such.test", "hello")
        self.bob.link.inbox.forget()

    def step_strangers_may_not_watch_unasked(self):
        """TOC-70 TOC-75 TOC-78: what a new account lets other domains do."""
        self.alice_p, self.bob_p = (self.enter(PitpClient, one.address) for one in (self.alice, self.bob))
        for target in (self.bob.address, "nobody-here@b.test"):
            for call in (self.alice_p.fetch, self.alice_p.subscribe):
                reply = refused("target-authorization", call, target)
                equal((reply["Error-Originator"], reply["Astrength"]), ("b.test", "strong"))

    def step_presence(self):
        """PITP-6.3-1 PITP-5-4 PITP-15.2-1 PITP-15.10-2 PITP-15.14-1 PITP-15.15-1 TOC-87: 7.3 to 7.7 and 7.10."""
        for owner, watcher in ((self.bob_p, self.alice_p), (self.alice_p, self.bob_p)):
            owner.insert(1, [watcher.url], DOC[0])
            owner.start_wi()
            equal(watcher.fetch(owner.address).payload, DOC[0])
            equal(owner.expect("fetch-notify")["Watcher"], watcher.url)
            equal(watcher.subscribe(owner.address).payload, DOC[0])
            key = owner.expect("subscribe-notify")["Subscription"]
            equal((key.split("/", 1)[1], len(key.split("/", 1)[0])), (watcher.url, 22))
            for document in (DOC[1], b"", DOC[2]):
                owner.change(1, document)
                told = watcher.expect("change-notify", document)
                equal((told["Presentity"], told["Subscription"], told["Astrength"]),
                      (owner.url, f"/{watcher.url}", "strong"))
            owner.terminate(key)
            watcher.expect("terminate-notify", Presentity=owner.url)
            equal(owner.expect("unsubscribe-notify")["Subscription"], key)
            reply = refused("not-subscribed", watcher.unsubscribe, owner.address)
            equal(reply["Error-Originator"], owner.address.split("@")[1])
            watcher.subscribe(owner.address)
            owner.expect("subscribe-notify")
            watcher.unsubscribe(owner.address)
            owner.expect("unsubscribe-notify")
            watcher.subscribe(owner.address)
            owner.expect("subscribe-notify")
            owner.change(1, None)
            watcher.expect("terminate-notify")
            owner.expect("unsubscribe-notify")
            refused("target-authorization", watcher.subscribe, owner.address)
            owner.change(1, DOC[0])
            watcher.nothing()
            owner.nothing()

    def step_a_watcher_disappears(self):
        """PITP-15.11-5 TOC-85: 7.8."""
        watcher = self.enter(PitpClient, "alice@a.test")
        watcher.subscribe(self.bob.address)
        key = self.bob_p.expect("subscribe-notify")["Subscription"]
        watcher.close()
        equal(self.bob_p.expect("unsubscribe-notify")["Subscription"], key)

    def step_the_stub(self):
        """COMMON-8.1-8 COMMON-11.4-8 COMMON-12-6 COMMON-12-7 IMTP-16.2-3: a server of other make, both ways."""
        self.alice.send("carol@c.test", "hello")
        message = self.c.expect("send", Inbox="im:carol@c.test")
        equal((message["Visited"], message["Astrength"]), ("a.test", "strong"))
        self.c.rules["im:carol@c.test"] = lambda one: wire.error(one, "quota", Astrength="weak")
        reply = refused("quota", self.alice.send, "carol@c.test", "hello")
        equal((reply["Error-Originator"], reply["Astrength"]), ("c.test", "weak"))
        sender = ImtpClient(self.stub("imtp", self.a), "carol@c.test")
        sender.send(self.alice.address, "and back", Visited="far.test c.test", Astrength="medium")
        message = self.alice.expect("send", "and back")
        equal((message["Visited"], message["Astrength"]), ("far.test c.test a.test", "medium"))
        self.alice_p.subscribe("carol@c.test")
        key = self.c.expect("subscribe", Presentity="presence:carol@c.test")["Subscription"]
        link = self.stub("pitp", self.a)
        notify = {"Presentity": "presence:carol@c.test", "Subscription": key}
        equal(link.call("change-notify", DOC[3], **notify).kind, "ok")
        self.alice_p.expect("change-notify", DOC[3])
        equal(link.call("terminate-notify", **notify).kind, "ok")
        self.alice_p.expect("terminate-notify")

    def step_forged_sources(self):
        """COMMON-8.1-2 COMMON-8.1-7 IMTP-16.2-20 TOC-19 TOC-29 TOC-88: nobody speaks for a domain that is not his."""
        for names, claimed in ((("elsewhere.test",), "c.test"), (("c.test",), "b.test"), ((), "c.test")):
            link = self.stub("imtp", self.a, names=names, authenticate=False, source=loopback())
            refused("sasl-failure", link.authenticate, External(claimed))
            for source in ("im:carol@c.test", "im:bob@b.test"):
                reply = link.call("send", "forged", Sender=source, Inbox=self.alice.url)
                equal(reply.error, "source-authorization", f"{names} as {claimed}")
        link, presence = self.stub("imtp", self.a), self.stub("pitp", self.a)
        for source in ("im:bob@b.test", "im:x@sub.c.test", self.alice.url, "im:x@test"):
            reply = link.call("send", "forged", Sender=source, Inbox=self.alice.url)
            equal(reply.error, "source-authorization", source)
            watcher = source.replace("im:", "presence:")
            reply = presence.call("fetch", Watcher=watcher, Presentity=self.alice_p.url)
            equal(reply.error, "source-authorization", watcher)
        self.alice_p.subscribe(self.bob.address)
        key = self.bob_p.expect("subscribe-notify")["Subscription"]
        forged = {"Presentity": self.bob_p.url, "Subscription": key}
        equal(presence.call("change-notify", "forged", **forged).error, "source-authorization")
        equal(presence.call("terminate-notify", **forged).error, "not-subscribed")
        relay = {"Sender": "im:carol@c.test", "Inbox": self.bob.url}
        equal(link.call("send", "relay this", **relay).error, "target-not-found")
        relay["Inbox"] = self.alice.url
        equal(link.call("send", "loop", Visited="a.test c.test", **relay).error, "loop")
        for client in (self.alice, self.bob, self.alice_p):
            client.nothing()
        self.alice_p.unsubscribe(self.bob.address)
        self.bob_p.expect("unsubscribe-notify")

    def step_a_loop_of_three_servers(self):
        """IMTP-16.2-20 IMTP-16.2-3 COMMON-12-7 TOC-66 TOC-67: a.test, c.test, e.test, and a.test again."""
        home = ImtpClient(self.e.connect(self.a.place("imtp", True), "imtp", "a.test"), "list@e.test")
        onward = ImtpClient(self.c.connect(self.e.place, "imtp", "e.test"), "list@c.test")
        self.links += [home.link, onward.link]

        def redistribute(message, client, to):
            visited = f"{message['Visited']} {client.address.split('@')[1]}"

            def carry():
                more = {"Visited": visited, "Orig_Sender": message["Sender"], "Astrength": "strong"}
                reply = client.message(to, message.payload, **more).reply()
                originator = reply["Error-Originator"] or "a.test"
                message.connection.raw(wire.error(
                    message, reply.error or "resources", Error_Originator=originator, Astrength="strong"
                ))

            threading.Thread(target=carry).start()

        self.c.rules["im:list@c.test"] = lambda message: redistribute(message, onward, "list@e.test")
        self.e.rules["im:list@e.test"] = lambda message: redistribute(message, home, self.alice.address)
        reply = refused("loop", self.alice.send, "list@c.test", "round and round")
        equal(reply["Error-Originator"], "a.test")
        equal(self.e.expect("send", Inbox="im:list@e.test")["Visited"], "a.test c.test")
        self.alice.nothing("send")

    def step_a_server_with_the_wrong_certificate(self):
        """TOC-8: the certificate must name the domain that was asked for; nothing is said to whom it does not."""
        refused("communications", self.alice.send, "dave@d.test", "secret")
        refused("communications", self.alice_p.fetch, "dave@d.test")
        equal(self.d.inbox.seen(), [], "what the wrong server was told")

    def step_the_other_family(self):
        """IMTP-4-1 PITP-5-4 SIMP-2.2-1 SIMP-6.1-3: a SIMP user of one domain and an IMTP and PITP user of the other."""
        old = self.simp("ann", self.a)
        self.bob_p.delete(1)
        old.send(self.bob.address, "from SIMP \u00fc")
        equal(self.bob.expect("send").text, "from SIMP \u00fc")
        reply = self.bob.send(old.ima, "from IMTP \u00fc")
        equal(reply.get("Unreliable"), None)
        told = old.expect("send")
        equal((told["from"], told["body"]), (self.bob.address, "from IMTP \u00fc"))
        simp_refused(old.send, "ben@b.test", "nobody listens")
        simp_refused(old.fetch, self.bob.address)
        refused("target-authorization", self.bob_p.fetch, old.ima)
        old.set_acl({"@b.test": OPERATIONS, "everybody": "send"})
        equal(pidf.contacts(self.bob_p.subscribe(old.ima).text)[f"im:{old.ima}"], "open")
        equal(old.expect("note subscription")["subscriber"], self.bob.address)
        old.set_profile({"message": "out for lunch"})
        assert "out for lunch" in self.bob_p.expect("change-notify").text
        self.bob_p.insert(1, ["presence:*@a.test"], f"contact = {self.bob.url} {{ status = open }}\r\n")
        equal(old.fetch(self.bob.address)["status"], "online")
        old.subscribe(self.bob.address)
        self.bob_p.expect("subscribe-notify", Presentity=self.bob_p.url)
        self.bob_p.change(1, f"contact = {self.bob.url} {{ status = closed }}\r\n")
        old.expect("note change", regarding=self.bob.address, status="offline")
        self.bob_p.set_class(1, [])
        old.expect("note subscription end", regarding=self.bob.address)
        self.bob_p.delete(1)
        old.drop_subscription(self.bob.address)
        self.bob_p.expect("terminate-notify", Presentity=f"presence:{old.ima}")

    def step_both_families_of_one_user(self):
        """TOC-61 TOC-63: at home in both, he gets each message on both."""
        old = self.simp("alice", self.a)
        self.bob.send(self.alice.address, "on both")
        equal(old.expect("send")["body"], "on both")
        self.alice.expect("send", "on both")
        old.connection.close()
        self.bob.send(self.alice.address, "on one")
        self.alice.expect("send", "on one")

    def step_kill_b(self):
        """TOC-71 TOC-83: after kill -9 of the presentity's server its lists and foreign watchers are as they were."""
        self.bob_p.insert(1, ["presence:*@a.test"], DOC[4])
        self.alice_p.subscribe(self.bob.address)
        key = self.bob_p.expect("subscribe-notify")["Subscription"]
        self.b.kill()
        for client in (self.bob, self.bob_p):
            client.link.wait_closed()
        refused("communications", self.alice.send, self.bob.address, "are you there?")
        self.b.start()
        self.bob, self.bob_p = (self.enter(kind, "bob@b.test") for kind in (ImtpClient, PitpClient))
        self.bob.listen()
        equal(self.bob_p.store(), [(["presence:*@a.test"], DOC[4])])
        equal(self.bob_p.start_wi(), [key])
        self.bob_p.change(1, DOC[5])
        self.alice_p.expect("change-notify", DOC[5])
        self.alice.send(self.bob.address, "after the fall")
        self.bob.expect("send", "after the fall")

    def step_kill_a(self):
        """PITP-15.2-6 TOC-81: after kill -9 of the watcher's server nobody is subscribed, and the owner hears of it."""
        key, = self.bob_p.start_wi()
        self.a.kill()
        self.a.start()
        self.alice, self.alice_p = (self.enter(kind, "alice@a.test") for kind in (ImtpClient, PitpClient))
        self.alice.listen()
        self.bob_p.change(1, DOC[6])
        equal(self.bob_p.expect("unsubscribe-notify")["Subscription"], key)
        self.alice_p.nothing()
        equal(self.alice_p.subscribe(self.bob.address).payload, DOC[6])
        self.bob.send(self.alice.address, "after the other's fall")
        self.alice.expect("send", "after the other's fall")

    def step_the_end(self):
        """COMMON-14.2-1 TOC-17: SIGTERM ends in order, and nothing that was written broke a rule."""
        self.bob.link.answer = silent
        for house in self.houses:
            equal(house.stop(), 0, f"the exit status of {house.domain}")
        for client in (self.alice, self.alice_p, self.bob, self.bob_p):
            client.expect("shutdown")
            client.link.wait_closed()
        faults = [wrong for link in self.links for wrong in link.faults]
        faults += [wrong for session in self.sessions for wrong in session.connection.faults]
        equal(faults + self.c.close() + self.e.close(), [], "what the servers must not write")
        self.d.close()

    def perform(self, name):
        """One step; the later ones may tell something even if it fails."""
        title = name.removeprefix("step_").replace("_", "-")
        try:
            getattr(self, name)()
        except Exception as problem:  # told, whatever it is
            print(f"FAIL {title} {blame(problem)}", flush=True)
            for house in self.houses:
                if house.process.poll() is not None:
                    house.start()
            return False
        print(f"ok {title}", flush=True)
        return True


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", nargs="?", default="target/debug/hearth", help="the hearth program")
    options = parser.parse_args()
    if program() is None or not authority.available():
        print("SKIP two_domains_imtp: dnsmasq or openssl is not installed (apt-get install dnsmasq-base openssl)")
        return 0
    play = Play(os.path.abspath(options.binary))
    steps = [name for name in vars(Play) if name.startswith("step_")]
    failed = [name for name in steps if not play.perform(name)]
    if failed:
        for house in play.houses:
            print(f"--- {house.domain}\n{house.tail()}")
    play.directory.cleanup()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
