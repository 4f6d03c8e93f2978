//! Who sees what of us: what the chat does to the list of mappings, as a plan without I/O.
//!
//! An account without a list shows what its server knows of it to its own domain: nothing needs doing. A list is
//! made when the user has a contact elsewhere, who is let in by it, says something of himself, or whom he lets
//! in; from then on it decides alone. The chat changes documents that it has made itself and no others, so that what another
//! program has put there stays.

use super::presence::{self, Mood};
use crate::client::transfer::Body;
use crate::hub::address::{Address, Domains};
use crate::hub::pattern::{Class, PRESENCE, Pattern};

/// A mapping as it is on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The patterns of its class.
    pub class: Vec<String>,
    /// What it shows, if anything.
    pub document: Option<Body>,
}

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// To be seen so, with these words.
    Show(Mood, String),
    /// That these see him: an address or a pattern.
    Allow(String),
    /// That these don't.
    Deny(String),
    /// He has a new contact: who watches is let in.
    Added(String),
    /// And one less.
    Removed(String),
}

/// One change of the list; numbers are from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A new mapping.
    Insert(u32, Vec<String>, Option<Body>),
    /// It shows something else.
    Change(u32, Body),
    /// It is for others.
    Classify(u32, Vec<String>),
    /// It goes.
    Delete(u32),
}

/// Whose list it is, and what the chat knows of him.
#[derive(Debug)]
pub struct Owner<'a> {
    /// Who.
    pub address: &'a Address,
    /// Whom he watches.
    pub contacts: &'a [String],
    /// How he is seen now.
    pub mood: Mood,
    /// What he says of himself.
    pub words: &'a str,
}

impl Owner<'_> {
    /// What is to be done for a wish, in order; nothing if it is so already.
    pub fn plan(&self, list: &[Mapping], wish: &Wish) -> Vec<Edit> {
        match wish {
            Wish::Show(mood, words) => self.show(list, *mood, words),
            Wish::Allow(who) => self.allow(list, who),
            Wish::Deny(who) => self.deny(list, who),
            Wish::Added(who) => self.added(list, who),
            Wish::Removed(who) => self.removed(list, who),
        }
    }

    fn show(&self, list: &[Mapping], mood: Mood, words: &str) -> Vec<Edit> {
        let document = presence::document(self.address, mood, words);
        let at_home = self.contacts.iter().all(|contact| self.is_at_home(contact));
        if list.is_empty() && mood == Mood::Here && words.is_empty() && at_home {
            // The server shows just that.
            return Vec::new();
        }
        if own(list).is_none() {
            return vec![Edit::Insert(list.len() as u32 + 1, self.everybody(None), Some(document))];
        }
        numbered(list)
            .filter(|(_, m)| is_own(m) && m.document.as_ref() != Some(&document))
            .map(|(at, _)| Edit::Change(at, document.clone()))
            .collect()
    }

    fn allow(&self, list: &[Mapping], who: &str) -> Vec<Edit> {
        let document = || Some(presence::document(self.address, self.mood, self.words));
        let who = &pattern(who);
        if list.is_empty() {
            return vec![Edit::Insert(1, self.everybody(Some(who)), document())];
        }
        let mut list = list.to_vec();
        let mut edits = Vec::new();
        // No longer named among those who see nothing; from the end, so that numbers stay right.
        for at in (0..list.len()).rev() {
            let Some(mapping) = list.get_mut(at).filter(|m| m.document.is_none()) else { continue };
            let left: Vec<String> = mapping.class.iter().filter(|p| !same(p, who)).cloned().collect();
            if left.len() == mapping.class.len() {
                continue;
            }
            let number = at as u32 + 1;
            if left.is_empty() {
                edits.push(Edit::Delete(number));
                list.remove(at);
            } else {
                edits.push(Edit::Classify(number, left.clone()));
                mapping.class = left;
            }
        }
        if list.is_empty() {
            edits.push(Edit::Insert(1, self.everybody(Some(who)), document()));
            return edits;
        }
        match (self.decides(&list, who), own(&list)) {
            (Some(at), _) if list.get(at).is_some_and(|m| m.document.is_some()) => {}
            (None, Some(at)) => {
                let mut class = list.get(at).map(|m| m.class.clone()).unwrap_or_default();
                class.push(who.clone());
                edits.push(Edit::Classify(at as u32 + 1, class));
            }
            _ => edits.push(Edit::Insert(1, vec![who.clone()], document())),
        }
        edits
    }

    fn deny(&self, list: &[Mapping], who: &str) -> Vec<Edit> {
        let who = pattern(who);
        let mut edits = Vec::new();
        if list.is_empty() {
            let mut class = self.everybody(None);
            class.retain(|p| !same(p, &who));
            let document = presence::document(self.address, self.mood, self.words);
            edits.push(Edit::Insert(1, class, Some(document)));
        }
        match list.first() {
            Some(first) if first.document.is_none() && first.class.iter().any(|p| same(p, &who)) => {}
            Some(first) if first.document.is_none() => {
                edits.push(Edit::Classify(1, first.class.iter().cloned().chain([who]).collect()));
            }
            _ => edits.push(Edit::Insert(1, vec![who], None)),
        }
        edits
    }

    fn added(&self, list: &[Mapping], who: &str) -> Vec<Edit> {
        let settled = match own(list) {
            // A list that is not the chat's is left alone.
            None => !list.is_empty() || self.is_at_home(who),
            Some(_) => self.decides(list, &pattern(who)).is_some(),
        };
        if settled { Vec::new() } else { self.allow(list, who) }
    }

    fn removed(&self, list: &[Mapping], who: &str) -> Vec<Edit> {
        let who = pattern(who);
        let named = numbered(list).filter(|(_, m)| is_own(m) && m.class.iter().any(|p| same(p, &who)));
        named
            .map(|(at, m)| Edit::Classify(at, m.class.iter().filter(|p| !same(p, &who)).cloned().collect()))
            .collect()
    }

    /// His own domain and his contacts, and one more.
    fn everybody(&self, more: Option<&String>) -> Vec<String> {
        let domain = format!("presence:*@{}", self.address.domain());
        let contacts = self.contacts.iter().filter(|contact| !self.is_at_home(contact));
        let mut class: Vec<String> =
            [domain].into_iter().chain(contacts.map(|contact| pattern(contact))).collect();
        if let Some(more) = more.filter(|more| !class.iter().any(|p| same(p, more))) {
            class.push(more.clone());
        }
        class
    }

    /// The mapping that decides what somebody sees; of a pattern, the first that has it.
    fn decides(&self, list: &[Mapping], who: &str) -> Option<usize> {
        let ours = self.ours();
        let one = match Pattern::parse(who, &PRESENCE, &ours) {
            Ok(Pattern::One(one)) => Some(one),
            _ => None,
        };
        list.iter().position(|m| match &one {
            Some(one) => Class::parse(m.class.iter().map(String::as_str), &PRESENCE, &ours)
                .is_ok_and(|class| class.contains(one)),
            None => m.class.iter().any(|p| same(p, who)),
        })
    }

    /// Is he of the user's own domain?
    fn is_at_home(&self, who: &str) -> bool {
        who.rsplit_once('@').is_some_and(|(_, domain)| domain == self.address.domain())
    }

    fn ours(&self) -> Domains {
        Domains::new(crate::hub::address::Domain::parse(self.address.domain()).into_iter().collect())
    }
}

