//! Numbers as text, beyond those of the plain table.

/// A number with its sign, and a minus as typographers set it.
pub(super) fn signed(x: f64, digits: usize) -> String {
    minus(&format!("{x:+.digits$}"))
}

/// Replaces hyphens before digits by minus signs.
pub(super) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// A level or a share as a percentage.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.1}", 100. * share);
    format!("{}\u{a0}%", text.trim_end_matches(".0"))
}

/// A p-value with its relation: `= 0.012`, or `< 0.001`.
pub(super) fn probability(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".into(),
        p => format!("= {p:.3}"),
    }
}

/// A ratio of costs.
pub(super) fn times(ratio: f64) -> String {
    match ratio {
        x if x < 0.1 => format!("{x:.3}\u{a0}×"),
        x if x < 10. => format!("{}\u{a0}×", format!("{x:.1}").trim_end_matches(".0")),
        x => format!("{x:.0}\u{a0}×"),
    }
}

/// A noun with its number: `1 row`, `2 rows`.
pub(super) fn count(n: usize, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
