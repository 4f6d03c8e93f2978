"""Checks of the wire format, for both protocols: what is framed, what is not, and what it costs (part 2, TOC-30 to
TOC-43).
"""

from random import Random

import imtp_wire as wire
from imtp_link import Closed, silent
from imtp_stage import check, closes, equal, refused

BOTH = ("imtp", "pitp")
START = b">1 no-such-method\r\n"

# What cannot be framed: the connection is closed without a word (TOC-30, TOC-31, TOC-32, TOC-43).
BROKEN = {
    "no message": b"hello\r\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: home.example\r\n\r\n",
    "XML": b'<?xml version="1.0"?><stream>\r\n',
    "binary": bytes(range(1, 200)) + b"\r\n",
    "a bare LF in the start line": b">1 no-such-method\n\n",
    "a bare LF in a header": START + b"X: y\n\r\n",
    "a bare LF as the empty line": START + b"\n",
    "a bare CR in the start line": b">1 no-such\rmethod\r\n\r\n",
    "a bare CR in a header": START + b"X: y\rz\r\n\r\n",
    "two CRs": START + b"X: y\r\r\n\r\n",
    "a bare LF between messages": b"\n>1 no-such-method\r\n\r\n",
    "no id": b"> no-such-method\r\n\r\n",
    "an id with a hyphen": b">a-1 no-such-method\r\n\r\n",
    "an id that is not ASCII": b">\xc3\xa9 no-such-method\r\n\r\n",
    "no method": b">1\r\n\r\n",
    "an empty method": b">1 \r\n\r\n",
    "a method with an underscore": b">1 no_such_method\r\n\r\n",
    "two methods": b">1 no such\r\n\r\n",
    "a space before the id": b"> 1 no-such-method\r\n\r\n",
    "a response without brackets": b"<1 ok listen\r\n\r\n",
    "a response of another status": b"<1 fine (listen)\r\n\r\n",
    "a Status of another case": b"<1 OK (listen)\r\n\r\n",
    "a Content-Length without a number": START + b"Content-Length:\r\n\r\n",
    "a Content-Length with a sign": START + b"Content-Length: +1\r\n\r\nx",
    "a negative Content-Length": START + b"Content-Length: -1\r\n\r\n",
    "a Content-Length of letters": START + b"Content-Length: ten\r\n\r\n",
    "a hexadecimal Content-Length": START + b"Content-Length: 0x1\r\n\r\nx",
    "two numbers of Content-Length": START + b"Content-Length: 1 1\r\n\r\nx",
    "a Content-Length of 2^63": START + b"Content-Length: 9223372036854775808\r\n\r\n",
    "a Content-Length of a hundred digits": START + b"Content-Length: " + b"9" * 100 + b"\r\n\r\n",
    "more than 16 MiB announced": START + b"Content-Length: 16777217\r\n\r\n",
    "an id of 65 octets": b">" + b"a" * 65 + b" no-such-method\r\n\r\n",
    "a method of 65 octets": b">1 " + b"a" * 65 + b"\r\n\r\n",
    "a start line of 1,025 octets": b">1" + b" " * 1019 + b"none\r\n\r\n",
    "a start line without end": b">" + b"1" * 70_000,
    "a header's name of 65 octets": START + b"X" * 65 + b": y\r\n\r\n",
    "a header of more than 8,192 octets": START + b"X: " + b"y" * 8192 + b"\r\n\r\n",
    "a header without end": START + b"X: " + b"y" * 70_000,
    "a header of more than 8,192 octets with its folds": START + b"X: y\r\n" + b" yyyyyyy\r\n" * 1000 + b"\r\n",
    "321 headers": START + b"X: y\r\n" * 321 + b"\r\n",
    "headers of more than 32,768 octets": START + (b"X: " + b"y" * 4000 + b"\r\n") * 9 + b"\r\n",
    "headers without end": START + b"X: y\r\n" * 10_000,
    "nine empty lines": b"\r\n" * 9 + START + b"\r\n",
}

# Headers that no rule derives, in a message that is framed: close or `malformed`, but never obeyed.
UNDERIVABLE = {
    "no colon": b"Inbox\r\n",
    "a space before the colon": b"X : y\r\n",
    "a continuation of nothing": b" y\r\n",
    "no name": b": y\r\n",
    "a name that is not ASCII": b"\xc3\xa9: y\r\n",
}

