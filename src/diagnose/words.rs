//! Figures and counts in sentences.

/// A number with three significant digits, such as `0.0123`, `45.6` or `1.23e-7`.
pub(crate) fn figure(x: f64) -> String {
    let size = x.abs();
    if x == 0. || !x.is_finite() {
        return x.to_string();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{x:.2e}");
    }
    let digits = (2 - size.log10().floor() as i32).max(0) as usize;
    format!("{x:.digits$}")
}

/// Two numbers with as many digits as show their difference, three at least.
pub(crate) fn pair(a: f64, b: f64) -> (String, String) {
    let (size, difference) = (a.abs().max(b.abs()), (a - b).abs());
    if difference == 0. || !difference.is_finite() || difference * 20. >= size || !(1e-4..1e6).contains(&size)
    {
        return (figure(a), figure(b));
    }
    let digits = (1 - (difference.log10() + 1e-9).floor() as i32).clamp(0, 12) as usize;
    (format!("{a:.digits$}"), format!("{b:.digits$}"))
}

/// A share as a percentage: `12 %`, `3.4 %`, `0.12 %`.
pub(crate) fn percent(share: f64) -> String {
    let x = 100. * share;
    match x.abs() {
        size if size >= 9.95 || x == 0. => format!("{x:.0} %"),
        size if size >= 0.995 => format!("{x:.1} %"),
        _ => format!("{x:.2} %"),
    }
}

/// `1 run`, `5 runs`.
pub(crate) fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// A number of two significant digits, for what is known roughly.
pub(crate) fn about(x: f64) -> String {
    if x < 100. || !x.is_finite() {
        return format!("{x:.0}");
    }
    let unit = 10f64.powi(x.log10().floor() as i32 - 1);
    format!("{:.0}", (x / unit).round() * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let found = [0., 0.012345, -0.5, 45.678, 1234.5, 1.2345e-7, 2.5e7].map(figure);
        assert_eq!(found, ["0", "0.0123", "-0.500", "45.7", "1234", "1.23e-7", "2.50e7"]);
    }

    #[test]
    fn numbers_that_differ_little_have_more_digits() {
        let found =
            [(2.3036, 2.3018), (2., 1.), (1.41, 1.38), (5., 5.), (180.25, 180.)].map(|(a, b)| pair(a, b));
        let expected = [
            ("2.3036", "2.3018"),
            ("2.00", "1.00"),
            ("1.410", "1.380"),
            ("5.00", "5.00"),
            ("180.25", "180.00"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_string(), b.to_string())));
    }

    #[test]
    fn shares_and_counts() {
        assert_eq!([0.1234, 0.0345, 0.0012, 0.].map(percent), ["12 %", "3.5 %", "0.12 %", "0 %"]);
        assert_eq!([1, 5].map(|n| count(n, "run")), ["1 run", "5 runs"]);
        assert_eq!([7.4, 143., 1288.].map(about), ["7", "140", "1300"]);
    }
}
