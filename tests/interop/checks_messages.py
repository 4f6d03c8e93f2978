"""Checks of messages and of requests in general (SIMP-3.6, SIMP-5.1, SIMP-5.5)."""

from house import until
from simp_client import error, okay, silent
from stage import check, equal, refused

# A body that a careless relay would change: markup, quotes, white space, other planes, combining marks.
AWKWARD = (
    "  <b>1 & 2</b> ]]> \"double\" 'single' &amp; &#65;\n\tsecond line\r\nthird\rfourth\n\n"
    "z\u00fcrich \u65e5\u672c\u8a9e \u0627\u0644\u0639 \U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301"
    " \u0085 \u2028 \ufffd  "
)


@check("SIMP-1-1 SIMP-15-4 SIMP-4.2.2-3 SIMP-5.1-3 SIMP-5.1-6 SIMP-1-2 SIMP-2.1-2 SIMP-2.1-3 SIMP-5-3 OC-58")
def a_message_reaches_one_who_is_online(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    bob.connection.answer = lambda command: okay("read by bob")
    reply = alice.send(bob.ima, "Lunch?")
    equal(reply["message"], "read by bob", "the client's own text")
    message = bob.expect("send")
    wanted = {"to": bob.ima, "from": alice.ima, "type": "text/plain", "body": "Lunch?"}
    equal({key: message.get(key) for key in wanted}, wanted)


@check("SIMP-5.1-6 OC-58")
def the_recipients_refusal_is_carried_back(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    bob.connection.answer = lambda command: error("not now")
    reply = refused(alice.send, bob.ima, "Lunch?")
    equal(reply["message"], "not now")
    bob.expect("send")


@check("SIMP-1-3 SIMP-1-4 SIMP-1-5 SIMP-2.1-5")
def a_message_to_one_who_is_away_is_refused_and_dropped(scene):
    alice, bob = scene.enter("alice"), scene.person("bob")
    refused(alice.send, bob.ima, "are you there?")
    scene.enter("bob").nothing("send")
    refused(alice.send, f"nobody-of-that-name@{scene.house.domain}", "anybody?")


@check("SIMP-1-4 SIMP-1-5 OC-72")
def a_recipient_who_leaves_without_an_answer_is_a_failure(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    pending = alice.message(bob.ima, "quick")
    bob.expect("send")
    bob.connection.abort()
    equal(pending.reply()["action"], "error")


@check("SIMP-5.1-3 SIMP-3.2-6 SIMP-4.2.1.1-1 SIMP-3.5-6")
def bodies_arrive_unchanged(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    for body in (AWKWARD, "", " ", "\n", "\r\n", "\t", "<", "]]>", "\U0001f600" * 1000, "x" * 60_000, "&" * 9000):
        alice.send(bob.ima, body)
        equal(bob.expect("send")["body"], body)


@check("SIMP-5.1-4 OC-66")
def types_arrive_unchanged(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    for kind in ("text/plain; charset=utf-8", "Text/HTML", "application/vnd.x+xml", 'text/x;a="b; c"'):
        alice.send(bob.ima, "body", type=kind)
        equal(bob.expect("send")["type"], kind)


@check("SIMP-5.1-1 SIMP-5.1-5 OC-02")
def reply_to_is_free_and_carried(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    alice.send(bob.ima, "body", reply_to="team@elsewhere.example")
    equal(bob.expect("send")["reply to"], "team@elsewhere.example")
    refused(alice.send, bob.ima, "body", reply_to="not an address")


@check("OC-64 SIMP-4.2.2-4")
def extra_keys_are_carried(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    extra = {"subject": "R&D", "X Mixed": "", "\u00e9t\u00e9 <\"'>": "a\nb", "status": "anything at all"}
    alice.send(bob.ima, "body", **extra)
    message = bob.expect("send")
    equal({key: message.get(key) for key in extra}, extra)


@check("SIMP-4.2.2-1 SIMP-4.2.2-2 SIMP-4.2.1.2-1 SIMP-4.2.1.2-2 SIMP-4.2.1.7-1 SIMP-4.3-1 OC-25")
def ill_formed_messages_are_refused(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    good = {"action": "send", "to": bob.ima, "from": alice.ima, "type": "text/plain", "body": "body"}
    for key in ("to", "from", "type", "body"):
        command = {name: value for name, value in good.items() if name != key}
        equal(alice.connection.request(command).reply()["action"], "error", f"no {key}")
    alice.connection.close()
    for key, value in (
        ("to", "bob"), ("to", f"a@{bob.ima}"), ("to", f" {bob.ima}"), ("to", "@x.example"), ("to", "bob@"),
        ("to", ""), ("from", "alice"), ("from", ""), ("type", "plain"), ("type", ""), ("type", "text/"),
        ("type", "/plain"),
    ):
        alice = scene.enter("alice")
        reply = alice.connection.request({**good, key: value}).reply()
        equal(reply["action"], "error", f"{key} = {value!r}")
        alice.fence()
        alice.connection.close()
    bob.nothing("send")


@check("OC-28 SIMP-4.2.2-2")
def mistyped_values_do_not_end_a_session(scene):
    alice = scene.enter("alice")
    for _ in range(25):
        refused(alice.send, "bob at home", "hello")
    alice.send(alice.ima, "still here")


@check("OC-02 SIMP-3.4-3")
def the_sender_is_who_logged_in(scene):
    alice, bob, carol = scene.enter("alice"), scene.enter("bob"), scene.person("carol")
    for forged in (carol.ima, bob.ima, f"notifier@{scene.house.domain}", "alice@elsewhere.example"):
        reply = alice.connection.call("send", to=bob.ima, from_=forged, type="text/plain", body="forged")
        equal(reply["action"], "error", forged)
        for action in ("fetch", "inquire"):
            reply = alice.connection.call(action, to=bob.ima, from_=forged)
            equal(reply["action"], "error", f"{action} from {forged}")
        equal(alice.connection.call("subscribe", to=bob.ima, from_=forged, duration="9000")["action"], "error")
    bob.nothing()


@check("SIMP-4.2.1.2-3 OC-10")
def the_notifier_is_no_user(scene):
    alice, notifier = scene.enter("alice"), f"notifier@{scene.house.domain}"
    refused(alice.send, notifier, "hello")
    refused(alice.fetch, notifier)
    refused(alice.subscribe, notifier)
    refused(alice.unsubscribe, notifier, "opaque")
    equal(alice.inquire(notifier)["action"], "okay")
    done = scene.house.command("user", "add", notifier, "--password-stdin", input="an account password\n")
    assert done.returncode != 0, "an account named notifier was made"


@check("SIMP-5.5-1 SIMP-5.5-2 SIMP-5.5-3 OC-67")
def inquire_tells_the_same_for_every_address(scene):
    alice, bob = scene.enter("alice"), scene.person("bob")
    texts = {alice.inquire(to)["message"] for to in (alice.ima, bob.ima, f"nobody@{scene.house.domain}")}
    equal(len(texts), 1, "texts")
    assert texts.pop().strip(), "an empty description"


@check("SIMP-3.6-2 SIMP-3.6-3 SIMP-3.6-4")
def replies_come_in_any_order(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    count = 50
    pending = [alice.message(bob.ima, str(number)) for number in range(count)]
    messages = [bob.expect("send", body=str(number)) for number in range(count)]
    for message in reversed(messages):
        message.respond(okay(f"reply to {message['body']}"))
    for number, one in enumerate(pending):
        equal(one.reply()["message"], f"reply to {number}")


@check("SIMP-3.6-3 OC-30")
def more_requests_than_may_wait_only_wait(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    count = 200
    pending = [alice.message(bob.ima, str(number)) for number in range(count)]
    for number in range(count):
        bob.expect("send", body=str(number)).respond(okay())
    for one in pending:
        equal(one.reply()["action"], "okay")


@check("SIMP-3.6-5 SIMP-3.6-7")
def ids_belong_to_one_stream_and_are_any_strings(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    odd = ("1", "-1", "0001", "", " a b ", "<&>'\"", "\u00e9\U0001f600", "x" * 64, "9" * 30)
    for sequence in odd:
        command = {"action": "send", "to": bob.ima, "from": alice.ima, "type": "text/plain", "body": sequence}
        pending = alice.connection.request(command, sequence)
        message = bob.expect("send")
        # The opposite direction uses the id that the server has just used, and is unrelated.
        inquiry = {"action": "inquire", "to": bob.ima, "from": bob.ima}
        equal(bob.connection.request(inquiry, message["request"]).reply()["action"], "okay")
        message.respond(okay(f"re {sequence}"))
        equal(pending.reply()["message"], f"re {sequence}")


@check("SIMP-3.6-6 OC-65")
def ids_may_be_used_again(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    command = {"action": "send", "to": bob.ima, "from": alice.ima, "type": "text/plain", "body": "same id"}
    for _ in range(3):
        pending = alice.connection.request(command, "7")
        bob.expect("send").respond(okay())
        pending.reply()
    twins = [alice.connection.request(command, "8") for _ in range(2)]
    for _ in twins:
        bob.expect("send").respond(okay())
    for twin in twins:
        equal(twin.reply()["action"], "okay")


@check("OC-61 SIMP-3.6-1")
def what_is_neither_request_nor_reply_is_ignored(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    send = {"action": "send", "to": bob.ima, "from": alice.ima, "type": "text/plain", "body": "no id"}
    alice.connection.post(send)
    alice.connection.post({"action": "okay", "message": "to nothing", "response": "99"})
    alice.connection.post({"action": "set profile", "message": "no id"})
    reply = alice.connection.request({**send, "response": "1"}).reply()
    equal(reply["action"], "error", "both request and response")
    equal(alice.get_profile().get("message", ""), "")
    bob.nothing()


@check("OC-61")
def a_reply_twice_counts_once(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=silent)
    pending = alice.message(bob.ima, "once")
    message = bob.expect("send")
    message.respond(okay("first"))
    message.respond(error("second"))
    equal(pending.reply()["message"], "first")
    bob.fence()
    alice.fence()


@check("OC-60 SIMP-11-1")
def unknown_requests_get_an_error(scene):
    alice = scene.enter("alice")
    for connection in (alice.connection, scene.routing().connection):
        for action in ("encapsulate", "Send", "SEND", "", "send ", "no such thing"):
            equal(connection.call(action, to="a@b.example", from_="c@d.example")["action"], "error", repr(action))
            connection.post({"action": action})
    alice.nothing()


@check("OC-38 SIMP-5.1-3")
def one_may_write_to_oneself(scene):
    alice = scene.enter("alice")
    alice.send(alice.ima, "note to self")
    equal(alice.expect("send")["from"], alice.ima)


@check("OC-09")
def our_own_users_are_compared_without_case(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    local, domain = bob.ima.split("@")
    alice.send(f"{local.upper()}@{domain.upper()}", "shouted")
    bob.expect("send", body="shouted")


@check("OC-47")
def a_message_goes_to_every_n_of_a_user(scene):
    alice = scene.enter("alice")
    devices = [scene.enter("bob", answer=silent) for _ in range(3)]
    pending = alice.message(devices[0].ima, "to all")
    messages = [device.expect("send", body="to all") for device in devices]
    messages[0].respond(error("not I"))
    assert not pending.settled(), "one error decided"
    messages[1].respond(okay("I"))
    equal(pending.reply()["message"], "I", "the first okay")
    messages[2].respond(okay("too late"))
    pending = alice.message(devices[0].ima, "again")
    for device in devices:
        device.expect("send", body="again").respond(error("no"))
    equal(pending.reply()["action"], "error", "when all refuse")


@check("OC-47")
def nine_devices_are_too_many(scene):
    for _ in range(8):
        scene.enter("alice")
    try:
        scene.enter("alice")
    except Exception as problem:  # any refusal will do
        assert "connect" in str(problem), problem
        return
    raise AssertionError("a ninth notification connection was let in")


@check("SIMP-1-3 SIMP-1-4")
def a_failure_that_nobody_was_told_of_is_reported_at_the_next_login(scene):
    alice, bob = scene.person("alice"), scene.enter("bob", answer=silent)
    for leave in ("reset", "abort"):
        sender = scene.enter("alice")
        for number in range(3):
            sender.message(bob.ima, f"{leave} {number}")
        messages = [bob.expect("send", body=f"{leave} {number}") for number in range(3)]
        getattr(sender.connection, leave)()
        until(lambda: bob.fetch(alice.ima)["status"] == "offline", "a logout")
        for message in messages:
            message.respond(error("never"))
        bob.fence()
        sender = scene.enter("alice")
        for _ in messages:
            report = sender.expect("send", from_=f"notifier@{scene.house.domain}")
            equal(report["to"], alice.ima)
            assert bob.ima in report["body"], f"a report that names nobody: {report}"
        sender.set_profile({"message": f"read after {leave}"})
        sender.nothing("send")
        sender.connection.close()
        sender = scene.enter("alice")
        sender.nothing("send")
        sender.connection.close()


@check("SIMP-1-3")
def messages_are_kept_for_those_who_asked_for_that(scene):
    alice, bob = scene.enter("alice"), scene.person("bob")
    scene.house.run("user", "set", bob.ima, "messages=keep")
    for number in range(20):
        alice.send(bob.ima, f"{number} {AWKWARD}", subject="kept")
    reader = scene.enter("bob")
    for number in range(20):
        message = reader.expect("send")
        equal((message["from"], message["body"]), (alice.ima, f"{number} {AWKWARD}"), "in order")
        equal(message.get("subject"), "kept", "extra keys")
    reader.set_profile({"message": "all read"})
    reader.connection.close()
    scene.enter("bob").nothing("send")
