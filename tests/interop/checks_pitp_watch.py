"""Checks of subscriptions on one server (7.2 to 7.10) and of watcher information."""

import re

import imtp_wire as wire
from imtp_link import silent
from imtp_stage import DOMAIN, check, equal, refused

DOC = [f"contact = im:a{number}@example.org {{ status = open }}\r\n".encode() for number in range(6)]


def owner(scene, patterns=("presence:*",), **options):
    """A presentity with one mapping, and watcher information if he is asked for it."""
    alice = scene.presence("alice", **options)
    alice.insert(1, patterns, DOC[0])
    return alice


def token(subscription, client):
    """The connection-id of a subscription that is a client's."""
    identity, url = subscription.split("/", 1)
    equal(url, client.url)
    return identity


@check("PITP-15.11-1 PITP-15.11-2 PITP-15.11-3 PITP-15.1-1 PITP-15.1-2 PITP-15.1-5 PITP-15.2-1 PITP-15.2-2 PITP-11.7-6")
def a_change_is_told(scene):
    """7.4 on one server; the ok of the change does not wait for the watcher."""
    alice, bob = owner(scene), scene.presence("bob", answer=silent)
    equal(bob.subscribe(alice.address).payload, DOC[0])
    for document in (DOC[1], b"", DOC[2]):
        alice.change(1, document)
        told = bob.expect("change-notify")
        equal((told.payload, told["Presentity"], told["Subscription"]), (document, alice.url, f"/{bob.url}"))
        bob.link.raw(wire.ok(told))
    alice.change(1, b"odd \0", Content_Type="text/x-odd")
    told = bob.expect("change-notify")
    equal((told.payload, told["Content-Type"]), (b"odd \0", "text/x-odd"))


@check("TOC-77 PITP-15.1-5 PITP-15.9-4 PITP-15.8-5 PITP-15.3-3")
def a_view_that_stays_is_not_told(scene):
    alice, bob = owner(scene), scene.presence("bob")
    bob.subscribe(alice.address)
    alice.change(1, DOC[0])
    alice.insert(1, ["presence:*@example.net"], DOC[1])
    alice.change(1, DOC[2])
    alice.insert(3, ["*"], DOC[3])
    alice.set_class(2, ["presence:*", bob.url])
    alice.insert(2, [bob.url], DOC[0])
    alice.delete(3)
    bob.nothing()
    alice.change(2, DOC[0], Content_Type="text/plain")
    equal(bob.expect("change-notify").payload, DOC[0], "another type is another view")
    bob.nothing()


@check("PITP-15.14-1 PITP-15.14-2 PITP-15.1-3 PITP-15.1-5 PITP-15.3-3 PITP-15.8-5 TOC-76 TOC-89")
def who_loses_access_is_told(scene):
    """7.5, by each of the four edits; the subscription is over, and watcher information says so."""
    alice, bob = owner(scene), scene.presence("bob")
    alice.insert(2, [])  # so that the list is never empty
    alice.start_wi()
    for number, take, give in (
        (1, lambda: alice.change(1, None), lambda: alice.change(1, DOC[0])),
        (2, lambda: alice.insert(1, [bob.url]), lambda: alice.delete(1)),
        (3, lambda: alice.set_class(1, []), lambda: alice.set_class(1, ["*"])),
        (4, lambda: alice.delete(1), lambda: alice.insert(1, ["*"], DOC[0])),
    ):
        bob.subscribe(alice.address)
        mine = alice.expect("subscribe-notify")["Subscription"]
        take()
        told = bob.expect("terminate-notify")
        equal((told["Presentity"], told["Subscription"]), (alice.url, f"/{bob.url}"), f"edit {number}")
        equal(alice.expect("unsubscribe-notify")["Subscription"], mine)
        refused("target-authorization", bob.subscribe, alice.address)
        refused("not-subscribed", bob.unsubscribe, alice.address)
        give()
        bob.nothing()
    alice.nothing()


