//! Values as bytes. Only this module uses bincode.
use crate::{Error, Result};
use bincode::config::standard;
use serde::{de::DeserializeOwned, Serialize};

/// The largest number of bytes that is written, and therefore read.
const MAX_BYTES: usize = at_most(1 << 32);

/// The value as bytes. Equal values give equal bytes.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let what = "a stored value";
    let bytes = bincode::serde::encode_to_vec(value, standard())
        .map_err(|e| Error::invalid(what, "serializable", e))?;
    match bytes.len() {
        0..=MAX_BYTES => Ok(bytes),
        more => Err(Error::invalid(what, format!("of at most {MAX_BYTES} bytes"), more)),
    }
}

/// Reads what [`encode`] returns. The bytes can be of any origin; the error says what is wrong with them.
///
/// bincode allocates the length that a text claims before it checks whether so many bytes follow. Its limit
/// counts the size of values in memory, which is at most 16 times the bytes they are read from. So the next
/// larger of a few limits accepts every correct length, and restricts what a wrong one allocates to a
/// multiple of the bytes, or to 1 MiB.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    macro_rules! within {
        ($limit:expr) => {
            bincode::serde::decode_from_slice(bytes, standard().with_limit::<{ at_most($limit) }>())
        };
    }
    let decoded = match bytes.len() {
        0..=0x1_0000 => within!(1 << 20),
        0x1_0001..=0x10_0000 => within!(1 << 24),
        0x10_0001..=0x100_0000 => within!(1 << 28),
        0x100_0001..=0x1000_0000 => within!(1 << 32),
        0x1000_0001..=MAX_BYTES => within!(1 << 36),
        more => return Err(format!("{more} bytes are more than are ever written")),
    };
    match decoded {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(format!("{} bytes are left over", bytes.len() - read)),
        Err(e) => Err(e.to_string()),
    }
}

/// `limit`, or the largest size that the machine can address.
const fn at_most(limit: u64) -> usize {
    if limit > isize::MAX as u64 {
        isize::MAX as usize
    } else {
        limit as usize
    }
}

/// Numbers that may be NaN or infinite. JSON has no such numbers, so they are written as texts there.
pub(crate) mod real {
    use serde::{
        de::{self, Visitor},
        Deserialize, Deserializer, Serialize, Serializer,
    };
    use std::fmt;

    pub(crate) fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        match x {
            x if x.is_finite() || !s.is_human_readable() => s.serialize_f64(*x),
            x if x.is_nan() => s.serialize_str("NaN"),
            x if *x > 0. => s.serialize_str("inf"),
            _ => s.serialize_str("-inf"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        struct Real;
        impl Visitor<'_> for Real {
            type Value = f64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> Result<f64, E> {
                Ok(x)
            }
            fn visit_i64<E: de::Error>(self, x: i64) -> Result<f64, E> {
                Ok(x as f64)
            }
            fn visit_u64<E: de::Error>(self, x: u64) -> Result<f64, E> {
                Ok(x as f64)
            }
            fn visit_str<E: de::Error>(self, x: &str) -> Result<f64, E> {
                match x {
                    "NaN" => Ok(f64::NAN),
                    "inf" => Ok(f64::INFINITY),
                    "-inf" => Ok(f64::NEG_INFINITY),
                    _ => Err(E::invalid_value(de::Unexpected::Str(x), &self)),
                }
            }
        }
        match d.is_human_readable() {
            true => d.deserialize_any(Real),
            false => d.deserialize_f64(Real),
        }
    }

    /// The same for optional numbers.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Real(#[serde(with = "super")] f64);

        #[allow(clippy::ref_option)] // serde's signature
        pub(crate) fn serialize<S: Serializer>(x: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
            x.map(Real).serialize(s)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
            Ok(Option::deserialize(d)?.map(|Real(x)| x))
        }
    }

    /// The same for lists of numbers.
    pub(crate) mod vec {
        use super::{Deserialize, Deserializer, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Real(#[serde(with = "super")] f64);

        pub(crate) fn serialize<S: Serializer>(xs: &[f64], s: S) -> Result<S::Ok, S::Error> {
            s.collect_seq(xs.iter().map(|x| Real(*x)))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
            Ok(Vec::deserialize(d)?.into_iter().map(|Real(x)| x).collect())
        }
    }

    /// The same for numbers by name.
    pub(crate) mod map {
        use super::{Deserialize, Deserializer, Serialize, Serializer};
        use std::collections::BTreeMap;

        #[derive(Serialize, Deserialize)]
        struct Real(#[serde(with = "super")] f64);

        pub(crate) fn serialize<S: Serializer>(xs: &BTreeMap<String, f64>, s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(xs.iter().map(|(name, x)| (name, Real(*x))))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            d: D,
        ) -> Result<BTreeMap<String, f64>, D::Error> {
            let read: BTreeMap<String, Real> = BTreeMap::deserialize(d)?;
            Ok(read.into_iter().map(|(name, Real(x))| (name, x)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Serialize, Deserialize)]
    struct Reals {
        #[serde(with = "real")]
        a: f64,
        #[serde(with = "real::option")]
        b: Option<f64>,
    }

    #[test]
    fn every_number_is_read_back_from_json_and_bincode() {
        for a in
            [0., -0., 0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::NAN, f64::INFINITY, -f64::INFINITY]
        {
            for b in [None, Some(a)] {
                let text = serde_json::to_string(&Reals { a, b }).unwrap();
                let json: Reals = serde_json::from_str(&text).unwrap();
                let binary: Reals = decode(&encode(&Reals { a, b }).unwrap()).unwrap();
                for back in [json, binary] {
                    assert_eq!(back.a.to_bits(), a.to_bits(), "{text}");
                    assert_eq!(back.b.map(f64::to_bits), b.map(f64::to_bits), "{text}");
                }
            }
        }
        assert_eq!(serde_json::from_str::<Reals>(r#"{"a":3,"b":-3}"#).unwrap().b, Some(-3.));
        assert!(serde_json::from_str::<Reals>(r#"{"a":"nan","b":null}"#).is_err());
    }

    #[test]
    fn bytes_left_over_and_missing_bytes_are_errors() {
        let bytes = encode(&("text", vec![1u32, 2, 300])).unwrap();
        assert_eq!(decode::<(String, Vec<u32>)>(&bytes).unwrap().1, [1, 2, 300]);
        assert!(decode::<(String, Vec<u32>)>(&bytes[..bytes.len() - 1]).is_err());
        let more = [&bytes[..], &[0]].concat();
        assert_eq!(decode::<(String, Vec<u32>)>(&more).unwrap_err(), "1 bytes are left over");
    }

    #[test]
    fn a_wrong_length_allocates_next_to_nothing() {
        // A text, and a list, of 2⁶³ − 1.
        let wrong = [&[253], &(u64::MAX >> 1).to_le_bytes()[..]].concat();
        assert!(decode::<String>(&wrong).is_err());
        assert!(decode::<Vec<u64>>(&wrong).is_err());
    }

    #[test]
    fn correct_lengths_of_any_size_are_accepted() {
        // Small numbers take one byte each in the encoding and eight in memory.
        for n in [1, 16_000, 17_000, 270_000, 5_000_000] {
            let numbers = vec![1u64; n];
            assert_eq!(decode::<Vec<u64>>(&encode(&numbers).unwrap()).unwrap().len(), n);
        }
    }
}
