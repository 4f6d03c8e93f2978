"""Checks of the profile, the buddy list and the access control list (part 6 of the catalogue)."""

from simp_wire import encode
from stage import check, equal, refused

OPERATIONS = "send fetch subscribe unsubscribe change end"


@check("SIMP-8.1-1 SIMP-8.2-1 SIMP-3.7-1 SIMP-3.7-2 SIMP-3.7-8 SIMP-15-3 SIMP-3.2-3")
def odd_profile_keys_come_back_unchanged(scene):
    alice = scene.enter("alice")
    profile = {
        "message": "  Alice, R&D\n", "a key": "", "": "empty key", "UPPER": "\u00e9\U0001f600", "<&>'\"": "]]>",
        "tab\tand\nline": "a\r\nb\tc", "to": "x", "from": "y", "body": "z", "opaque": "", "buddies ": "not it",
        "everybody": "send", "k" * 512: "v", "long": "x" * 30_000,
    }
    alice.set_profile(profile)
    equal(alice.get_profile(), profile)
    alice.connection.close()
    equal(scene.enter("alice").profile, profile, "the profile in the self of connect")
    equal(scene.enter("bob").get_profile().get("a key"), None, "somebody else's profile")


@check("OC-51 SIMP-8.2-1")
def set_profile_replaces_the_whole(scene):
    alice = scene.enter("alice")
    alice.set_profile({"message": "one", "mood": "good"})
    alice.set_profile({"hat": "red"})
    equal(alice.get_profile(), {"hat": "red"})
    alice.set_profile({})
    equal(alice.get_profile(), {})


@check("SIMP-3.7-3 SIMP-3.2-2 OC-28 OC-30")
def bad_profiles_are_refused_and_nothing_is_stored(scene):
    alice = scene.enter("alice")
    alice.set_profile({"message": "kept"})
    many = {f"key {number}": "x" * 7000 for number in range(10)}
    for profile in ({"response": "5"}, many, {"k" * 513: "v"}, {"message": "x" * 65_537}):
        refused(alice.set_profile, profile)
        equal(alice.get_profile(), {"message": "kept"})
    twice = [("action", "set profile"), ("message", "a"), ("message", "b")]
    equal(alice.connection.request(twice).reply()["action"], "error")
    equal(alice.get_profile(), {"message": "kept"})


def buddy_list(**groups):
    """The value of `buddies`."""
    return '<?xml version="1.0"?>\n' + encode(groups).decode()


@check("SIMP-15-1 SIMP-3.7-5 SIMP-3.7-6 SIMP-3.7-7 SIMP-3.7-9 OC-48")
def the_contact_place_watches_the_buddies(scene):
    alice, bob, carol = scene.enter("alice"), scene.enter("bob"), scene.person("carol")
    bob.set_profile({"message": "Bob's state"})
    buddies = buddy_list(Team=f"\n  {bob.ima}\t{carol.ima}  ", Friends=bob.ima)
    alice.set_profile({"buddies": buddies})
    state = alice.expect("note change", regarding=bob.ima)
    wanted = {"from": f"notifier@{scene.house.domain}", "status": "online", "message": "Bob's state"}
    equal({key: state.get(key) for key in wanted}, wanted)
    alice.expect("note change", regarding=carol.ima, status="offline")
    equal(bob.expect("note subscription")["subscriber"], alice.ima)
    bob.nothing("note subscription")
    scene.enter("carol").expect("note subscription", subscriber=alice.ima)
    alice.expect("note change", regarding=carol.ima, status="online")
    bob.set_profile({"message": "changed"})
    alice.expect("note change", regarding=bob.ima, message="changed")
    equal(alice.get_profile(), {"buddies": buddies}, "the list as it was set")


