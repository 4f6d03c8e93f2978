#!/usr/bin/env python3
"""kill -9 of a real server under load, again and again: `crash.py target/debug/hearth [--rounds N] [--seed N]`.

Each round several clients and the command line change things as fast as they can; after a random number
of acknowledgements the server is killed, started again, and asked: whatever was acknowledged must be there,
and what was under way must be there whole or not at all.  Reports and kept messages come exactly once.
"""

import argparse
import os
import random
import sys
import threading

from house import House, Person, until
from simp_client import Closed, Refused, error, silent
from stage import equal

OPERATIONS = "send fetch subscribe unsubscribe change end"


class Tally:
    """Counts acknowledgements; at the chosen one the server is killed."""

    def __init__(self, house, goal):
        self._house, self._left = house, goal
        self._lock = threading.Lock()
        self.over = threading.Event()

    def acknowledged(self):
        """One more thing was promised."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self.end()

    def end(self):
        """The fall."""
        self._house.kill()
        self.over.set()


class Worker:
    """One kind of load."""

    def __init__(self, house, number):
        self.house = house
        self.name = f"{type(self).__name__.lower()}{number}"
        self.person = house.person(self.name)
        self.session = None
        self.count = 0
        self.problem = None

    def enter(self):
        """Before the load of a round."""
        self.session = self.person.log_in()

    def load(self, tally):
        """Works until the server is gone."""
        try:
            while not tally.over.is_set():
                self.count += 1
                self.work(self.count, tally)
        except (Closed, OSError):
            pass
        except Exception as problem:  # told by the main thread
            self.problem = problem
            tally.end()
        tally.over.wait()

    def work(self, count, tally):
        """Makes the n-th change, and tells when it is acknowledged."""
        raise NotImplementedError

    def verify(self):
        """After a fall: is all there that was acknowledged?"""
        raise NotImplementedError


class Profiles(Worker):
    """Changes a profile."""

    def __init__(self, house, number):
        super().__init__(house, number)
        self.allowed = []

    def entries(self, count):
        """What is set the n-th time."""
        return {"message": str(count), "padding": str(count) * 500}

    def put(self, entries):
        """The request that sets it."""
        self.session.set_profile(entries)

    def get(self):
        """The request that shows it."""
        return self.session.get_profile()

    def enter(self):
        super().enter()
        if not self.allowed:
            self.allowed = [self.get()]

    def work(self, count, tally):
        """Until a change is acknowledged both the old and the new are right."""
        entries = self.entries(count)
        self.allowed = [self.allowed[-1], entries]
        self.put(entries)
        self.allowed = [entries]
        tally.acknowledged()

    def verify(self):
        self.session = self.person.log_in()
        found = self.get()
        assert found in self.allowed, f"{self.name}: {str(found)[:200]} is none of {str(self.allowed)[:400]}"
        self.allowed = [found]
        self.session.close()


class Lists(Profiles):
    """Changes an access control list."""

    def entries(self, count):
        return {f"user{count}@x.example": "send", "everybody": OPERATIONS, "@y.example": "+send " * (count % 7)}

    def put(self, entries):
        self.session.set_acl(entries)

    def get(self):
        return self.session.get_acl()


class Subscriptions(Worker):
    """Subscribes to two users and unsubscribes again."""

    def __init__(self, house, number):
        super().__init__(house, number)
        self.owners = [house.person(f"{self.name}owner{one}") for one in range(2)]
        self.live, self.ended = {}, {}

    def work(self, count, tally):
        if len(self.live) >= 6:
            opaque = random.choice(sorted(self.live))
            owner = self.live.pop(opaque)
            self.session.unsubscribe(owner, opaque)
            self.ended[opaque] = owner
        else:
            owner = self.owners[count % 2].ima
            self.live[self.session.subscribe(owner)["opaque"]] = owner
        tally.acknowledged()

    def verify(self):
        """Each that was granted can be ended; each that was ended can't be ended again."""
        session = self.person.log_in()
        for opaque, owner in self.live.items():
            session.unsubscribe(owner, opaque)
        for opaque, owner in self.ended.items():
            try:
                session.unsubscribe(owner, opaque)
            except Refused:
                continue
            raise AssertionError(f"{self.name}: a subscription that was ended came back")
        session.close()
        self.live, self.ended = {}, {}
        for owner in self.owners:  # what was granted when the server fell, and nobody knows of
            session = owner.log_in()
            try:
                session.drop_subscription(self.person.ima)
            except Refused:
                pass
            session.close()


class Accounts(Worker):
    """Adds accounts and keys by the command line; exit status 0 is the acknowledgement."""

    def __init__(self, house, number):
        super().__init__(house, number)
        self.made, self.keys = [], []

    def work(self, count, tally):
        ima = f"{self.name}x{count}@{self.house.domain}"
        try:
            self.house.add_account(ima)
            self.made.append(ima)
            tally.acknowledged()
            label = f"key {count}"
            self.keys.append((label, self.house.new_key(self.person.ima, label)))
            tally.acknowledged()
        except RuntimeError as problem:
            if tally.over.wait(1):
                raise Closed(str(problem)) from problem
            raise

    def verify(self):
        """Every account is there, and every key opens its account."""
        listed = self.house.run("user", "list")
        for ima in self.made:
            assert ima in listed, f"{ima} is gone"
        for label, key in self.keys:
            Person(self.house, self.person.ima, key).log_in().close()
            self.house.run("user", "key", "del", self.person.ima, label)
        self.keys = []