# Values that no rule derives (TOC-39, G23): `malformed`, and the connection goes on.
ILL_VALUED = {
    "an octet that is not UTF-8": b"X: \xff",
    "an overlong form": b"X: \xc0\xaf",
    "a surrogate": b"X: \xed\xa0\x80",
    "NUL": b"X: a\0b",
    "a control": b"X: a\x01b",
    "DEL": b"X: a\x7fb",
    "a fold of white space": b"X: a\r\n \t",
}


@check("COMMON-7-1 TOC-30 TOC-31 TOC-32 TOC-33 TOC-43")
def what_cannot_be_framed_closes_only_its_own_connection(scene):
    alice = scene.im("alice", listen=True)
    for protocol in BOTH:
        for name, octets in BROKEN.items():
            link = scene.greeted(protocol)
            before = link.received
            link.raw(octets)
            closes(link, name)
            equal(link.received, before, f"what answers {name}")
    alice.send(alice.address, "still here")
    alice.expect("send", "still here")


@check("TOC-30 TOC-31 TOC-33")
def framing_errors_of_a_user_cost_nobody_else(scene):
    alice, bob = scene.im("alice", listen=True), scene.im("bob", listen=True)
    bob.link.raw(BROKEN["a bare LF in a header"])
    closes(bob.link)
    refused("no-listeners", alice.send, bob.address, "gone")
    scene.im("bob", listen=True)
    alice.send(bob.address, "back")


@check("COMMON-10-20 TOC-31")
def headers_that_no_rule_derives(scene):
    for name, octets in UNDERIVABLE.items():
        link = scene.greeted()
        pending = link.await_reply("no-such-method", "1")
        link.raw(START + octets + b"\r\n")
        try:
            reply = pending.reply()
        except Exception:
            closes(link, name)
        else:
            assert reply.error in ("malformed", "unknown-method"), f"{name}: {reply}"


@check("COMMON-10-1 COMMON-10-20 COMMON-12-8 TOC-39")
def values_that_no_rule_derives_are_malformed(scene):
    alice = scene.im("alice", listen=True)
    for number, (name, octets) in enumerate(ILL_VALUED.items()):
        identity = f"v{number}"
        pending = alice.link.await_reply("send", identity)
        headers = f"Sender: {alice.url}\r\nInbox: {alice.url}\r\n".encode()
        alice.link.raw(f">{identity} send\r\n".encode() + headers + octets + b"\r\nContent-Length: 1\r\n\r\nx")
        equal(pending.reply().error, "malformed", name)
    alice.nothing("send")


@check("COMMON-10-6 COMMON-10-7 COMMON-10-18 TOC-32 TOC-43")
def what_is_just_within_the_limits_is_read(scene):
    for enter in (scene.im, scene.presence):
        for name, octets, identity, method in (
            ("an id of 64", b">" + b"a" * 64 + b" none\r\n\r\n", "a" * 64, "none"),
            ("a method of 64", b">1 " + b"m" * 64 + b"\r\n\r\n", "1", "m" * 64),
            ("a start line of 1,000", b">1" + b" " * 994 + b"none\r\n\r\n", "1", "none"),
            ("a header's name of 64", b">1 none\r\n" + b"X" * 64 + b": y\r\n\r\n", "1", "none"),
            ("a header of 8,000", b">1 none\r\nX: " + b"y" * 8000 + b"\r\n\r\n", "1", "none"),
            ("319 headers", b">1 none\r\n" + b"X: y\r\n" * 319 + b"\r\n", "1", "none"),
            ("32,000 octets of headers", b">1 none\r\n" + (b"X: " + b"y" * 3195 + b"\r\n") * 10 + b"\r\n", "1", "none"),
            ("eight empty lines", b"\r\n" * 8 + b">1 none\r\n\r\n", "1", "none"),
        ):
            link = enter("alice").link
            pending = link.await_reply(method, identity)
            link.raw(octets)
            try:
                equal(pending.reply().error, "unknown-method", name)
            except Closed as problem:
                raise AssertionError(f"{name}: {problem}") from problem