@check("PITP-11.7-3 PITP-11.7-4 PITP-11.7-7 PITP-11.7-8 PITP-11.7-1 COMMON-12-8")
def a_clients_connection_id_is_blank(scene):
    alice, bob = owner(scene), scene.presence("bob")
    for method in ("subscribe", "unsubscribe"):
        for value in (f"x/{bob.url}", f"x / {bob.url}", bob.url, "/", "", f"//{bob.url}", f"a b/{bob.url}", None):
            reply = bob.link.call(method, Presentity=alice.url, Subscription=value)
            equal(reply.error, "malformed", f"{method} with {value!r}")
    equal(bob.link.call("subscribe", "x", Presentity=alice.url, Subscription=f"/{bob.url}").error, "malformed")
    for value in (f"/{bob.url}", f" / {bob.url} ", f"/\r\n {bob.url}", f"/{bob.address}", f"/PRESENCE:{bob.address}"):
        equal(bob.link.call("subscribe", Presentity=alice.url, Subscription=value).kind, "ok", value)
    bob.unsubscribe(alice.address)


@check("PITP-15.15-1 PITP-15.15-2 PITP-15.15-3 PITP-15.16-1 PITP-15.16-2 PITP-15.16-3 PITP-11.7-9 TOC-87")
def a_watcher_ends_it(scene):
    """7.7."""
    alice, bob = owner(scene), scene.presence("bob")
    alice.start_wi()
    refused("not-subscribed", bob.unsubscribe, alice.address)
    bob.subscribe(alice.address)
    begun = alice.expect("subscribe-notify")
    bob.unsubscribe(alice.address)
    ended = alice.expect("unsubscribe-notify")
    equal((ended["Subscription"], ended["Watcher"], ended["Presentity"]), (begun["Subscription"],) * 2 + (alice.url,))
    refused("not-subscribed", bob.unsubscribe, alice.address)
    refused("not-subscribed", bob.unsubscribe, f"nobody-here@{DOMAIN}")
    alice.change(1, DOC[1])
    bob.nothing()
    alice.nothing()


@check(
    "PITP-15.10-1 PITP-15.10-2 PITP-15.10-3 PITP-15.10-4 PITP-15.12-1 PITP-15.12-2 PITP-15.12-3 PITP-11.7-2 TOC-84",
)
def watchers_are_watched(scene):
    """7.3: tokens are made for each connection, told to the owner and to nobody else."""
    alice, bob, carol = owner(scene), scene.presence("bob"), scene.presence("carol")
    bob.subscribe(alice.address)
    listed = alice.start_wi()
    equal(len(listed), 1)
    first = token(listed[0], bob)
    assert re.fullmatch("[A-Za-z0-9]{22}", first), first
    carol.subscribe(alice.address)
    told = alice.expect("subscribe-notify")
    equal(told["Presentity"], alice.url)
    second = token(told["Subscription"], carol)
    assert first != second
    equal(sorted(alice.start_wi()), sorted([listed[0], told["Subscription"]]), "asked again (TOC-91)")
    bob.unsubscribe(alice.address)
    equal(alice.expect("unsubscribe-notify")["Subscription"], listed[0])
    alice.nothing()
    bob.nothing()
    carol.nothing()


@check("PITP-15.13-1 PITP-15.13-3 PITP-15.13-4 PITP-15.13-5 PITP-15.14-3 PITP-11.7-2 TOC-82")
def an_owner_terminates(scene):
    """7.6: every watcher of watchers is told, the terminating one included; the watcher may come again."""
    alice, other, deaf = owner(scene), scene.presence("alice"), scene.presence("alice")
    bob = scene.presence("bob", answer=lambda message: wire.error(message, "resources"))
    alice.start_wi()
    other.start_wi()
    bob.subscribe(alice.address)
    key = alice.expect("subscribe-notify")["Subscription"]
    equal(other.expect("subscribe-notify")["Subscription"], key)
    for wrong in (f"/{bob.url}", f"x{key}", key.replace("bob", "bobby")):
        refused("not-subscribed", alice.terminate, wrong)
    deaf.terminate(key)
    equal(bob.expect("terminate-notify")["Subscription"], f"/{bob.url}")
    for one in (alice, other):
        equal(one.expect("unsubscribe-notify")["Subscription"], key)
    refused("not-subscribed", alice.terminate, key)
    alice.change(1, DOC[1])
    bob.nothing()
    equal(bob.subscribe(alice.address).payload, DOC[1])
    again = alice.expect("subscribe-notify")["Subscription"]
    alice.terminate(again.replace("presence:bob", "presence:BOB"))
    alice.expect("unsubscribe-notify")
    bob.expect("terminate-notify")
    deaf.nothing()