class KeptMessages(Worker):
    """Sends to one who is away and wants his messages kept; an okay says that it is kept."""

    def __init__(self, house, number):
        super().__init__(house, number)
        self.reader = house.person(f"{self.name}reader")
        house.run("user", "set", self.reader.ima, "messages=keep")
        self.kept, self.doubtful = set(), set()

    def work(self, count, tally):
        body = f"message {count}"
        self.doubtful.add(body)
        self.session.send(self.reader.ima, body)
        self.doubtful.discard(body)
        self.kept.add(body)
        tally.acknowledged()

    def verify(self):
        """All that were kept come once, and of the rest at most the one under way; none comes again later."""
        session = self.reader.log_in()
        for body in self.kept:
            session.expect("send", body=body)
        until(lambda: self.house.waiting(self.reader.ima) == 0, "what waits")
        rest = [command["body"] for command in session.connection.inbox.seen("send")]
        assert set(rest) <= self.doubtful and len(rest) <= 1, f"{self.name}: unwanted {rest}"
        session.set_profile({"message": f"read up to {self.count}"})
        session.close()
        self.kept, self.doubtful = set(), set()
        session = self.reader.log_in()
        session.nothing("send")
        session.close()


class Reports(Worker):
    """Senders who leave before their messages are refused; each refusal must be told at the next login.

    Nobody is told that a report is kept.  What the same connection changes after it is committed after it.
    """

    def __init__(self, house, number):
        super().__init__(house, number)
        self.senders = [house.person(f"{self.name}sender{one}") for one in range(3)]
        self.sessions, self.owed, self.doubtful = [], {}, {}

    def enter(self):
        self.session = self.person.log_in(answer=silent)
        self.sessions = [sender.log_in() for sender in self.senders]
        self.owed = {sender.ima: 0 for sender in self.senders}
        self.doubtful = dict(self.owed)

    def work(self, count, tally):
        if not self.sessions:
            tally.over.wait()
            return
        sender, several = self.sessions.pop(), 3
        for number in range(several):
            sender.message(self.person.ima, f"{count} {number}")
        messages = [self.session.expect("send", body=f"{count} {number}") for number in range(several)]
        sender.connection.reset()
        until(lambda: self.session.fetch(sender.ima)["status"] == "offline", "a logout")
        self.doubtful[sender.ima] = several
        for message in messages:
            message.respond(error("refused"))
        self.session.set_profile({"message": str(count)})
        self.owed[sender.ima] = several
        tally.acknowledged()

    def verify(self):
        for sender in self.senders:
            session = sender.log_in()
            session.fence()
            for _ in range(self.owed[sender.ima]):
                session.expect("send", from_=f"notifier@{self.house.domain}")
            # What nobody promised may still be on its way from the disk.
            until(lambda: self.house.waiting(sender.ima) == 0, "what waits")
            more = len(session.connection.inbox.seen("send"))
            limit = self.doubtful[sender.ima] - self.owed[sender.ima]
            assert more <= limit, f"{self.name}: {more} reports more than messages failed"
            session.set_profile({"message": f"read up to {self.count}"})
            session.close()
            session = sender.log_in()
            session.nothing("send")
            session.close()


def round_of(house, workers, goal):
    """Load, fall, restart, verification."""
    for worker in workers:
        worker.enter()
    tally = Tally(house, goal)
    threads = [threading.Thread(target=worker.load, args=(tally,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.start()
    for worker in workers:
        if worker.problem:
            raise worker.problem
        worker.verify()


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", nargs="?", default="target/debug/hearth", help="the hearth program")
    parser.add_argument("--rounds", type=int, default=25, help="how often the server is killed")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32), help="of the moments of death")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    random.seed(options.seed)
    house = House(os.path.abspath(options.binary), "crash.example").init().start()
    try:
        kinds = (Profiles, Lists, Subscriptions, Accounts, KeptMessages, Reports)
        workers = [kind(house, number) for kind in kinds for number in range(1 if kind is Accounts else 2)]
        for number in range(options.rounds):
            goal = random.randint(1, 150)
            try:
                round_of(house, workers, goal)
            except Exception as problem:  # the log tells the rest
                kind = type(problem).__name__
                print(f"FAIL round {number} ({goal} acknowledged): {kind}: {problem}\n{house.tail()}")
                return 1
            print(f"ok round {number}: {goal} acknowledged, killed, nothing lost", flush=True)
        equal(house.stop(), 0, "the exit status")
        return 0
    finally:
        house.remove()


if __name__ == "__main__":
    sys.exit(main())
