//! Predictions of members, as npz archives.
use super::run;

#[test]
fn ece_counts_a_confidence_on_the_edge_of_two_bins_in_the_lower_one() {
    // Bins (b/15, (b + 1)/15]; a confidence of 1 is in the last.
    let ran = run("combine", "pass_ece_on_bin_edges", &["--input", "p.npz", "--rule", "mean", "--json", "-"]);
    assert!(ran.success().contains("0.6167") || ran.stdout.contains("0.61666"), "{}", ran.stdout);
}

fn weights(ran: &super::Ran) -> Vec<f64> {
    let json = ran.success().lines().skip_while(|line| !line.starts_with('{')).collect::<String>();
    let found: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    found["weights"].as_array().expect("weights").iter().map(|w| w.as_f64().unwrap()).collect()
}

/// The exact solution of the normal equations of the rows to fit on, in rational numbers
/// (`tests/reference/blending.py`); numpy.linalg.lstsq agrees to seven digits.
#[test]
fn least_squares_loses_no_digits_to_an_offset() {
    let args = ["--input", "p.npz", "--rule", "least-squares", "--json", "-", "--quiet"];
    let found = weights(&run("combine", "npz_least_squares_offset", &args));
    let want = [0.1796339579416381, 0.35688037200779327, 0.15101744689701277, 0.31246822217152403];
    assert_eq!(found.len(), want.len());
    found.iter().zip(want).for_each(|(w, x)| assert!((w - x).abs() < 1e-7, "{found:?}"));
}

#[test]
fn rows_of_weight_0_are_as_if_they_were_not_there() {
    let of = |input: &str, fit: &str, score: &str| {
        let args = ["--input", input, "--rule", "pseudo-bma", "--json", "-", "--quiet"];
        let rows = ["--fit-rows", fit, "--score-rows", score];
        weights(&run("combine", "npz_pseudo_bma_zero_weight", &[&args[..], &rows].concat()))
    };
    assert_eq!(of("p.npz", "0..12", "12..24"), of("dropped.npz", "0..6", "6..18"));
}
