//! Bytes with a title and a hash before them.
use crate::files::header::{changed, mismatch, title, Fault, HEX};

/// `payload` after a line that says what it is and a line with the hash of all the rest.
pub(crate) fn seal(kind: &str, payload: &[u8]) -> Vec<u8> {
    let title = title(kind);
    [format!("{title}\n{}\n", digest(&title, payload)).as_bytes(), payload].concat()
}

/// The payload of sealed bytes, if they are a whole and unchanged `kind`.
pub(crate) fn unseal<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
    let title = title(kind);
    let rest = bytes
        .strip_prefix(title.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"\n"))
        .ok_or_else(|| mismatch(bytes, kind))?;
    let (hash, payload) = rest.split_at_checked(HEX).ok_or_else(changed)?;
    let payload = payload.strip_prefix(b"\n").ok_or_else(changed)?;
    match hash == digest(&title, payload).as_bytes() {
        true => Ok(payload),
        false => Err(changed()),
    }
}

fn digest(title: &str, payload: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(title.as_bytes()).update(b"\n").update(payload);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_watched() {
        let sealed = seal("checkpoint of a", b"payload\n\x00\xff");
        assert_eq!(unseal("checkpoint of a", &sealed), Ok(&b"payload\n\x00\xff"[..]));
        for i in 0..sealed.len() {
            assert!(unseal("checkpoint of a", &sealed[..i]).is_err(), "{i}");
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[i] ^= 1 << bit;
                assert!(unseal("checkpoint of a", &flipped).is_err(), "{i} {bit}");
            }
        }
        assert_eq!(unseal("checkpoint of a", &[&sealed[..], b"x"].concat()), Err(changed()));
    }

    #[test]
    fn what_it_is_instead_is_said() {
        let why = |bytes: &[u8]| match unseal("plan", bytes) {
            Err(Fault::Foreign(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&seal("checkpoint of a", b"")), r#"it holds a "checkpoint of a", not a "plan""#);
        assert_eq!(
            why(b"candle-ensemble, format 3, plan\n..."),
            r#"it is of format "3", but this version reads 2"#
        );
        for bytes in [&b""[..], b"PK\x03\x04", &[0xff; 1000]] {
            assert_eq!(why(bytes), "it does not begin as a plan of this library does");
        }
    }
}
