"""Checks of IMTP between domains: links to and from other domains' servers, whom they believe, and what a relay does
with messages and answers (part 6).
"""

import itertools
import ssl

import imtp_wire as wire
from house import loopback
from imtp_link import Closed, silent
from imtp_stage import DOMAIN, check, equal, refused
from sasl import External

_NUMBERS = itertools.count(1)


def abroad(name="bob", domain="example.net"):
    """An address of a stub's domain that only this check uses."""
    return f"{name}{next(_NUMBERS)}@{domain}"


@check("COMMON-4-2 COMMON-6.3-1 COMMON-8-3 IMTP-16.2-3 COMMON-11.4-8 TOC-8 TOC-19 TOC-49")
def a_message_goes_out(scene):
    """The stub itself checks that EXTERNAL comes first, with the domain of the certificate."""
    alice, bob, peer = scene.im("alice", tls=True), abroad(), scene.peers["example.net"]
    url = f"im:{bob}"
    peer.rules[url] = lambda message: wire.ok(message, b"away\0", X_From_Afar="yes", Unreliable="gw.example.net")
    reply = alice.send(bob, b"\0hello\xff", X_Mood=b"bright and\r\n    cheerful", Content_Type="text/x-odd")
    equal((reply.payload, reply["X-From-Afar"], reply["Unreliable"]), (b"away\0", "yes", "gw.example.net"))
    equal(reply.all("Astrength"), ["strong"])
    message = peer.expect("send", Inbox=url)
    equal((message["Sender"], message.payload, message["Content-Type"]), (alice.url, b"\0hello\xff", "text/x-odd"))
    equal((message["Visited"], message["Astrength"]), (DOMAIN, "strong"))
    equal(message.raw("X-Mood"), [b" bright and\r\n    cheerful"])


@check("COMMON-8.1-8 IMTP-16.2-2 IMTP-16.2-3")
def a_message_comes_in(scene):
    alice, bob = scene.im("alice", tls=True, listen=True), scene.sender(abroad())
    alice.link.answer = lambda message: wire.ok(message, "read", X_Read="yes")
    more = {"Astrength": "strong", "Visited": "example.net", "X_Mood": "odd"}
    reply = bob.send(alice.address, b"\0hello", **more)
    equal((reply.text, reply["X-Read"], reply["Astrength"]), ("read", "yes", "strong"))
    message = alice.expect("send")
    equal((message["Sender"], message["Visited"], message["Astrength"], message["X-Mood"], message.payload),
          (bob.url, f"example.net {DOMAIN}", "strong", "odd", b"\0hello"))
    bob.send(alice.address, "weak", Astrength="weak", Visited="a.example example.net")
    message = alice.expect("send", "weak")
    equal((message["Visited"], message["Astrength"]), (f"a.example example.net {DOMAIN}", "weak"))


@check("COMMON-12-4 COMMON-12-6 COMMON-12-7 COMMON-11.2-2 COMMON-8-2")
def errors_from_abroad(scene):
    """6.3: the next hop is a server, so its domain is the originator, unless somebody was named before."""
    alice, peer = scene.im("alice", tls=True), scene.peers["example.net"]
    for kind, named, told in (
        ("no-listeners", None, "example.net"), ("resources", "im:tara@example.net", "im:tara@example.net"),
        ("odd-failure", "far.example", "far.example"),
    ):
        bob = abroad()
        peer.rules[f"im:{bob}"] = lambda message, kind=kind, named=named: wire.error(
            message, kind, "why: \u00fc", Error_Originator=named, Astrength="medium"
        )
        reply = refused(kind, alice.send, bob, "hello")
        equal((reply.all("Error-Originator"), reply["Error-Description"], reply["Astrength"]),
              ([told], "why: \u00fc", "medium"))


@check("COMMON-8.1-2 COMMON-8.1-7 COMMON-12-12")
def a_server_speaks_for_its_own_domain_only(scene):
    """The table of 6.1."""
    alice = scene.im("alice", listen=True)
    link = scene.from_peer("imtp", "example.net")
    for source in (
        "im:eve@example.com", "im:eve@eu.example.net", "im:eve@net", "im:eve@badexample.net", alice.url,
        f"im:x@{DOMAIN}", "zephyr:bob",
    ):
        reply = link.call("send", "forged", Sender=source, Inbox=alice.url)
        equal(reply.error, "source-authorization", source)
    equal(link.call("send", "x", Sender="im:ann@EXAMPLE.net", Inbox=alice.url, Visited="example.net").kind, "ok")
    alice.expect("send", "x")
    alice.nothing("send")


