//! Predictions of members, as npz archives.
use super::{run, Ran};
use serde_json::Value;

/// Runs the example `combine` on the archive of a case.
fn combine(name: &str, args: &[&str]) -> Ran {
    run("combine", name, &[&["--input", "p.npz"], args].concat())
}

/// The scores of one combiner.
#[track_caller]
fn scores(name: &str, args: &[&str]) -> Value {
    let ran = combine(name, &[args, &["--quiet", "--json", "-"]].concat());
    serde_json::from_str::<Value>(ran.success()).unwrap()["score"].clone()
}

#[track_caller]
fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
}

/// An archive of `tests/cases/npz_inputs`, which `tests/reference/npz_inputs.py` writes.
fn input(file: &str, args: &[&str]) -> Ran {
    run("combine", "npz_inputs", &[&["--input", file], args].concat())
}

#[test]
fn ece_counts_a_confidence_on_the_edge_of_two_bins_in_the_lower_one() {
    // Bins (b/15, (b + 1)/15]; a confidence of 1 is in the last.
    let ran = run("combine", "pass_ece_on_bin_edges", &["--input", "p.npz", "--rule", "mean", "--json", "-"]);
    assert!(ran.success().contains("0.6167") || ran.stdout.contains("0.61666"), "{}", ran.stdout);
}

// The log-losses below are computed with numpy: the mean over the members of predictions that sum to 1, on the
// rows that are scored.

#[test]
fn equal_weights_are_no_weights_however_large_they_are() {
    let found = scores("npz_weights_1e300", &["--rule", "mean"]);
    near(&found["nll"], 0.5012385362491419);
    assert_eq!(found["accuracy"], 1.);
    // Combiners that learn get the same weights.
    for rule in
        ["simplex-log-loss", "stack-logistic", "temperature", "ensemble-selection", "gating:outputs=true"]
    {
        let huge = scores("npz_weights_1e300", &["--rule", rule]);
        assert_eq!(huge, scores("npz_only_fit_rows", &["--rule", rule]), "{rule}");
    }
}

#[test]
fn one_column_is_the_probability_of_the_second_class_if_the_task_is_classification() {
    let found = scores("npz_binary_p1", &["--rule", "mean", "--task", "classification"]);
    near(&found["nll"], 0.22324810655837704);
    assert_eq!(found["accuracy"], 1.);
    let guess = combine("npz_binary_p1", &["--rule", "mean"]);
    assert!(guess.success().contains("rmse"), "{}", guess.stdout);
    assert!(guess.stderr.contains("taken for regression"), "{}", guess.stderr);
    assert!(guess.stderr.contains("--task classification if the predictions are P(y=1)"), "{}", guess.stderr);
}