@check("SIMP-15-1 OC-48")
def buddies_are_watched_while_the_user_is_online(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    alice.set_profile({"buddies": buddy_list(Team=bob.ima)})
    bob.expect("note subscription")
    alice.connection.close()
    equal(bob.expect("note subscription lapse")["subscriber"], alice.ima)
    alice = scene.enter("alice")
    bob.expect("note subscription")
    alice.expect("note change", regarding=bob.ima, status="online")
    alice.set_profile({"buddies": buddy_list(Team="")})
    bob.expect("note subscription lapse")
    alice.set_profile({"buddies": buddy_list(Team=bob.ima)})
    bob.expect("note subscription")
    alice.set_profile({})
    bob.expect("note subscription lapse")


@check("OC-48 SIMP-5.3-2")
def a_buddy_who_refuses_yields_nothing(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    bob.set_acl({"everybody": "send"})
    alice.set_profile({"buddies": buddy_list(Team=f"{bob.ima} nobody@{scene.house.domain}")})
    alice.nothing("note change")
    bob.nothing("note subscription")


@check("OC-49 OC-26")
def ill_formed_buddy_lists_are_refused(scene):
    alice = scene.enter("alice")
    alice.set_profile({"message": "kept"})
    wrong = (
        "bob@example.net", "<properties>", "<buddies/>", "<properties><entry>a@b.example</entry></properties>",
        "<properties><entry key='x'>no address</entry></properties>", "<properties/><properties/>",
        "<!DOCTYPE properties><properties/>", "<properties><entry key='x'>&unknown;</entry></properties>",
        "<properties><entry key='x'>a@b.example</entry><entry key='x'>c@d.example</entry></properties>",
        "<stream><properties/></stream>", '<?xml version="1.1"?><properties/>',
    )
    for buddies in wrong:
        refused(alice.set_profile, {"buddies": buddies})
        equal(alice.get_profile(), {"message": "kept"}, buddies)
    for right in ("<properties/>", '<?xml version="1.0" encoding="UTF-8"?>\n\n<properties >\n</properties>\n'):
        alice.set_profile({"buddies": right})
        equal(alice.get_profile(), {"buddies": right})


@check("SIMP-9.1-1 SIMP-9.2-1 SIMP-3.8-5 SIMP-3.8-6 OC-35")
def the_acl_comes_back_as_it_was_set(scene):
    alice = scene.enter("alice")
    acl = {
        "bob@example.net": "send fetch\n\tsubscribe  unsubscribe ", "@spam.example": "",
        "everybody": "+send +fetch end", "notifier@example.net": "change end", "@partner.example": "+send send",
    }
    alice.set_acl(acl)
    equal(alice.get_acl(), acl)
    alice.connection.close()
    alice = scene.enter("alice")
    equal(alice.get_acl(), acl)
    alice.set_acl({"everybody": OPERATIONS})
    equal(alice.get_acl(), {"everybody": OPERATIONS}, "replaced as a whole")


@check("OC-35 SIMP-3.8-3")
def ill_formed_acls_are_refused(scene):
    alice = scene.enter("alice")
    before = alice.get_acl()
    wrong = (
        {"everybody": "read"}, {"everybody": "Send"}, {"everybody": "send, fetch"}, {"everybody": "++send"},
        {"everybody": "+"}, {"everybody": "send + fetch"}, {"Everybody": "send"}, {"bob": "send"}, {"@": "send"},
        {"": "send"}, {"a@b@c.example": "send"}, {"*@example.net": "nothing"}, {"everybody": "inquire"},
        {"bob@example.net": "send", "@spam.example": "everything"}, {"response": "send"},
    )
    for acl in wrong:
        refused(alice.set_acl, acl)
        equal(alice.get_acl(), before, str(acl))


@check("OC-30")
def more_acl_entries_than_allowed_are_refused(scene):
    alice = scene.enter("alice")
    before = alice.get_acl()
    refused(alice.set_acl, {f"u{number}@example.net": "send" for number in range(1025)})
    equal(alice.get_acl(), before)


def permitted(caller, to):
    """Which of the operations that a client can ask for are permitted to a caller."""
    asked = {
        "send": {"type": "text/plain", "body": "may I?"},
        "fetch": {},
        "subscribe": {"duration": "60000"},
    }
    done = {}
    for action, entries in asked.items():
        command = {"action": action, "to": to, "from": caller.ima, **entries}
        done[action] = caller.connection.request(command).reply()
    return {action for action, reply in done.items() if reply["action"] != "error"}


@check("SIMP-3.8-1 SIMP-3.8-2 SIMP-3.8-8 SIMP-3.8-9 SIMP-3.8-10 SIMP-3.8-11 SIMP-3.8-12 SIMP-3.8-13",
       "OC-31 OC-38 OC-39")
def the_acl_decides_between_local_accounts(scene):
    alice, bob, carol = scene.enter("alice"), scene.enter("bob"), scene.enter("carol")
    ours, everything = f"@{scene.house.domain}", {"send", "fetch", "subscribe"}
    cases = (
        # the list, what bob may do (he has an entry of his own in some), what carol may do
        ({}, everything, everything),
        ({bob.ima: "send"}, {"send"}, everything),
        ({bob.ima: ""}, set(), everything),
        ({bob.ima: "", ours: OPERATIONS}, set(), everything),
        ({bob.ima: OPERATIONS, ours: ""}, everything, set()),
        ({ours: "fetch", "everybody": OPERATIONS}, {"fetch"}, {"fetch"}),
        ({"everybody": "subscribe"}, {"subscribe"}, {"subscribe"}),
        ({f"@sub.{scene.house.domain}": "", "everybody": "send fetch"}, {"send", "fetch"}, {"send", "fetch"}),
        ({bob.ima: "+send fetch", "everybody": "+send +fetch +subscribe"}, {"fetch"}, set()),
        ({bob.ima: "+send send", ours: "send +send"}, set(), set()),
        ({bob.ima.upper(): "send", ours: "fetch"}, {"send"}, {"fetch"}),
    )
    for acl, for_bob, for_carol in cases:
        alice.set_acl(acl)
        equal(permitted(bob, alice.ima), for_bob, f"bob under {acl}")
        equal(permitted(carol, alice.ima), for_carol, f"carol under {acl}")
    alice.set_acl({"everybody": ""})
    refused(alice.send, alice.ima, "to myself")
    equal(alice.fetch(bob.ima)["status"], "online", "one's own list binds others only")


@check("SIMP-3.8-13 SIMP-1-4")
def a_refused_message_is_not_delivered(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    alice.set_acl({bob.ima: ""})
    refused(bob.send, alice.ima, "let me in")
    refused(bob.fetch, alice.ima)
    refused(bob.subscribe, alice.ima)
    bob.inquire(alice.ima)
    alice.nothing()


@check("SIMP-5.4-2")
def unsubscribe_passes_the_acl(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    opaque = bob.subscribe(alice.ima)["opaque"]
    alice.set_acl({bob.ima: "subscribe"})
    refused(bob.unsubscribe, alice.ima, opaque)
    alice.set_acl({bob.ima: "subscribe unsubscribe"})
    bob.unsubscribe(alice.ima, opaque)


@check("OC-37")
def a_new_acl_ends_the_subscriptions_that_it_refuses(scene):
    alice, bob, carol = scene.enter("alice"), scene.enter("bob"), scene.enter("carol")
    for watcher in (bob, carol):
        watcher.subscribe(alice.ima)
    alice.set_acl({bob.ima: "send", "everybody": OPERATIONS})
    bob.expect("note subscription end", regarding=alice.ima)
    alice.expect("note subscription lapse", subscriber=bob.ima)
    alice.set_profile({"message": "for carol"})
    carol.expect("note change", message="for carol")
    bob.nothing("note change")


@check("OC-36")
def a_new_account_trusts_its_own_domain(scene):
    alice, bob = scene.enter("alice"), scene.enter("bob")
    equal(permitted(bob, alice.ima), {"send", "fetch", "subscribe"}, "a user of the same domain")
    stranger = scene.from_peer(f"stranger{id(scene)}@example.net")
    equal(permitted(stranger, alice.ima), {"send"}, "somebody else")
    acl = alice.get_acl()
    equal(set(acl["everybody"].split()), {"send", "unsubscribe", "change", "end"}, "the entry for everybody")
    equal(set(acl[f"@{scene.house.domain}"].split()), set(OPERATIONS.split()), "the entry for the domain")
