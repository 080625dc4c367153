//! What varies from run to run, as data.
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One setting's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A switch.
    Flag(bool),
    /// A count.
    Int(i64),
    /// A number.
    Real(#[serde(with = "crate::codec::real")] f64),
    /// A name.
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

/// Settings of one run, by name: some are the trainer's (`"learning_rate"`, `"epochs"` …), some are read by
/// the architecture's constructor (`"width"`, say).
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
    /// No settings: every run is as the learner has it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The number called `name`, if there is one.
    ///
    /// # Errors
    /// When the setting is not a number.
    pub fn real(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", |v| match v {
            Value::Real(x) => Some(*x),
            Value::Int(x) => Some(*x as f64),
            _ => None,
        })
    }

    /// The count called `name`, if there is one.
    ///
    /// # Errors
    /// When the setting is not a whole number, zero or more.
    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        self.read(name, "a whole number, zero or more", |v| match v {
            Value::Int(x) => usize::try_from(*x).ok(),
            _ => None,
        })
    }

    /// The switch called `name`, if there is one.
    ///
    /// # Errors
    /// When the setting is not true or false.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "true or false", |v| match v {
            Value::Flag(x) => Some(*x),
            _ => None,
        })
    }

    /// The text called `name`, if there is one.
    ///
    /// # Errors
    /// When the setting is not a text.
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
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        take(value).map(Some).ok_or_else(|| Error::invalid(format!("setting {name:?}"), must, value))
    }
}
