//! Changes: [`Write`] in, [`Outcome`] out, inside a transaction of [`Store`](super::Store).

use rusqlite::{Connection, Params, params};

use super::error::Trouble;
use super::key::KeyFile;
use super::read::one;
use super::record::{
    AccountId, Change, Entries, Inbound, Item, ItemKind, KeptMessage, MappingEdit, Outbound, Outcome,
    PeerRule, Room, Shown, WatcherPolicy, Write,
};
use crate::clock::Date;
use crate::credential::{PasswordRecord, Secret};

/// Rows of a kind that one [`Write::Expire`] deletes at most, oldest first: after a long pause there may
/// be millions, and the batches behind it wait. The next one goes on.
const EXPIRED_AT_ONCE: i64 = 100_000;

/// Makes one change.
pub fn apply(conn: &Connection, key: &KeyFile, write: &Write) -> Result<Outcome, Trouble> {
    match write {
        Write::Admin(change) => admin(conn, key, change),
        Write::SetProfile { account, profile } => set_profile(conn, *account, profile),
        Write::SetAcl { account, acl } => set_acl(conn, *account, acl),
        Write::SetCalendar { ahead } => {
            run(
                conn,
                "INSERT OR REPLACE INTO setting (name, value) VALUES ('calendar', ?1)",
                [ahead.to_be_bytes()],
            )?;
            Ok(Outcome::Done)
        }
        Write::SetToldOnline { account, since } => found(run(
            conn,
            "UPDATE account SET told_online = ?2 WHERE id = ?1",
            params![account.0, since.map(|d| d.0)],
        )?),
        Write::SetUntold { account, untold: true } => found(run(
            conn,
            "INSERT INTO untold SELECT id FROM account WHERE id = ?1 ON CONFLICT DO UPDATE SET account = account",
            [account.0],
        )?),
        Write::SetUntold { account, untold: false } => {
            run(conn, "DELETE FROM untold WHERE account = ?1", [account.0])?;
            Ok(Outcome::Done)
        }
        Write::AddInbound { account, inbound } => add_inbound(conn, *account, inbound),
        Write::EditMapping { account, edit } => edit_mapping(conn, *account, edit),
        Write::RemoveInbound { account, leases } => {
            for (watcher, token) in leases {
                let sql = "DELETE FROM inbound WHERE account = ?1 AND watcher = ?2 AND token = ?3";
                run(conn, sql, params![account.0, watcher.as_str(), token])?;
            }
            Ok(Outcome::Done)
        }
        Write::PutOutbound { account, outbound } => put_outbound(conn, *account, outbound),
        Write::RemoveOutbound { account, presentity, token } => found(run(
            conn,
            "DELETE FROM outbound WHERE account = ?1 AND presentity = ?2 AND (?3 IS NULL OR token = ?3)",
            params![account.0, presentity.as_str(), token],
        )?),
        Write::AddItem { account, item, room } => add_item(conn, *account, item, *room),
        Write::RemoveItem { account, id } => {
            found(run(conn, "DELETE FROM item WHERE id = ?1 AND account = ?2", params![id.0, account.0])?)
        }
        Write::Expire { leases, items } => {
            let sql = "DELETE FROM inbound WHERE id IN
                       (SELECT id FROM inbound WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
            run(conn, sql, [leases.0, EXPIRED_AT_ONCE])?;
            let sql = "DELETE FROM outbound WHERE id IN
                       (SELECT id FROM outbound WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
            run(conn, sql, [leases.0, EXPIRED_AT_ONCE])?;
            let sql = "DELETE FROM item WHERE seq IN
                       (SELECT seq FROM item WHERE date < ?1 AND kind = 'failure' ORDER BY date LIMIT ?2)";
            run(conn, sql, [items.0, EXPIRED_AT_ONCE])?;
            Ok(Outcome::Done)
        }
    }
}

fn admin(conn: &Connection, key: &KeyFile, change: &Change) -> Result<Outcome, Trouble> {
    match change {
        Change::AddAccount { address, password, date } => add_account(conn, address, password, *date),
        Change::RemoveAccount { address } => {
            found(run(conn, "DELETE FROM account WHERE address = ?1", [address])?)
        }
        Change::SetPassword { address, password } => match account_of(conn, address)? {
            Some(account) => put_password(conn, account, password),
            None => Ok(Outcome::NotFound),
        },
        Change::SetLocked { address, locked } => {
            // His watchers are to see something else.
            let sql = "INSERT OR IGNORE INTO untold (account) SELECT id FROM account WHERE address = ?1";
            run(conn, sql, [address])?;
            found(run(conn, "UPDATE account SET locked = ?2 WHERE address = ?1", params![address, locked])?)
        }
        Change::SetWatchers { address, watchers } => found(run(
            conn,
            "UPDATE account SET watchers = ?2 WHERE address = ?1",
            params![address, watchers_name(*watchers)],
        )?),
        Change::SetKeepsMessages { address, keeps } => found(run(
            conn,
            "UPDATE account SET keeps_messages = ?2 WHERE address = ?1",
            params![address, keeps],
        )?),
        Change::AddKey { address, label, secret, date } => add_key(conn, key, address, label, secret, *date),
        Change::RemoveKey { address, label } => found(run(
            conn,
            "DELETE FROM device_key WHERE account = (SELECT id FROM account WHERE address = ?1) AND label = ?2",
            [address, label],
        )?),
        Change::SetPeerRule { domain, rule: Some(rule) } => {
            let rule = match rule {
                PeerRule::Allow => "allow",
                PeerRule::Deny => "deny",
            };
            let sql = "INSERT INTO peer_rule (domain, rule) VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET rule = excluded.rule";
            run(conn, sql, [domain.as_str(), rule])?;
            Ok(Outcome::Done)
        }
        Change::SetPeerRule { domain, rule: None } => {
            found(run(conn, "DELETE FROM peer_rule WHERE domain = ?1", [domain])?)
        }
    }
}

fn add_account(
    conn: &Connection,
    address: &str,
    password: &PasswordRecord,
    date: Date,
) -> Result<Outcome, Trouble> {
    let sql = "INSERT INTO account (address, made) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if run(conn, sql, params![address, date.0])? == 0 {
        return Ok(Outcome::Exists);
    }
    put_password(conn, AccountId(conn.last_insert_rowid()), password)
}

fn put_password(
    conn: &Connection,
    account: AccountId,
    password: &PasswordRecord,
) -> Result<Outcome, Trouble> {
    run(
        conn,
        "INSERT INTO password
            (account, argon2, scram_salt, scram_iterations, scram_stored_key, scram_server_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET
            argon2 = excluded.argon2, scram_salt = excluded.scram_salt,
            scram_iterations = excluded.scram_iterations, scram_stored_key = excluded.scram_stored_key,
            scram_server_key = excluded.scram_server_key",
        params![
            account.0,
            password.argon2,
            password.scram_salt,
            password.scram_iterations,
            password.scram_stored_key,
            password.scram_server_key
        ],
    )?;
    Ok(Outcome::Done)
}

fn add_key(
    conn: &Connection,
    key: &KeyFile,
    address: &str,
    label: &str,
    secret: &Secret,
    date: Date,
) -> Result<Outcome, Trouble> {
    let Some(account) = account_of(conn, address)? else { return Ok(Outcome::NotFound) };
    let sealed = key.seal(address, label, secret)?;
    let sql = "INSERT INTO device_key (account, label, sealed, made) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    added(run(conn, sql, params![account.0, label, sealed, date.0])?)
}

fn set_profile(conn: &Connection, account: AccountId, profile: &Entries) -> Result<Outcome, Trouble> {
    if !exists(conn, account)? {
        return Ok(Outcome::NotFound);
    }
    run(conn, "DELETE FROM profile WHERE account = ?1", [account.0])?;
    for (position, (name, value)) in (0_i64..).zip(profile) {
        let sql = "INSERT INTO profile (account, position, name, value) VALUES (?1, ?2, ?3, ?4)";
        run(conn, sql, params![account.0, position, name, value])?;
    }
    Ok(Outcome::Done)
}

fn set_acl(conn: &Connection, account: AccountId, acl: &Entries) -> Result<Outcome, Trouble> {
    if run(conn, "UPDATE account SET has_acl = 1 WHERE id = ?1", [account.0])? == 0 {
        return Ok(Outcome::NotFound);
    }
    run(conn, "DELETE FROM acl WHERE account = ?1", [account.0])?;
    for (position, (name, value)) in (0_i64..).zip(acl) {
        let sql = "INSERT INTO acl (account, position, name, value) VALUES (?1, ?2, ?3, ?4)";
        run(conn, sql, params![account.0, position, name, value])?;
    }
    Ok(Outcome::Done)
}

fn add_inbound(conn: &Connection, account: AccountId, inbound: &Inbound) -> Result<Outcome, Trouble> {
    if !exists(conn, account)? {
        return Ok(Outcome::NotFound);
    }
    let sql = "INSERT INTO inbound (account, watcher, token, expires, named) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    let (watcher, expires) = (inbound.watcher.as_str(), inbound.expires.map(|d| d.0));
    added(run(conn, sql, params![account.0, watcher, inbound.token, expires, inbound.named])?)
}

fn edit_mapping(conn: &Connection, account: AccountId, edit: &MappingEdit) -> Result<Outcome, Trouble> {
    match edit {
        MappingEdit::Insert { at, mapping } => {
            if *at == 0
                || (*at > 1 && mapping_at(conn, account, *at - 1)?.is_none())
                || !exists(conn, account)?
            {
                return Ok(Outcome::NotFound);
            }
            // Numbers are unique at every moment: those that move go by way of negative ones.
            let sql = "UPDATE mapping SET number = -number - 1 WHERE account = ?1 AND number >= ?2";
            run(conn, sql, params![account.0, at])?;
            run(conn, TURN, [account.0])?;
            let sql = "INSERT INTO mapping (account, number, class) VALUES (?1, ?2, ?3)";
            run(conn, sql, params![account.0, at, mapping.class])?;
            put_document(conn, conn.last_insert_rowid(), mapping.shown.as_ref())?;
        }
        MappingEdit::Delete { at } => {
            let sql = "DELETE FROM mapping WHERE account = ?1 AND number = ?2";
            if run(conn, sql, params![account.0, at])? == 0 {
                return Ok(Outcome::NotFound);
            }
            let sql = "UPDATE mapping SET number = 1 - number WHERE account = ?1 AND number > ?2";
            run(conn, sql, params![account.0, at])?;
            run(conn, TURN, [account.0])?;
        }
        MappingEdit::SetShown { at, shown } => {
            let Some(mapping) = mapping_at(conn, account, *at)? else { return Ok(Outcome::NotFound) };
            run(conn, "DELETE FROM document WHERE mapping = ?1", [mapping])?;
            put_document(conn, mapping, shown.as_ref())?;
        }
        MappingEdit::SetClass { at, class } => {
            let sql = "UPDATE mapping SET class = ?3 WHERE account = ?1 AND number = ?2";
            return found(run(conn, sql, params![account.0, at, class])?);
        }
    }
    Ok(Outcome::Done)
}

/// Gives the mappings that move their new numbers.
const TURN: &str = "UPDATE mapping SET number = -number WHERE account = ?1 AND number < 0";

/// The row of a mapping.
fn mapping_at(conn: &Connection, account: AccountId, number: u32) -> Result<Option<i64>, Trouble> {
    let sql = "SELECT id FROM mapping WHERE account = ?1 AND number = ?2";
    one(conn, sql, params![account.0, number], |row| Ok(row.get(0)?))
}

fn put_document(conn: &Connection, mapping: i64, shown: Option<&Shown>) -> Result<(), Trouble> {
    let Some(Shown { document, gist }) = shown else { return Ok(()) };
    run(
        conn,
        "INSERT INTO document (mapping, content_type, octets, open, since, description)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            mapping,
            document.content_type,
            document.octets,
            gist.open,
            gist.since.map(|d| d.0),
            gist.description
        ],
    )?;
    Ok(())
}

fn put_outbound(conn: &Connection, account: AccountId, outbound: &Outbound) -> Result<Outcome, Trouble> {
    if !exists(conn, account)? {
        return Ok(Outcome::NotFound);
    }
    run(
        conn,
        "INSERT INTO outbound (account, presentity, token, expires, automatic) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, presentity, token)
         DO UPDATE SET expires = excluded.expires, automatic = excluded.automatic",
        params![
            account.0,
            outbound.presentity.as_str(),
            outbound.token,
            outbound.expires.map(|d| d.0),
            outbound.automatic
        ],
    )?;
    Ok(Outcome::Done)
}

/// Is there room for one more message of so many octets? A stranger's domain gets half, and all strangers three quarters:
/// domains are cheap.
fn has_room_for(
    conn: &Connection,
    account: AccountId,
    message: &KeptMessage,
    octets: i64,
    room: Room,
) -> Result<bool, Trouble> {
    let kept = |sql: &str, domain: &str| {
        let kept = one(conn, sql, params![account.0, domain], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok::<(i64, i64), Trouble>(kept.unwrap_or_default())
    };
    let fits = |(count, sum): (i64, i64), quarters: i64| {
        count < (i64::from(room.messages) * quarters / 4).max(1)
            && sum + octets <= i64::from(room.octets) * quarters / 4
    };
    let of_all = "SELECT count(*), coalesce(sum(octets), 0) FROM item
                  WHERE account = ?1 AND kind = 'message' AND ?2 = ''";
    let all = kept(of_all, "")?;
    if !room.stranger {
        return Ok(fits(all, 4));
    }
    let of_domain = "SELECT count(*), coalesce(sum(octets), 0) FROM item JOIN message ON item = seq
                     WHERE account = ?1 AND substr(sender, -length(?2)) = ?2";
    let domain = format!("@{}", message.from.domain());
    Ok(fits(all, 3) && fits(kept(of_domain, &domain)?, 2))
}

fn add_item(
    conn: &Connection,
    account: AccountId,
    item: &Item,
    room: Option<Room>,
) -> Result<Outcome, Trouble> {
    if !exists(conn, account)? {
        return Ok(Outcome::NotFound);
    }
    let (kind, octets) = match &item.kind {
        ItemKind::Failure { .. } => ("failure", 0),
        ItemKind::Message(message) => {
            let native = message.native.as_ref().map_or(0, |(_, octets)| octets.len());
            ("message", (message.body.len() + native) as i64)
        }
    };
    if let (Some(room), ItemKind::Message(message)) = (room, &item.kind)
        && !has_room_for(conn, account, message, octets, room)?
    {
        return Ok(Outcome::Full);
    }
    let sql = "INSERT INTO item (id, account, date, kind, octets) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    if run(conn, sql, params![item.id.0, account.0, item.date.0, kind, octets])? == 0 {
        return Ok(Outcome::Exists);
    }
    let seq = conn.last_insert_rowid();
    match &item.kind {
        ItemKind::Failure { recipient, sent, reason } => run(
            conn,
            "INSERT INTO failure (item, recipient, sent, reason) VALUES (?1, ?2, ?3, ?4)",
            params![seq, recipient.as_str(), sent.0, reason],
        )?,
        ItemKind::Message(message) => run(
            conn,
            "INSERT INTO message
                 (item, sender, reply_to, content_type, body, family, native, strength, visited)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                seq,
                message.from.as_str(),
                message.reply_to.as_ref().map(|a| a.as_str()),
                message.content_type,
                message.body,
                message.native.as_ref().map(|(family, _)| *family),
                message.native.as_ref().map(|(_, octets)| octets),
                message.strength as u8,
                message.visited,
            ],
        )?,
    };
    Ok(Outcome::Done)
}

/// Runs a statement, prepared once; how many rows it has changed (cascades not counted).
fn run(conn: &Connection, sql: &str, params: impl Params) -> Result<usize, Trouble> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}

fn exists(conn: &Connection, account: AccountId) -> Result<bool, Trouble> {
    Ok(conn.prepare_cached("SELECT 1 FROM account WHERE id = ?1")?.exists([account.0])?)
}

fn account_of(conn: &Connection, address: &str) -> Result<Option<AccountId>, Trouble> {
    let sql = "SELECT id FROM account WHERE address = ?1";
    one(conn, sql, [address], |row| Ok(AccountId(row.get(0)?)))
}

fn found(changed: usize) -> Result<Outcome, Trouble> {
    Ok(if changed == 0 { Outcome::NotFound } else { Outcome::Done })
}

fn added(changed: usize) -> Result<Outcome, Trouble> {
    Ok(if changed == 0 { Outcome::Exists } else { Outcome::Done })
}

fn watchers_name(watchers: WatcherPolicy) -> &'static str {
    match watchers {
        WatcherPolicy::Refuse => "refuse",
        WatcherPolicy::Ask => "ask",
        WatcherPolicy::Allow => "allow",
    }
}
