//! Conversations as text: who says what, who hears what.
//!
//! ```text
//! == a message reaches the recipient, and his answer the sender
//! # SIMP-5.1-3, SIMP-5.1-6                       a comment; it cites the clauses that are checked
//! home a.test
//! user alice@a.test
//! user bob@a.test
//! alice logs in
//! bob logs in
//! alice> send to=bob@a.test from=alice@a.test type=text/plain body="hello there"
//! bob< send from=alice@a.test body="hello there"
//! bob> okay message=thanks
//! alice< okay message=thanks
//! ```
//!
//! A file holds several conversations, each under a title after `==`; steps before the first title
//! open every one of them. A step is a line. Words are split at white space; `"` keeps it, with the
//! escapes `\n \r \t \" \\` and `\u{1F600}`.
//!
//! * `NAME> ACTION KEY=VALUE …` sends an object. A request gets the next number as its id unless the
//!   line says `request=ID` or `request=none`; `okay`, `ok`, `error` and other replies answer the request
//!   that was last heard, unless the line says `response=ID`.
//! * `NAME< ACTION KEY=VALUE …` waits for an object and takes it: the first unread one with this
//!   action and these entries. `KEY=*` is any value, `KEY~TEXT` a value that contains the text,
//!   `!KEY` no such entry, `only` no entry besides those named, the action and the id. A key that is named
//!   twice is there twice, with these values in this order.
//! * `NAME<< …` the same, but it must be the very next unread object.
//! * `NAME< nothing`: when all is quiet, there is nothing unread. `NAME< end`: the server ends its
//!   stream and closes. `NAME< closed`: it closes, with or without an end of the stream.
//! * `NAME reads TEXT`: the very next unread message is these octets (IMTP and PITP).
//! * `$name` in a value stands for what was heard: `opaque=$o` in a heard line keeps the value under
//!   that name, or compares it if the name is taken. `md5(…)`, `sha-256(…)`, `plain(…)` are digests
//!   in Base64, `repeat(TEXT,COUNT)` is long. `\xFF` between quotes is an octet.
//!
//! A name says which protocol its connection speaks: `ana/im` IMTP, `ana/pr` PITP, `ana` SIMP. Of IMTP and PITP the
//! action is the method, or `ok` or `error`; keys are the names of headers, and `body` is the payload
//! ([`super::transfer`] has the table):
//!
//! ```text
//! ana/im logs in
//! ana/im listens
//! ben/im logs in
//! ben/im> send Sender=im:ben@b.test Inbox=im:ana@a.test body=hello
//! ana/im< send Sender=im:ben@b.test body=hello
//! ana/im> ok
//! ben/im< ok Astrength=strong only
//! ```
//!
//! * Everything else is a step of the world or of a connection: [`super::play`] lists them.
//!
//! At the end of a conversation nobody may have anything unread.

use std::fmt;

use super::transfer;

/// A conversation.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it shows.
    pub title: String,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A line of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where in the file.
    pub line: usize,
    /// As written.
    pub text: String,
    /// What is to be done.
    pub what: What,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A client sends an object.
    Says {
        /// Who.
        who: String,
        /// The object, with its action first; values not evaluated yet.
        entries: Vec<(String, String)>,
    },
    /// A client receives an object.
    Hears {
        /// Who.
        who: String,
        /// It must be the next one.
        next: bool,
        /// What it is like.
        wanted: Wanted,
    },
    /// A client has nothing unread when all is quiet.
    HearsNothing(String),
    /// The server closes a client's connection; `true`: after the end of its stream.
    HearsEnd(String, bool),
    /// A client's next unread message is these octets.
    Reads {
        /// Who.
        who: String,
        /// The octets as a text.
        text: String,
    },
    /// Words and options.
    Verb {
        /// The words without `=`.
        words: Vec<String>,
        /// The words with `=`.
        options: Vec<(String, String)>,
    },
}

/// What an object must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its action.
    pub action: String,
    /// Its entries.
    pub entries: Vec<(String, Value)>,
    /// It has no others, but for action and id.
    pub only: bool,
}

/// What a value must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Equal to this text, once evaluated.
    Is(String),
    /// Anything, but there.
    Any,
    /// Not there.
    Absent,
    /// With this text in it.
    Contains(String),
}

/// A mistake in a script.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// Where.
    pub line: usize,
    /// What.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Parses a file of conversations.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Vec<Script>, Mistake> {
    let mut opening: Vec<Step> = Vec::new();
    let mut scripts: Vec<Script> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if let Some(title) = line.strip_prefix("==") {
            let steps = opening.clone();
            scripts.push(Script { title: title.trim().to_owned(), steps });
            continue;
        }
        let words = words(line).map_err(|what| Mistake { line: line_number, what })?;
        if words.is_empty() {
            continue;
        }
        let what = step(&words).map_err(|what| Mistake { line: line_number, what })?;
        let step = Step { line: line_number, text: line.to_owned(), what };
        scripts.last_mut().map_or(&mut opening, |s| &mut s.steps).push(step);
    }
    Ok(scripts)
}

