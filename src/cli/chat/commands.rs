//! What can be typed with a slash.

/// A line as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed<'a> {
    /// Something to say in the open conversation.
    Say(&'a str),
    /// `/add ADDRESS [NAME]`
    Add(&'a str, Option<&'a str>),
    /// `/remove [ADDRESS]`
    Remove(Option<&'a str>),
    /// `/to ADDRESS [TEXT]`
    To(&'a str, &'a str),
    /// `/status [TEXT]`
    Status(&'a str),
    /// `/away [TEXT]`
    Away(&'a str),
    /// `/allow WHO`
    Allow(&'a str),
    /// `/deny WHO`
    Deny(&'a str),
    /// `/help`
    Help,
    /// `/quit`
    Quit,
    /// Not understood, and what would be.
    Wrong(String),
}

/// The commands, for the help.
pub const COMMANDS: [(&str, &str); 9] = [
    ("/add ADDRESS [NAME]", "a new contact, who sees you; you see him if he has you"),
    ("/remove [ADDRESS]", "no longer a contact"),
    ("/to ADDRESS [TEXT]", "a conversation with anybody"),
    ("/status [TEXT]", "what others see beside your name"),
    ("/away [TEXT]", "the same, and that you read later"),
    ("/allow WHO", "may see your presence: bob@b.test, *@b.test, *"),
    ("/deny WHO", "may not"),
    ("/help", "this"),
    ("/quit", "leave"),
];

/// Takes a line apart. A line that begins with two slashes says one.
pub fn parse(line: &str) -> Typed<'_> {
    let Some(command) = line.strip_prefix('/') else { return Typed::Say(line) };
    if command.starts_with('/') {
        return Typed::Say(command);
    }
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let (first, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let more = more.trim_start();
    let need = |form: &str| Typed::Wrong(format!("write it like {form}"));
    match (word, first) {
        ("add", "") => need("/add bob@b.test"),
        ("add", who) => Typed::Add(who, Some(more).filter(|name| !name.is_empty())),
        ("remove", who) => Typed::Remove(Some(who).filter(|who| !who.is_empty())),
        ("to", "") => need("/to bob@b.test"),
        ("to", who) => Typed::To(who, more),
        ("status", _) => Typed::Status(rest),
        ("away", _) => Typed::Away(rest),
        ("allow", "") => need("/allow bob@b.test"),
        ("allow", who) => Typed::Allow(who),
        ("deny", "") => need("/deny bob@b.test"),
        ("deny", who) => Typed::Deny(who),
        ("help" | "?", _) => Typed::Help,
        ("quit" | "exit" | "q", _) => Typed::Quit,
        _ => Typed::Wrong(format!("/{word} is no command; /help shows them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        for (line, typed) in [
            ("hello /there", Typed::Say("hello /there")),
            ("//etc", Typed::Say("/etc")),
            ("/add bob@b.test", Typed::Add("bob@b.test", None)),
            ("/add  bob@b.test  Bob the B. ", Typed::Add("bob@b.test", Some("Bob the B."))),
            ("/remove", Typed::Remove(None)),
            ("/remove bob", Typed::Remove(Some("bob"))),
            ("/to bob two words", Typed::To("bob", "two words")),
            ("/status at  lunch ", Typed::Status("at  lunch")),
            ("/status", Typed::Status("")),
            ("/away", Typed::Away("")),
            ("/allow *@b.test", Typed::Allow("*@b.test")),
            ("/deny bob", Typed::Deny("bob")),
            ("/help", Typed::Help),
            ("/quit now", Typed::Quit),
        ] {
            assert_eq!(parse(line), typed, "{line}");
        }
        for line in ["/add", "/to ", "/allow", "/deny", "/frob x", "/"] {
            assert!(matches!(parse(line), Typed::Wrong(_)), "{line}");
        }
    }
}
