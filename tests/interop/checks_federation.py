"""Checks between domains: routing connections, whom they believe, and the ACL towards strangers."""

import itertools

from house import loopback
from peer import describe
from simp_client import error, okay, silent
from stage import check, equal, refused

OPERATIONS = "send fetch subscribe unsubscribe change end"
_NUMBERS = itertools.count(1)


def abroad(name="bob", domain="example.net"):
    """An address of a configured peer domain that only this check uses."""
    return f"{name}{next(_NUMBERS)}@{domain}"


def note(scene, kind, to, regarding, sender=None, **more):
    """A notification from a peer's server; the action of its answer."""
    domain = regarding.split("@")[1]
    caller = scene.from_peer(regarding)
    presence = {"regarding": regarding, "status": "online", "online": "1767605400000", "message": "news", **more}
    return caller.connection.call(kind, to=to, from_=sender or f"notifier@{domain}", **presence)["action"]


@check("SIMP-2.2-1 SIMP-5-2 SIMP-5.1-3 SIMP-1-2 OC-57")
def a_message_comes_in_over_r(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad())
    alice.connection.answer = lambda command: okay("read")
    reply = bob.send(alice.ima, "hello & <welcome>\n\U0001f600", subject="extra", reply_to="team@example.net")
    equal(reply["message"], "read")
    message = alice.expect("send")
    wanted = {
        "from": bob.ima, "to": alice.ima, "body": "hello & <welcome>\n\U0001f600", "subject": "extra",
        "reply to": "team@example.net", "type": "text/plain",
    }
    equal({key: message.get(key) for key in wanted}, wanted)


@check("SIMP-2.1-3 SIMP-5-2 OC-57 OC-64")
def a_message_goes_out_over_r(scene):
    alice, bob = scene.enter("alice"), abroad()
    peer = scene.peers["example.net"]
    peer.rules[bob] = lambda command: okay("read abroad")
    reply = alice.send(bob, "hello <abroad>\n\U0001f600", subject="extra")
    equal(reply["message"], "read abroad")
    message = peer.expect("send", to=bob)
    wanted = {"from": alice.ima, "to": bob, "body": "hello <abroad>\n\U0001f600", "subject": "extra"}
    equal({key: message.get(key) for key in wanted}, wanted)
    peer.rules[bob] = lambda command: error("not at home")
    equal(refused(alice.send, bob, "again")["message"], "not at home")


@check("SIMP-3.6-3 SIMP-3.6-4 OC-72")
def replies_from_abroad_come_in_any_order(scene):
    alice, bob, peer = scene.enter("alice"), abroad(), scene.peers["example.net"]
    peer.rules[bob] = silent
    pending = [alice.message(bob, str(number)) for number in range(30)]
    for number in reversed(range(30)):
        peer.expect("send", to=bob, body=str(number)).respond(okay(f"re {number}"))
    for number, one in enumerate(pending):
        equal(one.reply()["message"], f"re {number}")


@check("SIMP-5.2-3 SIMP-5.3-5 SIMP-5.4-1 SIMP-5.5-1 SIMP-5-2")
def presence_requests_go_abroad(scene):
    alice, bob, peer = scene.enter("alice"), abroad(), scene.peers["example.net"]
    told = alice.fetch(bob)
    equal({key: told.get(key) for key in ("regarding", "status", "online", "message")},
          {"regarding": bob, "status": "online", "online": "1767605400000", "message": "described by the stub"})
    told = alice.subscribe(bob, 60_000)
    equal((told["duration"], told["opaque"]), ("60000", f"opaque of {bob}"))
    equal(alice.inquire(bob)["message"], "example.net agrees")
    alice.unsubscribe(bob, told["opaque"])
    equal(peer.expect("unsubscribe", to=bob)["opaque"], told["opaque"])
    for action in ("fetch", "subscribe", "inquire"):
        equal(peer.expect(action, to=bob)["from"], alice.ima)


@check("SIMP-5.2-3 SIMP-5.3-5")
def an_answer_about_somebody_else_is_no_answer(scene):
    alice, bob, peer = scene.enter("alice"), abroad(), scene.peers["example.net"]
    peer.rules[bob] = lambda command: {**describe(command), "regarding": "other@example.net"}
    refused(alice.fetch, bob)
    refused(alice.subscribe, bob)


