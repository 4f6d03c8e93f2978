#!/usr/bin/env python3
"""Two real servers, two domains, one real DNS server: `two_domains.py target/debug/hearth`.

`a.test` and `b.test` are configured by `hearth init`, told to speak SIMP to each other, and find each other by
the records that it prints, served by dnsmasq.  `b.test` also publishes a server that is down, ahead of the one that is up;
`c.test` is this script's own stub, found by its address record alone.  Prints `ok STEP` or `FAIL STEP why`.
"""

import argparse
import os
import sys

from checks_messages import AWKWARD
from house import ROUTING_PORT, House, loopback
from name_server import NameServer, from_zone, program
from peer import Peer
from simp_client import PATIENCE, Routing, okay, silent, stock_answers
from simp_wire import encode
from stage import blame, equal, refused

OPERATIONS = "send fetch subscribe unsubscribe change end"


class Play:
    """The two houses and those who live in them; each method named `step_...` is a step, in order."""

    def __init__(self, binary):
        self.dns = NameServer()
        self.stub = Peer("c.test")
        self.dead = loopback()
        self.houses = [House(binary, domain) for domain in ("a.test", "b.test")]
        zones = []
        for house in self.houses:
            zones += from_zone(house.make("--dns", self.dns.name))
            # What only SIMP carries is checked too: other families leave a message's unknown entries behind.
            house.speak("simp")
        self.dns.start([
            *zones,
            f"--host-record=dead.b.test,{self.dead}",
            f"--srv-host=_simp._tcp.b.test,dead.b.test,{ROUTING_PORT},0,0",
            f"--host-record=c.test,{self.stub.address}",
        ])
        for house in self.houses:
            house.start()
        self.a, self.b = self.houses
        self.people = {"alice": self.a.person("alice"), "bob": self.b.person("bob")}
        self.alice = self.bob = None
        self.sessions = []

    def enter(self, name):
        """Logs somebody in."""
        session = self.people[name].log_in()
        self.sessions.append(session)
        setattr(self, name, session)
        return session

    def messages_both_ways(self, text):
        """A message from each to the other."""
        for sender, recipient in ((self.alice, self.bob), (self.bob, self.alice)):
            body = f"{text} {AWKWARD}"
            sender.send(recipient.ima, body, subject=text)
            message = recipient.expect("send", subject=text)
            equal((message["from"], message["to"], message["body"]), (sender.ima, recipient.ima, body))

    def presence_both_ways(self, text, patience=PATIENCE):
        """A change of each, seen by the other."""
        for owner, watcher in ((self.alice, self.bob), (self.bob, self.alice)):
            owner.set_profile({"message": text})
            inbox = watcher.connection.inbox
            change = inbox.expect("note change", patience, regarding=owner.ima, message=text)
            equal(change["from"], f"notifier@{owner.ima.split('@')[1]}")
        # The clients' okays have gone all the way back: a fall now finds nothing in flight, which would be
        # tried again only after a while (OC-43).
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            other.fence()
            one.inquire(other.ima)

    def step_messages(self):
        """SIMP-1-2 SIMP-2.2-1 OC-57: a message each way."""
        self.enter("alice")
        self.enter("bob")
        self.messages_both_ways("first")
        for number in range(100):
            self.alice.message(self.bob.ima, str(number))
        for number in range(100):
            self.bob.expect("send", body=str(number))

    def step_what_grows_by_escapes_hurts_nobody(self):
        """OC-30: a value of 60,000 ampersands, short as it comes, is no reason to lose the link of two domains."""
        self.bob.connection.answer = silent
        others = [self.alice.message(self.bob.ima, f"beside {number}") for number in range(5)]
        messages = [self.bob.expect("send", body=f"beside {number}") for number in range(5)]
        sender = self.people["alice"].log_in()
        self.sessions.append(sender)
        command = {"action": "send", "to": self.bob.ima, "from": sender.ima, "type": "text/plain"}
        pending = sender.connection.await_reply(command, "grows")
        cdata = b'<entry key="body"><![CDATA[' + b"&" * 60_000 + b"]]></entry></properties>"
        sender.connection.raw(encode({**command, "request": "grows"}).replace(b"</properties>", cdata))
        self.bob.connection.answer = stock_answers
        sender.fence()  # the large one is on its way, or refused
        self.alice.inquire(self.bob.ima)
        for message in messages:
            message.respond(okay())
        for other in others:
            equal(other.reply()["action"], "okay", "a message beside the large one")
        pending.reply()  # delivered or refused, as long as it is told
        sender.connection.close()

    def step_a_domain_with_an_address_record_only(self):
        """OC-06: the default port at the domain's own address; and it may speak for itself."""
        self.alice.send("carol@c.test", "by address")
        self.stub.expect("send", body="by address")
        carol = Routing.open(self.a.routing, "carol@c.test", source=self.stub.address)
        carol.send(self.alice.ima, "and back")
        self.alice.expect("send", body="and back")
        carol.close()
        refused(self.alice.send, "dave@d.test", "no such domain")

    def step_refusals(self):
        """SIMP-1-3 SIMP-1-4 OC-56: one text for the absent, the unknown and the unwilling."""
        self.people["erin"] = self.b.person("erin")
        self.bob.set_acl({self.alice.ima: "", "everybody": OPERATIONS})
        targets = (self.people["erin"].ima, "nobody@b.test", self.bob.ima)
        texts = {refused(self.alice.send, to, "hello")["message"] for to in targets}
        equal(len(texts), 1, f"texts {texts}")
        refused(self.alice.fetch, self.bob.ima)
        refused(self.alice.subscribe, self.bob.ima)
        self.alice.inquire(self.bob.ima)
        self.bob.nothing("send")
        self.enter("erin").nothing("send")

    def step_strangers_may_not_watch_unasked(self):
        """OC-36: what a new account lets other domains do."""
        refused(self.bob.fetch, self.alice.ima)
        refused(self.bob.subscribe, self.alice.ima)

    def step_presence(self):
        """SIMP-5.2-3 SIMP-5.3-3 SIMP-6.1-3: fetch, subscribe, change, across domains."""
        self.alice.set_acl({"@b.test": OPERATIONS, "everybody": "send"})
        self.bob.set_acl({"@a.test": OPERATIONS, "everybody": "send"})
        for watcher, owner in ((self.alice, self.bob), (self.bob, self.alice)):
            equal(watcher.fetch(owner.ima)["status"], "online")
            equal(watcher.subscribe(owner.ima)["status"], "online")
            equal(owner.expect("note subscription")["subscriber"], watcher.ima)
        self.presence_both_ways("watched")

    def step_logout_and_login_are_seen(self):
        """SIMP-6.1-3 SIMP-7.3-1, SIMP-6.3-3."""
        self.alice.connection.close()
        self.bob.expect("note change", regarding=self.alice.ima, status="offline")
        refused(self.bob.send, self.alice.ima, "too late")
        self.enter("alice").expect("note subscription", subscriber=self.bob.ima)
        self.bob.expect("note change", regarding=self.alice.ima, status="online")

    def step_forged_senders(self):
        """OC-01: who does not speak for a domain may not use its names; OC-07: nor be relayed."""
        self.bob.set_acl({})
        forged = (
            (loopback(), self.alice.ima), (self.stub.address, self.alice.ima), (self.a.address, "carol@c.test"),
            (self.a.address, self.bob.ima), (self.dead, "bob@b.test"), (loopback(), "x@nowhere.test"),
        )
        for source, sender in forged:
            caller = Routing.open(self.b.routing, sender, source=source)
            for call, more in ((caller.send, ("forged",)), (caller.fetch, ()), (caller.subscribe, ())):
                refused(call, self.bob.ima, *more)
            refused(caller.send, "carol@c.test", "relay this")
            caller.close()
        self.bob.nothing("send")
        self.bob.set_acl({"@a.test": OPERATIONS, "everybody": "send"})

    def fall(self, house, end):
        """One server ends and starts again while the other's user stays; then all is as it was."""
        away, here = ("alice", "bob") if house is self.a else ("bob", "alice")
        stays, gone = getattr(self, here), self.people[away].ima
        end()
        refused(stays.send, gone, "are you there?")
        house.start()
        refused(stays.send, gone, "the server is, he is not")
        back = self.enter(away)
        back.expect("note subscription", subscriber=stays.ima)
        stays.expect("note change", regarding=gone, status="online")
        stays.connection.inbox.forget()
        text = f"after the fall of {house.domain} by {end.__name__}"
        self.messages_both_ways(text)
        self.presence_both_ways(text)

    def step_kill_b(self):
        """kill -9 of b.test: messages, presence and subscriptions go on (design of the store)."""
        self.fall(self.b, self.b.kill)

    def step_kill_a(self):
        """The same of a.test."""
        self.fall(self.a, self.a.kill)

    def step_restart_b_in_order(self):
        """SIGTERM of b.test."""
        self.fall(self.b, self.b.stop)

    def step_restart_a_in_order(self):
        """SIGTERM of a.test."""
        self.fall(self.a, self.a.stop)

    def step_kill_both(self):
        """kill -9 of both at once: after that, both log in and see each other's changes.

        What b.test could not tell while a.test was down it tells at its next try (OC-43: within 5 minutes).
        """
        self.a.kill()
        self.b.kill()
        self.b.start()
        self.enter("bob")
        self.a.start()
        self.enter("alice")
        self.messages_both_ways("after both fell")
        self.presence_both_ways("after both fell", patience=300)

    def step_the_end(self):
        """SIGTERM ends in order, and nothing that was written broke a rule."""
        for house in self.houses:
            equal(house.stop(), 0, f"the exit status of {house.domain}")
        faults = [wrong for session in self.sessions for wrong in session.connection.faults]
        equal(faults + self.stub.close(), [], "what the servers must not write")

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
    if program() is None:
        print("SKIP two_domains: dnsmasq is not installed (apt-get install dnsmasq-base)")
        return 0
    play = Play(os.path.abspath(options.binary))
    steps = [name for name in vars(Play) if name.startswith("step_")]
    failed = [name for name in steps if not play.perform(name)]
    if failed:
        for house in play.houses:
            print(f"--- {house.domain}\n{house.tail()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
