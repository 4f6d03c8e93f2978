"""Checks of streams: what is well-formed, what is not, and what it costs (SIMP-3.5, OC-26 to OC-30)."""

import socket

from simp_client import PATIENCE
from simp_wire import HEADER, encode
from stage import check, closed_in_order, equal, refused

OPEN = b'<?xml version="1.0"?><stream>'
ENTRY = b'<properties><entry key="action">%s</entry></properties>'

# Streams that break a rule, each by one thing (OC-26, OC-27, SIMP-3.2-1, SIMP-3.2-4, SIMP-3.2-5, SIMP-3.5-2,
# SIMP-3.5-5, SIMP-3.5-6).
BROKEN = {
    "not XML": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "binary": bytes(range(1, 200)),
    "no declaration": b"<stream>",
    "space before the declaration": b' <?xml version="1.0"?><stream>',
    "XML 1.1": b'<?xml version="1.1"?><stream>',
    "Latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?><stream>',
    "declared as UTF-16": b'<?xml version="1.0" encoding="UTF-16"?><stream>',
    "in UTF-16": '<?xml version="1.0"?><stream>'.encode("utf-16"),
    "another root": b'<?xml version="1.0"?><streams>',
    "another case": b'<?xml version="1.0"?><Stream>',
    "a namespace": b'<?xml version="1.0"?><stream xmlns="urn:x">',
    "an attribute on stream": b'<?xml version="1.0"?><stream id="1">',
    "DOCTYPE": b'<?xml version="1.0"?><!DOCTYPE stream><stream>',
    "DOCTYPE with entities": b'<?xml version="1.0"?><!DOCTYPE stream [<!ENTITY a "aaaa">]><stream>',
    "an external entity": b'<?xml version="1.0"?><!DOCTYPE stream SYSTEM "file:///etc/passwd"><stream>',
    "a second declaration": OPEN + b'<?xml version="1.0"?>',
    "text in stream": OPEN + b"hello",
    "text in properties": OPEN + b"<properties>hello</properties>",
    "CDATA in stream": OPEN + b"<![CDATA[hello]]>",
    "an unknown element": OPEN + b"<message/>",
    "an unknown element in properties": OPEN + b"<properties><item/></properties>",
    "an element in entry": OPEN + b'<properties><entry key="action"><b>x</b></entry></properties>',
    "properties in properties": OPEN + b"<properties><properties/></properties>",
    "an entry in stream": OPEN + b'<entry key="action">login</entry>',
    "an attribute on properties": OPEN + b'<properties id="1"></properties>',
    "an entry without key": OPEN + b"<properties><entry>x</entry></properties>",
    "another attribute on entry": OPEN + b'<properties><entry key="action" lang="en">x</entry></properties>',
    "the attribute twice": OPEN + b'<properties><entry key="a" key="b">x</entry></properties>',
    "an attribute without quotes": OPEN + b"<properties><entry key=action>x</entry></properties>",
    "a raw < in a key": OPEN + b'<properties><entry key="a<b">x</entry></properties>',
    "a wrong end": OPEN + b"<properties></stream>",
    "crossed ends": OPEN + b'<properties><entry key="action">x</properties></entry>',
    "an unknown entity": OPEN + ENTRY % b"&nbsp;",
    "a bare ampersand": OPEN + ENTRY % b"R&D",
    "a forbidden reference": OPEN + ENTRY % b"&#0;",
    "a surrogate reference": OPEN + ENTRY % b"&#xD800;",
    "a reference beyond Unicode": OPEN + ENTRY % b"&#x110000;",
    "a noncharacter reference": OPEN + ENTRY % b"&#xFFFE;",
    "a control character": OPEN + ENTRY % b"\x01",
    "a NUL": OPEN + ENTRY % b"\0",
    "]]> in text": OPEN + ENTRY % b"]]>",
    "a stray octet": OPEN + ENTRY % b"\xff",
    "an overlong form": OPEN + ENTRY % b"\xc0\xaf",
    "a surrogate in UTF-8": OPEN + ENTRY % b"\xed\xa0\x80",
    "a cut character": OPEN + ENTRY % b"\xe2\x82",
    "-- in a comment": OPEN + b"<!-- a -- b -->",
    "a stream in the stream": OPEN + OPEN[21:],
    "deep nesting": OPEN + b"<a>" * 100_000,
}