@check("COMMON-8.1-7 TOC-25 TOC-26 TOC-29 COMMON-14.2-4")
def what_no_foreign_server_may_ask(scene):
    alice = scene.im("alice", listen=True)
    link = scene.from_peer("imtp", "example.net")
    equal(link.call("listen", Inbox=alice.url).error, "source-authorization", "a client's method for ours")
    equal(link.call("listen", Inbox="im:bob@example.net").error, "unknown-method", "and for its own")
    equal(link.call("shutdown").error, "unknown-method")
    for inbox in ("im:x@example.com", "im:x@nowhere.invalid", "im:bob@example.net", "zephyr:x"):
        reply = link.call("send", "relay this", Sender="im:bob@example.net", Inbox=inbox, Visited="example.net")
        equal(reply.error, "target-not-found", f"third-party relay to {inbox}")
    for peer in (scene.peers["example.com"], scene.peers["example.net"]):
        equal([message for message in peer.inbox.seen("send") if message.text == "relay this"], [])


@check("COMMON-8.1-7 TOC-19 TOC-20 COMMON-8.1-6")
def a_certificate_is_believed_for_its_own_names(scene):
    alice = scene.im("alice", listen=True)
    peer, place = scene.peers["example.net"], scene.house.place("imtp", True)
    for names, claimed in (
        (("example.com",), "example.net"), (("www.example.net",), "example.net"), (("example.net",), "example.com"),
        (("example.net",), ""), (("example.net",), DOMAIN), (("example.net",), "eu.example.net"), ((), "example.net"),
        ((DOMAIN,), DOMAIN),
        (("*.example.net",), "example.net"),
    ):
        link = peer.connect(place, "imtp", DOMAIN, names=names, authenticate=False, source=loopback())
        scene.keep(link)
        mechanism = External(claimed)
        refused("sasl-failure", link.authenticate, mechanism)
        reply = link.call("send", "forged", Sender="im:eve@example.net", Inbox=alice.url)
        equal(reply.error, "source-authorization", f"a certificate for {names}, claimed {claimed!r}")
    both = ("example.net", "example.com")
    link = peer.connect(place, "imtp", DOMAIN, names=both, authorize="example.com", source=loopback())
    scene.keep(link)
    equal(link.call("send", "x", Sender="im:eve@example.net", Inbox=alice.url).error, "source-authorization")
    equal(link.call("send", "x", Sender="im:eve@example.com", Inbox=alice.url).kind, "ok", "one of several names")
    alice.expect("send", "x")
    alice.nothing("send")
    plain = scene.greeted()
    if "EXTERNAL" in plain.mechanisms():
        refused("sasl-failure", plain.authenticate, External("example.net"))
        reply = plain.call("send", "forged", Sender="im:eve@example.net", Inbox=alice.url)
        equal(reply.error, "source-authorization", "in clear from anywhere")


@check("TOC-8 TOC-19")
def a_certificate_of_a_strange_authority(scene):
    context = scene.authority.client("imtp")
    context.load_cert_chain(*scene.theatre.stranger.issue("example.net"))
    try:
        link = scene.greeted(tls=True, context=context)
        link.authenticate(External("example.net"))
    except (Closed, OSError, ssl.SSLError):
        return  # refused by TLS
    except Exception as refusal:
        equal(getattr(getattr(refusal, "reply", None), "error", None), "sasl-failure")
        return
    raise AssertionError("a certificate that nobody vouches for was believed")


@check("COMMON-14.1-1 TOC-15 TOC-25")
def a_peer_may_speak_on_a_link_that_we_opened(scene):
    """Design 7: one link a domain; what comes back on it is from the domain that its certificate proved."""
    alice, peer = scene.im("alice", listen=True), scene.peers["example.net"]
    bob = abroad()
    alice.send(bob, "hello")
    link = peer.expect("send", Inbox=f"im:{bob}").connection
    more = {"Visited": "example.net", "Astrength": "strong"}
    equal(link.call("send", "and back", Sender=f"im:{bob}", Inbox=alice.url, **more).kind, "ok")
    equal(alice.expect("send", "and back")["Sender"], f"im:{bob}")
    reply = link.call("send", "forged", Sender="im:bob@example.com", Inbox=alice.url, **more)
    equal(reply.error, "source-authorization")
    equal(link.call("auth", "x", Mechanism="EXTERNAL").error, "unknown-method", "auth from the acceptor")
    alice.nothing("send")


@check("COMMON-7-3 COMMON-7-4 TOC-16")
def answers_from_abroad_come_in_any_order(scene):
    alice, bob, peer = scene.im("alice"), abroad(), scene.peers["example.net"]
    url = f"im:{bob}"
    peer.rules[url] = silent
    pending = [alice.message(bob, str(number)) for number in range(40)]
    messages = [peer.expect("send", str(number), Inbox=url) for number in range(40)]
    equal(len({message.connection for message in messages}), 1, "links")
    for message in reversed(messages):
        message.connection.raw(wire.ok(message, f"re {message.text}"))
    equal([one.accepted().text for one in pending], [f"re {number}" for number in range(40)])


@check("COMMON-7-9 TOC-45 TOC-46")
def a_peer_that_leaves_without_an_answer(scene):
    """One more try if it closed in order, none if the link broke; then `communications`."""
    alice, peer = scene.im("alice"), scene.peers["hasty.example"]

    bob = abroad(domain="hasty.example")
    peer.rules[f"im:{bob}"] = lambda message: message.connection.stream.stop()
    reply = refused("communications", alice.send, bob, "goes nowhere")
    equal(reply.all("Error-Originator"), [], "our own error")
    assert len([one for one in peer.inbox.seen("send") if one.text == "goes nowhere"]) <= 2


