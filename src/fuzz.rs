//! What the entry points for fuzzing share: how a stream is cut up, and how octets are read as a script.
//!
//! Each part of the server that reads what others write has entry points of its own in a module `fuzz`: functions
//! that take any octets and panic if a promise is broken. The fuzz targets run them on what a fuzzer makes up,
//! the tests on generated input and on all that a fuzzer has ever found.

use std::fmt::Debug;
use std::path::Path;

use crate::admin::{AdminReply, AdminRequest, LINE, Lines};
use crate::cli::harmless::{harmless, one_line};
use crate::config::Config;
use crate::{client, credential, hub, imtp, mime, node, pidf, server, simp};

/// An entry point: takes any octets, panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every entry point by its name, which is that of its folder in `fuzz/corpus`; the family comes first.
pub const TARGETS: [(&str, Target); 29] = [
    ("client_imtp", client::fuzz::imtp),
    ("client_pitp", client::fuzz::pitp),
    ("client_simp", client::fuzz::simp),
    ("config_text", configuration),
    ("control_requests", control),
    ("dns_answers", server::fuzz::dns),
    ("imtp_stream", imtp::fuzz::stream),
    ("imtp_value", imtp::fuzz::value),
    ("mime_type", media_type),
    ("name_address", hub::fuzz::name),
    ("name_pattern", hub::fuzz::pattern),
    ("node_imtp", node::fuzz::imtp),
    ("node_link", node::fuzz::link),
    ("node_pitp", node::fuzz::pitp),
    ("node_script", node::fuzz::node),
    ("node_simp", node::fuzz::simp),
    ("pidf_document", pidf::fuzz::document),
    ("pidf_presence", pidf::fuzz::presence),
    ("sasl_client", credential::fuzz::client),
    ("sasl_server", credential::fuzz::server),
    ("shown_text", shown),
    ("simp_document", simp::fuzz::document),
    ("simp_login", simp::fuzz::login),
    ("simp_object", simp::fuzz::object),
    ("simp_stream", simp::fuzz::stream),
    ("simp_text", simp::fuzz::text),
    ("simp_xml", simp::fuzz::xml),
    ("tls_certificate", server::fuzz::certificate),
    ("tls_session", server::fuzz::session),
];

/// The entry point of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// A reader of a stream, as [`stream`] tries it.
pub trait Pieces: Default {
    /// What the stream consists of.
    type Piece: Debug + PartialEq;

    /// Octets that may be left after a read of `size` of them, while it waits for more.
    fn bound(size: usize) -> usize;

    /// Takes what can be taken off the front of what has come and was not yet taken.
    fn step(&mut self, seen: &[u8]) -> Taken<Self::Piece>;

    /// Octets of no interest: how many in a row is the cutting's affair.
    fn skipped(piece: &Self::Piece) -> Option<usize>;

    /// The piece that stands for so many of them.
    fn skip(count: usize) -> Self::Piece;
}

/// What a step has come to.
#[derive(Debug)]
pub enum Taken<P> {
    /// Not enough has come.
    More,
    /// A piece, of so many octets.
    Piece(usize, P),
    /// The last piece: nothing is read after it.
    Last(P),
}

/// A stream gives the same pieces however it is cut up, and the pieces are all of the stream. The first octet
/// says how it is cut.
pub fn stream<R: Pieces>(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = pieces::<R>(stream, stream.len());
    assert_eq!(whole, pieces::<R>(stream, 1), "octet by octet");
    assert_eq!(whole, pieces::<R>(stream, usize::from(*cut) + 1), "in pieces");
}