@check("COMMON-10-9 COMMON-10-10")
def any_pieces_are_read(scene):
    alice = scene.im("alice", listen=True)
    payload = b"\r\n>9 send\r\n\0\xff" + bytes(range(256))
    octets = wire.command("p1", "send", payload, Sender=alice.url, Inbox=alice.url, X_Odd=b"a\r\n  b") + b"=nop\r\n"
    for size in (1, 2, 3, 7, 64, len(octets)):
        pending = alice.link.await_reply("send", "p1")
        for start in range(0, len(octets), size):
            alice.link.raw(octets[start:start + size])
        pending.accepted()
        equal(alice.expect("send").payload, payload, f"in pieces of {size}")


@check("COMMON-10-4 TOC-14")
def a_nop_has_no_effect(scene):
    for protocol in BOTH:
        link = scene.greeted(protocol)
        before = link.received
        link.raw(b"=nop\r\n" * 100 + b"=nop\r\n=something\r\n" + b"=nop\r\n" * 100)
        link.fence()
        equal(link.received.count(b"\r\n") - before.count(b"\r\n") < 5, True, "lines in answer to NOPs")


@check("TOC-14")
def a_flood_of_nops_is_cut(scene):
    link = scene.greeted()
    link.raw(b"=nop\r\n" * 5000)
    closes(link)


@check("COMMON-10-8 COMMON-10-11 COMMON-10-12 TOC-50 TOC-53 TOC-54")
def what_a_tolerant_reader_accepts(scene):
    """The left column of 2.4."""
    alice = scene.im("alice", listen=True)
    where = alice.address.encode()
    inbox = b"Inbox: im:" + where + b"\r\n"
    sender = b"Sender: im:" + where + b"\r\n"
    body = b"Content-Length: 4\r\n\r\nbody"
    for number, (name, octets) in enumerate((
        ("white space in the start line", b" \t send\t \r\n" + sender + inbox + body),
        ("empty lines before", b" send\r\n" + sender + inbox + body),
        ("no space after the colon", b" send\r\nSender:im:" + where + b"\r\nInbox:im:" + where + b"\r\n" + body),
        ("white space around values",
         b" send\r\nSender: \t im:" + where + b" \t\r\nInbox:\tim:" + where + b"\r\n" + body),
        ("folds", b" send\r\nSender:\r\n  im:" + where + b"\r\nInbox: \r\n\tim:" + where + b"\r\n" + body),
        ("no scheme", b" send\r\nSender: " + where + b"\r\nInbox: " + where + b"\r\n" + body),
        ("a scheme of another case", b" send\r\nSender: IM:" + where + b"\r\nInbox: Im:" + where + b"\r\n" + body),
        ("imto", b" send\r\nSender: imto:" + where + b"\r\nInbox: imto:" + where + b"\r\n" + body),
        ("leading zeros", b" send\r\n" + sender + inbox + b"Content-Length: 0004\r\n\r\nbody"),
        ("a folded Content-Length", b" send\r\n" + sender + inbox + b"Content-Length:\r\n 4\r\n\r\nbody"),
        ("two of Content-Length",
         b" send\r\n" + sender + inbox + b"Content-Length: 4\r\nContent-Length: 2\r\n\r\nbody"),
        ("AStrength", b" send\r\n" + sender + inbox + b"AStrength: weak\r\n" + body),
        ("a header of another method", b" send\r\n" + sender + inbox + b"Mapping: none\r\n" + body),
    )):
        identity = f"t{number}"
        pending = alice.link.await_reply("send", identity)
        alice.link.raw((b"\r\n" * 8 if name == "empty lines before" else b"") + b">" + identity.encode() + octets)
        equal(pending.reply().kind, "ok", name)
        message = alice.expect("send")
        equal((message["Sender"], message["Inbox"], message.payload), (alice.url, alice.url, b"body"), name)
        equal(message["Visited"], "home.example", name)
        if name == "AStrength":
            equal((message.all("Astrength"), message.all("AStrength")), (["weak"], []), name)
        if name == "a header of another method":
            equal(message.raw("Mapping"), [b" none"], name)