@check("TOC-36 TOC-48")
def answers_from_abroad_that_are_none(scene):
    alice, peer = scene.im("alice"), scene.peers["vague.example"]
    for octets in (
        "<{} error (send)\r\n\r\n", "<{} ok (fetch)\r\n\r\n", "<{} ok (send)\n\n", "<{} maybe (send)\r\n\r\n",
        "<{} ok (send)\r\nContent-Length: x\r\n\r\n",
    ):
        bob = abroad(domain="vague.example")
        peer.rules[f"im:{bob}"] = lambda message, octets=octets: octets.format(message.id).encode()
        refused("communications", alice.send, bob, "hello")
        alice.send(abroad(domain="vague.example"), "a new link is made")


@check("COMMON-14.1-18 COMMON-14.1-19 TOC-19")
def a_peer_whose_lists_are_odd(scene):
    alice, peer = scene.im("alice"), scene.peers["odd.example"]
    peer.offers = peer.repeats = ("PLAIN", "SCRAM-SHA-256")
    refused("communications", alice.send, abroad(domain="odd.example"), "no EXTERNAL")
    equal(peer.inbox.seen("send"), [])
    for first, second in (
        (("EXTERNAL", "PLAIN"), ("EXTERNAL",)), (("EXTERNAL",), ("EXTERNAL", "X-STRANGE")),
        (("X-STRANGE", "EXTERNAL"), ("EXTERNAL",)), (("EXTERNAL", "X-STRANGE"), ("X-STRANGE", "EXTERNAL")),
    ):
        peer.offers, peer.repeats = first, second
        refused("communications", alice.send, abroad(domain="odd.example"), "another list")
        equal(peer.inbox.seen("send"), [], f"{first}, then {second}")
    peer.offers = peer.repeats = ("X-STRANGE", "EXTERNAL")
    alice.send(abroad(domain="odd.example"), "the same list")


@check("COMMON-6.3-2 TOC-4 TOC-5 COMMON-12-11")
def domains_that_cannot_be_reached(scene):
    alice = scene.im("alice")
    for domain in ("dead.example", "nowhere.invalid", "localhost"):
        reply = alice.message(f"bob@{domain}", "anybody?").reply()
        assert reply.error in ("communications", "target-not-found"), reply
        equal(reply.all("Error-Originator"), [], "our own error")
    equal(alice.message("zephyr:bob", "x").reply().error, "target-not-found", "a scheme without a gateway (TOC-59)")


@check("TOC-64 COMMON-12-15")
def strangers_do_not_learn_who_has_an_account(scene):
    bob = scene.sender(abroad())
    shapes = set()
    for inbox in (scene.person("alice"), f"nobody-here@{DOMAIN}"):
        reply = refused("no-listeners", bob.send, inbox, "hello")
        shapes.add(str(reply.lines))
    equal(len(shapes), 1, f"answers {shapes}")


@check("COMMON-11.3-4 IMTP-11.3-1 IMTP-16.1-3 IMTP-16.1-4")
def filters_of_other_domains(scene):
    """The worked example of 5.3; local parts of other domains compare as they are written (design 4)."""
    alice = scene.im("alice", listen=True)
    only = ["im:*@example.net", "im:*@*.example.net"]
    bulk = f"bulk{next(_NUMBERS)}"
    alice.listen(only=only, except_=[f"im:{bulk}@example.net"])
    for sender, heard in (
        (abroad("ana"), True), (abroad("ana", "eu.example.net"), True), (f"{bulk}@example.net", False),
        (f"{bulk.upper()}@example.net", True), (f"{bulk}@eu.example.net", True), (abroad("ana", "example.com"), False),
    ):
        reply = scene.sender(sender).message(alice.address, sender, Visited=sender.split("@")[1]).reply()
        equal(reply.error or reply.kind, "ok" if heard else "no-listeners", sender)
        equal([message.text for message in alice.link.inbox.seen("send")], [sender] if heard else [])
        alice.link.inbox.forget()


@check("IMTP-16.2-20 TOC-66")
def loops_through_other_domains(scene):
    alice, bob = scene.im("alice", listen=True), scene.sender(abroad())
    for visited in (f"{DOMAIN} example.net", f"example.net {DOMAIN.upper()} example.net"):
        refused("loop", bob.send, alice.address, "round", Visited=visited)
    alice.nothing("send")


@check("COMMON-4-1 COMMON-8.1-4")
def a_client_on_a_link_is_no_server(scene):
    """A user who has logged in is no server of his domain: he relays nothing."""
    alice, bob = scene.im("alice", tls=True), scene.im("bob", listen=True)
    for sender in ("im:x@example.net", bob.url):
        equal(alice.message(bob.address, "x", sender=sender, Visited="example.net").reply().error,
              "source-authorization")
    bob.nothing("send")