@check("PITP-15.11-4 PITP-15.11-5 TOC-85 TOC-89")
def a_watcher_who_disappears(scene):
    """7.8."""
    alice, bob, carol = owner(scene), scene.presence("bob"), scene.presence("carol")
    alice.start_wi()
    keys = []
    for watcher in (bob, carol):
        watcher.subscribe(alice.address)
        keys.append(alice.expect("subscribe-notify")["Subscription"])
    bob.close()
    equal(alice.expect("unsubscribe-notify")["Subscription"], keys[0])
    carol.link.reset()
    equal(alice.expect("unsubscribe-notify")["Subscription"], keys[1])
    equal(alice.start_wi(), [])


@check("PITP-11.7-5 PITP-11.7-2")
def two_connections_of_one_watcher(scene):
    """7.9."""
    alice, laptop, phone = owner(scene), scene.presence("bob"), scene.presence("bob")
    alice.start_wi()
    keys = []
    for watcher in (laptop, phone):
        watcher.subscribe(alice.address)
        keys.append(alice.expect("subscribe-notify")["Subscription"])
    assert keys[0] != keys[1]
    alice.change(1, DOC[1])
    for watcher in (laptop, phone):
        watcher.expect("change-notify", DOC[1])
    alice.terminate(keys[0])
    laptop.expect("terminate-notify")
    alice.change(1, DOC[2])
    phone.expect("change-notify", DOC[2])
    laptop.nothing()
    phone.nothing("terminate-notify")
    equal(alice.start_wi(), [keys[1]])


@check("PITP-15.6-1 PITP-15.6-2 PITP-15.6-3 TOC-90 TOC-92")
def fetches_are_told(scene):
    """7.10; what was refused is not announced, and the answer does not wait for the owner."""
    alice, bob = owner(scene, answer=silent), scene.presence("bob")
    alice.insert(1, [scene.person("carol")], None)
    alice.start_wi()
    bob.fetch(alice.address)
    told = alice.expect("fetch-notify")
    equal((told["Watcher"], told["Presentity"]), (bob.url, alice.url))
    carol = scene.presence("carol")
    refused("target-authorization", carol.fetch, alice.address)
    refused("target-authorization", carol.subscribe, alice.address)
    alice.nothing()


@check("TOC-79")
def a_second_subscription_is_the_first(scene):
    alice, bob = owner(scene), scene.presence("bob")
    alice.start_wi()
    bob.subscribe(alice.address)
    alice.expect("subscribe-notify")
    alice.change(1, DOC[1])
    equal(bob.subscribe(alice.address).payload, DOC[1])
    alice.nothing("subscribe-notify")
    bob.expect("change-notify")
    alice.change(1, DOC[2])
    bob.expect("change-notify", DOC[2])
    bob.nothing()
    equal(len(alice.start_wi()), 1)


