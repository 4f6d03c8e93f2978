//! Answers to questions: [`Read`] in, [`Reading`] out. Each is a few look-ups by key.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::error::Trouble;
use super::key::KeyFile;
use super::record::{
    AccountId, AccountRecord, CredentialRecord, DeviceKey, Document, Entries, ExpiredMessage, Gist, Inbound,
    Item, ItemId, ItemKind, KeptMessage, Leftover, Mapping, Outbound, PeerRule, Read, Reading, Shown,
    WatcherPolicy,
};
use crate::clock::Date;
use crate::credential::PasswordRecord;
use crate::hub::address::{Address, Domain, Domains};
use crate::hub::op::Strength;

/// Answers from one consistent state of the database.
pub fn answer(conn: &Connection, key: &KeyFile, read: &Read) -> Result<Reading, Trouble> {
    match read {
        Read::Account(_) | Read::ToldOnline => answer_in(&Snapshot::take(conn)?, key, read),
        // One statement sees one state by itself.
        _ => answer_on(conn, key, read),
    }
}

/// Answers from this state.
pub fn answer_in(state: &Snapshot<'_>, key: &KeyFile, read: &Read) -> Result<Reading, Trouble> {
    answer_on(state.0, key, read)
}

fn answer_on(conn: &Connection, key: &KeyFile, read: &Read) -> Result<Reading, Trouble> {
    Ok(match read {
        Read::Account(address) => Reading::Account(account(conn, address.as_str())?.map(Box::new)),
        Read::Credentials(address) => {
            Reading::Credentials(credentials(conn, key, address.as_str())?.map(Box::new))
        }
        Read::Items { account, limit, skip } => Reading::Items(items(conn, *account, *limit, *skip)?),
        Read::PeerRules => Reading::PeerRules(peer_rules(conn)?),
        Read::ToldOnline => Reading::Addresses(told_online(conn)?),
        Read::Leftovers { after, limit } => Reading::Leftovers(leftovers(conn, *after, *limit)?),
        Read::ExpiredMessages { before, limit } => Reading::Expired(expired(conn, *before, *limit)?),
    })
}

/// One state of the database for several statements. Its own two statements are prepared once, too.
pub struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    /// The present one.
    pub fn take(conn: &'c Connection) -> Result<Snapshot<'c>, Trouble> {
        conn.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot(conn))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written. If even this fails, so does the next question's BEGIN, and the asker hears of it.
        let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([]));
        if let Err(e) = ended {
            log::error!("the database: {e}");
        }
    }
}

pub fn account(conn: &Connection, address: &str) -> Result<Option<AccountRecord>, Trouble> {
    let found = one(
        conn,
        "SELECT id, address, locked, watchers, keeps_messages, has_acl, told_online,
                EXISTS (SELECT 1 FROM untold WHERE account = id)
         FROM account WHERE address = ?1",
        [address],
        |row| {
            let record = AccountRecord {
                id: AccountId(row.get(0)?),
                address: address_at(row, 1)?,
                locked: row.get(2)?,
                watchers: watchers_at(row, 3)?,
                keeps_messages: row.get(4)?,
                acl: None,
                profile: Vec::new(),
                told_online: date_at(row, 6)?,
                untold: row.get(7)?,
                mappings: Vec::new(),
                watched_by: Vec::new(),
                watching: Vec::new(),
                waiting: 0,
            };
            Ok((record, row.get::<_, bool>(5)?))
        },
    )?;
    let Some((mut record, has_acl)) = found else { return Ok(None) };
    let id = record.id;
    if has_acl {
        record.acl =
            Some(entries(conn, "SELECT name, value FROM acl WHERE account = ?1 ORDER BY position", id)?);
    }
    record.profile =
        entries(conn, "SELECT name, value FROM profile WHERE account = ?1 ORDER BY position", id)?;
    record.mappings = mappings(conn, id)?;
    record.watched_by = all(
        conn,
        "SELECT watcher, token, expires, named FROM inbound WHERE account = ?1 ORDER BY id",
        [id.0],
        |row| {
            Ok(Inbound {
                watcher: address_at(row, 0)?,
                token: row.get(1)?,
                expires: date_at(row, 2)?,
                named: row.get(3)?,
            })
        },
    )?;
    record.watching = all(
        conn,
        "SELECT presentity, token, expires, automatic FROM outbound WHERE account = ?1 ORDER BY id",
        [id.0],
        |row| {
            Ok(Outbound {
                presentity: address_at(row, 0)?,
                token: row.get(1)?,
                expires: date_at(row, 2)?,
                automatic: row.get(3)?,
            })
        },
    )?;
    let waiting = "SELECT count(*) FROM item WHERE account = ?1";
    record.waiting = one(conn, waiting, [id.0], |row| Ok(row.get(0)?))?.unwrap_or(0);
    Ok(Some(record))
}

