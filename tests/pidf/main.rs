//! Presence documents of PIDF-00 from outside: read, asked, written, converted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod converting;
mod examples;
mod reading;
mod writing;

use hearth::pidf::{Contact, Context, Doc, IllFormed, Why, parse};

/// Why a text is no document.
fn why(text: &str) -> Why {
    refused(text).why
}

fn refused(text: &str) -> IllFormed {
    parse(text.as_bytes()).expect_err(text)
}

fn doc(text: &str) -> Doc<'_> {
    parse(text.as_bytes()).unwrap_or_else(|bad| panic!("{bad}: {text:?}"))
}

/// All definitions: depth, name, value.
fn outline(text: &str) -> Vec<(usize, String, String)> {
    fn walk(context: Context<'_, '_>, depth: usize, found: &mut Vec<(usize, String, String)>) {
        for variable in context.variables() {
            found.push((depth, variable.name().to_string(), variable.value().into_owned()));
            walk(variable.inside(), depth + 1, found);
        }
    }
    let mut found = Vec::new();
    walk(doc(text).top(), 0, &mut found);
    found
}

/// Names and values of a document without subtrees.
fn pairs(text: &str) -> Vec<(String, String)> {
    outline(text).into_iter().map(|(_, name, value)| (name, value)).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn contacts<'d, 'a>(doc: &'d Doc<'a>) -> Vec<Contact<'d, 'a>> {
    doc.contacts().collect()
}
