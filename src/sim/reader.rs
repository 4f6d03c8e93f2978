//! A strict reader of what a server writes on a SIMP stream.
//!
//! It shares nothing with the server's own codec, so that a mistake can't hide in both. It accepts
//! exactly the header that OC-27 says we write, and objects of `properties` and `entry` whose tags may
//! have been taken over from a peer's text: anything else (a comment, CDATA, a duplicate key, an
//! unknown reference) is a defect of the server.

/// What a server writes first (OC-27).
pub const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

/// A properties object: a command or a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Its entries in the order of their arrival.
    pub entries: Vec<(String, String)>,
    /// As it came, where that is wanted: by IMTP and PITP.
    pub octets: Vec<u8>,
}

impl Object {
    /// An object from pairs.
    pub fn new(entries: &[(&str, &str)]) -> Object {
        let entries = entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Object { entries, octets: Vec::new() }
    }

    /// All values of a key, in their order: headers may be repeated.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The action, or nothing.
    pub fn action(&self) -> &str {
        self.get("action").unwrap_or_default()
    }

    /// The XML text, as our clients write it.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<properties>");
        for (key, value) in &self.entries {
            xml.push_str("<entry key=\"");
            escape(key, &mut xml);
            xml.push_str("\">");
            escape(value, &mut xml);
            xml.push_str("</entry>");
        }
        xml.push_str("</properties>\n");
        xml
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.action())?;
        for (key, value) in self.entries.iter().filter(|(k, _)| k != "action") {
            let value: String = value.chars().take(120).collect();
            write!(f, " {key}={value:?}")?;
        }
        Ok(())
    }
}

fn escape(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\r' => xml.push_str("&#13;"),
            c => xml.push(c),
        }
    }
}

/// Reads one stream as it arrives.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    opened: bool,
    ended: bool,
}

impl Reader {
    /// Has `</stream>` been read?
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Takes in octets and gives the objects that are complete.
    ///
    /// # Errors
    /// What is wrong with the stream, in words.
    pub fn read(&mut self, octets: &[u8]) -> Result<Vec<Object>, String> {
        self.buffer.extend_from_slice(octets);
        if !self.opened {
            let known = self.buffer.len().min(HEADER.len());
            if self.buffer[..known] != HEADER.as_bytes()[..known] {
                return Err(format!("not the header we write: {}", lossy(&self.buffer)));
            }
            if known < HEADER.len() {
                return Ok(Vec::new());
            }
            self.opened = true;
            self.buffer.drain(..known);
        }
        let mut objects = Vec::new();
        loop {
            let white = self.buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.buffer.drain(..white);
            if self.buffer.is_empty() {
                return Ok(objects);
            }
            if self.ended {
                return Err(format!("after the end of the stream: {}", lossy(&self.buffer)));
            }
            if self.buffer.starts_with(b"</stream>") {
                self.ended = true;
                self.buffer.drain(..b"</stream>".len());
                continue;
            }
            const CLOSE: &[u8] = b"</properties>";
            let Some(end) = self.buffer.windows(CLOSE.len()).position(|w| w == CLOSE) else {
                return self.plausible().map(|()| objects);
            };
            let text: Vec<u8> = self.buffer.drain(..end + CLOSE.len()).collect();
            let text = String::from_utf8(text).map_err(|e| format!("not UTF-8: {e}"))?;
            objects.push(object(&text)?);
        }
    }

    /// Can what is there be the beginning of something we write?
    fn plausible(&self) -> Result<(), String> {
        let start = |tag: &[u8]| {
            let n = tag.len().min(self.buffer.len());
            self.buffer[..n] == tag[..n]
        };
        if start(b"<properties>") || start(b"</stream>") {
            Ok(())
        } else {
            Err(format!("neither an object nor an end: {}", lossy(&self.buffer)))
        }
    }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(&octets[..octets.len().min(200)]).into_owned()
}