@check("COMMON-10-26 COMMON-10-27 COMMON-12-9 TOC-25")
def unknown_methods(scene):
    alice, ana = scene.im("alice"), scene.presence("alice")
    for link, methods in (
        (alice.link, ("frobnicate", "Send", "LISTEN", "fetch", "change", "start-wi", "subscribe")),
        (ana.link, ("frobnicate", "Fetch", "CHANGE", "send", "listen")),
    ):
        for method in methods:
            equal(link.call(method).error, "unknown-method", method)
            equal(link.call(method, b">1 x\r\n\0").error, "unknown-method", f"{method} with a payload")
    for method in ("shutdown", "change-notify", "fetch-notify", "subscribe-notify", "terminate-notify",
                   "unsubscribe-notify"):
        headers = {"Presentity": ana.url, "Subscription": f"/{ana.url}", "Watcher": ana.url}
        payload = "" if method == "change-notify" else None
        equal(ana.link.call(method, payload, **headers).error, "unknown-method", f"{method} from a client")
    equal(alice.link.call("shutdown").error, "unknown-method", "shutdown from a client (COMMON-14.2-4)")


@check("COMMON-10-16 COMMON-10-17")
def content_transfer_encoding_is_malformed(scene):
    alice, ana = scene.im("alice", listen=True), scene.presence("alice")
    more = {"Sender": alice.url, "Inbox": alice.url, "Content_Transfer_Encoding": "base64"}
    equal(alice.link.call("send", "aGk=", **more).error, "malformed")
    more = {"Watcher": ana.url, "Presentity": ana.url, "Content_Transfer_Encoding": "8bit"}
    equal(ana.link.call("fetch", **more).error, "malformed")
    alice.nothing("send")


@check(
    "COMMON-9-1 COMMON-9-2 COMMON-9-4 COMMON-9-5 COMMON-9-6 COMMON-9-7 COMMON-10-14 COMMON-10-28 COMMON-11.1-1",
    "COMMON-12-8 TOC-40 TOC-56 TOC-57 TOC-68",
)
def headers_that_are_missing_or_wrong_are_malformed(scene):
    alice = scene.im("alice", listen=True)
    good = {"Sender": alice.url, "Inbox": alice.url}
    wrong_urls = (
        "", "im:", "im:@home.example", "im:a@", "im:a@home.example.", "im:a@-b.example", "im:a@b..example",
        "im:.a@b", "im:a.@b", "im:a..b@b", "im:a b@b", 'im:"a@b', 'im:a"b"@b', 'im:"a"b"@b', "im:a@[127.0.0.1]",
        "im:a@b_c.example", "im:a(comment)@b", "im:a@b, im:c@b", "im:\u00e9@home.example", "im:a@\u00e9.example",
        "im:a@" + "x" * 64 + ".example", "im:a@" + ".".join(["x" * 60] * 5), "im:" + "a" * 1100 + "@b.example",
    )
    for header in ("Sender", "Inbox"):
        for value in (None, *wrong_urls):
            equal(alice.link.call("send", "x", **{**good, header: value}).error, "malformed", f"{header}: {value}")
    for header in ("Orig_Sender", "Orig_Inbox"):
        equal(alice.link.call("send", "x", **good, **{header: "im:a b"}).error, "malformed", header)
    equal(alice.link.call("send", None, **good).error, "malformed", "no payload (IMTP-16.2-9)")
    equal(alice.link.call("send", "x", Visited="a..b", **good).error, "malformed", "Visited")
    equal(alice.link.call("listen").error, "malformed", "no Inbox")
    equal(alice.link.call("listen", **{"inbox": alice.url}).error, "malformed", "a header of another case")
    equal(alice.link.call("listen", "x", Inbox=alice.url).error, "malformed", "a payload (COMMON-10-13, TOC-37)")
    equal(alice.link.call("send", "x", Content_Type="not a type", **good).error, "malformed", "Content-Type")
    identity = "folded"
    pending = alice.link.await_reply("send", identity)
    broken = alice.url.encode().replace(b"@", b"\r\n @")
    alice.link.raw(b">folded send\r\nSender: " + broken + b"\r\nInbox: im:a@b\r\nContent-Length: 0\r\n\r\n")
    equal(pending.reply().error, "malformed", "a fold within a URL (COMMON-10-12)")
    alice.nothing("send")


