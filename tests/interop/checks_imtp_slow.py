"""Checks that take as long as the server's own timers, and of the end of a server: they begin first."""

import imtp_wire as wire
from house import loopback
from imtp_client import ImtpClient
from imtp_link import silent
from imtp_stage import PASSWORD, TransferHouse, check, closes, equal, refused
from pitp_client import PitpClient


@check("COMMON-8-4 TOC-45 TOC-61")
def listeners_that_never_answer(scene):
    """Design 5: 25 s; with an answer of another the message is delivered, and none is told before."""
    alice = scene.im("alice")
    deaf = [scene.im("bob", listen=True, answer=silent) for _ in range(2)]
    first = alice.message(deaf[0].address, "to the deaf")
    carol = scene.im("carol", listen=True, answer=silent)
    other = scene.im("carol", listen=True, answer=lambda message: wire.ok(message, "away"))
    second = alice.message(carol.address, "to one who hears")
    carol.expect("send")
    other.expect("send")
    reply = first.reply()
    equal((reply.error, reply.all("Error-Originator")), ("communications", []))
    equal(second.accepted().text, "away")


@check("TOC-45 TOC-46")
def a_peer_that_never_answers(scene):
    alice, peer = scene.im("alice"), scene.peers["other.example"]
    peer.rules["im:deaf@other.example"] = silent
    pending = alice.message("deaf@other.example", "hello")
    peer.expect("send", Inbox="im:deaf@other.example")
    reply = pending.reply()
    equal((reply.error, reply.all("Error-Originator")), ("communications", []))


@check("TOC-11")
def who_does_not_authenticate_is_cut(scene):
    links = [scene.greeted(protocol, tls=tls) for protocol in ("imtp", "pitp") for tls in (False, True)]
    for link in links[:2]:
        link.raw(b">1 frobni")
    for link in links:
        closes(link, "no authentication")


@check("COMMON-14.2-1 COMMON-14.2-3 TOC-17 PITP-15.11-5")
def a_server_ends_in_order(scene):
    """SIGTERM: authenticated clients are told, others are not, and nobody waits for those who stay."""
    house = TransferHouse(scene.house.binary, "end.example").init().furnish(scene.authority).start()
    try:
        for name in ("alice", "bob"):
            house.add_account(f"{name}@end.example", PASSWORD)
        where = {"source": loopback()}
        place = house.place
        clients = [
            ImtpClient.log_in(place("imtp"), "alice@end.example", PASSWORD, **where),
            PitpClient.log_in(place("pitp"), "alice@end.example", PASSWORD, **where),
            ImtpClient.log_in(place("imtp"), "bob@end.example", PASSWORD, answer=silent, **where),
        ]
        for client in clients:
            scene.keep(client.link)
        equal(house.stop(), 0, "exit status")
        for client in clients:
            client.expect("shutdown")
            closes(client.link)
    finally:
        house.remove()


@check("TOC-71 TOC-83 PITP-15.1-4")
def lists_survive_a_restart(scene):
    house = TransferHouse(scene.house.binary, "again.example").init().furnish(scene.authority).start()
    try:
        house.add_account("alice@again.example", PASSWORD)
        house.add_account("bob@again.example", PASSWORD)

        def enter(name):
            client = PitpClient.log_in(house.place("pitp"), f"{name}@again.example", PASSWORD, source=loopback())
            scene.keep(client.link)
            return client

        alice = enter("alice")
        alice.insert(1, ["presence:bob@again.example", "im:*"], "x = 1\r\n", Content_Type="application/presence")
        alice.insert(1, [], None)
        alice.insert(3, ["*"], b"\0\xff", Content_Type="application/x-odd")
        alice.insert(4, ["presence:*"], b"")
        before = alice.store()
        enter("bob").subscribe("alice@again.example")
        house.kill()
        house.start()
        alice, bob = enter("alice"), enter("bob")
        equal(alice.store(), before)
        equal(len(before), 4)
        equal(alice.start_wi(), [], "subscriptions of local watchers end with their connections")
        equal(bob.fetch("alice@again.example").payload, b"x = 1\r\n")
        alice.set_class(2, [])
        equal(bob.fetch("alice@again.example").payload, b"\0\xff")
        equal(bob.fetch("alice@again.example")["Content-Type"], "application/x-odd")
        refused("mapping-range", alice.delete, 5)
    finally:
        house.remove()
