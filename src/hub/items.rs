//! What waits for a user's next login: reports of his messages that failed when he could not be told,
//! and messages kept for him if he has opted in.
//!
//! An item is on the disk before anybody is told of it, is delivered like any message, and is deleted
//! when an endpoint has said `okay` to it. A crash between the two delivers it again: its name,
//! which goes along, tells the two apart.

use compact_str::CompactString;

use super::account::AccountKey;
use super::address::Address;
use super::delivery::To;
use super::op::{Answer, Envelope, Message, NOTIFIER, Native, Note, Origin, Refusal, Request, Thanks, Trail};
use super::transaction::Kind;
use super::{Errand, Hub, Outlet, Parked, Purpose, Then};
use crate::clock::{Date, Now};
use crate::limits;
use crate::store::record::{
    AccountId, ExpiredMessage, Item, ItemId, ItemKind, KeptMessage, Outcome, Read, Room, Write,
};

/// Reports that wait for the store to take them again.
const UNREPORTED: usize = 10_000;

/// Items on their way to one user at a time.
const AT_ONCE: u32 = 16;

impl Hub {
    /// A message for a user who is not there (delivery rule 4).
    pub(super) fn message_for_absent(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let id = ItemId(self.random_id());
        let Some(account) = self.accounts.get_mut(key) else { return };
        let keep = account.keeps_messages && matches!(origin, Origin::Peer { .. });
        let known = self.domains.contains(envelope.from.domain()) || account.watches_back(&envelope.from);
        let Request::Message(message) = envelope.request else { return };
        if !keep {
            let answer = Answer::refused(Refusal::NoListeners);
            return self.reply(now, origin, Kind::Message, &envelope.from, &envelope.to, answer, out);
        }
        let kept = KeptMessage {
            from: envelope.from.clone(),
            reply_to: message.reply_to,
            content_type: message.content_type.into_owned(),
            body: message.body.into_owned(),
            native: envelope.native.map(|n| (n.family.0, n.octets.into_owned())),
            strength: envelope.trail.strength,
            visited: envelope.trail.visited.into_owned(),
        };
        let item = Item { id, date: now.date, kind: ItemKind::Message(kept) };
        let room = Some(Room {
            messages: self.limits.kept_messages,
            octets: self.limits.kept_octets,
            stranger: !known,
        });
        account.unsettled += 1;
        let write = Write::AddItem { account: account.id, item, room };
        self.write(write, Then::Kept { key, origin, from: envelope.from });
    }

    /// The message is kept, or there is no room.
    pub(super) fn kept(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        from: &Address,
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else {
            return super::orphaned(origin, Kind::Message, out);
        };
        let to = account.address.clone();
        let answer = match outcome {
            Some(Outcome::Done) => {
                account.waiting += 1;
                self.counters.messages_kept += 1;
                let unreliable = Some(to.domain().to_owned().into());
                Answer::Ok(Thanks { unreliable, ..Thanks::words(super::KEPT) })
            }
            Some(Outcome::Full) => Answer::refused(Refusal::QuotaExceeded),
            Some(Outcome::NotFound | Outcome::Exists) => Answer::refused(Refusal::NotFound),
            None => Answer::refused(Refusal::Resources),
        };
        self.reply(now, origin, Kind::Message, from, &to, answer, out);
        self.deliver_items(key, out);
    }

    /// A user of ours can't be told any more that his message failed: it is written down for him.
    pub(super) fn keep_failure(
        &mut self,
        now: Now,
        sender: Address,
        recipient: Address,
        sent: Date,
        refusal: Refusal,
        out: &mut impl Outlet,
    ) {
        let kind = ItemKind::Failure { recipient, sent, reason: refusal.in_words().to_owned() };
        self.with_account(now, sender, Parked::Failure { kind, replaces: None }, out);
    }

