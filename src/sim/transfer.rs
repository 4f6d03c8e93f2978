//! IMTP and PITP as a client of the simulation reads and writes them: each message is an [`Object`], so that
//! scripts and tests speak of both families in one way.
//!
//! | on the wire | as an object |
//! | --- | --- |
//! | `>7 send` | `action=send request=7` |
//! | `<7 ok (send)` | `action=ok response=7 method=send` |
//! | `=mech A B` | `action=mech names="A B"` |
//! | `Inbox: im:a@x` | `Inbox=im:a@x`, in the order of the headers, repeated if they are |
//! | the payload | `body=…`; no `Content-Length` beside it |
//!
//! The reader shares nothing with the server's own codec, so that a mistake can't hide in both, and is as strict
//! as a server's writer has to be (2.4 of the catalogue): one space where one is due, no white space at the end
//! of a line, error types that are one word. NOPs are counted and passed over. Octets of a payload that are no
//! UTF-8 stand in its text as the characters U+F700 to U+F7FF, and are written back as octets.

use super::reader::Object;

/// What stands for octet 0 where a payload is no text.
const OCTET: u32 = 0xF700;

/// The octets that a text stands for.
pub fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    for c in text.chars() {
        match (c as u32).checked_sub(OCTET).and_then(|octet| u8::try_from(octet).ok()) {
            Some(octet) => octets.push(octet),
            None => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    octets
}

/// The text that stands for octets.
pub fn text(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&octet| char::from_u32(OCTET + u32::from(octet))));
    }
    text
}

/// Writes an object as octets. A `Content-Length` is written unless the object has one itself, which may lie.
pub fn write(object: &Object) -> Vec<u8> {
    let of = |key: &str| object.get(key).unwrap_or_default();
    let mut out = match object.action() {
        "mech" => return octets(&format!("=mech {}\r\n", of("names"))),
        "nop" => return b"=nop\r\n".to_vec(),
        action @ ("ok" | "error") if object.get("response").is_some() => {
            format!("<{} {action} ({})\r\n", of("response"), of("method"))
        }
        action => format!(">{} {action}\r\n", of("request")),
    };
    for (key, value) in object.entries.iter().filter(|(key, _)| !is_ours(key)) {
        // A value that begins with a fold has no space before it.
        let space = if value.is_empty() || value.starts_with('\r') { "" } else { " " };
        out.push_str(&format!("{key}:{space}{value}\r\n"));
    }
    let body = object.get("body").map(octets);
    if let Some(body) = body.as_ref().filter(|_| object.get("Content-Length").is_none()) {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    let mut out = octets(&(out + "\r\n"));
    out.extend(body.unwrap_or_default());
    out
}

/// Is this entry no header?
fn is_ours(key: &str) -> bool {
    matches!(key, "action" | "request" | "response" | "method" | "body")
}

/// Reads what a server writes, as it arrives.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// NOPs so far.
    pub nops: u32,
}

impl Reader {
    /// Takes in octets and gives the messages that are complete, each with its octets.
    ///
    /// # Errors
    /// What a server has no business to write.
    pub fn read(&mut self, data: &[u8]) -> Result<Vec<Object>, String> {
        self.buffer.extend_from_slice(data);
        let mut objects = Vec::new();
        loop {
            let (used, object) = match message(&self.buffer) {
                Ok(Some(read)) => read,
                Ok(None) => return Ok(objects),
                Err(what) => return Err(format!("{what}: {}", text(&self.buffer))),
            };
            let octets: Vec<u8> = self.buffer.drain(..used).collect();
            match object {
                Some(object) => objects.push(Object { octets, ..object }),
                None => self.nops += 1,
            }
        }
    }
}

