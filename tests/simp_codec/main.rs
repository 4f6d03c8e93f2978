//! The SIMP codec from outside: streams of octets to objects, objects to commands, and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod examples;
mod framing;
mod objects;
mod oracle;
mod writing;

use hearth::simp::object::{BadObject, Object, Scratch};

/// An object's entries, or why there are none.
fn read(data: &[u8]) -> Result<Vec<(String, String)>, BadObject<'static>> {
    let mut scratch = Scratch::new();
    match Object::parse(data, &mut scratch) {
        Ok(object) => Ok(object.entries().map(|e| (e.key.to_owned(), e.value.to_owned())).collect()),
        Err(BadObject::Stream(bad)) => Err(BadObject::Stream(bad)),
        Err(BadObject::Malformed(malformed)) => panic!("{malformed:?} in {}", String::from_utf8_lossy(data)),
    }
}

/// An object of these entries, as we would write it.
fn object(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    hearth::simp::write::object(&mut out, entries.iter().copied());
    out.truncate(out.len() - 1);
    out
}
