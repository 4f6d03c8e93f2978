"""Checks of presence and subscriptions (part 7 of the catalogue)."""

import time

from simp_client import error, okay
from stage import check, equal, refused

DAY = 24 * 3600 * 1000


@check("SIMP-3.7-4 SIMP-5.2-1 SIMP-5.2-3 SIMP-5.2-4 SIMP-5.2-5 SIMP-5.2-6 SIMP-4.2.1.4-1",
       "SIMP-2.1-5 OC-50")
def fetch_describes_a_user(scene):
    alice, bob = scene.enter("alice"), scene.person("bob")
    away = alice.fetch(bob.ima)
    equal((away["status"], away["regarding"], away["message"]), ("offline", bob.ima, ""))
    assert "online" not in away, "a date of connecting for one who is offline"
    before = time.time() * 1000 - 1000
    session = scene.enter("bob")
    session.set_profile({"message": "in the <lab> & busy\n"})
    here = alice.fetch(bob.ima)
    equal((here["status"], here["message"]), ("online", "in the <lab> & busy\n"))
    assert before <= int(here["online"]) <= time.time() * 1000 + 1000, f"online since {here['online']}"
    session.connection.close()
    while (away := alice.fetch(bob.ima))["status"] == "online":
        pass
    equal(away["message"], "in the <lab> & busy\n", "the description of one who is offline")
    assert "online" not in away


@check("SIMP-5.2-7 SIMP-5.3-8")
def presence_of_nobody_is_an_error(scene):
    alice = scene.enter("alice")
    refused(alice.fetch, f"nobody@{scene.house.domain}")
    refused(alice.subscribe, f"nobody@{scene.house.domain}")


@check("SIMP-5.3-1 SIMP-5.3-3 SIMP-5.3-5 SIMP-5.3-6 SIMP-5.3-7 SIMP-6-1 SIMP-6-2",
       "SIMP-6.1-1 SIMP-6.1-3 SIMP-6.3-1 SIMP-6.3-2")
