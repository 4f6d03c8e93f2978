//! Entry points for fuzzing: each takes any octets and panics if a promise is broken. They are run by the
//! fuzz targets and, on generated input, by the tests.

use super::convert::{gist, of_presence};
use super::doc::{Context, Doc};
use super::read::parse;
use super::write::Writer;
use crate::clock::Date;
use crate::hub::address::{Address, Domains};
use crate::limits;

/// A document is read without a panic, and what is read can be asked for. Written again, in another
/// layout, it says the same.
pub fn document(data: &[u8]) {
    // Whatever it is, the hub gets something out of it or an error.
    assert_eq!(gist(None, data).is_ok(), parse(data).is_ok());
    let Ok(doc) = parse(data) else { return };
    let contacts = doc.contacts_by_preference();
    assert_eq!(contacts.len(), doc.contacts().count());
    let (_, _) = (doc.presentity(), doc.date());
    if String::from_utf8_lossy(data).contains(|c| matches!(c, '\u{80}'..='\u{9f}')) {
        // Read, but not written.
        return;
    }
    let mut writer = Writer::new();
    copy(doc.top(), &mut writer);
    let text = writer.finish();
    if text.len() > limits::DOCUMENT {
        // Indented it may be longer than it came.
        return;
    }
    let again = parse(text.as_bytes()).map(|again| flat(&again));
    assert_eq!(again, Ok(flat(&doc)), "written as {text:?}");
}

fn copy(context: Context<'_, '_>, writer: &mut Writer) {
    for variable in context.variables() {
        if variable.inside().variables().next().is_none() {
            writer.define(variable.name(), &variable.value());
        } else {
            writer.open(variable.name(), &variable.value());
            copy(variable.inside(), writer);
            writer.close();
        }
    }
}

/// Every definition with its depth, name, vocabulary, and value, ends of lines all alike.
fn flat(doc: &Doc<'_>) -> Vec<(usize, String, Option<String>, String)> {
    fn walk(context: Context<'_, '_>, depth: usize, flat: &mut Vec<(usize, String, Option<String>, String)>) {
        for variable in context.variables() {
            let written = |value: &str| value.replace("\r\n", "\n").replace('\r', "\n");
            let vocabulary = variable.vocabulary().map(|url| written(&url));
            flat.push((depth, variable.name().to_string(), vocabulary, written(&variable.value())));
            walk(variable.inside(), depth + 1, flat);
        }
    }
    let mut found = Vec::new();
    walk(doc.top(), 0, &mut found);
    found
}

/// Any presence becomes a document that says all of it again. The first octets are its dates and states.
pub fn presence(data: &[u8]) {
    let Some((state, rest)) = data.split_first() else { return };
    let Ok(presentity) = Address::parse_quoted("\"Jane \\\"J\\\" Smith\"@example.org", &Domains::default())
    else {
        return;
    };
    let description = String::from_utf8_lossy(rest);
    let online = state & 1 == 1;
    let since = (state & 2 == 2).then(|| Date(i64::from(*state) << 34));
    let text = of_presence(&presentity, online, since, &description);
    assert!(text.len() <= limits::DOCUMENT);
    let read = gist(None, text.as_bytes());
    let kept = read.as_ref().ok().and_then(|gist| gist.description.clone()).unwrap_or_default();
    assert_eq!(read.map(|gist| (gist.open, gist.since)), Ok((Some(online), since)), "{text:?}");
    assert!(description.starts_with(&kept), "{kept:?} of {description:?}");
    assert!(kept.len() == description.len() || text.len() > limits::DOCUMENT - 4096);
}
