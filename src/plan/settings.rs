//! Settings of single runs, as data.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The value of a setting.
///
/// `bool`, `i32`, `i64`, `f64` and `&str` convert into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A real number.
    Real(#[serde(with = "crate::codec::real")] f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(x) => x.fmt(f),
            Self::Int(x) => x.fmt(f),
            Self::Real(x) => x.fmt(f),
            Self::Text(x) => write!(f, "{x:?}"),
        }
    }
}

impl From<bool> for Value {
    fn from(x: bool) -> Self {
        Self::Flag(x)
    }
}
impl From<i64> for Value {
    fn from(x: i64) -> Self {
        Self::Int(x)
    }
}
impl From<i32> for Value {
    fn from(x: i32) -> Self {
        Self::Int(x.into())
    }
}
impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Real(x)
    }
}
impl From<&str> for Value {
    fn from(x: &str) -> Self {
        Self::Text(x.into())
    }
}

/// The settings of one run, by name, which replace those of the learner.
///
/// The trainer reads some (`"learning_rate"`, `"epochs"` and others; see
/// [`TrainConfig`](crate::train::TrainConfig)), and the constructor of an architecture may read others, such
/// as a width ([`Trainer::reading`](crate::train::Trainer::reading)). Strategies assign settings to runs, for
/// example [`MultiRun::settings`](crate::strategy::MultiRun::settings).
///
/// ```
/// use candle_ensemble::plan::Settings;
///
/// let settings = Settings::new().with("learning_rate", 1e-3).with("width", 64);
/// assert_eq!(settings.count("width")?, Some(64));
/// assert_eq!(settings.real("dropout")?, None);
/// assert!(settings.count("learning_rate").is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings(BTreeMap<String, Value>);

impl Settings {
    /// No settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a setting, or replaces the setting of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Adds all these settings, such as those of another one, or replaces the settings of the same names.
    ///
    /// ```
    /// use candle_ensemble::plan::Settings;
    ///
    /// let usual = Settings::new().with("epochs", 60).with("width", 64);
    /// let of_run = Settings::new().with("width", 128);
    /// assert_eq!(usual.with_all(of_run.iter()), Settings::new().with("epochs", 60).with("width", 128));
    /// ```
    #[must_use]
    pub fn with_all<'s>(self, settings: impl IntoIterator<Item = (&'s str, &'s Value)>) -> Self {
        settings.into_iter().fold(self, |all, (name, value)| all.with(name, value.clone()))
    }

    /// All settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of a setting that is a number, or `None` if it is not set.
    ///
    /// # Errors
    /// When the setting is something else.
    pub fn real(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", |v| match v {
            Value::Real(x) => Some(*x),
            Value::Int(x) => Some(*x as f64),
            _ => None,
        })
    }

    /// The value of a setting that is a whole number, zero or more, or `None` if it is not set.
    ///
    /// # Errors
    /// When the setting is something else.
    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number, zero or more", |v| match v {
            Value::Int(x) => usize::try_from(*x).ok(),
            _ => None,
        })
    }

    /// The value of a setting that is true or false, or `None` if it is not set.
    ///
    /// # Errors
    /// When the setting is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", |v| match v {
            Value::Flag(x) => Some(*x),
            _ => None,
        })
    }

    /// The value of a setting that is a text, or `None` if it is not set.
    ///
    /// # Errors
    /// When the setting is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        self.read(name, "a text", |v| match v {
            Value::Text(x) => Some(x.as_str()),
            _ => None,
        })
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        must: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| Error::invalid(format!("the setting {name:?}"), must, value))
    }
}
