"""Checks of `listen` and `send` within a domain: delivery, filters, several listeners, what a relay does with headers
and answers.
"""

import imtp_wire as wire
from imtp_link import silent
from imtp_stage import DOMAIN, check, equal, refused


def answering(*arguments, **headers):
    """An `answer` of a listener: ok, with that payload and those headers."""
    return lambda message: wire.ok(message, *arguments, **headers)


def failing(kind, description=None, **headers):
    """An `answer` of a listener: that error."""
    return lambda message: wire.error(message, kind, description, **headers)


@check("IMTP-9-1 IMTP-16.1-1 IMTP-16.1-7 IMTP-16.2-1 IMTP-16.2-2 IMTP-16.2-3 IMTP-16.2-9 IMTP-16.2-10 COMMON-10-2")
def a_message_is_delivered(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    for payload in (b"hello\r\n", b"", bytes(range(256)) * 20, "\u00fcber \U0001f600".encode(), b">1 send\r\n\r\n"):
        equal(alice.send(bob.address, payload).payload, None)
        message = bob.expect("send")
        equal(message.payload, payload)
        equal((message["Sender"], message["Inbox"]), (alice.url, bob.url))
        equal(message.raw("Visited"), [f" {DOMAIN}".encode()])
        equal(message.raw("Content-Type"), [], "a type that nobody gave (IMTP-10-1)")
    alice.send(bob.address, "<b>hello</b>", Content_Type='text/html; charset="utf-8"')
    equal(bob.expect("send").raw("Content-Type"), [b' text/html; charset="utf-8"'])


@check("COMMON-8-1 COMMON-10-21 COMMON-10-22 COMMON-10-25 TOC-49")
def unknown_headers_pass_octet_for_octet(scene):
    alice = scene.im("alice")
    odd = (
        (b"X-Mood", b" bright and\r\n    cheerful"), (b"X-Mood", b" twice"), (b"X-Empty", b""),
        (b"X-Close", b"no space"), (b"x-mood", b" another case"), (b"X-Tab", b"\t tabs \t and a trailing space "),
        (b"!#$%&'*+", b" \xc3\xbc\xe2\x82\xac"), (b"Mapping", b" 0"), (b"inbox", b" im:x@y"),
        (b"Subject", b" two\r\n\tfolds\r\n  here"),
    )
    block = b"".join(name + b":" + raw + b"\r\n" for name, raw in odd)

    def answer(message):
        start, rest = wire.ok(message, "away").split(b"\r\n", 1)
        return start + b"\r\n" + block + rest

    bob = scene.im("bob", listen=True, answer=answer)
    pending = alice.link.await_reply("send", "odd")
    head = wire.command("odd", "send", "hello", Sender=alice.url, Inbox=bob.url)
    start, rest = head.split(b"\r\n", 1)
    alice.link.raw(start + b"\r\n" + block + rest)
    ours = {b"Sender", b"Inbox", b"Visited", b"Astrength", b"Content-Length"}
    message, reply = bob.expect("send"), pending.accepted()
    for what in (message, reply):
        equal([line for line in what.lines if line[0] not in ours], list(odd), f"headers of the {what.kind}")


@check("IMTP-16.2-5 IMTP-16.2-6 IMTP-16.2-7 IMTP-16.2-8 IMTP-11.1-1")
def original_sender_and_recipients_pass(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    recipients = ["im:one@list.example", bob.url, 'im:"two three"@list.example']
    alice.send(bob.address, "to a list", Orig_Sender="im:list@list.example", Orig_Inbox=recipients)
    message = bob.expect("send")
    equal((message["Orig-Sender"], message.all("Orig-Inbox")), ("im:list@list.example", recipients))


@check("IMTP-16.2-13 IMTP-16.2-12 IMTP-16.2-11 COMMON-11.2-1 COMMON-11.4-1 COMMON-8-4")
def an_ok_comes_back_as_it_was_given(scene):
    alice = scene.im("alice", tls=True)
    more = {"Content_Type": "text/x-away", "Unreliable": "im:pager@gateway.example", "X_Away": "yes"}
    bob = scene.im("bob", tls=True, listen=True, answer=answering(b"away \0\xff", **more))
    reply = alice.send(bob.address, "hello")
    equal((reply.payload, reply["Content-Type"], reply["Unreliable"], reply["X-Away"]),
          (b"away \0\xff", "text/x-away", "im:pager@gateway.example", "yes"))
    equal(reply.all("Astrength"), ["strong"])


@check("COMMON-12-1 COMMON-12-2 COMMON-12-3 COMMON-12-4 COMMON-12-5 COMMON-12-6 COMMON-11.2-2 COMMON-11.4-1")
def an_error_comes_back_with_its_originator(scene):
    alice = scene.im("alice", tls=True)
    for kind, text in (
        ("resources", None), ("quota", "no room: \u00fcber"), ("target-authorization", ""), ("mailbox-on-fire", "odd"),
    ):
        bob = scene.im("bob", tls=True, listen=True, answer=failing(kind, text))
        reply = refused(kind, alice.send, bob.address, "hello")
        equal(reply.get("Error-Description"), text)
        equal((reply.all("Error-Originator"), reply.all("Astrength")), ([bob.url], ["strong"]))
        bob.close()
    bob = scene.im("bob", listen=True, answer=failing("resources", None, Error_Originator="deep.example"))
    reply = refused("resources", alice.send, bob.address, "hello")
    equal(reply.all("Error-Originator"), ["deep.example"], "an originator that was named (COMMON-12-7)")


@check("TOC-48")
def an_answer_that_is_none(scene):
    """An error without `Error-Type`, or one with a payload it may not have, is a failure of communications."""
    alice = scene.im("alice")
    bob = scene.im("bob", listen=True, answer=lambda message: f"<{message.id} error (send)\r\n\r\n".encode())
    reply = refused("communications", alice.send, bob.address, "hello")
    equal(reply.get("Error-Type"), "communications")


@check("IMTP-16.2-19 COMMON-12-15 TOC-63 TOC-64")
def nobody_is_there(scene):
    alice, bob = scene.im("alice"), scene.person("bob")
    reply = refused("no-listeners", alice.send, bob, "hello")
    equal(reply.all("Error-Originator"), [], "our own error names nobody")
    refused("target-not-found", alice.send, f"nobody-here@{DOMAIN}", "hello")
    client = scene.im("bob", listen=True)
    alice.send(bob, "now")
    client.close()
    refused("no-listeners", alice.send, bob, "gone again")


@check("IMTP-16.1-2 IMTP-16.1-3 IMTP-16.1-4 IMTP-16.1-5 COMMON-11.3-1 COMMON-11.3-2 COMMON-11.3-3 COMMON-11.3-5")
def filters_of_one_domain(scene):
    """5.3, with senders of our own domain; those of others are in the checks of peers."""
    alice, bob, carol = scene.im("alice"), scene.im("bob"), scene.im("carol")
    senders = {"alice": alice, "bob": bob}
    name = alice.address.split("@")[0]
    for only, except_, heard in (
        ((), (), "alice bob"),
        ([alice.url], (), "alice"),
        ([alice.url.upper().replace("IM:", "im:")], (), "alice"),
        ([alice.address], (), "alice"),
        ([f'im:"{name}"@{DOMAIN}'], (), "alice"),
        ([f"im:*@{DOMAIN}"], (), "alice bob"),
        ([f"im:*@*.{DOMAIN}"], (), ""),
        (["im:*@example"], (), ""),
        (["im:*"], (), "alice bob"),
        (["*"], (), "alice bob"),
        (["presence:*"], (), ""),
        (["zephyr:*"], (), ""),
        ([f"presence:*@{DOMAIN}"], (), ""),
        (["im:*@other.example", bob.url], (), "bob"),
        ((), [alice.url], "bob"),
        ((), [f"im:*@{DOMAIN}"], ""),
        ((), ["*"], ""),
        ((), ["im:*@*.example"], ""),
        ([f"im:*@{DOMAIN}"], [bob.url], "alice"),
        ([alice.url], [alice.url], ""),
        ([f"im:{name[:2]}*@{DOMAIN}"], (), ""),
        ([f'im:"*"@{DOMAIN}'], (), ""),
    ):
        carol.listen(only=only, except_=except_)
        for who, sender in senders.items():
            reply = sender.message(carol.address, who).reply()
            wanted = "ok" if who in heard.split() else "no-listeners"
            equal(reply.error or reply.kind, wanted, f"Only {only}, Except {except_}, from {who}")
        equal(" ".join(message.text for message in carol.link.inbox.seen()), heard, f"heard with {only}, {except_}")
        carol.link.inbox.forget()


@check("COMMON-11.3-5 IMTP-16.1-8 COMMON-10-24")
def patterns_that_are_none(scene):
    """5.1: a star elsewhere is no wildcard."""
    alice = scene.im("alice", listen=True)
    for pattern in (
        "", "im:*@", "im:fred@*.d", "im:fred@*", "*:fred@d", "im:*@*", "im:*@*.*", "im:a b@d", "im:*@d.", "**",
    ):
        for more in ({"only": [pattern]}, {"except_": [pattern]}):
            refused("malformed", alice.listen, **more)
    alice.send(alice.address, "filters stay as they were (IMTP-16.1-6)")
    alice.expect("send")


@check("IMTP-16.1-6 TOC-62")
def a_listen_replaces_the_filters_of_the_one_before(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    bob.listen(except_=[alice.url])
    refused("no-listeners", alice.send, bob.address, "x")
    bob.listen(only=[alice.url])
    alice.send(bob.address, "heard")
    bob.listen(except_=["*"])
    refused("no-listeners", alice.send, bob.address, "x")
    equal([message.text for message in bob.link.inbox.seen()], ["heard"])
    other = scene.im("bob", listen=True)
    alice.send(bob.address, "to the other")
    other.expect("send", "to the other")


@check("TOC-55 COMMON-9-3 IMTP-4-2")
def spellings_of_one_inbox(scene):
    """5.2, and local parts of ours compare without regard to case."""
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    name = bob.address.split("@")[0]
    for inbox in (
        f"im:{name.upper()}@{DOMAIN}", f"im:{name}@{DOMAIN.upper()}", f'im:"{name}"@{DOMAIN}',
        f'im:"\\{name[0]}{name[1:]}"@{DOMAIN}',
    ):
        alice.send(inbox, "spelt")
        equal(bob.expect("send")["Inbox"], inbox, "forwarding never changes the spelling")


@check("IMTP-16.2-15 IMTP-16.2-16 IMTP-16.2-17 IMTP-16.2-18 TOC-61")
def several_listeners_give_one_answer(scene):
    """The table of 6.6."""
    alice = scene.im("alice")
    okay, away, other = answering(), answering("away"), answering("B")
    unreliable, vague = answering("late", Unreliable="x.example"), answering(Unreliable="y.example")
    unknown, resources, quota = failing("unknown-method"), failing("resources"), failing("quota")
    for name, answers, kind, payload in (
        ("ok among errors", (okay, resources, unknown), "ok", None),
        ("errors before ok", (resources, quota, okay), "ok", None),
        ("a payload among oks", (okay, away), "ok", "away"),
        ("a payload that is certain", (unreliable, away), "ok", "away"),
        ("a payload that is uncertain", (okay, unreliable), "ok", "late"),
        ("no payload, certain first", (vague, okay), "ok", None),
        ("two payloads", (away, other), "ok", "away"),
        ("errors", (resources, quota), "resources", None),
        ("errors that mean something", (unknown, quota), "quota", None),
        ("errors that mean nothing", (unknown, unknown), "unknown-method", None),
    ):
        listeners = [scene.im("bob", listen=True, answer=silent) for _ in answers]
        pending = alice.message(listeners[0].address, name)
        for listener, answer in zip(listeners, answers):
            message = listener.expect("send", name)
            listener.link.raw(answer(message))
            listener.fence()  # so that answers come in this order
        reply = pending.reply()
        equal((reply.error or reply.kind, reply.text), (kind, payload), name)
        if reply.kind == "error":
            equal(reply["Error-Originator"], listeners[0].url, name)
        if name == "no payload, certain first":
            equal(reply.get("Unreliable"), None, name)
        for listener in listeners:
            listener.close()
        alice.fence()


@check("IMTP-16.1-5 IMTP-16.2-19 TOC-61")
def a_listener_that_leaves_is_none(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    pending = alice.message(bob.address, "hello")
    bob.expect("send")
    bob.close()
    equal(pending.reply().error, "no-listeners")
    first, second = (scene.im("bob", listen=True, answer=silent) for _ in range(2))
    pending = alice.message(bob.address, "again")
    first.expect("send")
    second.link.raw(wire.ok(second.expect("send")))
    first.link.reset()
    pending.accepted()


@check("COMMON-7-2 COMMON-7-3 COMMON-7-4")
def many_at_once_in_any_order(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    pending = [alice.message(bob.address, str(number)) for number in range(50)]
    messages = [bob.expect("send", str(number)) for number in range(50)]
    equal(len({message.id for message in messages}), 50, "ids in use")
    back = [bob.link.request("no-such-method") for _ in range(20)]
    for message in reversed(messages):
        bob.link.raw(wire.ok(message, f"re {message.text}"))
    equal([one.accepted().text for one in pending], [f"re {number}" for number in range(50)])
    equal({one.reply().error for one in back}, {"unknown-method"})


@check("TOC-34 COMMON-12-13")
def more_than_64_unanswered_commands(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    pending = [alice.message(bob.address, str(number)) for number in range(64)]
    messages = [bob.expect("send", str(number)) for number in range(64)]
    equal(alice.message(bob.address, "one too many").reply().error, "quota")
    bob.link.raw(wire.ok(messages[0]))
    pending[0].accepted()
    pending.append(alice.message(bob.address, "room again"))
    messages.append(bob.expect("send", "room again"))
    for message in messages[1:]:
        bob.link.raw(wire.ok(message))
    for one in pending:
        one.accepted()
    bob.nothing("send")


@check("TOC-52")
def messages_keep_their_order(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    pending = [alice.message(bob.address, str(number)) for number in range(60)]
    for one in pending:
        one.accepted()
    equal([message.text for message in bob.link.inbox.seen("send")], [str(number) for number in range(60)])


@check(
    "COMMON-11.4-2 COMMON-11.4-3 COMMON-11.4-4 COMMON-11.4-5 COMMON-11.4-6 COMMON-11.4-7 COMMON-11.4-8 COMMON-11.4-10",
    "TOC-27 TOC-50 TOC-51",
)
def astrength_is_the_weakest_so_far(scene):
    """6.2: TLS is strong, SCRAM in clear is medium, PLAIN in clear is weak; and what came may be weaker still."""
    bob = scene.im("bob", tls=True, listen=True)
    for tls, mechanism, own in ((True, None, "strong"), (False, "SCRAM-SHA-256", "medium"), (False, "PLAIN", "weak")):
        alice = scene.im("alice", tls=tls, mechanism=mechanism)
        order = ["strong", "medium", "weak", "none"]
        for given, counts in (
            (None, "strong"), ("strong", "strong"), ("medium", "medium"), ("weak", "weak"), ("none", "none"),
            ("Strong", "none"), ("certain", "none"), ("", "none"),
        ):
            alice.send(bob.address, "x", Astrength=given)
            message = bob.expect("send")
            wanted = max(own, counts, key=order.index)
            equal(message.all("Astrength"), [wanted], f"{own}, {given!r}")
        alice.send(bob.address, "x", Astrength="medium", AStrength="none")
        message = bob.expect("send")
        equal((message.all("Astrength"), message.all("AStrength")), (["none"], []), "both spellings")
        bob.link.answer = answering(Astrength="weak")
        equal(alice.send(bob.address, "x").all("Astrength"), ["weak"], "of the answer")
        bob.expect("send")
        bob.link.answer = answering()
    weak = scene.im("bob", listen=True, mechanism="PLAIN")
    bob.close()
    equal(scene.im("alice", tls=True).send(weak.address, "x").all("Astrength"), ["weak"], "of the answerer's link")


@check("IMTP-11.8-1 IMTP-16.2-3 IMTP-16.2-4 IMTP-16.2-20 TOC-65 TOC-66")
def visited_grows_and_loops_end(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    for given in ("list.example", "a.example b.example", "a.example\r\n  b.example\tc.example"):
        alice.send(bob.address, "x", Visited=given)
        equal(bob.expect("send")["Visited"].split(), [*given.split(), DOMAIN])
    for given in (DOMAIN, DOMAIN.upper(), f"a.example {DOMAIN} b.example"):
        refused("loop", alice.send, bob.address, "x", Visited=given)
    many = [f"hop{number}.example" for number in range(33)]
    alice.send(bob.address, "x", Visited=" ".join(many[:30]))
    bob.expect("send")
    refused("loop", alice.send, bob.address, "x", Visited=" ".join(many))
    bob.nothing("send")


@check("COMMON-12-12 COMMON-12-8 IMTP-16.2-20")
def checks_come_in_order(scene):
    """3.8: malformed, source-authorization, loop, target; the first that fails is told."""
    alice, bob = scene.im("alice"), scene.person("bob")
    nobody, forged = f"im:nobody-here@{DOMAIN}", f"im:{bob}"

    def answer(**headers):
        good = {"Sender": alice.url, "Inbox": forged}
        return alice.link.call("send", "x", **{**good, **headers}).error

    equal(alice.link.call("no-such", "x", Content_Transfer_Encoding="8bit").error, "unknown-method", "2 before 3")
    equal(answer(Sender=forged, Inbox="im:a b"), "malformed", "3 before 4")
    equal(answer(Sender=forged, Content_Transfer_Encoding="8bit"), "malformed", "3 before 4")
    equal(answer(Sender=forged, Visited=DOMAIN, Inbox=nobody), "source-authorization", "4 before 6")
    equal(answer(Visited=DOMAIN, Inbox=nobody), "loop", "6 before 7")
    equal(answer(Inbox=nobody), "target-not-found", "7")
    equal(answer(), "no-listeners", "8")


@check("COMMON-7-5 TOC-13")
def a_client_that_does_not_read_costs_nobody_else(scene):
    alice, bob, deaf = scene.im("alice"), scene.im("bob", listen=True), scene.im("carol", listen=True)
    deaf.link.hold()
    pending = [alice.message(deaf.address, b"x" * 60_000) for _ in range(60)]
    for number in range(5):
        alice.send(bob.address, str(number))
        bob.expect("send", str(number))
    deaf.link.reset()
    deaf.link.faults.clear()  # of what it had begun to read
    answers = {one.reply().error for one in pending}
    assert answers <= {None, "no-listeners", "communications", "resources", "quota"}, answers


@check("TOC-47")
def a_sender_who_leaves_has_sent(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    alice.message(bob.address, "farewell")
    message = bob.expect("send", "farewell")
    alice.close()
    bob.link.raw(wire.ok(message))
    bob.fence()


@check("TOC-69")
def the_senders_other_clients_get_nothing(scene):
    alice, other, bob = scene.im("alice", listen=True), scene.im("alice", listen=True), scene.im("bob", listen=True)
    alice.send(bob.address, "hello")
    bob.expect("send")
    alice.nothing()
    other.nothing()
    alice.send(alice.address, "to myself")
    alice.expect("send", "to myself")
    other.expect("send", "to myself")


@check("IMTP-16.2-11 IMTP-16.2-13 TOC-63")
def a_message_that_is_kept(scene):
    """Design 5: who has opted in gets it at his next listening; his sender is told that nothing is certain."""
    alice, bob = scene.im("alice"), scene.person("bob")
    scene.house.run("user", "set", bob, "messages=keep")
    reply = alice.send(bob, "for later \u00fc")
    equal(reply["Unreliable"], DOMAIN)
    assert reply.text, "a text for the sender to read"
    message = scene.im("bob", listen=True).expect("send")
    equal((message["Sender"], message.text), (alice.url, "for later \u00fc"))
