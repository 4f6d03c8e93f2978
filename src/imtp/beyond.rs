//! What a message of another family says that IMTP has no header for: where answers should go, and whatever else its
//! sender has put into it. It goes along in headers of our own, which relays pass on and others pass over, and
//! is taken out of them again where the message comes to the other family.
//!
//! `Hearth-Reply-To: im:LOCAL@DOMAIN`, and any number of `Hearth-Entry: KEY=VALUE`, both percent-encoded.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::Protocol;
use super::message::Message;
use super::url::Url;
use crate::hub::Hub;
use crate::hub::address::Address;
use crate::hub::op;

const REPLY_TO: &str = "Hearth-Reply-To: ";
const ENTRY: &str = "Hearth-Entry: ";
/// Octets of such headers in one message: a header block has room for more.
const MOST: usize = 16 * 1024;
/// Octets of one of them.
const LONGEST: usize = 4 * 1024;
/// Entries of one message.
const ENTRIES: usize = 32;

/// What a key or value can't hold as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%').add(b'=').add(b' ');

/// Appends the headers. What would be too long is left out.
pub fn write(out: &mut Vec<u8>, message: &op::Message<'_>) {
    let begin = out.len();
    if let Some(reply_to) = message.reply_to.as_ref().filter(|to| to.as_str().is_ascii()) {
        out.extend_from_slice(format!("{REPLY_TO}im:{reply_to}\r\n").as_bytes());
    }
    for (key, value) in message.extras.iter().take(ENTRIES) {
        let (key, value) = (utf8_percent_encode(key, ESCAPED), utf8_percent_encode(value, ESCAPED));
        let line = format!("{ENTRY}{key}={value}\r\n");
        if line.len() <= LONGEST && out.len() - begin + line.len() <= MOST {
            out.extend_from_slice(line.as_bytes());
        }
    }
}

/// Reads them back.
pub fn read(message: &Message<'_>, hub: &Hub) -> (Option<Address>, op::Extras<'static>) {
    let (mut reply_to, mut extras) = (None, Vec::new());
    for line in message.extras() {
        let Some(line) = std::str::from_utf8(line).ok().map(str::trim_end) else { continue };
        if let Some(url) = line.strip_prefix(REPLY_TO) {
            let address = Url::parse(url, Protocol::Imtp).and_then(Url::identifier);
            reply_to = address.and_then(|address| address.address(hub.domains()).ok());
        } else if let Some((key, value)) = line.strip_prefix(ENTRY).and_then(|entry| entry.split_once('='))
            && extras.len() < ENTRIES
        {
            let decoded = |text| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
            if let (Some(key), Some(value)) = (decoded(key), decoded(value)) {
                extras.push((Cow::Owned(key), Cow::Owned(value)));
            }
        }
    }
    (reply_to, extras)
}
