//! What a cell of a table says.

/// The content of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// Nothing: empty, or a word that stands for a missing value.
    Missing,
    /// A number, which may be NaN or infinite.
    Number(f64),
    /// Anything else.
    Text(&'a str),
}

/// Words for missing values. `nan` is none of them: loggers write it for a loss that is not a number.
const MISSING: [&str; 9] = ["", "na", "n/a", "#n/a", "null", "none", "-", "--", "."];

impl<'a> Cell<'a> {
    /// Reads a cell. `comma` says that numbers have a decimal comma. A percentage such as `87.5%` is its
    /// share, and `tensor(0.5, device='cuda:0')` of PyTorch is its number.
    pub(super) fn parse(text: &'a str, comma: bool) -> Self {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        if MISSING.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Self::Missing;
        }
        if let Some(Self::Number(percent)) = text.strip_suffix('%').map(|rest| Self::parse(rest, comma)) {
            return Self::Number(percent / 100.);
        }
        if let Some(value) = text.strip_prefix("tensor(").and_then(|rest| rest.split([',', ')']).next()) {
            return value.trim().parse().map_or(Self::Text(text), Self::Number);
        }
        if comma
            && text.matches(',').count() == 1
            && !text.contains('.')
            && let Ok(number) = text.replace(',', ".").parse()
        {
            return Self::Number(number);
        }
        Self::Text(text)
    }

    /// The number, if it is one.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(x),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell::*, *};

    #[test]
    fn cells_are_numbers_missing_or_texts() {
        assert_eq!(Cell::parse(" 0.5 ", false), Number(0.5));
        assert_eq!(Cell::parse("1e-3", false), Number(0.001));
        assert!(matches!(Cell::parse("nan", false), Number(x) if x.is_nan()));
        assert_eq!(Cell::parse("-inf", false), Number(f64::NEG_INFINITY));
        assert_eq!(Cell::parse("NA", false), Missing);
        assert_eq!(Cell::parse("", false), Missing);
        assert_eq!(Cell::parse("87.5%", false), Number(0.875));
        assert_eq!(Cell::parse("tensor(0.25, device='cuda:0')", false), Number(0.25));
        assert_eq!(Cell::parse("tensor([1, 2])", false), Text("tensor([1, 2])"));
        assert_eq!(Cell::parse("0,5", true), Number(0.5));
        assert_eq!(Cell::parse("0,5", false), Text("0,5"));
        assert_eq!(Cell::parse("1,234.5", true), Text("1,234.5"));
        assert_eq!(Cell::parse("oops", true), Text("oops"));
    }
}
