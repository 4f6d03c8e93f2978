//! The user's contacts: a small file of their own, since the protocols leave such lists to clients.

use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::cli::harmless::one_line;
use crate::hub::address::{Address, Domains};

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "contact")]
    contacts: Vec<Contact>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contact {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// Somebody's address, and what the user calls him.
pub type Named = (String, Option<String>);

/// Where they are kept unless it is said: in the user's own configuration.
pub fn place(me: &Address) -> Result<PathBuf, Failure> {
    let config = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| env::home_dir().map(|home| home.join(".config")));
    let dir =
        config.ok_or_else(|| Failure::new("there is no home folder for contacts: say --contacts FILE"))?;
    // A local part may hold a slash.
    let name: String = me.as_str().chars().map(|c| if c == '/' { '_' } else { c }).collect();
    Ok(dir.join("hearth").join("contacts").join(format!("{name}.toml")))
}

/// Reads them; there may be none yet.
pub fn load(file: &Path) -> Result<Vec<Named>, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::new(format!("{}: {why}", file.display()));
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(wrong(&format!("contacts can't be read: {error}"))),
    };
    let read: File = toml::from_str(&text)
        .map_err(|error| wrong(&one_line(&format!("not a list of contacts: {}", error.message()))))?;
    let mut contacts: Vec<Named> = Vec::new();
    for Contact { address, name } in read.contacts {
        let address = Address::parse_quoted(&address, &Domains::default())
            .map_err(|bad| wrong(&one_line(&format!("{address}: {bad}"))))?;
        if contacts.iter().all(|(known, _)| known != address.as_str()) {
            contacts.push((address.to_string(), name.map(|name| one_line(&name))));
        }
    }
    Ok(contacts)
}

/// Writes them, in one go.
pub fn save<'a>(
    file: &Path,
    contacts: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<(), Failure> {
    let list = File {
        contacts: contacts
            .map(|(address, name)| Contact { address: address.to_owned(), name: name.map(str::to_owned) })
            .collect(),
    };
    let write = || -> std::io::Result<()> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let text = toml::to_string(&list).map_err(std::io::Error::other)?;
        let mut new = tempfile::NamedTempFile::new_in(dir)?;
        new.write_all(format!("# Written by `hearth chat`.\n\n{text}").as_bytes())?;
        new.persist(file).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| Failure::new(format!("{}: contacts can't be kept: {error}", file.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("deep").join("alice.toml");
        assert_eq!(load(&file).unwrap(), []);
        save(&file, [("bob@b.test", Some("Bob \"B\"")), ("\"c d\"@c.test", None)].into_iter()).unwrap();
        let kept = load(&file).unwrap();
        let bob = ("bob@b.test".to_owned(), Some("Bob \"B\"".to_owned()));
        assert_eq!(kept, [bob, ("\"c d\"@c.test".to_owned(), None)]);
        for (bad, why) in
            [("[[contact]]\nname = \"x\"", "address"), ("[[contact]]\naddress = \"bob\"", "'@'")]
        {
            fs::write(&file, bad).unwrap();
            let said = load(&file).unwrap_err().to_string();
            assert!(said.contains("alice.toml") && said.contains(why), "{said}");
        }
    }
}