/// The pieces of a stream that comes `size` octets at a time, with where each begins; runs of skipped octets
/// count as one.
fn pieces<R: Pieces>(stream: &[u8], size: usize) -> Vec<(usize, R::Piece)> {
    let mut reader = R::default();
    let mut pieces: Vec<(usize, R::Piece)> = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = stream.len().min(end + size);
        loop {
            let seen = stream.get(start..end).unwrap_or_default();
            match reader.step(seen) {
                Taken::More => break,
                Taken::Last(piece) => {
                    pieces.push((start, piece));
                    return pieces;
                }
                Taken::Piece(taken, piece) => {
                    assert!(taken > 0 && taken <= seen.len(), "takes some of what was shown");
                    let before = pieces.last_mut().and_then(|(_, last)| Some((R::skipped(last)?, last)));
                    match (R::skipped(&piece), before) {
                        (Some(count), Some((run, last))) => *last = R::skip(run + count),
                        _ => pieces.push((start, piece)),
                    }
                    start += taken;
                }
            }
        }
        assert!(end - start <= R::bound(size), "asks for no more than its bounds");
    }
    pieces
}

/// Between two steps of a script: an octet that no text contains.
pub const STEP: u8 = 0xFF;

/// The steps of a script: a letter for what is done, and with what. Whatever a fuzzer takes out or puts in, the
/// other steps stay what they are.
pub fn script(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    data.split(|octet| *octet == STEP).filter_map(|step| step.split_first().map(|(op, with)| (*op, with)))
}

/// A media type is one with and without its parameters, and its parts are all of it.
pub fn media_type(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parts: Vec<&str> = mime::parts(&text).collect();
    assert_eq!(parts.join(";"), text, "all of it");
    if mime::is_media_type(&text) {
        let bare = parts.first().map_or("", |part| part.trim_end_matches([' ', '\t']));
        assert!(mime::is_media_type(bare), "{bare:?} of {text:?}");
        assert!(!text.contains(['\r', '\n']), "{text:?} is one line");
    }
}

/// Any text is a configuration, or has a mistake that is told in one line, and where it can be with its number.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Config::parse(&text, Path::new("/etc/hearth/hearth.toml")) {
        Ok(config) => {
            assert!(config.domains.default_domain().is_some() && !config.listen.is_empty());
            let again = Config::parse(&text, Path::new("/etc/hearth/hearth.toml"));
            assert!(again.is_ok(), "read once, read again");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.lines().count() == 1 && said.starts_with("/etc/hearth/hearth.toml:"), "{said:?}");
            let line = said.split(':').nth(1).and_then(|number| number.parse::<usize>().ok());
            assert!(line.is_none_or(|line| line >= 1 && line <= text.split('\n').count()), "{said:?}");
        }
    }
}

/// What is said on the control socket gives the same requests however it is cut up, and each of them is the same
/// one when it is written and read again, as is an answer that tells what was wrong. The first octet says how it
/// is cut.
pub fn control(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let whole = requests(data, data.len());
    assert_eq!(whole, requests(data, usize::from(*cut) + 1), "in pieces");
    for said in whole {
        match said {
            Ok(request) => {
                let again = serde_json::to_vec(&request).map(|json| serde_json::from_slice(&json).ok());
                assert_eq!(again.ok().flatten(), Some(request), "written and read");
            }
            Err(why) => {
                let reply = AdminReply::Failed(why);
                let again = serde_json::to_vec(&reply).map(|json| {
                    assert!(!json.contains(&b'\n'), "one line");
                    serde_json::from_slice(&json).ok()
                });
                assert_eq!(again.ok().flatten(), Some(reply));
            }
        }
    }
}

fn requests(data: &[u8], size: usize) -> Vec<Result<AdminRequest, String>> {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    for piece in data.chunks(size.max(1)) {
        lines.receive(piece);
        while let Some(request) = lines.next_request() {
            found.push(request);
        }
        assert!(!lines.has_more() && found.len() <= data.len() + LINE);
    }
    found
}

/// What others say is shown without anything that would move the cursor, hide something or turn the direction.
pub fn shown(data: &[u8]) {
    let said = String::from_utf8_lossy(data);
    let shown = harmless(&said);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    assert_eq!(harmless(&shown), shown, "harmless already");
    let line = one_line(&said);
    assert!(!line.contains(char::is_control), "{line:?}");
}
