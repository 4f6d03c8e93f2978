//! Framing: where in a stream of octets one object ends and the next begins.
//!
//! First in the flow of what is received: the connection shows its unconsumed octets to the
//! [`Framer`], which says what is at their start; a whole `<properties>` element then goes to
//! [`Object::parse`](super::object::Object::parse). The framer owns no buffer and can be stopped at any
//! octet, so an idle connection costs its twelve bytes. It looks at each octet a bounded number of
//! times however they are cut up, and judges only what the object parser does not see.

use std::sync::LazyLock;

use memchr::{memchr2_iter, memmem};

pub use super::xml::BadStream;
use super::xml::{Section, Start, after_spaces, declaration, is_space, start};

/// What stands at the start of the octets shown to [`Framer::step`]. The number is how many octets it
/// takes: drop them before the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing of interest: the declaration, white space, a comment, a processing instruction.
    Skip(usize),
    /// `<stream>`: the stream is open.
    Opened(usize),
    /// A whole `<properties>` element.
    Object(usize),
    /// `</stream>`: nothing more is read.
    Ended(usize),
    /// Not enough to tell: call again with the same octets and more.
    More,
    /// The stream can't be read on. Every later step says the same.
    Broken(BadStream),
}

/// Where in the stream we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the XML declaration.
    Start,
    /// Between the declaration and `<stream>`.
    Prolog,
    /// At the `/>` of `<stream/>`.
    Empty,
    /// Between objects.
    Between,
    /// Inside an object.
    Inside,
    /// In the white space of an object's end tag.
    EndTag,
    /// After `</stream>`.
    Ended,
    /// Can't be read on.
    Broken(BadStream),
}

/// Finds the pieces of one stream. See the module.
#[derive(Debug, Clone)]
pub struct Framer {
    place: Place,
    /// The comment, CDATA section or instruction that `scanned` lies in.
    section: Option<Section>,
    /// Octets of the unconsumed ones that need not be looked at again.
    scanned: u32,
    /// Where the content of `section` starts.
    content: u32,
}

const _: () = assert!(size_of::<Framer>() <= 32, "every connection has one");

/// The end tag without its `>`, before which white space may stand.
const END: &[u8] = b"</properties";
static FIND_END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(END));

impl Default for Framer {
    fn default() -> Framer {
        Framer::new()
    }
}

impl Framer {
    /// At the start of a stream.
    pub const fn new() -> Framer {
        Framer { place: Place::Start, section: None, scanned: 0, content: 0 }
    }

    /// Has the header been read, up to `<stream>`?
    pub fn is_open(&self) -> bool {
        !matches!(self.place, Place::Start | Place::Prolog | Place::Broken(_))
    }

    /// Is it between two objects, with nothing of the next one seen? Then whoever knows what a whole object looks
    /// like may take it off, and white space too, without a [`step`](Framer::step).
    pub(super) fn is_between(&self) -> bool {
        self.place == Place::Between && self.section.is_none() && self.scanned == 0
    }

    /// Says what is at the start of `data`, all unconsumed octets. After `More` the next call must show
    /// the same octets and further ones. No piece may be longer than `limit` octets (OC-30), which may
    /// change from one piece to the next.
    pub fn step(&mut self, data: &[u8], limit: usize) -> Step {
        let limit = limit.min(u32::MAX as usize);
        // What lies beyond the limit is not looked at, so that the answer never depends on how the
        // octets were cut up.
        let data = data.get(..limit).unwrap_or(data);
        let step = match self.advance(data) {
            Ok(Step::More) if data.len() == limit => Step::Broken(BadStream::TooLarge),
            Ok(step) => step,
            Err(bad) => Step::Broken(bad),
        };
        match step {
            Step::More => {}
            Step::Broken(bad) => self.place = Place::Broken(bad),
            _ => (self.scanned, self.section) = (0, None),
        }
        step
    }

    fn advance(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        match self.place {
            Place::Start => self.start(data),
            Place::Prolog | Place::Between => self.between(data),
            Place::Empty => {
                self.place = Place::Ended;
                Ok(Step::Ended(2))
            }
            Place::Inside => self.inside(data),
            Place::EndTag => self.end_tag(data),
            Place::Ended if data.is_empty() => Ok(Step::More),
            Place::Ended => Ok(Step::Skip(data.len())),
            Place::Broken(bad) => Err(bad),
        }
    }

    /// A byte order mark, perhaps, and the XML declaration.
    fn start(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        const DECLARATION: &[u8] = b"<?xml";
        let at = match start(data, MARK) {
            Start::Whole => MARK.len(),
            Start::Part => return Ok(Step::More),
            Start::Other => 0,
        };
        let rest = data.get(at..).unwrap_or_default();
        match start(rest, DECLARATION) {
            Start::Whole => {}
            Start::Part => return Ok(Step::More),
            Start::Other => return Err(BadStream::Header),
        }
        if rest.get(DECLARATION.len()).is_some_and(|b| !is_space(*b)) {
            return Err(BadStream::Header);
        }
        self.content = (at + DECLARATION.len()) as u32;
        let Some(end) = self.section_end(Section::Instruction, data) else { return Ok(Step::More) };
        declaration(data.get(at..end).unwrap_or_default())?;
        self.place = Place::Prolog;
        Ok(Step::Skip(end))
    }

