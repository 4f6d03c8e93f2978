//! Media types, as far as every protocol has to know them: their syntax and parts.

/// `type/subtype` with optional parameters (RFC 2045 5.1).
pub fn is_media_type(text: &str) -> bool {
    fn token(text: &str) -> Option<&str> {
        let is_token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b);
        let len = text.bytes().position(|b| !is_token(b)).unwrap_or(text.len());
        if len > 0 { text.get(len..) } else { None }
    }
    fn value(text: &str) -> Option<&str> {
        let Some(quoted) = text.strip_prefix('"') else { return token(text) };
        let mut escaped = false;
        for (i, c) in quoted.char_indices() {
            match c {
                // Not even behind a backslash: it would be a second line of a header.
                '\r' | '\n' => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return quoted.get(i + 1..),
                _ => {}
            }
        }
        None
    }
    fn parse(text: &str) -> Option<()> {
        let spaces = [' ', '\t'];
        let mut rest = token(token(text)?.strip_prefix('/')?)?;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(spaces).strip_prefix(';')?.trim_start_matches(spaces);
            rest = value(token(rest)?.strip_prefix('=')?)?;
        }
        Some(())
    }
    text == "text/plain" || parse(text).is_some()
}

/// The parts of a media type between the semicolons that are not in quotes: the type, then each parameter with
/// the blanks around it.
pub fn parts(content_type: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    content_type.split(move |c| {
        let after_backslash = std::mem::take(&mut escaped);
        match c {
            _ if after_backslash => {}
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ';' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_one_line() {
        // RFC 2045 5.1
        for good in ["text/plain", "a/b;c=d", "a/b; c=\"d;e\" ;f=g", "a/b;c=\"\\\"\""] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in
            ["", "a", "a/", "a/b;", "a/b;c", "a/b;c=\"d", "a/b;c=\"\r\"", "a/b;c=\"\\\r\"", "a/b;c=\"\\\n\""]
        {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
