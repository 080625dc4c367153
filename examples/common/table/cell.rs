//! What one cell of a table says.
use regex_lite::Regex;
use std::sync::LazyLock;

/// Texts that mean that a value is missing, wherever they stand: those of pandas, R, SQL and spreadsheets.
const MISSING: [&str; 23] = [
    "", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NaN", "NaT", "NULL", "\\N", "nan", "-nan", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?",
];
/// Texts that mean it among numbers, but may be classes among other texts.
const MISSING_AMONG_NUMBERS: [&str; 9] = ["NA", "NONE", "-", "--", ".", "..", "MISSING", "UNKNOWN", "*"];

/// Kinds of text that a program or a person writes for a number, or for a point in time.
static NEARLY_NUMBERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"^[+-]?\d{1,3}(,\d{3})+$", "a number with thousands separators or with a decimal comma"),
        (r"^[+-]?\d{1,3}(,\d{3})+\.\d*$", "a number with thousands separators"),
        (r"^[+-]?\d{1,3}(\.\d{3})+,\d*$", "a number with thousands separators and a decimal comma"),
        (r"^[+-]?\d{1,3}(\.\d{3}){2,}$", "a number with thousands separators"),
        (r"^[+-]?\d{1,2}(,\d{2})*,\d{3}(\.\d*)?$", "a number with separators of lakhs"),
        (
            r"^[+-]?\d{1,3}([ \u{a0}\u{202f}\u{2009}'’]\d{3})+([.,]\d*)?$",
            "a number with thousands separators",
        ),
        (r"^[+-]?\d*,\d+([eE][+-]?\d+)?$", "a number with a decimal comma"),
        (r"^[+-]?\d+(_\d+)+(\.\d*)?$", "a number with underscores"),
        (r"^[−–]\s*\d+([.,]\d*)?$", "a number with a typographic minus sign"),
        (r"^\(\d[\d.,]*\)$", "a negative number in parentheses"),
        (r"^[+-]?\s*[$€£¥₹]\s*[+-]?\d[\d.,' ]*$", "an amount of money"),
        (r"^[+-]?\d[\d.,' ]*\s*([$€£¥₹]|EUR|USD|GBP|CHF|JPY)$", "an amount of money"),
        (r"^[+-]?\d[\d.,]*\s*%$", "a percentage"),
        (r"^0[xX][0-9a-fA-F]+$", "a hexadecimal number"),
        (r"^[+-]?\d+(\.\d*)?[dD][+-]?\d+$", "a number in the notation of Fortran"),
        (r"^'[+-]?\d[\d.,]*'?$", "a number in single quotes"),
        (r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T]\d{1,2}:\d{2}.*)?$", "a date"),
        (r"^\d{1,2}[-/]\d{1,2}[-/](\d{4}|\d{2})([ T,]+\d{1,2}:\d{2}.*)?$", "a date"),
        (r"^\d{1,2}\.\d{1,2}\.\d{4}([ T,]+\d{1,2}:\d{2}.*)?$", "a date"),
        (
            r"^(?i)(\d{1,2}[ -])?(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[ .,-]+(\d{1,2},? )?\d{2,4}$",
            "a date",
        ),
        (r"^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[aApP][mM])?$", "a time of day"),
    ];
    patterns.map(|(pattern, what)| (Regex::new(pattern).expect("a regular expression"), what)).into()
});

/// The number, which may be infinite, but not NaN.
pub fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| !x.is_nan())
}

/// A number with a decimal comma, written with a point; points and spaces between thousands are left out.
pub fn with_decimal_point(text: &str) -> Option<String> {
    static DECIMAL_COMMA: LazyLock<Regex> = LazyLock::new(|| {
        let whole = r"(\d*|\d{1,3}([. \u{a0}\u{202f}]\d{3})+)";
        Regex::new(&format!(r"^[+-]?{whole},\d*([eE][+-]?\d+)?$")).expect("a regular expression")
    });
    let is = DECIMAL_COMMA.is_match(text) && text.contains(|c: char| c.is_ascii_digit());
    let plain = |c: char| if c == ',' { Some('.') } else { (c != '.' && !c.is_whitespace()).then_some(c) };
    is.then(|| text.chars().filter_map(plain).collect())
}

