//! Things by name, with their arguments: how a program makes what its user names in text.
//!
//! A [`Registry`] lists one [`Entry`] for each thing of a kind: the strategies ([`strategy::registry`]), the
//! combiners ([`combine::registry`]), the merge methods ([`merge::registry`]) and the metrics
//! ([`metrics::registry`]). An entry has a name, a summary, its [`Argument`]s and a function that makes the
//! thing from their values. The help texts and flags of the examples, the tables in the documentation and the
//! conformance suite are made from the registries.
//!
//! In text, a name is followed by its arguments, separated by colons: first those without a name, in the
//! order in which the entry declares them, then any as `name=value`. `bootstrap`, `bootstrap:5` and
//! `bootstrap:5:size=0.5` are the same strategy with other arguments. Where an argument is a list of numbers,
//! commas separate them: `weighted-mean:0.5,0.3,0.2`. A value that has arguments of its own, such as a metric, is given by
//! name: `patience:5:metric=pinball:0.9`; or all that follows belongs to it, also what has a name:
//! `efficient:tab-m:32:init=ones`. A shorthand is a name with arguments, without colons:
//! the metric `f1-weighted` is `f1:weighted`.
//!
//! ```
//! use candle_ensemble::combine;
//!
//! let combiners = combine::registry();
//! let trimmed = combiners.parse("trimmed-mean:cut=0.1")?;
//! let three = combiners.parse_list("mean,trimmed-mean:0.1,weighted-mean:0.5,0.3,0.2")?;
//! assert_eq!(three.len(), 3);
//! let e = combiners.parse("medain").unwrap_err();
//! assert!(e.to_string().ends_with("but is medain; did you mean median?"));
//! # Ok::<(), candle_ensemble::Error>(())
//! ```
//!
//! [`strategy::registry`]: crate::strategy::registry()
//! [`combine::registry`]: crate::combine::registry()
//! [`merge::registry`]: crate::merge::registry()
//! [`metrics::registry`]: crate::metrics::registry()
mod argument;
mod entry;
mod suggest;

pub use argument::{Argument, ArgumentValue, Arguments};
pub use entry::{Entry, Tasks};

use crate::Result;
use std::fmt::Write;
use suggest::suggest;

/// Entries by name. See the [module](self).
#[derive(Debug)]
pub struct Registry<T> {
    what: &'static str,
    entries: Vec<Entry<T>>,
}

impl<T> Registry<T> {
    /// A registry of `entries`; `what` is what each of them is, as error messages put it: "strategy".
    #[must_use]
    pub fn new(what: &'static str, entries: Vec<Entry<T>>) -> Self {
        Self { what, entries }
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// The names of the entries, without their aliases.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.entries.iter().map(Entry::name).collect()
    }

    /// The entry that a text names, with or without arguments after the name.
    ///
    /// # Errors
    /// When no entry has this name. The error lists the names.
    pub fn get(&self, text: &str) -> Result<&Entry<T>> {
        let name = text.split(':').next().unwrap_or_default().trim();
        let shortens = |entry: &Entry<T>| entry.shorthands().iter().any(|(known, _)| *known == name);
        let named =
            |entry: &&Entry<T>| entry.name() == name || entry.aliases().contains(&name) || shortens(entry);
        self.entries.iter().find(named).ok_or_else(|| {
            let shorthands = |entry: &Entry<T>| entry.shorthands().iter().map(|(known, _)| *known);
            let others = |entry| shorthands(entry).chain(entry.aliases().iter().copied());
            let aliases: Vec<_> = self.entries.iter().flat_map(others).collect();
            suggest(&format!("the {}", self.what), &self.names(), &aliases, name)
        })
    }

    /// Makes what a text such as `name:10:key=value` names.
    ///
    /// # Errors
    /// When the name or an argument is unknown, or a value is not what it must be.
    pub fn parse(&self, text: &str) -> Result<T> {
        self.parse_with(text, &[])
    }

    /// Makes what a text names. An argument that the text does not give has the value that `settings` has
    /// under its name; settings under other names are ignored.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(&self, text: &str, settings: &[(&str, String)]) -> Result<T> {
        let entry = self.get(text)?;
        entry.make(&entry.read(&entry.arguments_in(text), settings)?)
    }

    /// Makes everything that a list names, separated by commas.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), at the first text that cannot be made.
    pub fn parse_list(&self, list: &str) -> Result<Vec<T>> {
        split_list(list).iter().map(|text| self.parse(text)).collect()
    }

    /// The entries as plain text, for `--help`: names, summaries and arguments.
    #[must_use]
    pub fn help(&self) -> String {
        let width = self.entries.iter().map(|entry| entry.name().chars().count()).max().unwrap_or_default();
        let mut out = String::new();
        for entry in &self.entries {
            let mut notes = vec![];
            if !entry.aliases().is_empty() {
                notes.push(format!("also {}", entry.aliases().join(", ")));
            }
            notes.extend(
                entry
                    .shorthands()
                    .iter()
                    .map(|(name, arguments)| format!("{name} for {}:{arguments}", entry.name())),
            );
            match entry.tasks() {
                Tasks::All => {}
                Tasks::Classification => notes.push("for classes".into()),
                Tasks::Regression => notes.push("for values".into()),
            }
            notes.extend(entry.arguments().iter().map(ToString::to_string));
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
            let _ = writeln!(out, "{:width$}  {}{notes}", entry.name(), entry.summary());
        }
        out
    }

    /// The entries as a table in Markdown, for documentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let tasks = self.entries.iter().any(|entry| entry.tasks() != Tasks::All);
        let mut out = String::from("| Name | Item | What it does | Arguments |\n|---|---|---|---|\n");
        if tasks {
            out = String::from("| Name | Item | Tasks | What it does | Arguments |\n|---|---|---|---|---|\n");
        }
        for entry in &self.entries {
            let names = [&[entry.name()], entry.aliases()].concat();
            let mut names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let shorthands = entry.shorthands().iter();
            names.extend(shorthands.map(|(name, text)| format!("`{name}` (`{}:{text}`)", entry.name())));
            let arguments: Vec<_> =
                entry.arguments().iter().map(|argument| format!("`{argument}`")).collect();
            let _ = write!(out, "| {} | [`{}`] |", names.join(", "), entry.item());
            if tasks {
                let tasks = match entry.tasks() {
                    Tasks::All => "both",
                    Tasks::Classification => "classes",
                    Tasks::Regression => "values",
                };
                let _ = write!(out, " {tasks} |");
            }
            let _ = match arguments.is_empty() {
                true => writeln!(out, " {} | |", entry.summary()),
                false => writeln!(out, " {} | {} |", entry.summary(), arguments.join(", ")),
            };
        }
        out
    }
}

/// The texts of a list that is separated by commas. A piece that begins with a digit, a sign or a point
/// continues the text before it, which ends in a list of numbers: names begin with a letter.
#[must_use]
pub fn split_list(list: &str) -> Vec<String> {
    let mut texts: Vec<String> = vec![];
    for piece in list.split(',') {
        let continues = piece.trim().starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        match texts.last_mut() {
            Some(last) if continues => {
                last.push(',');
                last.push_str(piece.trim());
            }
            _ => texts.push(piece.trim().to_string()),
        }
    }
    texts
}

#[cfg(test)]
mod tests;