    /// White space, comments and instructions; then `<stream>`, an object or `</stream>`.
    fn between(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        let (Some(first), second) = (data.first(), data.get(1)) else { return Ok(Step::More) };
        match (first, second) {
            (b, _) if is_space(*b) => Ok(Step::Skip(after_spaces(data, 0))),
            (b'<', None) => Ok(Step::More),
            (b'<', Some(b'!' | b'?')) => self.aside(data),
            (b'<', Some(_)) if self.place == Place::Prolog => self.tag(data, b"<stream"),
            (b'<', Some(b'/')) => self.tag(data, b"</stream"),
            (b'<', Some(_)) => self.tag(data, b"<properties"),
            _ if self.place == Place::Prolog => Err(BadStream::Header),
            _ => Err(BadStream::Text),
        }
    }

    /// A comment or processing instruction, which nobody else will check.
    fn aside(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        let section = match self.section {
            Some(section) => section,
            None => match Section::at(data)? {
                Some(Section::Cdata) => return Err(BadStream::Text),
                Some(section) => section,
                None => return Ok(Step::More),
            },
        };
        self.section = Some(section);
        self.content = section.opening().len() as u32;
        let Some(end) = self.section_end(section, data) else { return Ok(Step::More) };
        section.check(data.get(..end).unwrap_or_default())?;
        Ok(Step::Skip(end))
    }

    /// A tag without attributes. `scanned` keeps the white space in it from being read again and again.
    fn tag(&mut self, data: &[u8], name: &[u8]) -> Result<Step, BadStream> {
        match start(data, name) {
            Start::Whole => {}
            Start::Part => return Ok(Step::More),
            Start::Other => return Err(BadStream::Markup),
        }
        let at = after_spaces(data, name.len().max(self.scanned as usize));
        self.scanned = at as u32;
        let closes = match start(data.get(at..).unwrap_or_default(), b"/>") {
            Start::Whole if name != b"</stream" => true,
            Start::Part => return Ok(Step::More),
            _ if data.get(at) == Some(&b'>') => false,
            _ => return Err(BadStream::Markup),
        };
        match (self.place, name) {
            (Place::Prolog, _) => {
                self.place = if closes { Place::Empty } else { Place::Between };
                Ok(Step::Opened(if closes { at } else { at + 1 }))
            }
            (_, b"</stream") => {
                self.place = Place::Ended;
                Ok(Step::Ended(at + 1))
            }
            _ if closes => Ok(Step::Object(at + 2)),
            _ => {
                self.place = Place::Inside;
                self.scanned += 1;
                self.inside(data)
            }
        }
    }

    /// Inside an object: finds its end tag, passing over sections in which it would mean nothing.
    fn inside(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        // Kept while sections before it are passed over: searching anew after each would cost the
        // square of their number.
        let mut end: Option<Option<usize>> = None;
        loop {
            if let Some(section) = self.section {
                let Some(after) = self.section_end(section, data) else { return Ok(Step::More) };
                self.section = None;
                self.scanned = after as u32;
            }
            let from = self.scanned as usize;
            let found = match end {
                Some(None) => None,
                Some(Some(at)) if at >= from => Some(at),
                _ => FIND_END.find(data.get(from..).unwrap_or_default()).map(|i| from + i),
            };
            end = Some(found);
            let until = found.unwrap_or(data.len());
            if let Some(at) = section_start(data, from, until) {
                let Some(section) = Section::at(data.get(at..).unwrap_or_default())? else {
                    self.scanned = at as u32;
                    return Ok(Step::More);
                };
                self.section = Some(section);
                self.content = (at + section.opening().len()) as u32;
                self.scanned = self.content;
            } else if let Some(at) = found {
                self.place = Place::EndTag;
                self.scanned = (at + END.len()) as u32;
                return self.end_tag(data);
            } else {
                // All but what may be the beginning of an end tag or a section.
                self.scanned = from.max(data.len().saturating_sub(END.len() - 1)) as u32;
                return Ok(Step::More);
            }
        }
    }

    fn end_tag(&mut self, data: &[u8]) -> Result<Step, BadStream> {
        let at = after_spaces(data, self.scanned as usize);
        self.scanned = at as u32;
        match data.get(at) {
            None => Ok(Step::More),
            Some(b'>') => {
                self.place = Place::Between;
                Ok(Step::Object(at + 1))
            }
            Some(_) => Err(BadStream::Markup),
        }
    }

    /// The end of a section whose content starts at `content`, remembering what has been searched.
    fn section_end(&mut self, section: Section, data: &[u8]) -> Option<usize> {
        let content = self.content as usize;
        let end = section.end(data, content, content.max(self.scanned as usize));
        if end.is_none() {
            self.scanned = data.len() as u32;
        }
        end
    }
}

/// Where in `data[from..until]` the first `<!` or `<?` is; its second octet may lie at `until - 1` at most.
fn section_start(data: &[u8], from: usize, until: usize) -> Option<usize> {
    let region = data.get(from..until).unwrap_or_default();
    memchr2_iter(b'!', b'?', region)
        .find(|i| i.checked_sub(1).and_then(|before| region.get(before)) == Some(&b'<'))
        .map(|i| from + i - 1)
}