/// The first mapping that shows a document of the chat's.
pub fn own(list: &[Mapping]) -> Option<usize> {
    list.iter().position(is_own)
}

fn is_own(mapping: &Mapping) -> bool {
    mapping.document.as_ref().and_then(presence::published).is_some()
}

fn numbered(list: &[Mapping]) -> impl Iterator<Item = (u32, &Mapping)> {
    (1..).zip(list)
}

/// With its scheme.
fn pattern(who: &str) -> String {
    if who == "*" || crate::hub::pattern::split_scheme(who).is_some() {
        who.to_owned()
    } else {
        format!("presence:{who}")
    }
}

fn same(one: &str, other: &str) -> bool {
    pattern(one).eq_ignore_ascii_case(&pattern(other))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn alice() -> Address {
        Address::parse("alice@a.test", &Domains::default()).unwrap()
    }

    fn plan(list: &[Mapping], wish: Wish) -> Vec<Edit> {
        let (address, contacts) = (alice(), ["bob@b.test".to_owned(), "cy@a.test".to_owned()]);
        Owner { address: &address, contacts: &contacts, mood: Mood::Here, words: "hi" }.plan(list, &wish)
    }

    fn document(mood: Mood, words: &str) -> Body {
        presence::document(&alice(), mood, words)
    }

    fn class(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|p| (*p).to_owned()).collect()
    }

    fn mapping(patterns: &[&str], document: Option<Body>) -> Mapping {
        Mapping { class: class(patterns), document }
    }

    fn text(wish: fn(String) -> Wish, who: &str) -> Wish {
        wish(who.to_owned())
    }

    #[test]
    fn words_are_for_the_own_domain_and_the_contacts() {
        // PITP-5-2, PITP-15.8-1, PITP-15.1-1
        let address = alice();
        let at_home =
            Owner { address: &address, contacts: &["cy@a.test".into()], mood: Mood::Here, words: "" };
        assert_eq!(at_home.plan(&[], &Wish::Show(Mood::Here, String::new())), []);
        assert_eq!(plan(&[], Wish::Show(Mood::Here, String::new())).len(), 1);
        let first = plan(&[], Wish::Show(Mood::Away, "lunch".into()));
        let shown = document(Mood::Away, "lunch");
        let them = class(&["presence:*@a.test", "presence:bob@b.test"]);
        assert_eq!(first, [Edit::Insert(1, them.clone(), Some(shown.clone()))]);
        let foreign = mapping(&["presence:eve@b.test"], Some(Body::plain("contact = tel:1")));
        let list = [foreign.clone(), Mapping { class: them.clone(), document: Some(shown.clone()) }];
        assert_eq!(plan(&list, Wish::Show(Mood::Away, "lunch".into())), []);
        let back = document(Mood::Here, "");
        assert_eq!(plan(&list, Wish::Show(Mood::Here, String::new())), [Edit::Change(2, back)]);
        let beside = plan(&[foreign], Wish::Show(Mood::Away, "lunch".into()));
        assert_eq!(beside, [Edit::Insert(2, them, Some(shown))]);
    }

    #[test]
    fn who_is_let_in_sees_and_who_is_not_does_not() {
        // PITP-5-4, PITP-5-5, PITP-15.9-1, PITP-15.3-1
        let shown = document(Mood::Here, "hi");
        let all = class(&["presence:*@a.test", "presence:bob@b.test", "presence:eve@c.test"]);
        assert_eq!(plan(&[], text(Wish::Allow, "eve@c.test")), [Edit::Insert(1, all, Some(shown.clone()))]);
        let denied = plan(&[], text(Wish::Deny, "bob@b.test"));
        assert_eq!(
            denied,
            [
                Edit::Insert(1, class(&["presence:*@a.test"]), Some(shown.clone())),
                Edit::Insert(1, class(&["presence:bob@b.test"]), None),
            ]
        );
        let list =
            [mapping(&["presence:bob@b.test"], None), mapping(&["presence:*@a.test"], Some(shown.clone()))];
        assert_eq!(plan(&list, text(Wish::Deny, "BOB@b.test")), []);
        assert_eq!(
            plan(&list, text(Wish::Deny, "*@c.test")),
            [Edit::Classify(1, class(&["presence:bob@b.test", "presence:*@c.test"]))]
        );
        assert_eq!(
            plan(&list, text(Wish::Allow, "bob@b.test")),
            [Edit::Delete(1), Edit::Classify(1, class(&["presence:*@a.test", "presence:bob@b.test"]))]
        );
        // He is let in already by his domain.
        assert_eq!(plan(&list, text(Wish::Allow, "cy@a.test")), []);
        // A class before ours shuts him out: he goes ahead of it.
        let shut =
            [mapping(&["presence:*@b.test"], None), mapping(&["presence:*@a.test"], Some(shown.clone()))];
        assert_eq!(
            plan(&shut, text(Wish::Allow, "bob@b.test")),
            [Edit::Insert(1, class(&["presence:bob@b.test"]), Some(shown))]
        );
    }

    #[test]
    fn contacts_come_and_go_with_the_list() {
        let list = [
            mapping(&["presence:eve@c.test"], None),
            mapping(&["presence:*@a.test", "presence:bob@b.test"], Some(document(Mood::Here, ""))),
        ];
        assert_eq!(plan(&[], text(Wish::Added, "dan@a.test")), []);
        assert_eq!(plan(&[], text(Wish::Added, "dan@d.test")).len(), 1);
        assert_eq!(plan(&[mapping(&["*"], None)], text(Wish::Added, "dan@d.test")), []);
        assert_eq!(plan(&list, text(Wish::Added, "bob@b.test")), []);
        // Whoever was shut out stays so.
        assert_eq!(plan(&list, text(Wish::Added, "eve@c.test")), []);
        let longer = class(&["presence:*@a.test", "presence:bob@b.test", "presence:dan@d.test"]);
        assert_eq!(plan(&list, text(Wish::Added, "dan@d.test")), [Edit::Classify(2, longer)]);
        assert_eq!(
            plan(&list, text(Wish::Removed, "bob@b.test")),
            [Edit::Classify(2, class(&["presence:*@a.test"]))]
        );
        assert_eq!(plan(&list, text(Wish::Removed, "dan@d.test")), []);
    }
}
