//! Between documents and the hub's presence.
//!
//! What the hub knows and the draft has no variable for stands in a vocabulary of ours, so that a presence
//! that becomes a document and is read again has lost nothing.

use std::fmt::Write;

use super::doc::{Doc, Name, Status};
use super::read::{IllFormed, is_illegal, parse};
use super::write::Writer;
use crate::clock::Date;
use crate::hub::address::Address;
use crate::limits;
use crate::mime;
use crate::store::record::Gist;

/// The type of these documents, and what a payload of PITP is without another (PIDF-4-1).
pub const CONTENT_TYPE: &str = "application/presence";

/// The vocabulary of hearth: `message`, what the user says of himself, percent-encoded where it holds
/// what a document can't; `since`, when he came online, in milliseconds since 1970.
pub const VOCABULARY: &str = "urn:hearth:presence";

/// Room that everything but the message takes at most: two URLs with addresses, and our variables.
const FRAME: usize = 2048;

/// What a document says, as far as the hub has words for it. A document of another type, or in another
/// charset than UTF-8 and US-ASCII, is not read: nothing is known of it (TOC-93, TOC-94). For a document that
/// is to be stored this is the check as well.
///
/// # Errors
/// [`IllFormed`] if it is of our type and no document.
pub fn gist(content_type: Option<&str>, octets: &[u8]) -> Result<Gist, IllFormed> {
    if !content_type.is_none_or(is_read) {
        return Ok(Gist::default());
    }
    let doc = parse(octets)?;
    let own = |name| doc.top().find(Some(VOCABULARY), name).map(|variable| variable.value());
    Ok(Gist {
        open: open(&doc),
        since: own("since").and_then(|text| text.parse().ok()).map(Date),
        description: own("message").and_then(|text| decode(&text)),
    })
}

/// Can he be written to by instant message? Not if all his addresses for that are closed; nothing is known
/// if there are none. One without status can be written to (PIDF-5.4.1-5).
fn open(doc: &Doc<'_>) -> Option<bool> {
    let messages = |scheme: &str| scheme.eq_ignore_ascii_case("im") || scheme.eq_ignore_ascii_case("imto");
    let states = doc.contacts().filter(|contact| messages(contact.scheme())).map(|contact| contact.status);
    states.map(|status| status != Some(Status::Closed)).reduce(|any, open| any || open)
}

/// The document of a user who has published none. The same presence gives the same octets. A description that
/// is too long for a document is cut.
pub fn of_presence(presentity: &Address, online: bool, since: Option<Date>, description: &str) -> String {
    let mut writer = Writer::new();
    writer.define(Name::fixed("presentity"), &format!("presence:{presentity}"));
    writer.open(Name::fixed("contact"), &format!("im:{presentity}"));
    writer.define(Name::fixed("status"), if online { "open" } else { "closed" });
    writer.close();
    if since.is_some() || !description.is_empty() {
        writer.define(Name::fixed("namespace:hearth"), VOCABULARY);
    }
    if !description.is_empty() {
        writer.define(Name::fixed("hearth:message"), &encode(description));
    }
    if let Some(since) = since {
        writer.define(Name::fixed("hearth:since"), &since.0.to_string());
    }
    writer.finish()
}

/// Percent-encodes what a document can't hold as it is, and the sign itself.
fn encode(description: &str) -> String {
    let mut encoded = String::with_capacity(description.len());
    let mut room = limits::DOCUMENT - FRAME;
    for c in description.chars() {
        let bare = !matches!(c, '%' | '\x7f'..='\u{9f}') && !c.is_ascii_control() && !is_illegal(c);
        let length = match c {
            // Written after a backslash.
            '"' | '\\' => 2,
            _ if bare => c.len_utf8(),
            _ => 3 * c.len_utf8(),
        };
        let Some(left) = room.checked_sub(length) else { break };
        room = left;
        if bare {
            encoded.push(c);
        } else {
            for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{octet:02X}");
            }
        }
    }
    encoded
}

/// None if it is not percent-encoded text.
fn decode(encoded: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut parts = encoded.split('%');
    octets.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        octets.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(octets).ok()
}

/// Is it our type, in a charset that is read? Parameters that are not understood say nothing.
fn is_read(content_type: &str) -> bool {
    let mut parts = mime::parts(content_type);
    let known =
        |charset: &str| charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("us-ascii");
    parts.next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(CONTENT_TYPE))
        && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset") || known(value.trim().trim_matches('"'))
        })
}
