"""Checks of one account over both families: users of SIMP and of IMTP and PITP message and watch each other."""

import pidf
import simp_client
from imtp_link import silent
from imtp_stage import DOMAIN, check, equal, refused
from stage import refused as simp_refused

OPERATIONS = "send fetch subscribe unsubscribe change end"


def status(document, address):
    """What a document says of an address as an inbox."""
    return pidf.contacts(document)[f"im:{address}"]


@check("IMTP-16.2-10 IMTP-4-1 COMMON-8-6 SIMP-5.1-3 TOC-63")
def messages_between_the_families(scene):
    """An okay of a SIMP client is a final acknowledgement: nothing is unreliable."""
    alice, bob = scene.simp("alice"), scene.im("bob", listen=True)
    alice.send(bob.address, "from SIMP \u00fc", subject="extra")
    message = bob.expect("send")
    equal((message["Sender"], message["Inbox"], message.text), (f"im:{alice.ima}", bob.url, "from SIMP \u00fc"))
    equal(message["Content-Type"].split(";")[0].strip() if message["Content-Type"] else "text/plain", "text/plain")
    reply = bob.send(alice.ima, "from IMTP \u00fc")
    equal(reply.get("Unreliable"), None)
    told = alice.expect("send")
    equal((told["from"], told["to"], told["body"]), (bob.address, alice.ima, "from IMTP \u00fc"))
    assert told["type"] in ("text/plain", "text/plain; charset=UTF-8"), told
    bob.send(alice.ima, "<b/>", Content_Type="text/html; charset=UTF-8")
    assert alice.expect("send")["type"].startswith("text/html")


@check("IMTP-16.2-15 TOC-61")
def a_user_of_both_gets_each_message_on_both(scene):
    old, new, bob, carol = scene.simp("alice"), scene.im("alice", listen=True), scene.im("bob"), scene.simp("carol")
    bob.send(old.ima, "from IMTP")
    equal(old.expect("send")["body"], "from IMTP")
    new.expect("send", "from IMTP")
    carol.send(old.ima, "from SIMP")
    equal(old.expect("send")["body"], "from SIMP")
    new.expect("send", "from SIMP")
    old.connection.answer = lambda command: simp_client.error("not now")
    bob.send(old.ima, "one is enough")
    new.expect("send", "one is enough")
    old.expect("send")
    new.close()
    reply = bob.message(old.ima, "nobody takes it").reply()
    equal((reply.kind, reply["Error-Originator"]), ("error", f"im:{old.ima}"))


@check("IMTP-16.2-19 SIMP-1-4")
def refusals_between_the_families(scene):
    alice, bob = scene.simp("alice"), scene.im("bob")
    simp_refused(alice.send, bob.address, "he does not listen")
    simp_refused(alice.send, f"nobody-here@{DOMAIN}", "hello")
    bob.listen(except_=[f"im:{alice.ima}"])
    simp_refused(alice.send, bob.address, "filtered")
    bob.listen()
    alice.set_acl({"everybody": "fetch", "@" + DOMAIN: "fetch"})
    refused("target-authorization", bob.send, alice.ima, "refused by policy")
    alice.set_acl({})
    bob.send(alice.ima, "allowed again")
    alice.expect("send")
    alice.connection.close()
    refused("no-listeners", bob.send, alice.ima, "he went away")


@check("PITP-4-1 PITP-5-4 PIDF-5.4.1-2 SIMP-6.1-3 SIMP-5.2-3")
def presence_between_the_families(scene):
    simp, pitp = scene.simp("alice"), scene.presence("bob")
    text = pitp.subscribe(simp.ima).text
    equal(status(text, simp.ima), "open")
    simp.set_profile({"message": "out for lunch"})
    assert "out for lunch" in pitp.expect("change-notify").text
    simp.connection.close()
    equal(status(pitp.expect("change-notify").text, simp.ima), "closed")

    watcher = scene.simp("carol")
    equal(watcher.subscribe(pitp.address)["status"], "offline")
    im = scene.im("bob", listen=True)
    watcher.expect("note change", regarding=pitp.address, status="online")
    equal(watcher.fetch(pitp.address)["status"], "online")
    im.close()
    watcher.expect("note change", regarding=pitp.address, status="offline")


@check("PITP-15.2-3 PITP-15.2-4 COMMON-8-6")
def a_simp_watcher_acknowledges_what_a_pitp_server_tells(scene):
    """The ok is his client's own, so it is not given before, and nothing about it is unreliable."""
    watcher, peer = scene.simp("alice"), scene.peers["example.net"]
    watcher.connection.answer = simp_client.silent
    bob = f"bob-of-{watcher.ima.split('@')[0]}@example.net"
    watcher.subscribe(bob)
    key = peer.expect("subscribe", Presentity=f"presence:{bob}")["Subscription"]
    link = scene.from_peer("pitp", "example.net")
    document = f"contact = im:{bob} {{ status = closed }}"
    told = link.request("change-notify", document, Presentity=f"presence:{bob}", Subscription=key)
    note = watcher.expect("note change", regarding=bob, status="offline")
    link.fence()
    equal(told.settled(), False, "before he has it")
    note.respond(simp_client.okay())
    equal(told.accepted().all("Unreliable"), [])


@check("PITP-15.10-2 SIMP-5.3-3")
def watchers_of_both_families_are_told_of(scene):
    alice, watcher = scene.presence("alice"), scene.simp("bob")
    alice.start_wi()
    told = watcher.subscribe(alice.address)
    key = alice.expect("subscribe-notify")["Subscription"]
    equal(key.split("/", 1)[1], f"presence:{watcher.ima}")
    watcher.fetch(alice.address)
    equal(alice.expect("fetch-notify")["Watcher"], f"presence:{watcher.ima}")
    watcher.unsubscribe(alice.address, told["opaque"])
    equal(alice.expect("unsubscribe-notify")["Subscription"], key)
    watcher.subscribe(alice.address)
    alice.terminate(alice.expect("subscribe-notify")["Subscription"])
    watcher.expect("note subscription end")
    owner, reader = scene.simp("carol"), scene.presence("dave")
    reader.subscribe(owner.ima)
    equal(owner.expect("note subscription")["subscriber"], reader.address)
    owner.drop_subscription(reader.address)
    reader.expect("terminate-notify")


@check("PITP-5-6 TOC-75")
def the_access_list_and_the_watcher_classes_both_apply(scene):
    """Design 6: the access list decides whether, the class decides what."""
    owner, mappings = scene.simp("alice"), scene.presence("alice")
    bob, carol = scene.presence("bob"), scene.simp("carol")
    mappings.insert(1, [bob.url], "contact = im:x@example.org { status = deferred }")
    assert "deferred" in bob.fetch(owner.ima).text
    simp_refused(carol.fetch, owner.ima)
    owner.set_acl({bob.address: "", "everybody": OPERATIONS})
    refused("target-authorization", bob.fetch, owner.ima)
    owner.set_acl({"everybody": OPERATIONS})
    bob.fetch(owner.ima)
    mappings.delete(1)
    equal(carol.fetch(owner.ima)["status"], "online")


@check("TOC-45")
def a_simp_client_that_is_slow_answers_at_last(scene):
    alice, bob = scene.simp("alice"), scene.im("bob", answer=silent)
    alice.connection.answer = simp_client.silent
    pending = bob.message(alice.ima, "think about it")
    command = alice.expect("send")
    bob.fence()
    equal(pending.settled(), False)
    command.respond(simp_client.okay("thought"))
    pending.accepted()