@check("SIMP-3.2-1 SIMP-3.2-4 SIMP-3.2-5 SIMP-3.5-2 SIMP-3.5-5 SIMP-3.5-6 OC-26 OC-27")
def a_broken_stream_closes_only_its_own_connection(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    for name, octets in BROKEN.items():
        connections = [
            scene.connection(place, header=octets) for place in (scene.house.routing, scene.house.notification)
        ]
        for connection in connections:
            try:
                closed_in_order(connection)
            except (AssertionError, TimeoutError) as problem:
                raise AssertionError(f"{name}: {problem}") from problem
            equal(connection.received.rstrip(), HEADER + b"</stream>", f"what answers {name}")
        alice.send(bob.ima, name)
        equal(bob.expect("send")["body"], name)


@check("OC-26 OC-27 SIMP-3.5-5")
def a_session_that_breaks_its_stream_is_logged_out(scene):
    bob = scene.enter("bob")
    for octets in (b"<message/>", b"&", b"</properties>", b"\xff", b"<!DOCTYPE a>", b"<properties a='b'/>"):
        alice = scene.enter("alice")
        bob.subscribe(alice.ima)
        alice.connection.raw(octets + b"<properties/>")
        closed_in_order(alice.connection)
        bob.expect("note change", status="offline", regarding=alice.ima)


@check("SIMP-3.5-2 OC-27")
def the_server_opens_its_stream_at_once(scene):
    for place in (scene.house.routing, scene.house.notification):
        with socket.create_connection(place, timeout=PATIENCE) as sock:
            got = b""
            while len(got) < len(HEADER):
                data = sock.recv(100)
                assert data, "closed"
                got += data
            equal(got, HEADER)


def logged_in_over(scene, header):
    """Does a routing connection with such a header serve a login?"""
    connection = scene.connection(header=header)
    login = {"action": "login", "user": scene.person("alice").user}
    equal(connection.request(login).reply()["action"], "challenge", repr(header))


@check("OC-27 SIMP-3.2-7 SIMP-3.5-2")
def other_forms_of_the_header_are_accepted(scene):
    forms = (
        b"<?xml version='1.0'?>\n<stream>", b'<?xml version="1.0" encoding="UTF-8"?><stream>',
        b"<?xml version='1.0' encoding='utf-8'?>\r\n\r\n<stream >", b'\xef\xbb\xbf<?xml version="1.0"?><stream>',
        b'<?xml version="1.0" standalone="yes"?><stream\n>',
        b'<?xml version="1.0" encoding="utf-8" standalone="no" ?><stream>',
        b'<?xml version="1.0"?><!-- a comment --><?target and data?><stream><!-- another -->',
    )
    for header in forms:
        logged_in_over(scene, header)


@check("OC-26 SIMP-3.2-7 SIMP-3.5-5 SIMP-3.2-3")
def every_way_to_write_the_same_command_is_read(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    to, sender = bob.ima.encode(), alice.ima.encode()
    octets = (
        b"\n <!-- x --> <properties\n>\t<entry key='body'><![CDATA[<b>&amp;]]>&#x41;&#66;&lt;&gt;&amp;&apos;&quot;a"
        b"<!-- no -->b<?no no?>c</entry >\n<entry key='type'>text/plain</entry>"
        b"<entry\nkey = \"&#116;o\">" + to + b"</entry>"
        b"<entry key='empty'/><entry key='from'>" + sender + b"</entry><entry key='request'>odd</entry>"
        b"<entry key='action'>se<![CDATA[nd]]></entry></properties >"
    )
    pending = alice.connection.await_reply({"action": "send"}, "odd")
    alice.connection.raw(octets)
    equal(pending.reply()["action"], "okay")
    message = bob.expect("send")
    equal(message["body"], "<b>&amp;AB<>&'\"abc")
    equal(message["empty"], "")


@check("SIMP-3.5-1 SIMP-3.5-7")
def octets_may_come_one_at_a_time(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    body = "\u00e9 & \U0001f600"
    command = {"action": "send", "to": bob.ima, "from": alice.ima, "type": "text/plain", "body": body}
    pending = alice.connection.await_reply(command, "slow")
    for octet in encode({**command, "request": "slow"}):
        alice.connection.raw(bytes([octet]))
    equal(bob.expect("send")["body"], body)
    equal(pending.reply()["action"], "okay")


@check("SIMP-3.5-3 SIMP-3.5-4 OC-29")
def an_empty_stream_is_ended(scene):
    for header in (b'<?xml version="1.0"?><stream/>', b'<?xml version="1.0"?><stream></stream>'):
        connection = scene.connection(header=header)
        closed_in_order(connection)
        equal(connection.received.rstrip(), HEADER + b"</stream>")


@check("OC-29")
def requests_before_the_end_of_the_stream_are_answered(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=lambda command: None)
    pending = alice.message(bob.ima, "last words")
    message = bob.expect("send")
    alice.connection.end()
    message.respond({"action": "okay", "message": "heard"})
    equal(pending.reply()["message"], "heard")
    closed_in_order(alice.connection)


@check("OC-28 SIMP-3.2-2 SIMP-3.3-1")
def malformed_objects_are_answered_and_counted(scene):
    alice = scene.enter("alice")
    twice = [("action", "get acl"), ("x", "1"), ("x", "2")]
    nameless = [("message", "no action")]
    for entries in (twice, nameless, twice, nameless):
        equal(alice.connection.request(entries).reply()["action"], "error", str(entries))
    alice.connection.post(twice)
    alice.connection.post([("request", "1"), ("request", "2"), ("action", "get acl")])
    alice.fence()
    for _ in range(4):
        alice.connection.post(nameless)
    alice.connection.wait_closed()


@check("OC-30")
def values_over_their_limits_are_refused(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    refused(alice.send, bob.ima, "x" * 65_537)
    refused(alice.send, bob.ima, "x", **{"k" * 513: "v"})
    command = {"action": "inquire", "to": bob.ima, "from": alice.ima}
    equal(alice.connection.request(command, "i" * 64).reply()["action"], "okay")
    refused(alice.send, bob.ima, "x", **{f"k{number}": "" for number in range(1025)})
    bob.nothing()


@check("OC-30")
def commands_over_the_limit_close(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    unproven = scene.connection(scene.house.notification)
    unproven.request({"action": "connect", "opaque": "x" * 9000})
    unproven.wait_closed()
    endless = scene.connection(scene.house.notification)
    endless.raw(b"<properties><entry key='action'>")
    while not endless.is_closed:
        endless.raw(b"x" * 4096)
    for filler in (b"x" * 150_000, b"<!--" + b"x" * 150_000, b" " * 150_000):
        carol = scene.enter("carol")
        carol.connection.raw(b"<properties><entry key='action'>" + filler)
        carol.connection.wait_closed()
    alice.send(bob.ima, "undisturbed")


@check("OC-69 OC-17 SIMP-2.1-4")
def a_silent_connection_is_closed(scene):
    silent = [scene.connection(place, header=b"") for place in (scene.house.routing, scene.house.notification)]
    nameless = scene.connection(scene.house.notification)
    for connection in silent:
        connection.wait_closed()
    nameless.wait_closed()


@check("OC-59 SIMP-1-4")
def a_recipient_who_never_answers_is_a_failure(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=lambda command: None)
    pending = alice.message(bob.ima, "hello?")
    late = bob.expect("send")
    equal(pending.reply()["action"], "error")
    late.respond({"action": "okay", "message": "too late"})
    alice.fence()


@check("OC-53 OC-59")
def a_reader_who_never_reads_is_cut_and_costs_nobody(scene):
    writers, bob = [scene.enter(f"writer{number}") for number in range(4)], scene.enter("bob")
    carol = scene.enter("carol", answer=lambda command: None)
    carol.connection.hold()
    pending = [writer.message(carol.ima, "x" * 60_000) for writer in writers for _ in range(60)]
    bob.send(bob.ima, "undisturbed")
    for one in pending:
        equal(one.reply()["action"], "error")
    equal(bob.fetch(carol.ima)["status"], "offline", "the one who does not read")