#[test]
fn a_combiner_that_learns_nothing_needs_no_targets() {
    let ran = combine("npz_fixed_rule_no_targets", &["--rule", "mean", "--output", "$OUT/out.npy"]);
    ran.success();
    let bytes = std::fs::read(ran.out.path().join("out.npy")).unwrap();
    let npy = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(npy.shape(), [24, 3]);
    let mean: Vec<f64> = npy.into_vec().unwrap();
    let expected = [0.6191423333333334, 0.08852666666666666, 0.292331, 0.10954733333333333];
    assert!(mean.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{mean:?}");

    let learns = combine("npz_fixed_rule_no_targets", &["--rule", "ridge", "--output", "$OUT/out.npy"]);
    assert!(
        learns.error().contains("ridge learns from targets: add an array `targets`"),
        "{}",
        learns.stderr
    );
    let nowhere = combine("npz_fixed_rule_no_targets", &["--rule", "mean"]);
    assert!(nowhere.error().contains("--output"), "{}", nowhere.stderr);
}

#[test]
fn the_default_split_keeps_groups_whole() {
    near(&scores("npz_group_id_in_error", &["--rule", "mean"])["nll"], 0.4997096531442604);
    let cut =
        combine("npz_group_id_in_error", &["--rule", "mean", "--fit-rows", "even", "--score-rows", "odd"]);
    assert!(cut.error().contains("both have rows of group 1000"), "{}", cut.stderr);
    let cut = combine("npz_group_id_in_error", &["--rule", "mean", "--fit-rows", "0..9"]);
    assert!(cut.error().contains("both have rows of group 1004"), "{}", cut.stderr);
}

#[test]
fn a_single_group_cannot_be_dealt_into_folds() {
    let args = ["--rule", "temperature", "--fit-rows", "0..12", "--score-rows", "12..24"];
    let ran = combine("npz_one_group_message", &args);
    let error = ran.error();
    assert!(error.contains("number of groups of the 12 held-out rows must be at least 2"), "{error}");
    assert!(error.ends_with("but is 1") && !error.contains("::"), "{error}");
}

#[test]
fn a_row_of_nan_is_a_missing_prediction() {
    let ran = combine("npz_nan_oob_row", &["--rule", "mean"]);
    ran.success();
    assert!(ran.stderr.contains("1 of 72 predictions are missing"), "{}", ran.stderr);
    // The other two members' mean in row 3.
    near(&scores("npz_nan_oob_row", &["--rule", "mean"])["nll"], 0.48438550770519956);
}

#[test]
fn names_that_are_python_objects_must_be_converted() {
    let ran = combine("npz_object_names", &["--rule", "mean"]);
    let error = ran.error();
    assert!(error.contains("array `names`") && error.contains(".astype(str)"), "{error}");
}

#[test]
fn a_single_row_is_scored_without_an_interval() {
    let ran = combine("npz_one_score_row", &["--rule", "mean", "--json", "$OUT/out.json"]);
    assert!(ran.success().contains("one row gives no interval"), "{}", ran.stdout);
    let json = std::fs::read(ran.out.path().join("out.json")).unwrap();
    let found: Value = serde_json::from_slice(&json).unwrap();
    near(&found["score"]["nll"], 0.39980267001295827);
    assert_eq!(found["gain"], Value::Null);
}

#[test]
fn the_exit_status_says_whether_a_combiner_was_fitted_and_scored() {
    let some = combine("npz_all_failed_rc", &["--rule", "all"]);
    assert!(some.success().contains("not fitted or not scored:"), "{}", some.stdout);
    let none = combine("npz_all_failed_rc", &["--rule", "temperature,isotonic", "--json", "$OUT/out.json"]);
    let error = none.error();
    assert!(error.contains("none of 2 combiners could be fitted and scored: temperature: "), "{error}");
    assert!(error.contains("needs at least 2 rows to fit on, but has 1; --fit-rows names them"), "{error}");
}

#[test]
fn targets_with_one_column_for_each_class_are_classes() {
    let ran = combine("npz_onehot_targets", &["--rule", "mean"]);
    assert!(
        ran.success().contains("accuracy") && ran.stderr.contains("taken for 3 classes"),
        "{}",
        ran.stderr
    );
    near(&scores("npz_onehot_targets", &["--rule", "mean"])["nll"], 0.5012385362491419);
    let values = scores("npz_onehot_targets", &["--rule", "mean", "--task", "regression"]);
    assert!(values["rmse"].is_number());
}

#[test]
fn rows_that_are_not_named_are_the_others() {
    near(&scores("npz_only_fit_rows", &["--rule", "mean", "--fit-rows", "0..12"])["nll"], 0.5742116386724703);
    near(
        &scores("npz_only_fit_rows", &["--rule", "mean", "--score-rows", "12.."])["nll"],
        0.5742116386724703,
    );
    let all = combine("npz_only_fit_rows", &["--rule", "mean", "--fit-rows", "all"]);
    assert!(all.error().contains("--fit-rows must leave rows for the other flag"), "{}", all.stderr);
}

#[test]
fn rounded_probabilities_are_divided_by_their_sum() {
    near(&scores("npz_rounded3", &["--rule", "mean"])["nll"], 0.5012960997530564);
}

#[test]
fn the_probabilities_of_other_exporters_are_read_alike() {
    let plain = scores_of("plain.npz", &[]);
    for (file, args) in [
        ("compressed.npz", &[][..]),
        ("extra.npz", &[]),
        ("fortran.npz", &[]),
        ("nmc.npz", &[]),
        ("squeeze4.npz", &[]),
        ("one_based.npz", &[]),
        ("text_targets.npz", &[]),
        ("bytes.npz", &[]),
        ("classes.npz", &[]),
        ("big_labels.npz", &[]),
        ("logits.npz", &["--logits"]),
        ("log_probs.npz", &["--logits"]),
        ("onehot_logits.npz", &["--logits"]),
        ("names_int.npz", &[]),
    ] {
        let found = scores_of(file, args);
        for (name, value) in plain.as_object().unwrap() {
            let (found, value) = (found[name].as_f64().unwrap(), value.as_f64().unwrap());
            assert!((found - value).abs() < 1e-9, "{file}: {name} {found} against {value}");
        }
    }
    let (big_endian, plain) = (&scores_of("bigendian.npz", &[])["nll"], &plain["nll"]);
    assert!((big_endian.as_f64().unwrap() - plain.as_f64().unwrap()).abs() < 1e-6, "f32");
    // Logits of one column, and labels -1 and 1, are those of P(y = 1) and 0 and 1.
    let probability = scores_of("keras_n1.npz", &["--task", "classification"]);
    for (file, args) in
        [("decision_function.npz", &["--logits"][..]), ("plus_minus.npz", &["--task", "classification"])]
    {
        let found = scores_of(file, args)["nll"].as_f64().unwrap();
        assert!((found - probability["nll"].as_f64().unwrap()).abs() < 1e-6, "{file}: {found}");
    }
}

#[track_caller]
fn scores_of(file: &str, args: &[&str]) -> Value {
    let ran = input(file, &[args, &["--rule", "mean", "--quiet", "--json", "-"]].concat());
    serde_json::from_str::<Value>(ran.success()).unwrap()["score"].clone()
}

#[test]
fn what_was_guessed_is_said() {
    let said = |file: &str, note: &str| {
        let ran = input(file, &["--rule", "mean"]);
        ran.success();
        assert!(ran.stderr.contains(note), "{file}: {}", ran.stderr);
    };
    said("extra.npz", "not read, for arrays of these names are unknown: weight, y_train");
    said("nmc.npz", "the predictions (24, 3, 3) are taken as (N, M, C): 3 members, 24 rows");
    said("one_based.npz", "the targets 1, 2, 3 are the columns 0 to 2 in this order");
    said("text_targets.npz", "the targets \"cat\", \"dog\", \"owl\" are the columns 0 to 2");
    said("masked.npz", "1 of 72 predictions are missing");
    let masked = input("masked.npz", &["--rule", "mean"]);
    assert!(!masked.stderr.contains("divided by their sum"), "{}", masked.stderr);
    said("hard.npz", "taken for regression of one value, though all predictions are whole numbers");
    said("decision_function.npz", "give --task classification --logits if the predictions are logits");
    said("bool_targets.npz", "give --task classification if the predictions are P(y=1)");
    said("soft_targets.npz", "taken for regression, though the predictions sum to 1");
}

#[test]
fn what_cannot_be_read_is_an_error_in_plain_words() {
    let fails = |file: &str, args: &[&str], text: &str| {
        let ran = input(file, &[args, &["--rule", "mean"]].concat());
        let error = ran.error();
        assert!(error.contains(text), "{file}: {error}");
    };
    fails(
        "object_list.npz",
        &[],
        "array `predictions` must hold plain numbers or text, but holds Python objects",
    );
    fails(
        "complex.npz",
        &[],
        "array `predictions` must hold plain numbers or text, but holds complex numbers",
    );
    fails("arr.npz", &[], "it has arr_0, arr_1 (arrays get names from numpy.savez");
    fails("empty.npz", &[], "predictions must not be empty, but are (3, 0, 3)");
    fails("truncated.npz", &[], "not a NumPy archive");
    fails("allnan.npz", &[], "row 5 must be predicted by at least one member");
    fails("partnan.npz", &[], "prediction of member 0, row 5, column 1 must be finite, but is NaN");
    fails("nan_target.npz", &[], "target of row 4 must be finite, but is NaN");
    fails("logits.npz", &[], "if these are logits, give --logits");
    fails("log_probs.npz", &[], "these are log-probabilities: give --logits");
    fails("percent.npz", &[], "divide percentages by 100");
    fails("decision_function.npz", &["--task", "classification"], "if these are logits, give --logits");
    fails("onehot_logits.npz", &[], "give --task classification (with --logits, if they are logits)");
    fails("one_member_2d.npz", &[], "must be (1, 24, 3), or the values of 3 members, which must be (3, 24)");
    fails("ignore_label.npz", &[], "target of row 2 must be a class below 3, but is 255");
    fails("text_missing_class.npz", &[], "said in an array `classes` (3,)");
    fails("one_group.npz", &[], "all rows are of group 0, but combiners are scored on other groups");
    fails("zero_fit_weights.npz", &[], "must not all be 0");
}

#[test]
fn a_saved_combiner_is_only_applied_to_what_it_was_fitted_on() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("w.rule").to_str().unwrap().to_string();
    input("names_abc.npz", &["--rule", "simplex-log-loss", "--save", &saved]).success();
    let apply = |file: &str, args: &[&str]| input(file, &[&["--apply", &saved], args].concat());
    apply("names_abc.npz", &[]).success();
    apply("plain.npz", &[]).success(); // without names
    let fails = |file: &str, args: &[&str], text: &str| {
        let ran = apply(file, args);
        let error = ran.error();
        assert!(error.contains(text), "{file}: {error}");
    };
    fails(
        "names_order.npz",
        &[],
        "member 0 for simplex-log-loss must be \"a\", as in its fit (the order differs), but is \"b\"",
    );
    fails("one_member.npz", &[], "number of members for simplex-log-loss must be 3, as in its fit, but is 1");
    fails("plain.npz", &["--task", "regression"], "as the predictions have 3 columns");
    fails(
        "onehot_targets.npz",
        &["--task", "regression"],
        "must be probabilities of 3 classes, as in its fit, but is values of 3 outputs",
    );
    fails(
        "keras_n1.npz",
        &[],
        "must be probabilities of 3 classes, as in its fit, but is probabilities of 2 classes",
    );
    // Without targets and --task, the task is that of the fit, so that logits are not taken for values.
    fails("logits_alone.npy", &["--output", "$OUT/out.npy"], "if these are logits, give --logits");
    apply("logits_alone.npy", &["--output", "$OUT/out.npy", "--logits"]).success();
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