fn entries(conn: &Connection, sql: &str, account: AccountId) -> Result<Entries, Trouble> {
    all(conn, sql, [account.0], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn mappings(conn: &Connection, account: AccountId) -> Result<Vec<Mapping>, Trouble> {
    all(
        conn,
        "SELECT m.class, d.mapping, d.content_type, d.octets, d.open, d.since, d.description
         FROM mapping m LEFT JOIN document d ON d.mapping = m.id WHERE m.account = ?1 ORDER BY m.number",
        [account.0],
        |row| {
            let shown = match row.get_ref(1)?.data_type() {
                Type::Null => None,
                _ => Some(Shown {
                    document: Arc::new(Document { content_type: row.get(2)?, octets: row.get(3)? }),
                    gist: Gist { open: row.get(4)?, since: date_at(row, 5)?, description: row.get(6)? },
                }),
            };
            Ok(Mapping { class: row.get(0)?, shown })
        },
    )
}

fn credentials(conn: &Connection, key: &KeyFile, address: &str) -> Result<Option<CredentialRecord>, Trouble> {
    // The last columns, a device key, are null for a user who has none.
    let mut statement = conn.prepare_cached(
        "SELECT a.id, a.address, a.locked, p.argon2, p.scram_salt, p.scram_iterations, p.scram_stored_key,
                p.scram_server_key, k.label, k.sealed, k.made
         FROM account a JOIN password p ON p.account = a.id LEFT JOIN device_key k ON k.account = a.id
         WHERE a.address = ?1",
    )?;
    let mut rows = statement.query([address])?;
    let mut found = None;
    while let Some(row) = rows.next()? {
        if found.is_none() {
            found = Some(credential_at(row)?);
        }
        if let Some(record) = &mut found {
            record.keys.extend(device_key_at(row, key, address)?);
        }
    }
    if let Some(record) = &mut found {
        // They are few: the database would take more for it.
        record.keys.sort_by(|a, b| (a.made, &a.label).cmp(&(b.made, &b.label)));
    } else {
        // As much work as for a user with one device key, so that time does not tell who exists (OC-15).
        let nobody = "SELECT label, sealed, made FROM device_key WHERE account = 0";
        all(conn, nobody, [], |row| Ok(row.get::<_, String>(0)?))?;
        key.open(address, "", &[0; 24 + 34 + 16]);
    }
    Ok(found)
}

/// The account of a row of [`credentials`].
fn credential_at(row: &Row<'_>) -> Result<CredentialRecord, Trouble> {
    Ok(CredentialRecord {
        account: AccountId(row.get(0)?),
        address: address_at(row, 1)?,
        locked: row.get(2)?,
        password: PasswordRecord {
            argon2: row.get(3)?,
            scram_salt: row.get(4)?,
            scram_iterations: row.get(5)?,
            scram_stored_key: row.get(6)?,
            scram_server_key: row.get(7)?,
        },
        keys: Vec::new(),
    })
}

/// The device key of such a row.
fn device_key_at(row: &Row<'_>, key: &KeyFile, address: &str) -> Result<Option<DeviceKey>, Trouble> {
    let Some(label) = row.get::<_, Option<String>>(8)? else { return Ok(None) };
    let opened = key.open(address, &label, row.get_ref(9)?.as_blob().unwrap_or_default());
    if opened.is_none() {
        // One damaged row must not shut the other devices out.
        log::error!("device key {label:?} of {address} can't be opened: make a new one");
    }
    let made = Date(row.get(10)?);
    Ok(opened.map(|secret| DeviceKey { label, secret, made }))
}

fn items(conn: &Connection, account: AccountId, limit: u32, skip: u32) -> Result<Vec<Item>, Trouble> {
    all(
        conn,
        "SELECT i.id, i.date, i.kind, f.recipient, f.sent, f.reason,
                m.sender, m.reply_to, m.content_type, m.body, m.family, m.native, m.strength,
                m.visited
         FROM item i LEFT JOIN failure f ON f.item = i.seq LEFT JOIN message m ON m.item = i.seq
         WHERE i.account = ?1 ORDER BY i.seq LIMIT ?2 OFFSET ?3",
        params![account.0, limit, skip],
        |row| {
            let kind = match row.get_ref(2)?.as_str().unwrap_or_default() {
                "failure" => ItemKind::Failure {
                    recipient: address_at(row, 3)?,
                    sent: Date(row.get(4)?),
                    reason: row.get(5)?,
                },
                _ => ItemKind::Message(KeptMessage {
                    from: address_at(row, 6)?,
                    reply_to: match row.get_ref(7)?.data_type() {
                        Type::Null => None,
                        _ => Some(address_at(row, 7)?),
                    },
                    content_type: row.get(8)?,
                    body: row.get(9)?,
                    native: row.get::<_, Option<u8>>(10)?.zip(row.get(11)?),
                    strength: strength(row.get(12)?),
                    visited: row.get(13)?,
                }),
            };
            Ok(Item { id: ItemId(row.get(0)?), date: Date(row.get(1)?), kind })
        },
    )
}

/// As [`write`](super::write) puts it.
fn strength(number: u8) -> Strength {
    match number {
        0 => Strength::None,
        1 => Strength::Weak,
        2 => Strength::Medium,
        _ => Strength::Strong,
    }
}

fn told_online(conn: &Connection) -> Result<Vec<Address>, Trouble> {
    // The order is the partial index's, which makes this as short as its answer.
    let sql = "SELECT address FROM account INDEXED BY account_told_online
               WHERE told_online IS NOT NULL ORDER BY address";
    let mut told = all(conn, sql, [], |row| address_at(row, 0))?;
    let sql = "SELECT a.address FROM untold u JOIN account a ON a.id = u.account
               WHERE a.told_online IS NULL ORDER BY u.account";
    told.extend(all(conn, sql, [], |row| address_at(row, 0))?);
    Ok(told)
}

fn expired(conn: &Connection, before: Date, limit: u32) -> Result<Vec<ExpiredMessage>, Trouble> {
    let sql = "SELECT i.account, i.id, a.address, m.sender, i.date
               FROM item i JOIN message m ON m.item = i.seq JOIN account a ON a.id = i.account
               WHERE i.date < ?1 ORDER BY i.date LIMIT ?2";
    all(conn, sql, params![before.0, limit], |row| {
        Ok(ExpiredMessage {
            account: AccountId(row.get(0)?),
            item: ItemId(row.get(1)?),
            recipient: address_at(row, 2)?,
            sender: address_at(row, 3)?,
            sent: Date(row.get(4)?),
        })
    })
}

/// Each row is passed once, from one answer to the next.
fn leftovers(conn: &Connection, after: i64, limit: u32) -> Result<Vec<Leftover>, Trouble> {
    let sql = "SELECT o.id, o.account, a.address, o.presentity, o.token, o.expires
               FROM outbound o JOIN account a ON a.id = o.account
               WHERE o.automatic = 1 AND o.id > ?1 ORDER BY o.id LIMIT ?2";
    all(conn, sql, params![after, limit], |row| {
        Ok(Leftover {
            row: row.get(0)?,
            account: AccountId(row.get(1)?),
            watcher: address_at(row, 2)?,
            outbound: Outbound {
                presentity: address_at(row, 3)?,
                token: row.get(4)?,
                expires: date_at(row, 5)?,
                automatic: true,
            },
        })
    })
}

pub fn peer_rules(conn: &Connection) -> Result<Vec<(Domain, PeerRule)>, Trouble> {
    all(conn, "SELECT domain, rule FROM peer_rule ORDER BY domain", [], |row| {
        let name: String = row.get(0)?;
        let domain = Domain::parse(&name).map_err(|e| Trouble::Damaged(format!("{name:?}: {e}")))?;
        let rule = match row.get_ref(1)?.as_str().unwrap_or_default() {
            "allow" => PeerRule::Allow,
            _ => PeerRule::Deny,
        };
        Ok((domain, rule))
    })
}

/// The rows of a query, by a statement that is prepared once.
pub fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    mut make: impl FnMut(&Row<'_>) -> Result<T, Trouble>,
) -> Result<Vec<T>, Trouble> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut made = Vec::new();
    while let Some(row) = rows.next()? {
        made.push(make(row)?);
    }
    Ok(made)
}

/// The first row of a query, if there is one.
pub fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    make: impl FnOnce(&Row<'_>) -> Result<T, Trouble>,
) -> Result<Option<T>, Trouble> {
    conn.prepare_cached(sql)?.query_row(params, |row| Ok(make(row))).optional()?.transpose()
}

fn date_at(row: &Row<'_>, column: usize) -> Result<Option<Date>, Trouble> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Date))
}

/// An address in a column. What is stored is canonical, so that no domain needs folding.
fn address_at(row: &Row<'_>, column: usize) -> Result<Address, Trouble> {
    let text = row.get_ref(column)?.as_str().unwrap_or_default();
    Address::parse_quoted(text, &Domains::default()).map_err(|e| Trouble::Damaged(format!("{text:?}: {e}")))
}

pub fn watchers_at(row: &Row<'_>, column: usize) -> Result<WatcherPolicy, Trouble> {
    match row.get_ref(column)?.as_str().unwrap_or_default() {
        "refuse" => Ok(WatcherPolicy::Refuse),
        "ask" => Ok(WatcherPolicy::Ask),
        "allow" => Ok(WatcherPolicy::Allow),
        other => Err(Trouble::Damaged(format!("watchers are {other:?}"))),
    }
}