def subscribers_are_told_of_changes(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    bystander = scene.enter("carol")
    described = bob.subscribe(alice.ima, 600_000)
    equal((described["regarding"], described["status"], described["duration"]), (alice.ima, "online", "600000"))
    equal(alice.expect("note subscription")["subscriber"], bob.ima)
    alice.set_profile({"message": "back soon"})
    change = bob.expect("note change")
    notifier = f"notifier@{scene.house.domain}"
    wanted = {"to": bob.ima, "from": notifier, "regarding": alice.ima, "status": "online", "message": "back soon"}
    equal({key: change.get(key) for key in wanted}, wanted)
    equal(change.get("online"), described.get("online"), "the date of connecting")
    bystander.nothing("note change")
    alice.nothing("note change")


@check("SIMP-6.1-3 SIMP-15-2 OC-51")
def without_a_change_nothing_is_sent(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    alice.set_profile({"message": "same"})
    bob.subscribe(alice.ima)
    alice.set_profile({"message": "same", "other": "key"})
    alice.send(bob.ima, "after that")
    bob.expect("send")
    bob.nothing("note change")


@check("SIMP-5.3-4 SIMP-5.3-6 SIMP-4.2.1.3-1 OC-40 OC-21")
def durations_are_granted_within_bounds(scene):
    alice, bob = scene.person("alice"), scene.enter("bob")
    granted = {
        "-1": DAY, "-9223372036854775808": DAY, str(10 * DAY): DAY, "9223372036854775807": DAY, "0060000": 60_000,
    }
    for asked, given in granted.items():
        described = bob.subscribe(alice.ima, asked)
        equal(described["duration"], str(given), f"duration for {asked}")
    for wrong in ("0", "+5000", " 5000", "5000.0", "", "soon", "9223372036854775808", "1e6", "\u0663\u0663\u0663"):
        refused(bob.subscribe, alice.ima, wrong)


@check("SIMP-5.4-1 SIMP-5.4-3 SIMP-5.4-4 SIMP-6.4-1 SIMP-6.4-2 OC-42")
def only_the_right_opaque_ends_a_subscription(scene):
    alice, bob, carol = scene.enter("alice"), scene.enter("bob"), scene.enter("carol")
    opaque = bob.subscribe(alice.ima)["opaque"]
    others = carol.subscribe(alice.ima)["opaque"]
    assert opaque != others and len(opaque) >= 22, f"an opaque that can be guessed: {opaque}"
    for wrong in ("", "wrong", others, opaque[:-1], f"{opaque} "):
        refused(bob.unsubscribe, alice.ima, wrong)
    refused(carol.unsubscribe, alice.ima, opaque)
    alice.nothing("note subscription lapse")
    bob.unsubscribe(alice.ima, opaque)
    equal(alice.expect("note subscription lapse")["subscriber"], bob.ima)
    refused(bob.unsubscribe, alice.ima, opaque)
    alice.set_profile({"message": "who is still there?"})
    carol.expect("note change", message="who is still there?")
    bob.nothing("note change")


@check("SIMP-6.4-2 SIMP-5.3-6")
def a_subscription_ends_with_its_time(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    described = bob.subscribe(alice.ima, 1500)
    equal(alice.expect("note subscription lapse")["subscriber"], bob.ima)
    alice.set_profile({"message": "unwatched"})
    refused(bob.unsubscribe, alice.ima, described["opaque"])
    bob.nothing()


@check("OC-41")
def each_subscription_of_a_pair_stands_alone(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    opaques = [bob.subscribe(alice.ima)["opaque"] for _ in range(8)]
    equal(len(set(opaques)), 8, "different opaques")
    refused(bob.subscribe, alice.ima)
    alice.fence()
    equal(len(alice.connection.inbox.seen("note subscription")), 1, "announcements of one subscriber")
    alice.set_profile({"message": "once"})
    bob.expect("note change", message="once")
    for opaque in opaques[:-1]:
        bob.unsubscribe(alice.ima, opaque)
    alice.nothing("note subscription lapse")
    bob.nothing("note change")
    bob.unsubscribe(alice.ima, opaques[-1])
    alice.expect("note subscription lapse")


@check("SIMP-6.3-3 SIMP-5-3 OC-52 OC-47")
def subscribers_are_listed_at_connect(scene):
    alice, watchers = scene.person("alice"), [scene.enter(name) for name in ("bob", "carol", "dave")]
    for watcher in watchers:
        watcher.subscribe(alice.ima)
        watcher.subscribe(alice.ima)
    first = scene.enter("alice")
    first.fence()
    listed = [command["subscriber"] for command in first.connection.inbox.seen("note subscription")]
    equal(sorted(listed), sorted(watcher.ima for watcher in watchers), "the list at connect")
    equal(first.connection.inbox.seen()[0]["action"], "note subscription", "what comes first after self")
    for watcher in watchers:
        change = watcher.expect("note change")
        equal((change["status"], change["regarding"]), ("online", alice.ima))
        assert "online" in change, "no date of connecting"
    first.connection.inbox.forget()
    second = scene.enter("alice")
    second.fence()
    equal(len(second.connection.inbox.seen("note subscription")), 3, "the list for a second N")
    first.nothing("note subscription")
    scene.enter("erin").subscribe(alice.ima)
    for device in (first, second):
        device.expect("note subscription", subscriber=scene.person("erin").ima)


@check("SIMP-10.1-1 SIMP-10.1-2 SIMP-6.2-1 SIMP-6.2-2 SIMP-6.2-4 OC-45 OC-55")
def the_owner_drops_a_subscriber(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    opaques = [bob.subscribe(alice.ima)["opaque"] for _ in range(2)]
    alice.set_profile({"message": "go away"})
    bob.expect("note change")
    alice.drop_subscription(bob.ima)
    end = bob.expect("note subscription end")
    wanted = {"to": bob.ima, "from": f"notifier@{scene.house.domain}", "regarding": alice.ima}
    equal({key: end.get(key) for key in wanted}, wanted)
    equal((end["status"], end["message"]), ("online", "go away"), "the last state")
    equal(alice.expect("note subscription lapse")["subscriber"], bob.ima)
    for opaque in opaques:
        refused(bob.unsubscribe, alice.ima, opaque)
    refused(alice.drop_subscription, bob.ima)
    refused(alice.drop_subscription, "stranger@elsewhere.example")
    refused(alice.drop_subscription, "not an address")
    alice.set_profile({"message": "gone"})
    bob.nothing("note change")


@check("SIMP-6.1-5 SIMP-6.1-7 OC-43 OC-44")
def one_who_refuses_a_change_is_dropped(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    bob.connection.answer = lambda command: error("leave me alone")
    opaque = bob.subscribe(alice.ima)["opaque"]
    alice.set_profile({"message": "one"})
    bob.expect("note change")
    equal(alice.expect("note subscription lapse")["subscriber"], bob.ima)
    bob.connection.answer = lambda command: okay()
    refused(bob.unsubscribe, alice.ima, opaque)
    alice.set_profile({"message": "two"})
    bob.nothing()


@check("SIMP-6.1-4 SIMP-6.2-5 SIMP-3.8-4")
def notifications_pass_the_subscribers_acl(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    notifier = f"notifier@{scene.house.domain}"
    bob.set_acl({notifier: "end"})
    bob.subscribe(alice.ima)
    alice.set_profile({"message": "not for bob"})
    alice.expect("note subscription lapse", subscriber=bob.ima)
    bob.nothing("note change")
    bob.set_acl({notifier: "change"})
    bob.subscribe(alice.ima)
    alice.set_profile({"message": "for bob"})
    bob.expect("note change", message="for bob")
    alice.drop_subscription(bob.ima)
    alice.expect("note subscription lapse", subscriber=bob.ima)
    bob.nothing("note subscription end")


@check("OC-47")
def a_user_is_online_while_one_device_is(scene):
    bob = scene.enter("bob")
    first = scene.enter("alice")
    since = bob.subscribe(first.ima)["online"]
    second = scene.enter("alice")
    equal(bob.fetch(first.ima)["online"], since, "the start of the present period")
    first.connection.close()
    second.fence()
    equal(bob.fetch(first.ima)["status"], "online")
    bob.nothing("note change")
    second.connection.close()
    bob.expect("note change", status="offline")


@check("OC-47 SIMP-6.1-3")
def notifications_go_to_every_n_of_the_subscriber(scene):
    alice = scene.enter("alice")
    devices = [scene.enter("bob") for _ in range(2)]
    devices[0].subscribe(alice.ima)
    alice.set_profile({"message": "to both"})
    for device in devices:
        device.expect("note change", message="to both")


@check("SIMP-5.3-3 SIMP-6.1-3")
def subscriptions_to_a_user_outlive_his_session(scene):
    bob, alice = scene.enter("bob"), scene.enter("alice")
    bob.subscribe(alice.ima)
    for _ in range(2):
        alice.connection.close()
        bob.expect("note change", status="offline")
        alice = scene.enter("alice")
        bob.expect("note change", status="online")
        equal(alice.expect("note subscription")["subscriber"], bob.ima)


@check("OC-43 SIMP-6.1-3")
def fast_changes_merge_and_the_last_one_arrives(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob", answer=lambda command: None)
    bob.subscribe(alice.ima)
    alice.set_profile({"message": "0"})
    first = bob.expect("note change", message="0")
    for number in range(1, 20):
        alice.set_profile({"message": str(number)})
    bob.nothing("note change")
    bob.connection.answer = lambda command: okay()
    first.respond(okay())
    bob.expect("note change", message="19")