/// 1 for `True` and 0 for `False`, as pandas, R and Excel write them.
pub fn boolean(text: &str) -> Option<f64> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(1.),
        () if text.eq_ignore_ascii_case("false") => Some(0.),
        () => None,
    }
}

/// Whether a value is missing here, in a column of numbers or in one of texts.
pub fn is_missing(text: &str, among_numbers: bool) -> bool {
    let is = |known: &&str| known.eq_ignore_ascii_case(text);
    MISSING.iter().any(is) || (among_numbers && MISSING_AMONG_NUMBERS.iter().any(is))
}

/// What a text that is no number was probably meant to be, if that is a number or a point in time.
pub fn nearly_number(text: &str) -> Option<&'static str> {
    NEARLY_NUMBERS.iter().find(|(pattern, _)| pattern.is_match(text)).map(|(_, what)| *what)
}

/// The text between quotes for a message, cut where it is very long, without line ends.
pub fn quote(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    format!("\"{}\"{dots}", short.chars().map(visible).collect::<String>())
}

/// The text for a message, with what it looks like.
pub fn described(text: &str) -> String {
    let looks = nearly_number(text).map_or_else(String::new, |what| format!(", which looks like {what}"));
    let open =
        if text.contains('\n') { ", which goes over several lines: a quote in it is not closed" } else { "" };
    let large = number(text).is_some_and(f64::is_infinite) && text.contains(|c: char| c.is_ascii_digit());
    let large = if large { ", which is too large for a number of 64 bits" } else { "" };
    format!("{}{looks}{open}{large}", quote(text))
}

/// The name of a class. `1`, `1.0`, `01` and `1e0` are one class, and so are `0` and `-0.0`; `True` and `TRUE`
/// are one. Decimal digits are compared as they stand: an `f64` cannot tell 2⁵³ from 2⁵³ + 1.
pub fn label(text: &str) -> String {
    let word = |truth| if truth == 1. { "True" } else { "False" }.to_string();
    decimal(text).or_else(|| boolean(text).map(word)).unwrap_or_else(|| text.to_string())
}

