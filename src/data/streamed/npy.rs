//! The header of a `.npy` file.
//!
//! `\x93NUMPY`, two bytes of version, the length of the header (2 bytes in version 1, 4 in versions 2 and 3), and a Python
//! dictionary with the type, the order and the shape. Source: NumPy Enhancement Proposal 1 (Kern 2007).
use crate::data::streamed::arrays::Stored;
use candle_core::DType;

/// No header is longer, but for arrays of records.
pub(super) const LONGEST: usize = 1 << 16;

/// An array in a file.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) stored: Stored,
    pub(super) shape: Vec<usize>,
    /// Where the elements begin, in bytes.
    pub(super) data: usize,
}

impl Header {
    /// Reads the header at the beginning of a file, of which `bytes` are the first ones. The error is why it cannot be read.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Some([major, _, rest @ ..]) = bytes.strip_prefix(b"\x93NUMPY") else {
            return Err("it does not begin like a .npy file".into());
        };
        let (length, before) = match (major, rest) {
            (1, [a, b, ..]) => (usize::from(u16::from_le_bytes([*a, *b])), 10),
            (2 | 3, [a, b, c, d, ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
            (1..=3, _) => return Err("it is cut short within its header".into()),
            (version, _) => return Err(format!("it is of version {version} of the format, not 1 to 3")),
        };
        if length > LONGEST {
            return Err(format!("its header takes {length} bytes, as those of arrays of records do"));
        }
        let text = bytes.get(before..before + length).ok_or("it is cut short within its header")?;
        let text = String::from_utf8_lossy(text);
        let stored = stored(value(&text, "descr")?)?;
        let shape = shape(value(&text, "shape")?)?;
        let fortran = value(&text, "fortran_order")?.starts_with("True");
        if fortran && shape.len() > 1 {
            return Err("it is in Fortran order; save numpy.ascontiguousarray of it".into());
        }
        Ok(Self { stored, shape, data: before + length })
    }
}

/// The text from the value of a key of the dictionary on.
fn value<'t>(text: &'t str, key: &str) -> Result<&'t str, String> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    let rest = quoted.iter().find_map(|key| text.split_once(&**key)).map(|(_, rest)| rest.trim_start());
    let value = rest.and_then(|rest| rest.strip_prefix(':')).map(str::trim_start);
    value.ok_or_else(|| format!("its header has no {key:?}"))
}

/// The type of a description such as `'<f4'`.
fn stored(text: &str) -> Result<Stored, String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
    let name = quote.and_then(|quote| text.get(1..)?.split_once(quote)).map(|(name, _)| name);
    let name = name.ok_or("it is an array of records; save each field as an array of its own")?;
    let (order, kind) = name.split_at_checked(1).unwrap_or_default();
    let big_endian = match order {
        "<" | "|" => false,
        ">" => true,
        "=" => cfg!(target_endian = "big"),
        _ => return Err(format!("its type is {name:?}, which is no number")),
    };
    let (dtype, widen) = match kind {
        "f2" => (DType::F16, false),
        "f4" => (DType::F32, false),
        "f8" => (DType::F64, false),
        "u1" | "b1" => (DType::U8, false),
        "u4" => (DType::U32, false),
        "i1" => (DType::I16, true),
        "u2" => (DType::I32, true),
        "i2" => (DType::I16, false),
        "i4" => (DType::I32, false),
        "i8" => (DType::I64, false),
        "u8" => return Err("its type is uint64, which candle lacks; save it as int64".into()),
        _ => {
            let known = "float16, float32, float64, bool, int8 to int64 or uint8 to uint32";
            return Err(format!("its type is {name:?}, not {known}"));
        }
    };
    Ok(Stored { dtype, widen, big_endian })
}

/// A shape such as `(3, 4)` or `(3,)`.
fn shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inner, _)| inner);
    let inner = inner.ok_or("its shape is not in parentheses")?;
    let dims = inner.split(',').map(str::trim).filter(|dim| !dim.is_empty());
    dims.map(|dim| dim.parse().map_err(|_| format!("its shape has {dim:?}, which is no size"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        for version in 1..4 {
            let text = "{'descr': '>i4', 'fortran_order': False, 'shape': (7, 2), }   \n";
            let header = Header::parse(&file(version, text)).unwrap();
            let stored = Stored { dtype: DType::I32, widen: false, big_endian: true };
            let data = if version == 1 { 10 } else { 12 } + text.len();
            assert_eq!(header, Header { stored, shape: vec![7, 2], data });
        }
        // A vector has no order, and keys may come in any.
        let text = "{\"shape\": (5,), \"fortran_order\":True,\"descr\":\"|u1\"}";
        assert_eq!(Header::parse(&file(1, text)).unwrap().shape, [5]);
    }

    #[test]
    fn what_is_no_array_of_numbers_says_so() {
        let of = |descr: &str, order: &str, shape: &str| {
            let text = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
            Header::parse(&file(1, &text)).unwrap_err()
        };
        assert!(of("'<f4'", "True", "(2, 3)").contains("ascontiguousarray"));
        assert!(of("'<u8'", "False", "(2,)").contains("int64"));
        assert!(of("'<c8'", "False", "(2,)").contains("\"<c8\""));
        assert!(of("'|O'", "False", "(2,)").contains("\"|O\""));
        assert!(of("[('a', '<f4')]", "False", "(2,)").contains("records"));
        assert!(of("'<f4'", "False", "(-2,)").contains("\"-2\""));
        assert!(of("'<f4'", "False", "2").contains("parentheses"));
        assert!(of("'", "False", "(2,)").contains("no number"));
        assert!(of("''", "False", "(2,)").contains("no number"));
        assert!(Header::parse(b"PK\x03\x04").unwrap_err().contains("begin like"));
        assert!(Header::parse(b"\x93NUMPY\x04\x00\x01\x00").unwrap_err().contains("version 4"));
        assert!(Header::parse(b"\x93NUMPY\x01\x00\x01").unwrap_err().contains("cut short"));
        assert!(Header::parse(b"\x93NUMPY\x01\x00\xff\x00{").unwrap_err().contains("cut short"));
        assert!(Header::parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap_err().contains("takes"));
        assert!(Header::parse(&file(1, "{}")).unwrap_err().contains("no \"descr\""));
    }
}
