"""Checks of PITP between domains: watchers of other domains here (the worked list of 5.4), and ours there (part 7)."""

import itertools

import imtp_wire as wire
import pidf
from checks_pitp_store import PI, WORKED
from imtp_link import silent
from imtp_stage import DOMAIN, check, equal, refused

_NUMBERS = itertools.count(1)


def abroad(name="bob", domain="example.net"):
    """An address of a stub's domain that only this check uses."""
    return f"{name}{next(_NUMBERS)}@{domain}"


def subscribed(scene, owner, address, identity="K3x9"):
    """A watcher of another domain whose home server subscribes him with a token."""
    watcher = scene.watcher(address)
    reply = watcher.link.accepted(
        "subscribe", Subscription=f"{identity}/{watcher.url}", Presentity=owner.url, Astrength="strong"
    )
    return watcher, reply


def told(scene, method, owner, watcher, payload=None, identity="K3x9"):
    """What a watcher's home server is told of a presentity."""
    peer = scene.peers[watcher.split("@")[1]]
    return peer.expect(method, payload, Presentity=owner.url, Subscription=f"{identity}/presence:{watcher}")


def untold(scene, owner):
    """Fails if a peer was told something more of a presentity."""
    owner.fence()
    for peer in scene.peers.values():
        came = [one for one in peer.inbox.seen() if one.get("Presentity") == owner.url]
        assert not came, f"unwanted: {came}"


@check("PITP-5-4 PITP-5-5 PITP-5-6 PITP-5-7 COMMON-11.3-1 COMMON-11.3-2 COMMON-11.3-3", "COMMON-11.3-4 COMMON-11.3-5")
def the_worked_list(scene):
    """5.4, with watchers of five domains, whose local parts compare as they are written (design 4)."""
    alice = scene.presence("alice")
    alice.load(WORKED)
    for watcher, seen in (
        ("fred@example.net", PI[1]), ("FRED@example.net", PI[2]), ("fred@EXAMPLE.net", PI[1]),
        ("fred@example.com", PI[3]), ("harry@domain.com", None), ("HARRY@domain.com", PI[3]),
        ("alice@domain.com", None), ("bob@domain.com", PI[3]), ("sue@example.net", PI[2]),
        ("sue@eu.example.net", PI[3]),
        ('"fred"@example.net', PI[1]),
    ):
        client = scene.watcher(watcher)
        if seen is None:
            refused("target-authorization", client.fetch, alice.address)
            refused("target-authorization", client.subscribe, alice.address)
        else:
            equal(client.fetch(alice.address).payload, seen, watcher)
    alice.delete(5)
    alice.delete(4)
    alice.insert(4, ["presence:*@*.example.net"], PI[4])
    equal(scene.watcher("sue@eu.example.net").fetch(alice.address).payload, PI[4])
    refused("target-authorization", scene.watcher("fred@example.com").fetch, alice.address)
    while alice.store():
        alice.delete(1)
    alice.load([(["presence:*@example.net"], PI[1]), (["presence:fred@example.net"], PI[2])])
    equal(scene.watcher("fred@example.net").fetch(alice.address).payload, PI[1], "a mapping in the shadow (PITP-5-7)")


@check("PITP-15.1-5 PITP-15.3-3 PITP-15.8-5 PITP-15.9-4 PITP-15.14-1 PITP-15.2-1 TOC-76 TOC-77 TOC-84")
def the_worked_edits(scene):
    """5.4, steps A to H."""
    alice = scene.presence("alice")
    alice.load(WORKED)
    fred, sue, bo = abroad("fred"), abroad("sue"), abroad("bo", "other.example")
    alice.set_class(1, [fred])
    for watcher, document in ((fred, PI[1]), (sue, PI[2]), (bo, PI[3])):
        equal(subscribed(scene, alice, watcher)[1].payload, document)
    alice.insert(1, ["presence:*@other.example"])
    told(scene, "terminate-notify", alice, bo)
    alice.delete(2)
    told(scene, "change-notify", alice, fred, PI[2])
    refused("mapping-range", alice.insert, 7)
    alice.insert(6, [], PI[5])
    alice.set_class(2, [])
    untold(scene, alice)
    changed = b"contact = im:changed@example.org\r\n"
    alice.change(3, changed)
    for watcher in (fred, sue):
        told(scene, "change-notify", alice, watcher, changed)
    alice.change(3, None)
    for watcher in (fred, sue):
        told(scene, "terminate-notify", alice, watcher)
    refused("mapping-range", alice.delete, 7)
    equal([patterns for patterns, _ in alice.store()],
          [["presence:*@other.example"], [], ["presence:*@example.net"], ["presence:*"], ["*"], []])
    untold(scene, alice)


