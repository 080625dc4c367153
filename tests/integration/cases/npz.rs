//! Predictions of members, as npz archives.
use super::run;

#[test]
fn ece_counts_a_confidence_on_the_edge_of_two_bins_in_the_lower_one() {
    // Bins (b/15, (b + 1)/15]; a confidence of 1 is in the last.
    let ran = run("combine", "pass_ece_on_bin_edges", &["--input", "p.npz", "--rule", "mean", "--json", "-"]);
    assert!(ran.success().contains("0.6167") || ran.stdout.contains("0.61666"), "{}", ran.stdout);
}
