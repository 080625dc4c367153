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
//! name: `patience:5:metric=pinball:0.9`. A shorthand is a name with arguments, without colons:
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
use crate::{Error, Result};
use std::fmt::{self, Write};

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

/// An argument that an [`Entry`] declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    name: &'static str,
    default: DefaultValue,
    summary: &'static str,
    nested: bool,
}

impl Argument {
    /// An argument that has the value `default` where none is given.
    #[must_use]
    pub const fn new(name: &'static str, default: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Some(default), summary, nested: false }
    }

    /// An argument that may be left out; the entry then does without it or chooses a value itself.
    #[must_use]
    pub const fn optional(name: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Optional, summary, nested: false }
    }

    /// An argument that must be given.
    #[must_use]
    pub const fn required(name: &'static str, summary: &'static str) -> Self {
        Self { name, default: DefaultValue::Required, summary, nested: false }
    }

    /// The same where the value is itself a name with arguments, such as that of a metric. Where it is given by name, the
    /// parts without a name that follow belong to it, as in `patience:5:metric=pinball:0.9`.
    #[must_use]
    pub const fn nested(self) -> Self {
        Self { nested: true, ..self }
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
    entry: &'static str,
    values: Vec<(&'static str, Option<String>)>,
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

/// One thing of a [`Registry`]: its name, what it is, and how it is made.
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
        self.arguments.iter().any(|known| known.name == argument)
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
    fn arguments_in<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().trim();
        let of_shorthand = self.shorthands.iter().filter(|(known, _)| *known == name);
        of_shorthand.flat_map(|(_, arguments)| arguments.split(':')).chain(parts).collect()
    }

    /// Reads arguments; what is not there comes from `settings`, then from the defaults.
    fn read(&self, parts: &[&str], settings: &[(&str, String)]) -> Result<Arguments> {
        let mut values: Vec<_> = self.arguments.iter().map(|argument| (argument.name, None)).collect();
        let (mut positional, mut nested) = (0, None);
        for &part in parts {
            if let (false, Some(Some(value))) =
                (part.contains('='), nested.map(|at: usize| &mut values[at].1))
            {
                let value: &mut String = value;
                value.push(':');
                value.push_str(part.trim());
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
            values[at].1 = Some(value.trim().to_string());
            nested = Some(at).filter(|at| part.contains('=') && self.arguments[*at].nested);
        }
        for ((name, value), argument) in values.iter_mut().zip(self.arguments) {
            if value.is_none() {
                let set = settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                *value = set.or_else(|| argument.default().map(str::to_string));
            }
            if value.is_none() && argument.is_required() {
                let what = format!("the argument {name} of {}", self.name);
                return Err(Error::invalid(what, format!("given ({})", argument.summary), "missing"));
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
        let shortens = |entry: &Entry<T>| entry.shorthands.iter().any(|(known, _)| *known == name);
        let named =
            |entry: &&Entry<T>| entry.name == name || entry.aliases.contains(&name) || shortens(entry);
        self.entries.iter().find(named).ok_or_else(|| {
            let shorthands = |entry: &Entry<T>| entry.shorthands.iter().map(|(known, _)| *known);
            let others = |entry| shorthands(entry).chain(entry.aliases.iter().copied());
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
        let width = self.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
        let mut out = String::new();
        for entry in &self.entries {
            let mut notes = vec![];
            if !entry.aliases.is_empty() {
                notes.push(format!("also {}", entry.aliases.join(", ")));
            }
            notes.extend(
                entry
                    .shorthands
                    .iter()
                    .map(|(name, arguments)| format!("{name} for {}:{arguments}", entry.name)),
            );
            match entry.tasks {
                Tasks::All => {}
                Tasks::Classification => notes.push("for classes".into()),
                Tasks::Regression => notes.push("for values".into()),
            }
            notes.extend(entry.arguments.iter().map(ToString::to_string));
            let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
            let _ = writeln!(out, "{:width$}  {}{notes}", entry.name, entry.summary);
        }
        out
    }

    /// The entries as a table in Markdown, for documentation.
    #[must_use]
    pub fn markdown(&self) -> String {
        let tasks = self.entries.iter().any(|entry| entry.tasks != Tasks::All);
        let mut out = String::from("| Name | Item | What it does | Arguments |\n|---|---|---|---|\n");
        if tasks {
            out = String::from("| Name | Item | Tasks | What it does | Arguments |\n|---|---|---|---|---|\n");
        }
        for entry in &self.entries {
            let names = [&[entry.name], entry.aliases].concat();
            let mut names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let shorthands = entry.shorthands.iter();
            names.extend(shorthands.map(|(name, text)| format!("`{name}` (`{}:{text}`)", entry.name)));
            let arguments: Vec<_> = entry.arguments.iter().map(|argument| format!("`{argument}`")).collect();
            let _ = write!(out, "| {} | [`{}`] |", names.join(", "), entry.item);
            if tasks {
                let tasks = match entry.tasks {
                    Tasks::All => "both",
                    Tasks::Classification => "classes",
                    Tasks::Regression => "values",
                };
                let _ = write!(out, " {tasks} |");
            }
            let _ = match arguments.is_empty() {
                true => writeln!(out, " {} | |", entry.summary),
                false => writeln!(out, " {} | {} |", entry.summary, arguments.join(", ")),
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

fn shown(text: &str) -> &str {
    if text.trim().is_empty() {
        "empty"
    } else {
        text
    }
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// The error of a name that is none of `names`, with the nearest of these and the aliases where one is near.
fn suggest(what: &str, names: &[&str], aliases: &[&str], got: &str) -> Error {
    let all = names.iter().chain(aliases);
    let near = all.map(|name| (distance(name, got), *name)).min().filter(|(d, name)| d * 3 <= name.len());
    let hint = near.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"));
    Error::invalid(what, one_of(names), format!("{}{hint}", shown(got)))
}

/// How many characters have to be inserted, deleted, replaced or swapped with the next to make `b` of `a`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    type Made = (usize, f64, Option<f64>, Vec<f64>);

    fn registry() -> Registry<Made> {
        let box_entry = Entry::new("box", "Box", "A box", |arguments| {
            let numbers = arguments.optional("numbers")?.unwrap_or_default();
            Ok((arguments.get("size")?, arguments.get("share")?, arguments.optional("lambda")?, numbers))
        });
        const BOX: &[Argument] = &[
            Argument::new("size", "3", "Its size"),
            Argument::new("share", "0.5", "Its share"),
            Argument::optional("lambda", "Its penalty"),
            Argument::optional("numbers", "Its numbers"),
        ];
        let crate_entry = Entry::new("crate", "Crate", "A crate", |arguments| {
            let unit = arguments.choice("unit", &[("row", 1), ("group", 2)])?.unwrap_or_default();
            Ok((unit, arguments.get("weight")?, None, vec![]))
        });
        const CRATE: &[Argument] =
            &[Argument::required("weight", "Its weight"), Argument::optional("unit", "")];
        Registry::new(
            "container",
            vec![
                box_entry.with_arguments(BOX).with_aliases(&["carton"]),
                crate_entry
                    .with_arguments(CRATE)
                    .with_tasks(Tasks::Classification)
                    .with_shorthands(&[("light-crate", "0.5")]),
            ],
        )
    }

    #[test]
    fn arguments_come_by_position_and_by_name() {
        let made = |text| registry().parse(text).unwrap();
        assert_eq!(made("box"), (3, 0.5, None, vec![]));
        assert_eq!(made("carton:7"), (7, 0.5, None, vec![]));
        assert_eq!(made("box:7:0.25"), (7, 0.25, None, vec![]));
        assert_eq!(made("box:share=0.25:7"), (7, 0.25, None, vec![]));
        let nested = Entry::new("nested", "", "", |arguments| {
            Ok((arguments.get::<usize>("count")?, arguments.get::<String>("inner")?))
        });
        const NESTED: &[Argument] =
            &[Argument::new("count", "1", ""), Argument::required("inner", "").nested()];
        let nested = Registry::new("thing", vec![nested.with_arguments(NESTED)]);
        let made = |text| nested.parse(text).unwrap();
        assert_eq!(made("nested:inner=crate:2:0.5:count=7"), (7, "crate:2:0.5".into()));
        assert_eq!(made("nested:2:inner=crate"), (2, "crate".into()));
        assert!(nested.parse("nested:2:crate:0.5").is_err());
        let made = |text| registry().parse(text).unwrap();
        assert_eq!(made("box:lambda=1e-3:numbers=1,-2"), (3, 0.5, Some(1e-3), vec![1., -2.]));
        assert_eq!(made("crate:2:unit=group"), (2, 2., None, vec![]));
        assert_eq!(made("light-crate"), (0, 0.5, None, vec![]));
        assert_eq!(made("light-crate:unit=group"), (2, 0.5, None, vec![]));
    }

    #[test]
    fn settings_stand_behind_the_text_and_before_the_defaults() {
        let settings = [("size", "8".to_string()), ("lambda", "2".into()), ("other", "x".into())];
        let made = |text| registry().parse_with(text, &settings).unwrap();
        assert_eq!(made("box"), (8, 0.5, Some(2.), vec![]));
        assert_eq!(made("box:9"), (9, 0.5, Some(2.), vec![]));
    }

    #[test]
    fn lists_of_numbers_do_not_end_at_a_comma() {
        assert_eq!(split_list("a:1,2, .5,b,c:x=-1,-2"), ["a:1,2,.5", "b", "c:x=-1,-2"]);
        let made = registry().parse_list("box:numbers=1,2,crate:1").unwrap();
        assert_eq!(made, [(3, 0.5, None, vec![1., 2.]), (0, 1., None, vec![])]);
    }

    #[test]
    fn errors_name_the_entry_the_argument_and_the_value() {
        let error = |text| registry().parse(text).unwrap_err().to_string();
        assert_eq!(error("bx"), "the container must be one of box, crate, but is bx; did you mean box?");
        assert_eq!(
            error("ligt-crate"),
            "the container must be one of box, crate, but is ligt-crate; did you mean light-crate?"
        );
        assert_eq!(error("tin"), "the container must be one of box, crate, but is tin");
        assert_eq!(error(""), "the container must be one of box, crate, but is empty");
        assert_eq!(error("box:x"), "the argument size of box must be a whole number, but is x");
        assert_eq!(error("box:-1"), "the argument size of box must be a whole number, but is -1");
        assert_eq!(error("box:share="), "the argument share of box must be a number, but is empty");
        assert_eq!(
            error("box:lamda=1"),
            "an argument of box must be one of size, share, lambda, numbers, but is lamda; did you mean lambda?"
        );
        assert_eq!(error("box:1:size=2"), "the argument size of box must be given once, but is given twice");
        assert_eq!(error("crate:1:group:3"), "the number of arguments of crate must be at most 2, but is 3");
        assert_eq!(error("crate"), "the argument weight of crate must be given (Its weight), but is missing");
        assert_eq!(
            error("crate:1:unit=rows"),
            "the argument unit of crate must be one of row, group, but is rows"
        );
        let must = "a list, separated by commas, each a number";
        let expected = format!("the argument numbers of box must be {must}, but is 1,b");
        assert_eq!(error("box:numbers=1,b"), expected);
    }

    #[test]
    fn help_and_markdown_show_every_entry() {
        let help = "box    A box (also carton; size=3; share=0.5; [lambda=…]; [numbers=…])\n\
                    crate  A crate (light-crate for crate:0.5; for classes; weight=…; [unit=…])\n";
        assert_eq!(registry().help(), help);
        let markdown = registry().markdown();
        assert!(markdown.starts_with("| Name | Item | Tasks | What it does | Arguments |\n"));
        assert!(markdown.contains("| `crate`, `light-crate` (`crate:0.5`) | [`Crate`] | classes | A crate |"));
        assert!(markdown.contains("| `box`, `carton` | [`Box`] | both | A box | `size=3`, `share=0.5`, "));
    }

    #[test]
    fn distances_count_single_edits() {
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