@check("PITP-15.11-3 PITP-15.15-2 PITP-15.13-4 PITP-11.7-2 PITP-15.2-6 TOC-84 TOC-81")
def tokens_of_other_servers(scene):
    """Opaque, at most 64 characters, blank allowed, and told to nobody but the owner."""
    alice = scene.presence("alice")
    alice.insert(1, ["*"], PI[1])
    alice.start_wi()
    bob, identities = abroad(), ("", "0", "x" * 64)
    for identity in identities:
        watcher, _ = subscribed(scene, alice, bob, identity)
        equal(alice.expect("subscribe-notify")["Subscription"], f"{identity}/{watcher.url}")
        other = f"y{identity[:9]}/{watcher.url}"
        equal(watcher.link.call("unsubscribe", Presentity=alice.url, Subscription=other).error, "not-subscribed")
    equal(len(alice.start_wi()), 3)
    reply = watcher.link.call("subscribe", Presentity=alice.url, Subscription=f"{'x' * 65}/{watcher.url}")
    equal(reply.error in ("malformed", "quota"), True, "a token of 65")
    peer = scene.peers["example.net"]
    peer.rules[watcher.url] = lambda message: wire.error(message, "not-subscribed")
    alice.change(1, PI[2])
    for identity in identities:
        told(scene, "change-notify", alice, bob, PI[2], identity)
        alice.expect("unsubscribe-notify", Subscription=f"{identity}/{watcher.url}")
    equal(alice.start_wi(), [])
    del peer.rules[watcher.url]
    subscribed(scene, alice, bob, "again")
    alice.terminate(f"again/{watcher.url}")
    told(scene, "terminate-notify", alice, bob, identity="again")
    subscribed(scene, alice, bob, "more")
    equal(watcher.link.call("unsubscribe", Presentity=alice.url, Subscription=f"more/{watcher.url}").kind, "ok")
    alice.change(1, PI[3])
    untold(scene, alice)


@check("COMMON-4-2 PITP-6.3-1 PITP-15.11-1 PITP-15.11-2 PITP-11.7-5 PITP-11.7-6 PITP-11.7-9 PITP-15.2-3 PITP-15.14-3")
def we_watch_abroad(scene):
    """7.3, 7.4, 7.7: the token is the connection's; what comes is for the client that it names."""
    bob, peer, ann = scene.presence("bob", tls=True), scene.peers["example.net"], abroad("ann")
    url = f"presence:{ann}"
    reply = bob.subscribe(ann, X_Odd="yes")
    equal((reply.text, reply["Astrength"]), (f"contact = im:{ann} {{ status = open }}\r\n", "strong"))
    asked = peer.expect("subscribe", Presentity=url)
    identity, watcher = asked["Subscription"].split("/", 1)
    equal((watcher, len(identity), asked["X-Odd"], asked["Astrength"]), (bob.url, 22, "yes", "strong"))
    link = peer.connect(scene.house.place("pitp", True), "pitp", DOMAIN)
    scene.keep(link)
    notify = {"Presentity": url, "Subscription": asked["Subscription"]}
    bob.link.answer = silent
    pending = link.request("change-notify", b"news\0", Content_Type="text/x-odd", X_News="yes", **notify)
    change = bob.expect("change-notify", Presentity=url)
    equal((change["Subscription"], change.payload, change["Content-Type"], change["X-News"], change["Astrength"]),
          (f"/{bob.url}", b"news\0", "text/x-odd", "yes", "strong"))
    link.fence()
    equal(pending.settled(), False, "an answer before the client's (COMMON-8-4)")
    bob.link.raw(wire.ok(change, X_Seen="yes", Unreliable="pager.example"))
    reply = pending.accepted()
    equal((reply["Astrength"], reply["X-Seen"], reply["Unreliable"]), ("strong", "yes", "pager.example"))
    bob.link.answer = lambda message: wire.error(message, "resources", "later")
    reply = link.call("change-notify", "x", **notify)
    equal((reply.error, reply["Error-Originator"], reply["Error-Description"]), ("resources", bob.url, "later"))
    bob.link.answer = wire.ok
    bob.unsubscribe(ann)
    equal(peer.expect("unsubscribe", Presentity=url)["Subscription"], asked["Subscription"])
    equal(link.call("change-notify", "x", **notify).error, "not-subscribed")
    peer.rules[url] = lambda message: wire.error(message, "not-subscribed", Astrength="strong")
    reply = refused("not-subscribed", bob.unsubscribe, ann)
    equal((reply["Error-Originator"], reply["Astrength"]), ("example.net", "strong"))


