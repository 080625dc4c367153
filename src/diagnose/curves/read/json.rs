//! JSON as programs write it: with NaN and Infinity, and with long lists of numbers.
use super::cell::Cell;
use crate::{Error, Result};
use serde::{
    de::{MapAccess, SeqAccess, Visitor},
    Deserialize, Deserializer,
};
use std::{borrow::Cow, fmt};

/// A JSON value. A list of numbers is kept as such, which takes 8 bytes a number. The entries of an object
/// keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A list of numbers; null is NaN.
    Numbers(Vec<f64>),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text that holds one value, or several one after another (JSON Lines), which become a list.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self> {
        let text = plain(text);
        let values: Result<Vec<Self>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        let mut values =
            values.map_err(|e| Error::invalid(file, "JSON as a whole", format!("damaged: {e}")))?;
        match (values.len(), values.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => Ok(Self::List(values.into_iter().chain(last).collect())),
        }
    }

    /// The entry of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The entries of an object; none for other values.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Object(entries) => entries,
            _ => &[],
        }
    }

    /// The values of a list that are not all numbers; none for other values.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// What it is as a cell of a table.
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Number(x) => Cell::Number(*x),
            Self::Text(text) => Cell::parse(text, false),
            Self::Bool(x) => Cell::Text(if *x { "true" } else { "false" }),
            _ => Cell::Missing,
        }
    }

    /// A whole number of rows or the like.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Self::Number(x) if *x >= 1. && x.fract() == 0. && *x < 1e15 => Some(*x as usize),
            _ => None,
        }
    }

    /// As an entry of a list of numbers: a number, null, or a number as text.
    fn element(&self) -> Option<f64> {
        match self {
            Self::Null => Some(f64::NAN),
            Self::Text(text) if text.is_empty() => Some(f64::NAN),
            _ => self.cell().number(),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, x: bool) -> Result<Json, E> {
                Ok(Json::Bool(x))
            }
            fn visit_f64<E>(self, x: f64) -> Result<Json, E> {
                Ok(Json::Number(x))
            }
            fn visit_i64<E>(self, x: i64) -> Result<Json, E> {
                Ok(Json::Number(x as f64))
            }
            fn visit_u64<E>(self, x: u64) -> Result<Json, E> {
                Ok(Json::Number(x as f64))
            }
            fn visit_str<E>(self, x: &str) -> Result<Json, E> {
                Ok(Json::Text(x.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
                let mut numbers = vec![];
                let mut others: Vec<Json> = vec![];
                while let Some(value) = values.next_element::<Json>()? {
                    match value.element() {
                        Some(number) if others.is_empty() => numbers.push(number),
                        _ => {
                            others.extend(numbers.drain(..).map(Json::Number));
                            others.push(value);
                        }
                    }
                }
                Ok(if others.is_empty() { Json::Numbers(numbers) } else { Json::List(others) })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Json::Object(entries))
            }
        }
        d.deserialize_any(Any)
    }
}

/// The literals of Python's json that JSON has not, with texts of the same length that are read as NaN.
const LITERALS: [(&str, &str); 3] =
    [("NaN", "\"\" "), ("Infinity", "\"\"      "), ("-Infinity", "\"\"       ")];

/// Replaces the literals outside of texts. Lines and columns stay the same.
fn plain(text: &str) -> Cow<'_, str> {
    let (mut plain, mut copied) = (String::new(), 0);
    let (mut in_text, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'N' | b'I' | b'-' if !in_text && at >= copied => {
                let rest = text.get(at..).unwrap_or_default();
                if let Some((literal, same)) = LITERALS.iter().find(|(literal, _)| rest.starts_with(literal))
                {
                    plain += text.get(copied..at).unwrap_or_default();
                    plain += same;
                    copied = at + literal.len();
                }
            }
            _ => {}
        }
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(plain + text.get(copied..).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_of_python_are_replaced_outside_of_texts_only() {
        let text = r#"{"NaN":[1,NaN,-Infinity],"a\"NaN":"Infinity\\","b":Infinity}"#;
        let read = plain(text);
        assert_eq!(read, r#"{"NaN":[1,"" ,""       ],"a\"NaN":"Infinity\\","b":""      }"#);
        assert_eq!(read.len(), text.len());
        assert!(matches!(plain(r#"{"a":"NaN","b":-1}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn lists_of_numbers_are_compact_and_others_keep_their_values() {
        let json = Json::parse("a.json", r#"{"x":[1,null,-2.5],"y":[1,{"z":[]}],"w":[null,"a"]}"#).unwrap();
        assert!(
            matches!(json.get("x"), Some(Json::Numbers(x)) if x[0] == 1. && x[1].is_nan() && x[2] == -2.5)
        );
        assert_eq!(json.get("y").unwrap().list()[0], Json::Number(1.));
        assert_eq!(json.get("w").unwrap().list()[1], Json::Text("a".into()));
        assert_eq!(Json::parse("a.json", "{}\n{}").unwrap().list().len(), 2);
    }

    #[test]
    fn damage_is_located() {
        let error = Json::parse("a.json", "{\"x\": [NaN, 1,,]}").unwrap_err().to_string();
        assert_eq!(
            error,
            "a.json must be JSON as a whole, but is damaged: expected value at line 1 column 15"
        );
        assert!(Json::parse("a.json", "{\"x\": [1, 2").is_err());
    }
}