    /// Writes a failure down for a user. The kept message that it tells of goes in the same batch.
    pub(super) fn failure_here(
        &mut self,
        now: Now,
        key: AccountKey,
        kind: ItemKind,
        replaces: Option<(AccountId, ItemId)>,
    ) {
        let id = ItemId(self.random_id());
        let Some(account) = self.accounts.get_mut(key) else { return };
        let item = Item { id, date: now.date, kind: kind.clone() };
        account.unsettled += 1;
        let write = Write::AddItem { account: account.id, item, room: None };
        self.write(write, Then::FailureKept { key, kind });
        self.remove_replaced(replaces);
    }

    pub(super) fn remove_replaced(&mut self, replaced: Option<(AccountId, ItemId)>) {
        if let Some((account, id)) = replaced {
            self.write(Write::RemoveItem { account, id }, Then::Nothing);
        }
    }

    /// The store would not take a report: it is tried again.
    pub(super) fn report_again(&mut self, now: Now, sender: Address, kind: ItemKind) {
        if self.unreported.len() >= UNREPORTED {
            return log::error!("a report for {sender} could not be kept");
        }
        if self.unreported.is_empty() {
            self.timers.arm(now.tick + super::AGAIN, super::Due::Reports);
        }
        self.unreported.push((sender, kind));
    }

    /// A failure is on the disk: if the user is there by now, he is told at once.
    pub(super) fn failure_kept(
        &mut self,
        now: Now,
        key: AccountKey,
        kind: ItemKind,
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        match outcome {
            Some(Outcome::Done) => {
                account.waiting += 1;
                self.weigh(key);
                self.deliver_items(key, out);
            }
            Some(_) => {}
            None => {
                let sender = account.address.clone();
                self.report_again(now, sender, kind);
            }
        }
    }

    /// Does so much wait for him that he is not to add to it?
    pub(super) fn weigh(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get(key) else { return };
        if account.waiting >= limits::REPORTS + self.limits.kept_messages {
            self.swamped.insert(account.address.clone());
        } else if !self.swamped.is_empty() {
            self.swamped.remove(&account.address);
        }
    }