/// Parses one `<properties>…</properties>`.
fn object(text: &str) -> Result<Object, String> {
    let bad = |what: &str| format!("{what} in {text}");
    let mut rest = text.strip_prefix("<properties>").ok_or_else(|| bad("no <properties>"))?.trim_start();
    let mut object = Object::default();
    while rest != "</properties>" {
        rest = rest.strip_prefix("<entry").ok_or_else(|| bad("not an entry"))?;
        rest = rest.trim_start().strip_prefix("key").ok_or_else(|| bad("no key"))?;
        rest = rest.trim_start().strip_prefix('=').ok_or_else(|| bad("no value of the key"))?.trim_start();
        let quote = rest.chars().next().filter(|q| matches!(q, '"' | '\'')).ok_or_else(|| bad("no quote"))?;
        let (key, after) = rest[1..].split_once(quote).ok_or_else(|| bad("no end of the key"))?;
        let after = after.trim_start();
        let (value, after) = if let Some(after) = after.strip_prefix("/>") {
            ("", after)
        } else {
            let after = after.strip_prefix('>').ok_or_else(|| bad("something after the key"))?;
            after.split_once("</entry>").ok_or_else(|| bad("no </entry>"))?
        };
        let (key, value) = (unescape(key)?, unescape(value)?);
        if object.get(&key).is_some() {
            return Err(bad("a key twice"));
        }
        object.entries.push((key, value));
        rest = after.trim_start();
    }
    if object.get("action").is_none() {
        return Err(bad("no action"));
    }
    Ok(object)
}

/// Resolves the five entities and character references; nothing else may follow `&`.
fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '\r']) {
        plain.push_str(&rest[..at]);
        let (name, after) = rest[at..]
            .strip_prefix('&')
            .and_then(|r| r.split_once(';'))
            .ok_or_else(|| format!("unescaped in {text:?}"))?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            name => reference(name).ok_or_else(|| format!("what is &{name};?"))?,
        });
        rest = after;
    }
    plain.push_str(rest);
    match plain.chars().find(|&c| !is_char(c)) {
        Some(c) => Err(format!("{c:?} is no XML character")),
        None => Ok(plain),
    }
}

fn reference(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let code = match digits.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code)
}

/// XML 1.0 `Char`.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "<?xml version=\"1.0\"?>\n<stream>\n<properties><entry key=\"action\">okay</entry>\
        <entry key=\"response\">1</entry></properties>\n\n<properties>\n <entry key='action'>self</entry>\
        <entry key=\"x &amp; y\"/><entry key=\"z\">&lt;&#10;&#x41;</entry></properties></stream>\n";

    #[test]
    fn whole_and_bytewise_read_alike() {
        let mut whole = Reader::default();
        let objects = whole.read(TWO.as_bytes()).unwrap();
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[1].get("x & y"), Some(""));
        assert_eq!(objects[1].get("z"), Some("<\nA"));
        assert!(whole.ended());
        let mut bytewise = Reader::default();
        let mut same = Vec::new();
        for b in TWO.bytes() {
            same.extend(bytewise.read(&[b]).unwrap());
        }
        assert_eq!(objects, same);
        assert!(bytewise.ended());
    }

    #[test]
    fn what_we_never_write_is_refused() {
        for bad in [
            "<?xml version='1.0'?>\n<stream>\n",
            "<?xml version=\"1.0\"?>\n<stream>\n<!-- x -->",
            "<?xml version=\"1.0\"?>\n<stream>\n<properties></properties>",
            "<?xml version=\"1.0\"?>\n<stream>\n<properties><entry key=\"action\">a</entry><entry key=\"action\">b</entry></properties>",
            "<?xml version=\"1.0\"?>\n<stream>\n<properties><entry key=\"action\">&nbsp;</entry></properties>",
            "<?xml version=\"1.0\"?>\n<stream>\n</stream>\n<properties>",
        ] {
            assert!(Reader::default().read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let object = Object::new(&[("action", "send"), ("a\"<&>'b", "x\r\n<&>]]>\"'\u{1F600}")]);
        let mut reader = Reader::default();
        reader.read(HEADER.as_bytes()).unwrap();
        assert_eq!(reader.read(object.to_xml().as_bytes()).unwrap(), vec![object]);
    }
}