/// Splits a line into words.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '"' => quoted(&mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads what is between quotes.
fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match chars.next().ok_or("a quote is not closed")? {
            '"' => return Ok(()),
            '\\' => word.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('"' | '\\')) => c,
                Some('x') => octet(chars)?,
                Some('u') => {
                    let code: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                    u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).ok_or("what character?")?
                }
                other => return Err(format!("what is \\{other:?}?")),
            }),
            c => word.push(c),
        }
    }
}

/// `\xFF`: an octet, for which a character stands if it is no ASCII.
fn octet(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    let digits: String = chars.by_ref().take(2).collect();
    let octet = u8::from_str_radix(&digits, 16).map_err(|_| format!("what octet is {digits}?"))?;
    transfer::text(&[octet]).chars().next().ok_or_else(|| "no octet".to_owned())
}

fn step(words: &[String]) -> Result<What, String> {
    let (first, rest) = (words[0].as_str(), &words[1..]);
    if let Some(who) = first.strip_suffix('>') {
        return says(who, rest);
    }
    if let Some(who) = first.strip_suffix("<<") {
        return hears(who, true, rest);
    }
    if let Some(who) = first.strip_suffix('<') {
        return hears(who, false, rest);
    }
    if let [who, word, text] = words
        && word == "reads"
    {
        return Ok(What::Reads { who: who.clone(), text: text.clone() });
    }
    let (options, words): (Vec<&String>, Vec<&String>) =
        words.iter().enumerate().fold((Vec::new(), Vec::new()), |(mut o, mut w), (i, word)| {
            let is_option = i > 0 && word.contains('=') && words[i - 1] != "raw";
            if is_option {
                o.push(word)
            } else {
                w.push(word)
            }
            (o, w)
        });
    let options = options.iter().filter_map(|o| o.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    Ok(What::Verb { words: words.into_iter().cloned().collect(), options: options.collect() })
}

fn says(who: &str, words: &[String]) -> Result<What, String> {
    let at = words.iter().position(|w| w.contains('=')).unwrap_or(words.len());
    let mut entries = vec![("action".to_owned(), words[..at].join(" "))];
    if at == 0 {
        entries.clear();
    }
    for word in &words[at..] {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word} is no KEY=VALUE"))?;
        entries.push((key.to_owned(), value.to_owned()));
    }
    Ok(What::Says { who: who.to_owned(), entries })
}

fn hears(who: &str, next: bool, words: &[String]) -> Result<What, String> {
    let who = who.to_owned();
    match words {
        [word] if word == "nothing" => return Ok(What::HearsNothing(who)),
        [word] if word == "end" => return Ok(What::HearsEnd(who, true)),
        [word] if word == "closed" => return Ok(What::HearsEnd(who, false)),
        _ => {}
    }
    let is_action = |w: &String| w != "only" && !w.contains(['=', '~']) && !w.starts_with('!');
    let at = words.iter().position(|w| !is_action(w)).unwrap_or(words.len());
    let mut wanted = Wanted { action: words[..at].join(" "), entries: Vec::new(), only: false };
    for word in &words[at..] {
        if word == "only" {
            wanted.only = true;
            continue;
        }
        let entry = if let Some(key) = word.strip_prefix('!') {
            (key, Value::Absent)
        } else {
            let at = word.find(['=', '~']).ok_or_else(|| format!("{word} says nothing of an entry"))?;
            let (key, value) = (&word[..at], &word[at + 1..]);
            match (&word[at..=at], value) {
                ("=", "*") => (key, Value::Any),
                ("=", value) => (key, Value::Is(value.to_owned())),
                (_, value) => (key, Value::Contains(value.to_owned())),
            }
        };
        wanted.entries.push((entry.0.to_owned(), entry.1));
    }
    Ok(What::Hears { who, next, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_before_the_first_title_open_every_conversation() {
        let scripts = parse("home a.test\n== one\nwait 1s # a while\n\n== two\n").unwrap();
        assert_eq!(scripts.len(), 2);
        assert_eq!(scripts[0].steps.len(), 2);
        assert_eq!(scripts[1].steps.len(), 1);
        let words = vec!["wait".to_owned(), "1s".to_owned()];
        assert_eq!(scripts[0].steps[1].what, What::Verb { words, options: Vec::new() });
    }

    #[test]
    fn what_is_said_and_heard() {
        let text = "== x\na> note change \"reply to\"=x@y body=\"1 = \\\"2\\\"\\u{1F600}\"\na<< get acl k=* v~z !w only";
        let steps = parse(text).unwrap().remove(0).steps;
        let owned = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let entries = vec![
            owned("action", "note change"),
            owned("reply to", "x@y"),
            owned("body", "1 = \"2\"\u{1F600}"),
        ];
        assert_eq!(steps[0].what, What::Says { who: "a".to_owned(), entries });
        let wanted = Wanted {
            action: "get acl".to_owned(),
            entries: vec![
                ("k".to_owned(), Value::Any),
                ("v".to_owned(), Value::Contains("z".to_owned())),
                ("w".to_owned(), Value::Absent),
            ],
            only: true,
        };
        assert_eq!(steps[1].what, What::Hears { who: "a".to_owned(), next: true, wanted });
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(parse("== x\n\na> \"open").unwrap_err().line, 3);
    }
}