    /// An endpoint has come, or wants other messages than before: all that waits is tried.
    pub(super) fn deliver_all_items(&mut self, key: AccountKey, out: &mut impl Outlet) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.unwanted = 0;
        }
        self.deliver_items(key, out);
    }

    /// Fetches what waits for a user who is online, unless some of it is on its way already.
    pub(super) fn deliver_items(&mut self, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.waiting == 0 || account.listeners == 0 {
            return;
        }
        if account.delivering != 0 {
            account.more = true;
            return;
        }
        // Stands for the read itself until it is answered.
        account.delivering = 1;
        let skip = account.unwanted;
        out.read(Read::Items { account: account.id, limit: AT_ONCE, skip }, Purpose::Items(key));
    }

    /// What waits has been read.
    pub(super) fn items_read(
        &mut self,
        now: Now,
        key: AccountKey,
        items: Option<Vec<Item>>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.delivering = 0;
        let Some(items) = items else { return };
        if items.is_empty() {
            account.waiting = account.unwanted;
            return self.weigh(key);
        }
        account.delivering = items.len() as u32;
        for item in items {
            self.deliver_item(now, key, item, out);
        }
    }

    fn deliver_item(&mut self, now: Now, key: AccountKey, item: Item, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let to = account.address.clone();
        let origin = Origin::Hub(Errand::Item { key, item: item.id });
        let envelope = match item.kind {
            ItemKind::Failure { recipient, sent, reason } => {
                let body = format!("Your message to {recipient} was not delivered: {reason}.");
                let note = Note { item: item.id, date: sent, regarding: Some(recipient) };
                let message = Message {
                    content_type: "text/plain".into(),
                    body: body.into_bytes().into(),
                    reply_to: None,
                    note: Some(note),
                    hears_more: false,
                    extras: Vec::new(),
                };
                let from = self.notifier(to.domain());
                Envelope::ours(from, to, Request::Message(message))
            }
            ItemKind::Message(kept) => {
                let note = Note { item: item.id, date: item.date, regarding: None };
                let message = Message {
                    content_type: kept.content_type.into(),
                    body: kept.body.into(),
                    reply_to: kept.reply_to,
                    note: Some(note),
                    hears_more: false,
                    extras: Vec::new(),
                };
                let native = kept.native.map(|(family, octets)| Native {
                    family: super::op::Family(family),
                    octets: octets.into(),
                });
                let trail = Trail { strength: kept.strength, visited: kept.visited.into() };
                Envelope { to, from: kept.from, request: Request::Message(message), native, trail }
            }
        };
        let from = envelope.from.clone();
        if self.listens(key) {
            let to = if from.local() == NOTIFIER { To::AnyListener } else { To::Listeners };
            self.fan_out(now, origin, key, to, envelope, out);
        } else {
            self.item_answered(now, key, item.id, &from, &Answer::refused(Refusal::NoListeners), out);
        }
    }

    /// An endpoint has the item, or has refused it for good; or it is tried again at the next login.
    pub(super) fn item_answered(
        &mut self,
        now: Now,
        key: AccountKey,
        item: ItemId,
        from: &Address,
        answer: &Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let to = account.address.clone();
        match answer {
            // An endpoint that has seen the item and does not want it has had it all the same.
            Answer::Ok(_)
            | Answer::Described(_)
            | Answer::Granted { .. }
            | Answer::Refused { words: Some(_), .. } => {
                account.unsettled += 1;
                let write = Write::RemoveItem { account: account.id, id: item };
                self.write(write, Then::ItemGone { key });
                if let Answer::Refused { refusal, .. } = answer
                    && from.local() != NOTIFIER
                    && self.domains.contains(from.domain())
                {
                    self.keep_failure(now, from.clone(), to, now.date, *refusal, out);
                }
            }
            Answer::Refused { words: None, refusal } => {
                account.delivering = account.delivering.saturating_sub(1);
                // What nobody here wants now stays, and does not stand in the way of the rest.
                let unwanted = *refusal == Refusal::NoListeners;
                account.unwanted += u32::from(unwanted);
                if account.delivering != 0 {
                    return;
                }
                // Not again to an endpoint that keeps silent; but to one that has come meanwhile.
                let newcomer = std::mem::take(&mut account.more);
                if newcomer {
                    account.unwanted = 0;
                }
                let rest = unwanted && account.waiting > account.unwanted;
                if (newcomer || rest) && self.listens(key) {
                    self.deliver_items(key, out);
                }
            }
        }
    }

    /// The item is deleted: the next ones follow when all of this lot are.
    pub(super) fn item_gone(&mut self, key: AccountKey, done: bool, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.delivering = account.delivering.saturating_sub(1);
        // What could not be deleted comes again at the next login.
        if done {
            account.waiting = account.waiting.saturating_sub(1);
            self.weigh(key);
            self.deliver_items(key, out);
        }
    }

    /// Is there an endpoint that takes deliveries?
    fn listens(&self, key: AccountKey) -> bool {
        self.accounts.get(key).is_some_and(|account| {
            let mut endpoints = account.endpoints.iter().filter_map(|id| self.endpoints.get(id.0 as usize));
            endpoints.any(|endpoint| !endpoint.diverted && endpoint.listens())
        })
    }

    /// Kept messages that nobody has come for are too old: their senders learn of it, if they are ours.
    /// Those of other domains were told that the end was uncertain.
    pub(super) fn messages_expired(&mut self, now: Now, expired: Vec<ExpiredMessage>, out: &mut impl Outlet) {
        for ExpiredMessage { account, item, recipient, sender, sent } in expired {
            let replaces = Some((account, item));
            if self.domains.contains(sender.domain()) {
                let reason = Refusal::NoListeners.in_words().to_owned();
                let kind = ItemKind::Failure { recipient, sent, reason };
                self.with_account(now, sender, Parked::Failure { kind, replaces }, out);
            } else {
                self.remove_replaced(replaces);
            }
        }
    }

    /// The name of an item as it goes along with it.
    pub fn item_name(item: ItemId) -> CompactString {
        compact_str::format_compact!("{:016x}", item.0 as u64)
    }
}
