//! CSV files.
use super::run;

fn study(name: &str, args: &[&str]) -> super::Ran {
    let common =
        ["--members", "3", "--repeats", "2", "--epochs", "10", "--chart", "$OUT/c.svg", "--data", "data.csv"];
    run("variance_reduction", name, &[&common, args].concat())
}

#[test]
fn a_byte_order_mark_crlf_and_quoted_names_are_read() {
    let ran = study("pass_csv_bom_crlf_quotes", &["--target", "a, m", "--task", "regression"]);
    assert!(ran.success().contains("target \"a, m\""), "{}", ran.stdout);
}