@check("PITP-15.14-2 PITP-15.14-4 PITP-15.2-6 COMMON-8.1-7 PITP-12-5 TOC-86 TOC-88")
def who_may_notify_us(scene):
    bob, peer, ann = scene.presence("bob"), scene.peers["example.net"], abroad("ann")
    url = f"presence:{ann}"
    bob.subscribe(ann)
    key = peer.expect("subscribe", Presentity=url)["Subscription"]
    identity = key.split("/")[0]
    place = scene.house.place("pitp", True)
    right, other = (scene.peers[domain].connect(place, "pitp", DOMAIN) for domain in ("example.net", "example.com"))
    bare = peer.connect(place, "pitp", DOMAIN, authenticate=False)
    for link in (right, other, bare):
        scene.keep(link)

    def answer(link, method, presentity=url, subscription=key):
        payload = "x" if method == "change-notify" else None
        return link.call(method, payload, Presentity=presentity, Subscription=subscription).error

    equal(answer(other, "change-notify"), "source-authorization")
    equal(answer(other, "terminate-notify"), "not-subscribed")
    equal(answer(bare, "change-notify"), "source-authorization")
    equal(answer(bare, "terminate-notify"), "not-subscribed")
    carol = scene.person("carol")
    # A blank id is left out: it is that of a subscription which another protocol made without one.
    for subscription in (
        f"x{key}", f"{identity}/presence:{carol}", f"{identity}/presence:nobody@{DOMAIN}",
        f"{identity}/presence:x@example.net",
    ):
        for method in ("change-notify", "terminate-notify"):
            equal(answer(right, method, subscription=subscription), "not-subscribed", f"{method} {subscription}")
    for method in ("change-notify", "terminate-notify"):
        equal(answer(right, method, presentity=f"presence:{abroad()}"), "not-subscribed")
    equal(right.call("change-notify", Presentity=url, Subscription=key).error, "malformed", "no payload (PITP-15.2-2)")
    bob.nothing()
    equal(right.call("terminate-notify", Presentity=url, Subscription=key).kind, "ok")
    equal(bob.expect("terminate-notify")["Subscription"], f"/{bob.url}")
    equal(answer(right, "change-notify"), "not-subscribed", "after its end")
    bob.nothing()


@check("PITP-15.11-5 PITP-15.11-6 TOC-85")
def a_watcher_of_ours_disappears(scene):
    bob, peer, ann = scene.presence("bob"), scene.peers["example.net"], abroad("ann")
    url = f"presence:{ann}"
    bob.subscribe(ann)
    key = peer.expect("subscribe", Presentity=url)["Subscription"]
    bob.close()
    equal(peer.expect("unsubscribe", Presentity=url)["Subscription"], key)
    link = scene.from_peer("pitp", "example.net")
    equal(link.call("change-notify", "x", Presentity=url, Subscription=key).error, "not-subscribed")


@check("PITP-15-1 PITP-15-2 PITP-15.13-2 COMMON-8.1-7 COMMON-8.1-2 TOC-25 TOC-29 TOC-59")
def what_no_foreign_server_may_ask(scene):
    alice = scene.presence("alice")
    alice.insert(1, ["*"], PI[1])
    link = scene.from_peer("pitp", "example.net")
    foreign = "presence:ann@example.net"
    for method, more in (
        ("change", {"Mapping": 1}), ("insert-mapping", {"Mapping": 1}), ("delete-mapping", {"Mapping": 1}),
        ("set-class", {"Mapping": 1}), ("get-class", {"Mapping": 1}), ("fetch-for-update", {"Mapping": 1}),
        ("start-wi", {}), ("terminate", {"Subscription": f"x/{alice.url}"}),
    ):
        equal(link.call(method, Presentity=alice.url, **more).error, "source-authorization", f"{method} for ours")
        equal(link.call(method, Presentity=foreign, **more).error, "unknown-method", f"{method} for its own")
    for method in ("fetch-notify", "subscribe-notify", "unsubscribe-notify"):
        more = {"Presentity": foreign, "Watcher": foreign, "Subscription": f"/{foreign}"}
        equal(link.call(method, **more).error, "unknown-method", method)
    for watcher in ("presence:eve@example.com", "presence:eve@eu.example.net", alice.url, "zephyr:bob"):
        equal(link.call("fetch", Watcher=watcher, Presentity=alice.url).error, "source-authorization", watcher)
        for method in ("subscribe", "unsubscribe"):
            reply = link.call(method, Subscription=f"x/{watcher}", Presentity=alice.url)
            equal(reply.error, "source-authorization", f"{method} as {watcher}")
    for presentity in ("presence:x@example.com", "presence:x@example.net", "presence:x@nowhere.invalid", "zephyr:x"):
        equal(link.call("fetch", Watcher=foreign, Presentity=presentity).error, "target-not-found", presentity)
        reply = link.call("unsubscribe", Subscription=f"x/{foreign}", Presentity=presentity)
        equal(reply.error, "not-subscribed", presentity)
    equal(alice.store(), [(["*"], PI[1])])


