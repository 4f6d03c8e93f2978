//! `hearth user key`: device keys.

use crate::cli::output::say;
use serde_json::json;

use super::args::Key;
use super::failure::{Done, Failure};
use super::house::{self, House};
use crate::credential;
use crate::store;
use crate::store::record::{Change, Outcome};

/// Does what is asked.
pub fn run(house: &House, command: Key) -> Done {
    match command {
        Key::Add(key) => {
            let address = house.user(&key.who.address)?;
            let secret = credential::device_key(house::random()?);
            let change = Change::AddKey {
                address: address.to_string(),
                label: key.label.clone(),
                secret: secret.clone(),
                date: house::now(),
            };
            match house.change(change)? {
                Outcome::Exists => Err(Failure::new(format!(
                    "{address} has a key {:?} already: choose another label, or `hearth user key del {address} {}` first",
                    key.label, key.label
                ))),
                Outcome::NotFound => Err(house.no_user(&address)),
                Outcome::Done | Outcome::Full => {
                    say!("{}", secret.expose());
                    Ok(())
                }
            }
        }
        Key::Del(key) => {
            let address = house.user(&key.who.address)?;
            let change = Change::RemoveKey { address: address.to_string(), label: key.label.clone() };
            match house.change(change)? {
                Outcome::NotFound => Err(Failure::new(format!(
                    "{address} has no key {:?}: see `hearth user key list {address}`",
                    key.label
                ))),
                _ => Ok(()),
            }
        }
        Key::Renew => {
            let forgotten =
                store::renew_key(&house.config.data_dir, house::random()?).map_err(Failure::new)?;
            say!("{} is new; device keys taken away: {forgotten}", house.config.key_file().display());
            Ok(())
        }
        Key::List { who, json } => {
            let address = house.user(&who.address)?;
            let keys = house.reader()?.keys(address.as_str()).map_err(Failure::new)?;
            let keys = keys.ok_or_else(|| house.no_user(&address))?;
            if json {
                let keys: Vec<_> =
                    keys.iter().map(|k| json!({ "label": k.label, "made": k.made.0 })).collect();
                say!("{}", json!(keys));
            } else {
                for key in keys {
                    say!("{}  {}", house::day(key.made), key.label);
                }
            }
            Ok(())
        }
    }
}