@check("COMMON-10-23 COMMON-10-24 COMMON-10-25 TOC-42")
def of_a_repeated_header_the_first_counts(scene):
    alice, bob = scene.im("alice", listen=True), scene.im("bob", listen=True)
    alice.link.accepted(
        "send", "first", Sender=[alice.url, bob.url], Inbox=[bob.url, alice.url], Content_Type=["text/x-a", "text/x-b"]
    )
    message = bob.expect("send", "first")
    equal(message.all("Sender"), [alice.url, bob.url])
    equal(message.all("Inbox"), [bob.url, alice.url])
    equal(message.all("Content-Type"), ["text/x-a", "text/x-b"])
    alice.nothing("send")
    bob.link.faults.clear()  # it is a relay's duty to forward all of them; our reader notes that they are too many


@check("COMMON-10-10 TOC-30")
def a_content_length_that_lies(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True)
    octets = wire.command("1", "send", "hello", Sender=alice.url, Inbox=bob.url)
    alice.link.await_reply("send", "1")
    alice.link.raw(octets.replace(b"Content-Length: 5", b"Content-Length: 2") + b"\r\n")
    closes(alice.link, "a length that is too short")
    equal(bob.expect("send").payload, b"he")
    alice = scene.im("alice")
    hidden = b">8 listen\r\nInbox: " + alice.url.encode() + b"\r\n\r\n"
    pending = alice.link.await_reply("send", "1")
    alice.link.raw(octets.replace(b"Content-Length: 5", b"Content-Length: %d" % (5 + len(hidden))))
    alice.link.raw(hidden)
    pending.accepted()
    equal(bob.expect("send").payload, b"hello" + hidden)
    alice.fence()


@check("COMMON-12-13 TOC-32 TOC-33")
def a_payload_beyond_its_limit(scene):
    alice, ana = scene.im("alice", listen=True), scene.presence("alice")
    alice.send(alice.address, b"x" * 65_000)
    equal(len(alice.expect("send").payload), 65_000)
    refused("quota", alice.send, alice.address, b"x" * 400_000)
    alice.send(alice.address, "goes on")
    alice.expect("send", "goes on")
    ana.insert(1, ["presence:*"], "x = " + "y" * 65_000)
    refused("quota", ana.change, 1, "x = " + "y" * 100_000)
    equal(len(ana.fetch_for_update(1)), 65_004)
    equal(alice.link.call("no-such-method", b"x" * 400_000).error in ("resources", "unknown-method"), True)
    alice.fence()


@check("COMMON-10-19 TOC-35")
def an_id_that_is_used_too_early_closes(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    alice.message(bob.address, "first", identity="a1")
    bob.expect("send", "first")
    alice.link.request("listen", identity="A1", Inbox=alice.url).accepted()  # another id: octets are compared (2.5)
    alice.link.raw(wire.command("a1", "listen", Inbox=alice.url))
    closes(alice.link)


@check("COMMON-10-18")
def an_id_is_free_again_after_its_answer(scene):
    alice = scene.im("alice", listen=True)
    for number in range(3):
        alice.message(alice.address, str(number), identity="again").accepted()


@check("TOC-36")
def answers_to_nothing(scene):
    alice = scene.im("alice")
    for number in range(7):
        alice.link.raw(f"<none{number} ok (send)\r\n\r\n".encode())
    alice.fence()
    for number in range(20):
        alice.link.raw(f"<none{number} error (send)\r\nError-Type: quota\r\n\r\n".encode())
    closes(alice.link)


@check("TOC-36")
def an_answer_with_another_method_closes(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    pending = alice.message(bob.address, "hello")
    message = bob.expect("send")
    bob.link.raw(f"<{message.id} ok (listen)\r\n\r\n".encode())
    closes(bob.link)
    assert pending.reply().error in ("no-listeners", "communications"), pending.reply()


@check("TOC-12")
def what_was_asked_before_the_end_of_input_is_answered(scene):
    alice, bob = scene.im("alice"), scene.im("bob", listen=True, answer=silent)
    pending = alice.message(bob.address, "last words")
    alice.link.half_close()
    message = bob.expect("send")
    bob.link.raw(wire.ok(message, "heard"))
    equal(pending.accepted().text, "heard")
    closes(alice.link)


def spoilt(octets, random):
    """The octets with a few of them changed, lost, doubled, or swapped for what means something."""
    octets = bytearray(octets)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(octets))
        to = min(len(octets), at + random.randint(1, 12))
        choice = random.randrange(5)
        if choice == 0:
            octets[at] = random.randrange(256)
        elif choice == 1:
            del octets[at:to]
        elif choice == 2:
            octets[at:at] = octets[at:to]
        elif choice == 3:
            octets[at:to] = random.choice(MEANINGFUL)
        else:
            octets[at:at] = random.choice(MEANINGFUL)
        if not octets:
            octets += b"\r\n"
    return bytes(octets)


MEANINGFUL = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"=nop\r\n", b"=mech X\r\n", b">", b"<", b"@", b"/", b"*",
    b"\0", b"\xff", b'"', b"\\", b"{", b"0", b"99999999999", b"Content-Length: 3\r\n", b"Abort:\r\n", b"presence:",
    b"<1 ok (send)\r\n\r\n", b"Astrength: none\r\n", b"Content-Type: a/b\r\n", b"im:*@*.home.example",
)