@check("TOC-80")
def news_wait_for_the_answer_and_the_newest_wins(scene):
    """One unanswered change-notify a subscription; those that it overtakes are not sent."""
    alice, bob = owner(scene), scene.presence("bob", answer=silent)
    bob.subscribe(alice.address)
    alice.change(1, DOC[1])
    first = bob.expect("change-notify", DOC[1])
    for document in (DOC[2], DOC[3], DOC[4]):
        alice.change(1, document)
    bob.nothing()
    bob.link.raw(wire.ok(first))
    second = bob.expect("change-notify")
    equal(second.payload, DOC[4])
    alice.change(1, DOC[5])
    alice.change(1, DOC[4])
    bob.link.raw(wire.ok(second))
    bob.nothing()
    alice.change(1, DOC[5])
    third = bob.expect("change-notify", DOC[5])
    alice.change(1, None)
    bob.expect("terminate-notify")
    bob.link.raw(wire.ok(third))
    bob.nothing()


@check("TOC-80")
def a_watcher_that_never_answers(scene):
    """He costs nobody else, and is sent no more than one."""
    alice, deaf, bob = scene.presence("alice"), scene.presence("deaf", answer=silent), scene.presence("bob")
    alice.insert(1, ["*"], "n = 0")
    for watcher in (deaf, bob):
        watcher.subscribe(alice.address)
    for number in range(1, 20):
        alice.change(1, f"n = {number}")
        bob.expect("change-notify", f"n = {number}")
    deaf.expect("change-notify", "n = 1")
    deaf.nothing("change-notify")


@check("TOC-81 PITP-15.2-5 PITP-15.2-6")
def what_an_error_to_a_notification_ends(scene):
    alice = owner(scene)
    alice.start_wi()
    for kind in ("not-subscribed", "source-authorization", "unknown-method", "malformed"):
        bob = scene.presence("bob", answer=lambda message, kind=kind: wire.error(message, kind))
        bob.subscribe(alice.address)
        key = alice.expect("subscribe-notify")["Subscription"]
        alice.change(1, DOC[1])
        bob.expect("change-notify")
        equal(alice.expect("unsubscribe-notify")["Subscription"], key, kind)
        refused("not-subscribed", bob.unsubscribe, alice.address)
        alice.change(1, DOC[0])
        bob.nothing()
    bob = scene.presence("bob", answer=lambda message: wire.error(message, "resources"))
    bob.subscribe(alice.address)
    alice.change(1, DOC[1])
    bob.expect("change-notify")
    bob.fence()
    equal(len(alice.start_wi()), 1, "a temporary failure ends nothing")


@check("PITP-15.1-5 TOC-74 COMMON-7-3")
def the_answer_comes_first_and_order_is_kept(scene):
    """The owner watches himself: his ok is before the news of his own change."""
    alice = owner(scene)
    alice.subscribe(alice.address)
    order = []
    alice.link.answer = lambda message: order.append(message.payload) or wire.ok(message)
    for number in range(20):
        pending = alice.link.request("change", f"n = {number}", Presentity=alice.url, Mapping=1)
        pending.accepted()
        alice.expect("change-notify", f"n = {number}")
    equal(order, [f"n = {number}".encode() for number in range(20)])


@check("PITP-15.10-2 TOC-91")
def watcher_information_ends_with_its_connection(scene):
    alice, other, bob = owner(scene), scene.presence("alice"), scene.presence("bob")
    other.start_wi()
    other.close()
    bob.subscribe(alice.address)
    alice.nothing()
    alice.start_wi()
    alice.start_wi()
    scene.presence("carol").subscribe(alice.address)
    alice.expect("subscribe-notify")
    alice.nothing()


@check("PITP-5-4 PITP-11.1-1 TOC-70")
def the_default_document_changes_with_him(scene):
    """Without mappings a watcher sees whether he is there, and hears of it; with the first mapping, what that says."""
    address = scene.person("alice")
    bob = scene.presence("bob")
    assert "closed" in bob.subscribe(address).text
    im = scene.im("alice", listen=True)
    assert "open" in bob.expect("change-notify").text
    alice = scene.presence("alice")
    alice.insert(1, ["presence:*"], DOC[1])
    while bob.expect("change-notify").payload != DOC[1]:
        pass
    im.close()
    alice.fence()
    bob.nothing()
    alice.delete(1)
    assert "closed" in bob.expect("change-notify").text