/// Whether a class's name is a whole number.
pub fn is_whole(label: &str) -> bool {
    let digits = label.strip_prefix('-').unwrap_or(label);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The one way to write a decimal number: without leading zeros, and without trailing ones after the point.
fn decimal(text: &str) -> Option<String> {
    number(text).filter(|x| x.is_finite())?;
    let unsigned = text.trim_start_matches(['+', '-']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    // The number is 0.significant × 10^point.
    let point =
        exponent.parse::<i64>().ok()? + whole.len() as i64 - (digits.len() - significant.len()) as i64;
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".into());
    }
    let (sign, len) = (if text.starts_with('-') { "-" } else { "" }, significant.len() as i64);
    let zeros = |n: i64| "0".repeat(n.unsigned_abs() as usize);
    Some(match point {
        ..-10 | 41.. => format!("{sign}0.{significant}e{point}"),
        ..=0 => format!("{sign}0.{}{significant}", zeros(point)),
        _ if point >= len => format!("{sign}{significant}{}", zeros(point - len)),
        _ => {
            let (whole, fraction) = significant.split_at(point as usize);
            format!("{sign}{whole}.{fraction}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_programs_write() {
        for (text, x) in [("1e5", 1e5), (".5", 0.5), ("+3", 3.), ("5.", 5.), ("-0.0", 0.), ("1E-3", 1e-3)] {
            assert_eq!(number(text), Some(x), "{text}");
        }
        assert_eq!(number("inf"), Some(f64::INFINITY));
        for text in ["nan", "", "1_000", "1,5", "0x1F", "1 000", "--1", "1e"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn decimal_commas_become_points() {
        for (text, point) in [
            ("1,5", "1.5"),
            ("-,5", "-.5"),
            ("1.234.567,5", "1234567.5"),
            ("1\u{a0}234,", "1234."),
            ("1,5e-3", "1.5e-3"),
        ] {
            assert_eq!(with_decimal_point(text).as_deref(), Some(point));
        }
        for text in ["1.5", "1,2,3", "12", "a,b", ",", "1,234.5"] {
            assert_eq!(with_decimal_point(text), None, "{text}");
        }
    }

    #[test]
    fn one_class_has_one_name() {
        for (texts, name) in [
            (&["1", "1.0", "01", "+1", "1e0", "10e-1", "0.1e1"][..], "1"),
            (&["0", "-0", "0.0", "-0.0", "0e7", ".0"], "0"),
            (&["9007199254740993", "9007199254740993.0"], "9007199254740993"),
            (&["9007199254740992"], "9007199254740992"),
            (&["340282366920938463463374607431768211457"], "340282366920938463463374607431768211457"),
            (&["0.5", ".50", "5e-1"], "0.5"),
            (&["-12.5", "-1.25e1"], "-12.5"),
            (&["1200", "1.2e3"], "1200"),
            (&["0.00012", "1.2e-4"], "0.00012"),
            (&["1e300", "10e299"], "0.1e301"),
            (&["TRUE", "true"], "True"),
            (&["très"], "très"),
            (&["1_000"], "1_000"),
            (&["1e400"], "1e400"),
        ] {
            for text in texts {
                assert_eq!(label(text), name, "{text}");
            }
        }
        assert!(
            is_whole("-12") && is_whole("0") && !is_whole("0.5") && !is_whole("-") && !is_whole("0.1e301")
        );
    }

    #[test]
    fn missing_values_are_told_from_classes() {
        for text in ["", "NaN", "nan", "?", "N/A", "n/a", "null", "<NA>", "#N/A", "\\N", "NaT"] {
            assert!(is_missing(text, false), "{text}");
        }
        for text in ["NA", "None", "-", "."] {
            assert!(is_missing(text, true) && !is_missing(text, false), "{text}");
        }
        assert!(!is_missing("Nancy", true) && !is_missing("0", true));
    }

    #[test]
    fn what_a_text_looks_like_is_said() {
        for (text, what) in [
            ("50,125.73", "a number with thousands separators"),
            ("1,234", "a number with thousands separators or with a decimal comma"),
            ("1.234.567,5", "a number with thousands separators and a decimal comma"),
            ("12 345", "a number with thousands separators"),
            ("12\u{a0}345,5", "a number with thousands separators"),
            ("12'345.5", "a number with thousands separators"),
            ("-1,5", "a number with a decimal comma"),
            ("1_000", "a number with underscores"),
            ("−3.5", "a number with a typographic minus sign"),
            ("(1,200)", "a negative number in parentheses"),
            ("$12.50", "an amount of money"),
            ("1.200,50 €", "an amount of money"),
            ("12.5%", "a percentage"),
            ("0x1F", "a hexadecimal number"),
            ("1.5D+03", "a number in the notation of Fortran"),
            ("2024-02-29", "a date"),
            ("2024-02-29T12:30:00Z", "a date"),
            ("29.02.2024", "a date"),
            ("2/29/24", "a date"),
            ("29 Feb 2024", "a date"),
            ("12:30", "a time of day"),
        ] {
            assert_eq!(nearly_number(text), Some(what), "{text}");
        }
        for text in ["wide", "30-40", "1.2.3", "555-123-4567", "4WD", "A1", "10.0.0.1", "may"] {
            assert_eq!(nearly_number(text), None, "{text}");
        }
        assert_eq!(described("1e400"), "\"1e400\", which is too large for a number of 64 bits");
        assert_eq!(described("inf"), "\"inf\"");
        assert_eq!(quote("a\nb\u{202f}c"), "\"a\\nb\u{202f}c\"");
        assert_eq!(quote(&"x".repeat(50)), format!("\"{}\"…", "x".repeat(40)));
    }
}