@check("COMMON-7-1 COMMON-12-1 COMMON-12-8 TOC-31 TOC-39")
def spoilt_commands_break_nothing(scene):
    """Whatever comes, all that the server writes is well-formed, and nobody else notices."""
    alice, bob = scene.im("alice", listen=True), scene.im("bob", listen=True)
    presence = alice.url.replace("im:", "presence:")
    document = b"contact = im:a@b { status = open }\r\n"
    where = {"Presentity": presence, "Mapping": 1}
    commands = {
        "imtp": [
            wire.command("s", "send", "hello", Sender=alice.url, Inbox=alice.url, X_Mood=b"a\r\n b"),
            wire.command("l", "listen", Inbox=alice.url, Only=["im:*", "*"], Except=["im:*@spam.example"]),
            wire.command("a", "auth", "\0a\0b", Mechanism="PLAIN"),
        ],
        "pitp": [
            wire.command("i", "insert-mapping", document, Wpattern=["presence:*"], **where),
            wire.command("c", "change", document, **where), wire.command("d", "delete-mapping", **where),
            wire.command("f", "fetch-for-update", **where), wire.command("g", "get-class", **where),
            wire.command("u", "subscribe", Subscription=f"/{presence}", Presentity=presence),
            wire.command("w", "start-wi", Presentity=presence),
            wire.command("t", "terminate", Presentity=presence, Subscription=f"x/{presence}"),
        ],
    }
    random = Random(20261121)
    for protocol, enter in (("imtp", scene.im), ("pitp", scene.presence)):
        link = None
        for _ in range(300):
            if link is None or link.is_closed:
                link = scene.keep(enter("alice").link if random.random() < 0.7 else scene.greeted(protocol), False)
                link.inbox.forget()
            link.raw(b"".join(spoilt(random.choice(commands[protocol]), random) for _ in range(3)))
        for link in scene.links():
            wrong = [fault for fault in link.faults if "an answer to nothing" not in fault]
            equal(wrong, [], "what the server writes")
    alice.link.inbox.forget()
    bob.send(bob.address, "still here")
    bob.expect("send", "still here")


@check("COMMON-7-2 TOC-36 TOC-48")
def spoilt_answers_break_nothing(scene):
    """A sender gets a well-formed answer, whatever his recipient's client says before it leaves."""
    alice, address = scene.im("alice"), scene.person("bob")
    random = Random(20261122)
    for number in range(100):
        bob = scene.im(address, listen=True, answer=silent)
        pending = alice.message(address, str(number))
        message = bob.expect("send", str(number))
        good = random.choice((
            wire.ok(message), wire.ok(message, "away", Unreliable="x.example", Content_Type="text/plain"),
            wire.error(message, "resources", "no room", Error_Originator="x.example", Astrength="weak"),
        ))
        bob.link.raw(spoilt(good, random))
        bob.link.half_close()
        pending.reply()
        bob.close()
        bob.link.faults.clear()
    alice.fence()
    # What these two say is passed on as it came (IMTP-16.2-12, TOC-60).
    alice.link.faults = [
        fault for fault in alice.link.faults if ": Unreliable:" not in fault and ": Error-Originator:" not in fault
    ]
