//! What the command line shows: lists, counts, and whether the file is sound. No secrets.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Row;

use super::Reader;
use super::error::{StoreError, Trouble};
use super::read::{self, all, one, watchers_at};
use super::record::{AccountRecord, PeerRule, WatcherPolicy};
use crate::clock::Date;
use crate::hub::address::Domain;

/// A line of `hearth user list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// His canonical address.
    pub address: String,
    /// When the account was made.
    pub made: Date,
    /// Locked?
    pub locked: bool,
    /// Who may watch him by default.
    pub watchers: WatcherPolicy,
    /// Are messages kept for him while he is away?
    pub keeps_messages: bool,
    /// How many device keys he has.
    pub keys: u32,
}

/// What `hearth user show` shows.
#[derive(Debug, Clone, PartialEq)]
pub struct UserDetails {
    /// As in the list.
    pub summary: UserSummary,
    /// Profile, access control list, subscriptions, number of waiting items.
    pub account: AccountRecord,
    /// His device keys.
    pub keys: Vec<KeyLabel>,
}

/// A device key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLabel {
    /// Its name.
    pub label: String,
    /// When it was made.
    pub made: Date,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The schema's version.
    pub version: u32,
    /// Accounts.
    pub accounts: i64,
    /// Of those, locked.
    pub locked: i64,
    /// Device keys.
    pub keys: i64,
    /// Subscriptions to the presence of our users.
    pub inbound: i64,
    /// Subscriptions that our users hold.
    pub outbound: i64,
    /// Reports of failures that wait for a login.
    pub failures: i64,
    /// Kept messages.
    pub messages: i64,
    /// Rules about peers.
    pub peer_rules: i64,
    /// The database file, bytes.
    pub file_octets: i64,
    /// Its write-ahead log, bytes.
    pub log_octets: i64,
}

const SUMMARY: &str = "SELECT address, made, locked, watchers, keeps_messages,
                              (SELECT count(*) FROM device_key k WHERE k.account = account.id)
                       FROM account";

impl Reader {
    /// Shows all users, sorted by address, one at a time: there may be a million. Stops when told `false`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn users(&self, mut show: impl FnMut(UserSummary) -> bool) -> Result<(), StoreError> {
        let mut list = || -> Result<(), Trouble> {
            let mut statement = self.conn.prepare_cached(&format!("{SUMMARY} ORDER BY address"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !show(summary(row)?) {
                    break;
                }
            }
            Ok(())
        };
        list().map_err(|t| t.at(&self.path))
    }

    /// All about one user, by his canonical address.
    ///
    /// # Errors
    /// If the database fails.
    pub fn user(&self, address: &str) -> Result<Option<UserDetails>, StoreError> {
        let find = || -> Result<Option<UserDetails>, Trouble> {
            let tx = self.conn.unchecked_transaction()?;
            let summary = one(&tx, &format!("{SUMMARY} WHERE address = ?1"), [address], summary)?;
            let (Some(summary), Some(account)) = (summary, read::account(&tx, address)?) else {
                return Ok(None);
            };
            let keys = all(
                &tx,
                "SELECT label, made FROM device_key WHERE account = ?1 ORDER BY made, label",
                [account.id.0],
                |row| Ok(KeyLabel { label: row.get(0)?, made: Date(row.get(1)?) }),
            )?;
            Ok(Some(UserDetails { summary, account, keys }))
        };
        find().map_err(|t| t.at(&self.path))
    }

    /// A user's device keys, oldest first; none if there is no such user.
    ///
    /// # Errors
    /// If the database fails.
    pub fn keys(&self, address: &str) -> Result<Option<Vec<KeyLabel>>, StoreError> {
        Ok(self.user(address)?.map(|user| user.keys))
    }

    /// The rules about peers, sorted by domain.
    ///
    /// # Errors
    /// If the database fails.
    pub fn peer_rules(&self) -> Result<Vec<(Domain, PeerRule)>, StoreError> {
        read::peer_rules(&self.conn).map_err(|t| t.at(&self.path))
    }

    /// How much there is. Goes through the whole database: for people, not for the loop.
    ///
    /// # Errors
    /// If the database fails.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let count = || -> Result<Counts, Trouble> {
            let counts = one(
                &self.conn,
                "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM account WHERE locked),
                        (SELECT count(*) FROM device_key),
                        (SELECT count(*) FROM inbound), (SELECT count(*) FROM outbound),
                        (SELECT count(*) FROM failure), (SELECT count(*) FROM message),
                        (SELECT count(*) FROM peer_rule)",
                [],
                |row| {
                    Ok(Counts {
                        version: super::VERSION,
                        accounts: row.get(0)?,
                        locked: row.get(1)?,
                        keys: row.get(2)?,
                        inbound: row.get(3)?,
                        outbound: row.get(4)?,
                        failures: row.get(5)?,
                        messages: row.get(6)?,
                        peer_rules: row.get(7)?,
                        file_octets: std::fs::metadata(&self.path)?.len() as i64,
                        log_octets: 0,
                    })
                },
            )?;
            let mut log = self.path.clone().into_os_string();
            log.push("-wal");
            let log_octets = std::fs::metadata(log).map_or(0, |m| m.len() as i64);
            Ok(Counts { log_octets, ..counts.unwrap_or_default() })
        };
        count().map_err(|t| t.at(&self.path))
    }

    /// Reads every page, compares every index with its table, looks who may open the file: what is wrong, a
    /// line each; nothing if all is well.
    ///
    /// # Errors
    /// If the database can't even be read.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let check = || -> Result<Vec<String>, Trouble> {
            let mut wrong =
                all(&self.conn, "PRAGMA integrity_check(100)", [], |row| Ok(row.get::<_, String>(0)?))?;
            wrong.retain(|line| line != "ok");
            let mode = std::fs::metadata(&self.path)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                wrong.push(format!("it is open to others (mode {mode:04o}): run 'chmod 600' on it"));
            }
            let orphans = "SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1 ORDER BY 1";
            wrong.extend(all(&self.conn, orphans, [], |row| {
                Ok(format!(
                    "{} rows of {} without their owner",
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(0)?
                ))
            })?);
            Ok(wrong)
        };
        match check() {
            // So damaged that the check itself could not go on.
            Err(Trouble::Damaged(what)) => Ok(vec![what]),
            done => done.map_err(|t| t.at(&self.path)),
        }
    }
}

fn summary(row: &Row<'_>) -> Result<UserSummary, Trouble> {
    Ok(UserSummary {
        address: row.get(0)?,
        made: Date(row.get(1)?),
        locked: row.get(2)?,
        watchers: watchers_at(row, 3)?,
        keeps_messages: row.get(4)?,
        keys: row.get(5)?,
    })
}