/// The first message, if it is whole, and how many octets it takes; a NOP is no object.
fn message(buffer: &[u8]) -> Result<Option<(usize, Option<Object>)>, &'static str> {
    let Some(start_end) = find(buffer, b"\r\n") else {
        return match buffer.first() {
            None | Some(b'=' | b'<' | b'>') => Ok(None),
            Some(_) => Err("no message begins like this"),
        };
    };
    let start = std::str::from_utf8(&buffer[..start_end]).map_err(|_| "a start line that is no text")?;
    let after = start_end + 2;
    if start == "=nop" {
        return Ok(Some((after, None)));
    }
    if let Some(names) = start.strip_prefix("=mech") {
        let is_list = names.is_empty() || names.split(' ').skip(1).all(is_name) && names.starts_with(' ');
        let object = Object::new(&[("action", "mech"), ("names", names.trim_start())]);
        return if is_list { Ok(Some((after, Some(object)))) } else { Err("a list of mechanisms") };
    }
    let mut object = start_line(start)?;
    let rest = &buffer[after..];
    let head_end = if rest.starts_with(b"\r\n") { Some(0) } else { find(rest, b"\r\n\r\n").map(|at| at + 2) };
    let Some(head_end) = head_end else { return Ok(None) };
    let head = std::str::from_utf8(&rest[..head_end]).map_err(|_| "headers that are no text")?;
    headers(head, &mut object)?;
    let body_at = after + head_end + 2;
    let length = match object.get("Content-Length") {
        Some(length) if length == "0" || !length.starts_with('0') => {
            Some(length.parse::<usize>().map_err(|_| "a length that is no number")?)
        }
        Some(_) => return Err("a length with a zero before it"),
        None => None,
    };
    let end = body_at + length.unwrap_or(0);
    let Some(body) = buffer.get(body_at..end) else { return Ok(None) };
    object.entries.retain(|(key, _)| key != "Content-Length");
    if length.is_some() {
        object.entries.push(("body".to_owned(), text(body)));
    }
    plausible(&object)?;
    Ok(Some((end, Some(object))))
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(octets, what)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn start_line(line: &str) -> Result<Object, &'static str> {
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some((id, method)) = line.strip_prefix('>').and_then(|rest| rest.split_once(' ')) {
        let fits = is_id(id) && is_name(method);
        let object = Object::new(&[("action", method), ("request", id)]);
        return if fits { Ok(object) } else { Err("a command's start") };
    }
    let response = || {
        let (id, rest) = line.strip_prefix('<')?.split_once(' ')?;
        let (status, method) = rest.strip_suffix(')')?.split_once(" (")?;
        let fits = is_id(id) && is_name(method) && matches!(status, "ok" | "error");
        fits.then(|| Object::new(&[("action", status), ("response", id), ("method", method)]))
    };
    response().ok_or("no start line")
}

fn headers(head: &str, object: &mut Object) -> Result<(), &'static str> {
    for line in head.split("\r\n") {
        if line.is_empty() {
            continue;
        }
        if line.contains(['\r', '\n']) {
            return Err("a bare CR or LF");
        }
        if line.starts_with([' ', '\t']) {
            // Only what is passed on has folds, and they are kept.
            let (_, value) = object.entries.last_mut().ok_or("a fold of nothing")?;
            value.push_str("\r\n");
            value.push_str(line);
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        if name.is_empty() || !name.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err("a header's name");
        }
        object.entries.push((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()));
    }
    Ok(())
}

/// What holds for every message that a server writes (COMMON-12-1, COMMON-10-23, the second column of 2.4).
fn plausible(object: &Object) -> Result<(), &'static str> {
    let once =
        ["Content-Length", "Content-Type", "Astrength", "Error-Type", "Error-Originator", "Unreliable"];
    if once.iter().any(|key| object.all(key).count() > 1) {
        return Err("a header twice");
    }
    if object.get("Content-Transfer-Encoding").is_some() {
        return Err("a transfer encoding");
    }
    let strengths = [None, Some("strong"), Some("medium"), Some("weak"), Some("none")];
    if !strengths.contains(&object.get("Astrength")) {
        return Err("a strength");
    }
    let failed = object.action() == "error" && object.get("response").is_some();
    let error = object.get("Error-Type");
    if failed && !error.is_some_and(is_name) {
        return Err("an error without its type");
    }
    if failed && object.get("body").is_some() != (error == Some("sasl-challenge")) {
        return Err("an error with a payload, or a challenge without one");
    }
    if object.get("Content-Type").is_some() && object.get("body").is_none() {
        return Err("a type of nothing");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[u8] = b"=mech EXTERNAL SCRAM-SHA-256\r\n=nop\r\n>8 send\r\nSender: im:a@x\r\nX-Mood: bright and\r\n    cheerful\r\n\
        Content-Length: 3\r\n\r\n\xff\r\n<a1 error (send)\r\nError-Type: no-listeners\r\n\r\n<2 ok (listen)\r\n\r\n";

    #[test]
    fn whole_and_bytewise_read_alike_and_write_back() {
        let mut whole = Reader::default();
        let objects = whole.read(SOME).unwrap();
        assert_eq!((objects.len(), whole.nops), (4, 1));
        assert_eq!(objects[1].get("X-Mood"), Some("bright and\r\n    cheerful"));
        assert_eq!(octets(objects[1].get("body").unwrap()), b"\xff\r\n");
        let written: Vec<u8> = objects.iter().flat_map(write).collect();
        let without_nop: Vec<u8> = [&SOME[..30], &SOME[36..]].concat();
        assert_eq!(written, without_nop);
        let mut bytewise = Reader::default();
        let same: Vec<Object> = SOME.iter().flat_map(|&b| bytewise.read(&[b]).unwrap()).collect();
        assert_eq!(objects, same);
    }

    #[test]
    fn what_we_never_write_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"=mech  A\r\n",
            b">1  send\r\n\r\n",
            b">1 send \r\n\r\n",
            b"<1 nrror (send)\r\nError-Type: x\r\n\r\n",
            b"<1 error (send)\r\n\r\n",
            b"<1 ok (send)\r\nAstrength: Strong\r\n\r\n",
            b"<1 ok (send)\r\nContent-Length: 01\r\n\r\nx",
            b"<1 ok (send)\r\nContent-Type: text/plain\r\n\r\n",
        ] {
            assert!(Reader::default().read(bad).is_err(), "{}", text(bad));
        }
    }
}
