//! Setups and changes in JSON: plain values in place of tagged ones, and nothing where nothing is set.
use crate::{
    plan::{Settings, Value},
    remedy::{Change, Setup},
    Error, Result,
};
use serde::{
    de::{DeserializeOwned, Error as _},
    ser::{Error as _, SerializeMap},
    Deserialize, Deserializer, Serialize, Serializer,
};
use serde_json::{Map, Value as Json};

/// The fields after the settings, as binary formats have them.
type Fields<'a> = (&'a Settings, &'a Option<String>, &'a Option<String>, &'a Option<f64>);
type Owned = (Settings, Option<String>, Option<String>, Option<f64>);

impl Serialize for Setup {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let fields: Fields<'_> = (&self.settings, &self.strategy, &self.combination, &self.validation);
        match s.is_human_readable() {
            true => write(s, fields, None),
            false => fields.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Setup {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match d.is_human_readable() {
            true => Self::of_json(Json::deserialize(d)?).map_err(D::Error::custom),
            false => {
                let (settings, strategy, combination, validation) = Owned::deserialize(d)?;
                Ok(Self { settings, strategy, combination, validation })
            }
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let fields: Fields<'_> = (&self.settings, &self.strategy, &self.combination, &self.validation);
        match s.is_human_readable() {
            true => write(s, fields, self.by_hand.as_deref()),
            false => (fields, &self.by_hand).serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            let (fields, by_hand) = <(Owned, Option<String>)>::deserialize(d)?;
            let (settings, strategy, combination, validation) = fields;
            return Ok(Self { settings, strategy, combination, validation, by_hand });
        }
        let read = || -> Result<Self> {
            let mut object =
                object("the change", Json::deserialize(d).map_err(|e| not_json("the change", e))?)?;
            let by_hand = field(&mut object, "by_hand", "a text")?;
            let Setup { settings, strategy, combination, validation } = Setup::of_json(Json::Object(object))?;
            Ok(Self { settings, strategy, combination, validation, by_hand })
        };
        read().map_err(D::Error::custom)
    }
}

impl Setup {
    /// Reads what is written in JSON.
    pub(super) fn of_json(json: Json) -> Result<Self> {
        let mut object = object("a setup", json)?;
        let settings = match object.remove("settings") {
            None | Some(Json::Null) => Settings::new(),
            Some(settings) => settings_of(settings)?,
        };
        let setup = Self {
            settings,
            strategy: field(&mut object, "strategy", "a text, such as bootstrap:10")?,
            combination: field(&mut object, "combination", "a text, such as mean")?,
            validation: field(&mut object, "validation", "a number between 0 and 1")?,
        };
        match object.keys().next() {
            Some(unknown) => {
                let must = "one of settings, strategy, combination, validation";
                Err(Error::invalid("a key of a setup", must, format!("{unknown:?}")))
            }
            None => Ok(setup),
        }
    }
}

fn write<S: Serializer>(s: S, fields: Fields<'_>, by_hand: Option<&str>) -> Result<S::Ok, S::Error> {
    let (settings, strategy, combination, validation) = fields;
    let mut map = s.serialize_map(None)?;
    map.serialize_entry("settings", &json_of(settings).map_err(S::Error::custom)?)?;
    for (name, text) in [("strategy", strategy.as_deref()), ("combination", combination.as_deref())] {
        if let Some(text) = text {
            map.serialize_entry(name, text)?;
        }
    }
    if let Some(share) = validation {
        map.serialize_entry("validation", share)?;
    }
    if let Some(text) = by_hand {
        map.serialize_entry("by_hand", text)?;
    }
    map.end()
}

/// The settings as an object of plain values.
fn json_of(settings: &Settings) -> Result<Map<String, Json>> {
    let value = |(name, value): (&str, &Value)| {
        let json = match value {
            Value::Flag(x) => Json::from(*x),
            Value::Int(x) => Json::from(*x),
            // JSON has no NaN and no infinity, which no setting means.
            Value::Real(x) if !x.is_finite() => {
                return Err(Error::invalid(format!("the setting {name:?}"), "finite", x));
            }
            Value::Real(x) => Json::from(*x),
            Value::Text(x) => Json::from(x.as_str()),
        };
        Ok((name.to_string(), json))
    };
    settings.iter().map(value).collect()
}

fn settings_of(json: Json) -> Result<Settings> {
    let mut settings = Settings::new();
    for (name, json) in object("settings", json)? {
        let value = match &json {
            Json::Bool(x) => Value::Flag(*x),
            Json::String(x) => Value::Text(x.clone()),
            Json::Number(x) => match (x.as_i64(), x.as_f64()) {
                (Some(x), _) => Value::Int(x),
                (None, Some(x)) => Value::Real(x),
                (None, None) => return Err(wrong_value(&name, &json)),
            },
            _ => return Err(wrong_value(&name, &json)),
        };
        settings = settings.with(&name, value);
    }
    Ok(settings)
}

fn wrong_value(name: &str, json: &Json) -> Error {
    Error::invalid(format!("the setting {name:?}"), "a number, a text, true or false", json)
}

fn object(what: &str, json: Json) -> Result<Map<String, Json>> {
    match json {
        Json::Object(object) => Ok(object),
        other => Err(Error::invalid(what, "an object, { … }", other)),
    }
}

/// Takes the value of a key out of an object.
fn field<T: DeserializeOwned>(object: &mut Map<String, Json>, name: &str, must: &str) -> Result<Option<T>> {
    let Some(json) = object.remove(name) else { return Ok(None) };
    let got = json.to_string();
    let value: Option<T> =
        serde_json::from_value(json).map_err(|_| Error::invalid(format!("{name:?}"), must, got))?;
    Ok(value)
}

pub(super) fn not_json(what: impl Into<String>, e: impl std::fmt::Display) -> Error {
    Error::invalid(what, "JSON", format!("not: {e}"))
}
