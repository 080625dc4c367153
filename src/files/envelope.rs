//! Envelopes: bytes after a line that identifies them and a line with their hash.
use crate::files::header::{hash_mismatch, identifier, wrong_kind, FormatError, HEX};

/// `payload` after a line that identifies its kind and format, and a line with the hash of both.
pub(crate) fn wrap(kind: &str, payload: &[u8]) -> Vec<u8> {
    let identifier = identifier(kind);
    [format!("{identifier}\n{}\n", digest(&identifier, payload)).as_bytes(), payload].concat()
}

/// The payload of an envelope; an error unless the bytes are a complete and unchanged envelope of this kind.
pub(crate) fn unwrap<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let identifier = identifier(kind);
    let rest = bytes
        .strip_prefix(identifier.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"\n"))
        .ok_or_else(|| wrong_kind(bytes, kind))?;
    let (hash, payload) = rest.split_at_checked(HEX).ok_or_else(hash_mismatch)?;
    let payload = payload.strip_prefix(b"\n").ok_or_else(hash_mismatch)?;
    match hash == digest(&identifier, payload).as_bytes() {
        true => Ok(payload),
        false => Err(hash_mismatch()),
    }
}

fn digest(identifier: &str, payload: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(identifier.as_bytes()).update(b"\n").update(payload);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_truncation_is_noticed() {
        let envelope = wrap("checkpoint of a", b"payload\n\x00\xff");
        assert_eq!(unwrap("checkpoint of a", &envelope), Ok(&b"payload\n\x00\xff"[..]));
        for i in 0..envelope.len() {
            assert!(unwrap("checkpoint of a", &envelope[..i]).is_err(), "{i}");
            for bit in 0..8 {
                let mut flipped = envelope.clone();
                flipped[i] ^= 1 << bit;
                assert!(unwrap("checkpoint of a", &flipped).is_err(), "{i} {bit}");
            }
        }
        assert_eq!(unwrap("checkpoint of a", &[&envelope[..], b"x"].concat()), Err(hash_mismatch()));
    }

    #[test]
    fn errors_name_the_kind_that_was_found() {
        let why = |bytes: &[u8]| match unwrap("plan", bytes) {
            Err(FormatError::Foreign(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&wrap("checkpoint of a", b"")), r#"it holds a "checkpoint of a", not a "plan""#);
        assert_eq!(
            why(b"candle-ensemble, format 4, plan\n..."),
            r#"it is of format "4", but this version reads 3"#
        );
        // Plans of before rows were rules.
        assert_eq!(
            why(b"candle-ensemble, format 2, plan\n..."),
            r#"it is of format "2", but this version reads 3"#
        );
        for bytes in [&b""[..], b"PK\x03\x04", &[0xff; 1000]] {
            assert_eq!(why(bytes), "it does not begin like a plan of this library");
        }
    }
}
