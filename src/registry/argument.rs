//! The arguments of an entry, and their values.
use super::suggest::{one_of, shown};
use crate::{Error, Result};
use std::fmt;

/// What value an argument has where the text gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultValue {
    /// The text must give one.
    Required,
    /// The entry does without, or chooses one itself.
    Optional,
    /// This one.
    Some(&'static str),
}

/// An argument that an [`Entry`](super::Entry) declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    name: &'static str,
    default: DefaultValue,
    summary: &'static str,
    nested: bool,
    rest: bool,
}

impl Argument {
    /// An argument that has the value `default` where none is given.
    #[must_use]
    pub const fn new(name: &'static str, default: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Some(default), summary, nested: false, rest: false }
    }

    /// An argument that may be left out; the entry then does without it or chooses a value itself.
    #[must_use]
    pub const fn optional(name: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Optional, summary, nested: false, rest: false }
    }

    /// An argument that must be given.
    #[must_use]
    pub const fn required(name: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Required, summary, nested: false, rest: false }
    }

    /// The same where the value is itself a name with arguments, such as that of a metric. Where it is given by name, the
    /// parts without a name that follow belong to it, as in `patience:5:metric=pinball:0.9`.
    #[must_use]
    pub const fn nested(self) -> Self {
        Self { nested: true, ..self }
    }

    /// The same where the value is a name with any arguments, and the last one of a text: all that follows belongs to it, also
    /// what has a name, as in `efficient:tab-m:32:init=ones`.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self { rest: true, ..self }
    }

    /// Whether all that follows in a text belongs to its value.
    pub(super) const fn takes_rest(&self) -> bool {
        self.rest
    }

    /// Whether its value is itself a name with arguments.
    pub(super) const fn is_nested(&self) -> bool {
        self.nested
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value it has where none is given.
    #[must_use]
    pub const fn default(&self) -> Option<&'static str> {
        match self.default {
            DefaultValue::Some(value) => Some(value),
            DefaultValue::Required | DefaultValue::Optional => None,
        }
    }

    /// Whether it must be given.
    #[must_use]
    pub const fn is_required(&self) -> bool {
        matches!(self.default, DefaultValue::Required)
    }

    /// What it is, in one line.
    #[must_use]
    pub const fn summary(&self) -> &'static str {
        self.summary
    }
}

/// As in help texts: `runs=10`, `weights=…` for one that must be given, `[lambda=…]` for one that may be left
/// out.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.default {
            DefaultValue::Some(value) => write!(f, "{}={value}", self.name),
            DefaultValue::Required => write!(f, "{}=…", self.name),
            DefaultValue::Optional => write!(f, "[{}=…]", self.name),
        }
    }
}

/// A type that an argument's value can be read as.
pub trait ArgumentValue: Sized {
    /// What a value must be, as error messages put it: "a whole number".
    fn must_be() -> String;

    /// Reads a value; `None` where the text is none.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! argument_values {
    ($($type:ty: $must:literal),+ $(,)?) => {$(
        impl ArgumentValue for $type {
            fn must_be() -> String {
                $must.into()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

argument_values! {
    usize: "a whole number",
    u64: "a whole number",
    f64: "a number",
    bool: "true or false",
    String: "text",
}

/// Separated by commas.
impl<T: ArgumentValue> ArgumentValue for Vec<T> {
    fn must_be() -> String {
        format!("a list, separated by commas, each {}", T::must_be())
    }

    fn read(text: &str) -> Option<Self> {
        text.split(',').map(|part| T::read(part.trim())).collect()
    }
}

/// The values of an entry's arguments, by name.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub(super) entry: &'static str,
    pub(super) values: Vec<(&'static str, Option<String>)>,
}

impl Arguments {
    /// The name of the entry that the arguments are for.
    #[must_use]
    pub fn entry(&self) -> &'static str {
        self.entry
    }

    /// The value of an argument.
    ///
    /// # Errors
    /// When the entry has no such argument, it has no value, or the value cannot be read as a `T`.
    pub fn get<T: ArgumentValue>(&self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| Error::invalid(self.what(name), "given", "missing"))
    }

    /// The value of an argument that may be left out.
    ///
    /// # Errors
    /// When the entry has no such argument, or its value cannot be read as a `T`.
    pub fn optional<T: ArgumentValue>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &str| {
            T::read(text).ok_or_else(|| Error::invalid(self.what(name), T::must_be(), shown(text)))
        };
        self.text(name)?.map(read).transpose()
    }

    /// The value of an argument that is one of several words.
    ///
    /// # Errors
    /// When the entry has no such argument, or its value is none of the words.
    pub fn choice<T: Clone>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                Err(Error::invalid(self.what(name), one_of(&words), shown(text)))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.as_deref()),
            None => Err(Error::invalid(self.what(name), "declared by its entry", "unknown")),
        }
    }

    fn what(&self, name: &str) -> String {
        format!("the argument {name} of {}", self.entry)
    }
}
