//! TOML with places: tables that know their keys, values that know their line.

use std::ops::RangeInclusive;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::ConfigError;

type Read<T> = Result<T, ConfigError>;

/// The text, and the file it is from.
pub(super) struct Source<'s> {
    pub(super) text: &'s str,
    pub(super) origin: &'s Path,
}

impl<'s> Source<'s> {
    /// Parses the text as TOML.
    pub(super) fn document(&self) -> Read<Spanned<DeTable<'s>>> {
        DeTable::parse(self.text).map_err(|error| {
            let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            self.error(error.span().map(|span| span.start), format!("not TOML: {what}"))
        })
    }

    /// What is wrong, at this offset.
    fn error(&self, offset: Option<usize>, what: impl Into<String>) -> ConfigError {
        let line = offset.map(|offset| {
            let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
            1 + before.iter().filter(|b| **b == b'\n').count()
        });
        ConfigError { origin: self.origin.to_owned(), line, what: what.into() }
    }
}

/// A table of which all keys are known.
pub(super) struct Section<'s> {
    source: &'s Source<'s>,
    /// As it is written: `[[listen]]`.
    name: String,
    /// Where it begins; none for the whole file.
    start: Option<usize>,
    table: &'s DeTable<'s>,
}

impl<'s> Section<'s> {
    /// The file's own table.
    pub(super) fn open(
        source: &'s Source<'s>,
        name: &str,
        table: &'s Spanned<DeTable<'s>>,
        keys: &[&str],
    ) -> Read<Section<'s>> {
        let section = Section { source, name: name.to_owned(), start: None, table: table.get_ref() };
        section.check_keys(keys)?;
        Ok(section)
    }

    /// Refuses the first key that is not one of these.
    fn check_keys(&self, keys: &[&str]) -> Read<()> {
        let unknown = self.table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let name = key.get_ref();
        let hint = match nearest(name, keys) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known here are {}", keys.join(", ")),
        };
        let what = format!("unknown key {name:?} in {}: {hint}", self.name);
        Err(self.source.error(Some(key.span().start), what))
    }

    /// What is wrong with it as a whole.
    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        self.source.error(self.start, what)
    }

    /// A value, if it is given.
    pub(super) fn get(&self, key: &str) -> Option<Field<'s>> {
        let value = self.table.get(key)?;
        Some(Field { source: self.source, key: key.to_owned(), value })
    }

    /// A value that must be given, like `example`.
    pub(super) fn required(&self, key: &str, example: &str) -> Read<Field<'s>> {
        self.get(key)
            .ok_or_else(|| self.error(format!("{} has no {key}: add {key} = {example}, say", self.name)))
    }

    /// A table within: `[tls]`.
    pub(super) fn section(&self, key: &str, keys: &[&str]) -> Read<Option<Section<'s>>> {
        let Some(field) = self.get(key) else { return Ok(None) };
        let DeValue::Table(table) = field.value.get_ref() else {
            return Err(field.error(format!("{key} is a section: write [{key}] and its keys below")));
        };
        field.inner(format!("[{key}]"), table, keys).map(Some)
    }

    /// Tables within, in their order: `[[listen]]`.
    pub(super) fn sections(&self, key: &str, keys: &[&str]) -> Read<Vec<Section<'s>>> {
        let Some(field) = self.get(key) else { return Ok(Vec::new()) };
        let wrong =
            || field.error(format!("{key} is a list of sections: write [[{key}]], with two brackets"));
        let DeValue::Array(items) = field.value.get_ref() else { return Err(wrong()) };
        let open = |item: &'s Spanned<DeValue<'s>>| {
            let DeValue::Table(table) = item.get_ref() else { return Err(wrong()) };
            Field { source: self.source, key: key.to_owned(), value: item }.inner(
                format!("[[{key}]]"),
                table,
                keys,
            )
        };
        items.iter().map(open).collect()
    }
}

/// A value and its place.
pub(super) struct Field<'s> {
    source: &'s Source<'s>,
    key: String,
    value: &'s Spanned<DeValue<'s>>,
}

impl<'s> Field<'s> {
    fn inner(&self, name: String, table: &'s DeTable<'s>, keys: &[&str]) -> Read<Section<'s>> {
        let section = Section { source: self.source, name, start: Some(self.value.span().start), table };
        section.check_keys(keys)?;
        Ok(section)
    }

    /// What is wrong with it.
    pub(super) fn error(&self, what: impl AsRef<str>) -> ConfigError {
        self.source.error(Some(self.value.span().start), format!("{}: {}", self.key, what.as_ref()))
    }

    fn wrong_type(&self, wanted: &str) -> ConfigError {
        self.error(format!("this is {}, write {wanted}", described(self.value.get_ref())))
    }

    /// A text that `parse` makes something of, or says what is wrong with it.
    pub(super) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Read<T> {
        let text = self.value.get_ref().as_str().ok_or_else(|| self.wrong_type("a text in \"quotes\""))?;
        parse(text).map_err(|what| self.error(what))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Read<bool> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, bounds: RangeInclusive<u32>) -> Read<u32> {
        let wanted = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let number = self.value.get_ref().as_integer().ok_or_else(|| self.wrong_type(&wanted()))?;
        u32::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|n| bounds.contains(n))
            .ok_or_else(|| self.error(format!("{} is out of bounds: write {}", number.as_str(), wanted())))
    }

    /// The values of a list.
    pub(super) fn items(&self) -> Read<Vec<Field<'s>>> {
        let items = self.value.get_ref().as_array().ok_or_else(|| self.wrong_type("a list in [brackets]"))?;
        Ok(items.iter().map(|value| Field { source: self.source, key: self.key.clone(), value }).collect())
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// The known key that was probably meant.
fn nearest<'k>(name: &str, keys: &[&'k str]) -> Option<&'k str> {
    keys.iter()
        .map(|key| (strsim::damerau_levenshtein(name, key), *key))
        .filter(|(distance, key)| *distance <= 1 + key.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}