@check("TOC-78 TOC-75 TOC-70 COMMON-12-14")
def strangers_do_not_learn_who_has_an_account(scene):
    """One answer for the unknown, for a new account, and for who denies; a mapping that matches lets in."""
    alice, denies = scene.presence("alice"), scene.presence("denies")
    denies.insert(1, ["presence:*"])
    watcher = scene.watcher(abroad())
    shapes = set()
    for target in (alice.address, denies.address, f"nobody-here@{DOMAIN}"):
        for call in (watcher.fetch, watcher.subscribe):
            reply = refused("target-authorization", call, target)
            shapes.add(str(reply.lines))
    equal(len(shapes), 1, f"answers {shapes}")
    alice.insert(1, [watcher.url], PI[1])
    equal(watcher.fetch(alice.address).payload, PI[1])


@check("COMMON-12-6 COMMON-12-7 COMMON-11.4-8 PITP-15.4-2")
def a_fetch_goes_out(scene):
    bob, peer, ann = scene.presence("bob", tls=True), scene.peers["example.net"], abroad("ann")
    url = f"presence:{ann}"
    peer.rules[url] = lambda message: wire.ok(message, b"\0\xff", Content_Type="text/x-odd", X_Odd="yes")
    reply = bob.fetch(ann, X_Ask="why")
    equal((reply.payload, reply["Content-Type"], reply["X-Odd"], reply["Astrength"]),
          (b"\0\xff", "text/x-odd", "yes", "strong"))
    asked = peer.expect("fetch", Presentity=url)
    equal((asked["Watcher"], asked["X-Ask"], asked["Astrength"]), (bob.url, "why", "strong"))
    peer.rules[url] = lambda message: wire.error(message, "target-authorization", "not you", Astrength="weak")
    reply = refused("target-authorization", bob.fetch, ann)
    equal((reply["Error-Originator"], reply["Error-Description"], reply["Astrength"]),
          ("example.net", "not you", "weak"))
    peer.rules[url] = lambda message: wire.ok(message)
    refused("communications", bob.fetch, ann)
    refused("communications", bob.subscribe, ann)
    reply = bob.link.call("fetch", Watcher=bob.url, Presentity="presence:x@dead.example")
    assert reply.error in ("communications", "target-not-found"), reply


@check("TOC-80 TOC-45")
def a_peer_that_is_slow_to_be_told(scene):
    """One unanswered notification a subscription, and the newest view next."""
    alice, peer, bob = scene.presence("alice"), scene.peers["example.net"], abroad()
    alice.insert(1, ["*"], PI[1])
    peer.rules[f"presence:{bob}"] = silent
    watcher, _ = subscribed(scene, alice, bob)
    alice.change(1, PI[2])
    first = told(scene, "change-notify", alice, bob, PI[2])
    for number in (3, 4, 5):
        alice.change(1, PI[number])
    untold(scene, alice)
    first.connection.raw(wire.ok(first))
    second = told(scene, "change-notify", alice, bob)
    equal(second.payload, PI[5])
    second.connection.raw(wire.ok(second))
    watcher.fence()


@check("TOC-19 TOC-27 COMMON-11.4-9")
def a_password_makes_no_server(scene):
    """A user's connection is no peer's, whatever it says."""
    alice, bob = scene.presence("alice", tls=True), scene.person("bob")
    for watcher in ("presence:ann@example.net", f"presence:{bob}"):
        reply = alice.link.call("fetch", Watcher=watcher, Presentity=alice.url)
        equal(reply.error, "source-authorization")


@check("TOC-70 TOC-75")
def who_lets_everybody_watch(scene):
    """Design 4: the owner's policy for strangers, set on the command line."""
    address, watcher = scene.person("alice"), scene.watcher(abroad())
    refused("target-authorization", watcher.fetch, address)
    scene.house.run("user", "set", address, "watchers=allow")
    equal(pidf.contacts(watcher.fetch(address).text)[f"im:{address}"], "closed")
    scene.house.run("user", "set", address, "watchers=refuse")
    refused("target-authorization", watcher.fetch, address)


@check("TOC-75 PITP-5-4 PITP-5-6")
def an_access_list_forbids_what_a_class_allows(scene):
    """A mapping that matches lets strangers in, unless the owner's SIMP access list says no."""
    owner, mappings, watcher = scene.simp("alice"), scene.presence("alice"), scene.watcher(abroad())
    refused("target-authorization", watcher.fetch, owner.ima)
    mappings.insert(1, [watcher.url], PI[1])
    equal(watcher.fetch(owner.ima).payload, PI[1])
    owner.set_acl({watcher.address: "send", "everybody": "send fetch subscribe"})
    refused("target-authorization", watcher.fetch, owner.ima)
    refused("target-authorization", watcher.subscribe, owner.ima)
    owner.set_acl({watcher.address: "send fetch"})
    equal(watcher.fetch(owner.ima).payload, PI[1])
