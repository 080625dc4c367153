//! A thing of a registry: its name, what it is, and how it is made.
use super::{
    argument::{Argument, Arguments},
    suggest::{shown, suggest},
};
use crate::{Error, Result};
use std::fmt;

/// The tasks that an [`Entry`] goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Classification and regression.
    All,
    /// Classification only.
    Classification,
    /// Regression only.
    Regression,
}

impl Tasks {
    /// Whether classification is among them.
    #[must_use]
    pub const fn classification(self) -> bool {
        !matches!(self, Self::Regression)
    }

    /// Whether regression is among them.
    #[must_use]
    pub const fn regression(self) -> bool {
        !matches!(self, Self::Classification)
    }
}

/// One thing of a [`Registry`](super::Registry): its name, what it is, and how it is made.
pub struct Entry<T> {
    name: &'static str,
    aliases: &'static [&'static str],
    shorthands: &'static [(&'static str, &'static str)],
    summary: &'static str,
    item: &'static str,
    arguments: &'static [Argument],
    tasks: Tasks,
    source: &'static str,
    make: fn(&Arguments) -> Result<T>,
}

impl<T> Entry<T> {
    /// An entry without arguments that goes with every task. `summary` is one line without a full stop;
    /// `item` is the path of what it makes, for links in the documentation.
    #[must_use]
    pub const fn new(
        name: &'static str,
        item: &'static str,
        summary: &'static str,
        make: fn(&Arguments) -> Result<T>,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            shorthands: &[],
            summary,
            item,
            arguments: &[],
            tasks: Tasks::All,
            source: "",
            make,
        }
    }

    /// Other names by which it is found.
    #[must_use]
    pub const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Names that stand for its name with arguments: `("f1-weighted", "weighted")` stands for `f1:weighted`.
    /// They serve where a colon has another meaning.
    #[must_use]
    pub const fn with_shorthands(self, shorthands: &'static [(&'static str, &'static str)]) -> Self {
        Self { shorthands, ..self }
    }

    /// Its arguments, in the order in which they may be given without a name.
    #[must_use]
    pub const fn with_arguments(self, arguments: &'static [Argument]) -> Self {
        Self { arguments, ..self }
    }

    /// The tasks it goes with.
    #[must_use]
    pub const fn with_tasks(self, tasks: Tasks) -> Self {
        Self { tasks, ..self }
    }

    /// Who described it, and where.
    #[must_use]
    pub const fn with_source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// The same entry, made into something else by another function.
    #[must_use]
    pub const fn with_make<U>(self, make: fn(&Arguments) -> Result<U>) -> Entry<U> {
        let Self { name, aliases, shorthands, summary, item, arguments, tasks, source, .. } = self;
        Entry { name, aliases, shorthands, summary, item, arguments, tasks, source, make }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Other names by which it is found.
    #[must_use]
    pub const fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Names that stand for its name with arguments, and these arguments.
    #[must_use]
    pub const fn shorthands(&self) -> &'static [(&'static str, &'static str)] {
        self.shorthands
    }

    /// What it is, in one line.
    #[must_use]
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// The path of what it makes, as in the documentation.
    #[must_use]
    pub const fn item(&self) -> &'static str {
        self.item
    }

    /// Its arguments, in the order in which they may be given without a name.
    #[must_use]
    pub const fn arguments(&self) -> &'static [Argument] {
        self.arguments
    }

    /// Whether it has an argument of this name.
    #[must_use]
    pub fn takes(&self, argument: &str) -> bool {
        self.arguments.iter().any(|known| known.name() == argument)
    }

    /// The tasks it goes with.
    #[must_use]
    pub const fn tasks(&self) -> Tasks {
        self.tasks
    }

    /// Who described it, and where; empty where there is no single source.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// Makes it from values of its arguments.
    ///
    /// # Errors
    /// When a value cannot be read, or is out of range.
    pub fn make(&self, arguments: &Arguments) -> Result<T> {
        (self.make)(arguments)
    }

    /// The arguments of a text that names it, separated by colons: those of a shorthand, then those that the
    /// text gives.
    pub(super) fn arguments_in<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().trim();
        let of_shorthand = self.shorthands.iter().filter(|(known, _)| *known == name);
        of_shorthand.flat_map(|(_, arguments)| arguments.split(':')).chain(parts).collect()
    }

    /// Reads arguments; what is not there comes from `settings`, then from the defaults.
    pub(super) fn read(&self, parts: &[&str], settings: &[(&str, String)]) -> Result<Arguments> {
        let mut values: Vec<(_, Option<String>)> =
            self.arguments.iter().map(|argument| (argument.name(), None)).collect();
        let mut positional = 0;
        // The argument before, if what follows belongs to its value.
        let mut nested: Option<usize> = None;
        for (number, &part) in parts.iter().enumerate() {
            if let Some(at) = nested.filter(|_| !part.contains('=')) {
                if let Some(value) = &mut values[at].1 {
                    *value = format!("{value}:{}", part.trim());
                }
                continue;
            }
            let (at, value) = match part.split_once('=') {
                Some((name, value)) => {
                    let at = values.iter().position(|(known, _)| *known == name.trim());
                    (at.ok_or_else(|| self.unknown(name.trim()))?, value)
                }
                None if positional < values.len() => (positional, part),
                None => {
                    let must = format!("at most {}", values.len());
                    return Err(Error::invalid(
                        format!("the number of arguments of {}", self.name),
                        must,
                        positional + 1,
                    ));
                }
            };
            if !part.contains('=') {
                positional += 1;
            }
            if values[at].1.is_some() {
                let what = format!("the argument {} of {}", values[at].0, self.name);
                return Err(Error::invalid(what, "given once", "given twice"));
            }
            if self.arguments[at].takes_rest() {
                let rest = parts.get(number + 1..).unwrap_or_default();
                values[at].1 = Some([&[value.trim()], rest].concat().join(":"));
                break;
            }
            values[at].1 = Some(value.trim().to_string());
            nested = Some(at).filter(|at| part.contains('=') && self.arguments[*at].is_nested());
        }
        for ((name, value), argument) in values.iter_mut().zip(self.arguments) {
            if value.is_none() {
                let set = settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                *value = set.or_else(|| argument.default().map(str::to_string));
            }
            if value.is_none() && argument.is_required() {
                let what = format!("the argument {name} of {}", self.name);
                return Err(Error::invalid(what, format!("given ({})", argument.summary()), "missing"));
            }
        }
        Ok(Arguments { entry: self.name, values })
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<_> = self.arguments.iter().map(Argument::name).collect();
        match known.is_empty() {
            true => Error::invalid(format!("the arguments of {}", self.name), "none", shown(name)),
            false => suggest(&format!("an argument of {}", self.name), &known, &[], name),
        }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Entry<T> {}

impl<T> fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("aliases", &self.aliases)
            .field("arguments", &self.arguments)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