@check("SIMP-1-4 SIMP-1-5 OC-06")
def a_domain_that_cannot_be_reached_is_a_failure(scene):
    alice = scene.enter("alice")
    for domain in ("dead.example", "denied-by-dns.invalid"):
        refused(alice.send, f"bob@{domain}", "anybody?")
        refused(alice.fetch, f"bob@{domain}")


@check("SIMP-1-5 OC-72")
def a_peer_that_leaves_without_an_answer_is_a_failure(scene):
    alice, bob, peer = scene.enter("alice"), abroad(domain="hasty.example"), scene.peers["hasty.example"]

    def leave(command):
        command.connection.raw(b"</stream>")
        command.connection.sock.close()

    peer.rules[bob] = silent
    pending = alice.message(bob, "hello")
    leave(peer.expect("send", to=bob))
    equal(pending.reply()["action"], "error")


@check("SIMP-1-5 OC-59")
def a_peer_that_never_answers_is_a_failure(scene):
    alice, bob = scene.enter("alice"), abroad(domain="partner.example")
    scene.peers["partner.example"].rules[bob] = silent
    equal(alice.message(bob, "hello").reply()["action"], "error")


@check("SIMP-3.4-3 OC-01")
def a_from_that_is_not_proved_is_refused(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    callers = (
        scene.routing(loopback(), abroad()),  # nobody's address
        scene.routing(scene.peers["partner.example"].address, abroad()),  # another domain's server
        scene.from_peer(abroad()),
    )
    callers[2].ima = bob.ima  # one of ours, from outside
    for caller in callers:
        refused(caller.send, alice.ima, "forged")
        refused(caller.fetch, alice.ima)
        refused(caller.subscribe, alice.ima)
        refused(caller.unsubscribe, alice.ima, "opaque")
    notifier = f"notifier@{scene.house.domain}"
    equal(note(scene, "note change", alice.ima, abroad(), sender=notifier), "error", "our own notifier, from outside")
    callers[0].login(scene.person("alice").user)
    alice.nothing()


@check("OC-07")
def r_relays_to_nobody_else(scene):
    stranger = scene.from_peer(abroad())
    for to in (abroad(domain="partner.example"), abroad(), "a@dead.example"):
        refused(stranger.send, to, "relay this")
        refused(stranger.inquire, to)


@check("OC-56 OC-62")
def strangers_learn_nothing_of_who_exists(scene):
    alice, stranger = scene.enter("alice"), scene.from_peer(abroad())
    away, nobody = scene.person("bob").ima, f"nobody@{scene.house.domain}"
    alice.set_acl({"everybody": ""})
    for call, more in ((stranger.send, ("x",)), (stranger.fetch, ()), (stranger.subscribe, ())):
        texts = {refused(call, to, *more)["message"] for to in (alice.ima, away, nobody)}
        equal(len(texts), 1, f"texts of refusals of {call.__name__}")


@check("SIMP-5.5-2 SIMP-5.5-3 OC-67")
def inquire_is_answered_on_r(scene):
    alice, stranger = scene.person("alice"), scene.from_peer(abroad())
    texts = {stranger.inquire(to)["message"] for to in (alice.ima, f"nobody@{scene.house.domain}")}
    equal(len(texts), 1, "texts")


@check("SIMP-5.3-3 SIMP-6.1-1 SIMP-6.1-2 SIMP-6.2-2 SIMP-6-2 OC-73")
def a_subscriber_abroad_is_notified_at_his_home_server(scene):
    alice, bob, peer = scene.enter("alice"), scene.from_peer(abroad()), scene.peers["example.net"]
    alice.set_acl({"@example.net": OPERATIONS, "everybody": ""})
    opaque = bob.subscribe(alice.ima, 60_000)["opaque"]
    alice.expect("note subscription", subscriber=bob.ima)
    bob.connection.close()
    alice.set_profile({"message": "news"})
    change = peer.expect("note change", to=bob.ima, message="news")
    equal(change["from"], f"notifier@{scene.house.domain}")
    equal((change["regarding"], change["status"]), (alice.ima, "online"))
    bob = scene.routing(peer.address, bob.ima)
    refused(bob.unsubscribe, alice.ima, "wrong")
    bob.unsubscribe(alice.ima, opaque)
    alice.expect("note subscription lapse", subscriber=bob.ima)
    bob.subscribe(alice.ima, 60_000)
    alice.drop_subscription(bob.ima)
    equal(peer.expect("note subscription end", to=bob.ima)["regarding"], alice.ima)


@check("SIMP-6.1-7 OC-43")
def a_home_server_that_refuses_a_change_is_left_alone(scene):
    alice, bob, peer = scene.enter("alice"), scene.from_peer(abroad()), scene.peers["example.net"]
    alice.set_acl({"@example.net": OPERATIONS})
    opaque = bob.subscribe(alice.ima)["opaque"]
    peer.rules[bob.ima] = lambda command: error("no such user")
    alice.set_profile({"message": "news"})
    peer.expect("note change", to=bob.ima)
    alice.expect("note subscription lapse", subscriber=bob.ima)
    refused(bob.unsubscribe, alice.ima, opaque)


@check("SIMP-4.2.1.6-1 SIMP-6.1-4 SIMP-6.1-5 OC-03 OC-04 OC-63")
def notifications_from_abroad_are_relayed_to_those_who_asked(scene):
    alice, bob = scene.enter("alice"), abroad()
    equal(note(scene, "note change", alice.ima, bob), "error", "not asked for (OC-04)")
    alice.subscribe(bob, 60_000)
    equal(note(scene, "note change", alice.ima, bob), "okay", "asked for")
    change = alice.expect("note change")
    equal((change["from"], change["regarding"], change["message"]), ("notifier@example.net", bob, "news"))
    for sender in (bob, "notifier@partner.example", "Notifier@other.example"):
        equal(note(scene, "note change", alice.ima, bob, sender=sender), "error", f"from {sender} (OC-03)")
    equal(note(scene, "note change", alice.ima, bob, status="away"), "error", "malformed")
    equal(note(scene, "note change", alice.ima, bob, online="Mon, 05 Jan 2026 09:30:00 GMT"), "error", "OC-70")
    alice.nothing("note change")
    equal(note(scene, "note subscription end", alice.ima, bob), "okay")
    equal(alice.expect("note subscription end")["regarding"], bob)
    equal(note(scene, "note change", alice.ima, bob), "error", "after the end")
    alice.subscribe(bob, 60_000)
    alice.connection.close()
    equal(note(scene, "note change", alice.ima, bob), "error", "to one who is away (OC-63)")


@check("SIMP-15-1 OC-48")
def buddies_abroad_are_watched(scene):
    alice, bob, peer = scene.enter("alice"), abroad(), scene.peers["example.net"]
    team = f'<properties><entry key="Team">{bob}</entry></properties>'
    alice.set_profile({"buddies": team})
    equal(peer.expect("subscribe", to=bob)["from"], alice.ima)
    state = alice.expect("note change", regarding=bob)
    equal((state["from"], state["message"]), ("notifier@example.net", "described by the stub"))
    equal(note(scene, "note change", alice.ima, bob), "okay")
    alice.expect("note change", message="news")
    alice.connection.close()
    equal(peer.expect("unsubscribe", to=bob)["opaque"], f"opaque of {bob}")


@check("OC-48")
def a_buddys_short_lease_is_renewed(scene):
    alice, bob, peer = scene.enter("alice"), abroad(), scene.peers["example.net"]

    def grant_little(command):
        return {**describe(command), "duration": "2000"} if command["action"] == "subscribe" else okay()

    peer.rules[bob] = grant_little
    alice.set_profile({"buddies": f'<properties><entry key="Team">{bob}</entry></properties>'})
    peer.expect("subscribe", to=bob)
    peer.expect("subscribe", to=bob)


@check("OC-36")
def whom_one_watches_may_watch_back(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad())
    refused(bob.fetch, alice.ima)
    alice.subscribe(bob.ima)
    equal(bob.fetch(alice.ima)["status"], "online")
    bob.subscribe(alice.ima)
    refused(scene.from_peer(abroad()).fetch, alice.ima)
    scene.house.run("user", "set", alice.ima, "watchers=allow")
    equal(scene.from_peer(abroad()).fetch(alice.ima)["status"], "online")


# The list of part 6.5; A6 and A10 need the signatures of 1.1, A7 and A11 are asked without one.
EXAMPLE = {
    "bob@example.net": "send fetch subscribe unsubscribe",
    "notifier@example.net": "change end",
    "@spam.example": "",
    "@partner.example": "+send fetch",
    "everybody": "+send +fetch +subscribe +unsubscribe +change +end",
}


@check("SIMP-3.8-7 SIMP-3.8-8 SIMP-3.8-9 SIMP-3.8-10 SIMP-3.8-12 SIMP-3.8-13 SIMP-4.3-2 SIMP-5.1-2",
       "SIMP-5.2-2 SIMP-6.1-4 SIMP-6.2-5 OC-39")
def the_worked_examples_of_the_acl(scene):
    alice = scene.enter("alice")
    bob = scene.from_peer("bob@example.net")
    eve, dan = scene.from_peer("eve@spam.example"), scene.from_peer("dan@partner.example")
    alice.set_acl(EXAMPLE)
    alice.subscribe(bob.ima, 60_000)
    bob.send(alice.ima, "A1")
    alice.expect("send", body="A1")
    equal(note(scene, "note change", alice.ima, bob.ima, sender=bob.ima), "error", "A2")
    equal(note(scene, "note change", alice.ima, bob.ima), "okay", "A3")
    alice.expect("note change")
    equal(note(scene, "note subscription end", alice.ima, bob.ima), "okay", "A4")
    alice.expect("note subscription end")
    refused(scene.from_peer("carol@example.net").send, alice.ima, "A5")
    refused(eve.send, alice.ima, "A7")
    equal(dan.fetch(alice.ima)["status"], "online", "A8")
    refused(dan.send, alice.ima, "A9")
    refused(dan.subscribe, alice.ima)  # A11
    refused(scene.from_peer("eve@mail.spam.example").send, alice.ima, "A12")
    eve.inquire(alice.ima)  # A13
    alice.nothing()


@check("SIMP-3.8-11")
def an_empty_acl_permits_everything(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad())
    alice.set_acl({})  # A14
    alice.subscribe(bob.ima, 60_000)
    bob.send(alice.ima, "A14")
    bob.fetch(alice.ima)
    bob.unsubscribe(alice.ima, bob.subscribe(alice.ima)["opaque"])
    equal(note(scene, "note change", alice.ima, bob.ima), "okay")
    equal(note(scene, "note subscription end", alice.ima, bob.ima), "okay")


@check("SIMP-3.8-8 SIMP-3.8-11")
def one_entry_refuses_one_and_nobody_else(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad())
    carol = scene.from_peer(abroad(domain="spam.example"))
    alice.set_acl({bob.ima: ""})  # A15
    carol.send(alice.ima, "A15")
    for call in (bob.fetch, bob.subscribe):
        refused(call, alice.ima)
    refused(bob.send, alice.ima, "A15")
    equal(alice.expect("send")["from"], carol.ima)


@check("OC-09")
def users_of_other_domains_are_compared_with_case(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad("Robert"))
    alice.set_acl({bob.ima.lower(): "", "everybody": "send"})
    bob.send(alice.ima, "another one")
    bob.ima = bob.ima.replace("example.net", "Example.NET")
    alice.set_acl({bob.ima.replace("Example.NET", "example.net"): "", "everybody": "send"})
    refused(bob.send, alice.ima, "the domain has no case")


@check("OC-01 SIMP-5-1", house="open")
def in_open_mode_anybody_may_use_r(scene):
    alice, stranger = scene.enter("alice"), scene.routing(ima="stranger@anywhere.example")
    alice.set_acl({})
    stranger.send(alice.ima, "as drafted")
    equal(alice.expect("send")["from"], stranger.ima)
    equal(stranger.fetch(alice.ima)["status"], "online")
    described = stranger.subscribe(alice.ima, 60_000)
    stranger.unsubscribe(alice.ima, described["opaque"])
    stranger.ima = scene.person("bob").ima
    refused(stranger.send, alice.ima, "one of our own")


@check("OC-01", house="closed")
def in_closed_mode_r_serves_login_and_inquire(scene):
    alice, bob = scene.enter("alice"), scene.from_peer(abroad())
    alice.set_acl({})
    refused(bob.send, alice.ima, "hello")
    refused(bob.fetch, alice.ima)
    refused(bob.subscribe, alice.ima)
    bob.inquire(alice.ima)
