//! `hearth user`: accounts.

use crate::cli::output::{self, complain, say};
use std::io::{IsTerminal, stdin};

use serde_json::{Map, Value, json};

use super::args::{Password, Setting, User, Who};
use super::failure::{Done, Failure};
use super::house::{self, House};
use super::key;
use crate::credential::{PasswordRecord, Secret};
use crate::hub::address::Address;
use crate::store::record::{Change, Outcome, WatcherPolicy};
use crate::store::{UserDetails, UserSummary};

/// The local part that belongs to servers (SIMP-4.2.1.2-3).
const RESERVED: &str = "notifier";

/// Does what is asked.
pub fn run(house: &House, command: User) -> Done {
    match command {
        User::Add(password) => add(house, &password),
        User::Del(who) => {
            change(house, &who, |address| Change::RemoveAccount { address: address.to_string() })
        }
        User::Passwd(password) => passwd(house, &password),
        User::List { json } => list(house, json),
        User::Show { who, json } => show(house, &who, json),
        User::Lock(who) => lock(house, &who, true),
        User::Unlock(who) => lock(house, &who, false),
        User::Set { who, settings } => settings.iter().try_for_each(|setting| set(house, &who, *setting)),
        User::Key(command) => key::run(house, command),
    }
}

fn add(house: &House, given: &Password) -> Done {
    let address = house.user(&given.who.address)?;
    if address.local() == RESERVED {
        return Err(Failure::new(format!("{RESERVED} is reserved for servers: choose another name")));
    }
    if exists_already(house, &address)? {
        return Err(exists(&address));
    }
    let change =
        Change::AddAccount { address: address.to_string(), password: verifiers(given)?, date: house::now() };
    match house.change(change)? {
        Outcome::Exists => Err(exists(&address)),
        _ => {
            if !address.local().is_ascii() {
                complain!(
                    "hearth: {address} can use SIMP only: IMTP and PITP have ASCII names and no others"
                );
            }
            Ok(())
        }
    }
}

fn exists(address: &Address) -> Failure {
    Failure::new(format!("{address} exists already: `hearth user passwd {address}` changes the password"))
}

fn passwd(house: &House, given: &Password) -> Done {
    let address = house.user(&given.who.address)?;
    if !exists_already(house, &address)? {
        return Err(house.no_user(&address));
    }
    let password = verifiers(given)?;
    change(house, &given.who, |address| Change::SetPassword { address: address.to_string(), password })
}

/// Changes a user who must exist.
fn change(house: &House, who: &Who, make: impl FnOnce(&Address) -> Change) -> Done {
    let address = house.user(&who.address)?;
    match house.change(make(&address))? {
        Outcome::NotFound => Err(house.no_user(&address)),
        _ => Ok(()),
    }
}

fn lock(house: &House, who: &Who, locked: bool) -> Done {
    change(house, who, |address| Change::SetLocked { address: address.to_string(), locked })
}

fn set(house: &House, who: &Who, setting: Setting) -> Done {
    change(house, who, |address| {
        let address = address.to_string();
        match setting {
            Setting::Watchers(watchers) => Change::SetWatchers { address, watchers },
            Setting::Messages(keeps) => Change::SetKeepsMessages { address, keeps },
        }
    })
}

fn list(house: &House, json: bool) -> Done {
    let mut first = true;
    // One at a time: there may be a million.
    let show = |user: UserSummary| {
        if json {
            say!("{}{}", if first { "[" } else { "," }, summary(&user));
        } else {
            say!("{}{}", user.address, if user.locked { "  locked" } else { "" });
        }
        first = false;
        output::is_read()
    };
    house.reader()?.users(show).map_err(Failure::new)?;
    if json {
        say!("{}]", if first { "[" } else { "" });
    }
    Ok(())
}

fn summary(user: &UserSummary) -> Value {
    json!({
        "address": user.address,
        "made": user.made.0,
        "locked": user.locked,
        "watchers": user.watchers,
        "messages": messages(user.keeps_messages),
        "keys": user.keys,
    })
}

fn messages(kept: bool) -> &'static str {
    if kept { "keep" } else { "refuse" }
}

fn show(house: &House, who: &Who, json: bool) -> Done {
    let address = house.user(&who.address)?;
    let user = house.reader()?.user(address.as_str()).map_err(Failure::new)?;
    let UserDetails { summary: user, account, keys } = user.ok_or_else(|| house.no_user(&address))?;
    let labels: Vec<&str> = keys.iter().map(|key| key.label.as_str()).collect();
    if json {
        let entries = |list: &[(String, String)]| {
            list.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>()
        };
        let mut object = summary(&user);
        object["keys"] = json!(labels);
        object["profile"] = json!(entries(&account.profile));
        object["acl"] = json!(account.acl.as_deref().map(entries));
        object["watched_by"] = account.watched_by.iter().map(|w| json!(w.watcher.as_str())).collect();
        object["watching"] = account.watching.iter().map(|w| json!(w.presentity.as_str())).collect();
        object["waiting"] = json!(account.waiting);
        say!("{object}");
        return Ok(());
    }
    let watchers = match user.watchers {
        WatcherPolicy::Refuse => "refuse",
        WatcherPolicy::Ask => "ask",
        WatcherPolicy::Allow => "allow",
    };
    say!("address     {address}{}", if user.locked { "  (locked)" } else { "" });
    say!("made        {}", house::day(user.made));
    say!("watchers    {watchers}");
    say!("messages    {}", messages(user.keeps_messages));
    say!("keys        {}", if labels.is_empty() { "none".to_owned() } else { labels.join(", ") });
    say!("acl         {}", account.acl.map_or_else(|| "default".to_owned(), |acl| shown(&acl)));
    say!("profile     {}", shown(&account.profile));
    say!("watched by  {}", account.watched_by.len());
    say!("watching    {}", account.watching.len());
    say!("waiting     {} reports and messages for his next login", account.waiting);
    Ok(())
}

fn exists_already(house: &House, address: &Address) -> Result<bool, Failure> {
    Ok(house.reader()?.user(address.as_str()).map_err(Failure::new)?.is_some())
}

/// Entries on one line; they are what a user's client has sent.
fn shown(entries: &[(String, String)]) -> String {
    let each = entries.iter().map(|(key, value)| format!("{key:?} {value:?}"));
    let all = each.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "empty".to_owned() } else { all }
}

/// A new password, asked for twice or read from stdin, and made into what can check it.
fn verifiers(given: &Password) -> Result<PasswordRecord, Failure> {
    let password = if given.password_stdin {
        house::first_line_of_stdin("password")?
    } else if stdin().is_terminal() {
        ask_twice()?
    } else {
        return Err(Failure::usage("stdin is no terminal to ask for the password on: use --password-stdin"));
    };
    PasswordRecord::make(password.expose(), house::random()?)
        .map_err(|wrong| Failure::new(format!("{wrong}: choose another")))
}

fn ask_twice() -> Result<Secret, Failure> {
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map(Secret::new).map_err(|error| {
            Failure::new(format!("the password can't be read: {error}; use --password-stdin"))
        })
    };
    let first = ask("Password: ")?;
    if first != ask("The same again: ")? {
        return Err(Failure::new("the two are not the same: try again"));
    }
    Ok(first)
}
