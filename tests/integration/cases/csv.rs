//! Tables in text files.
use super::{run, run_in, Ran};
use std::{fmt::Write, fs, path::Path};

const COMMON: [&str; 10] =
    ["--members", "3", "--repeats", "2", "--epochs", "10", "--chart", "$OUT/c.svg", "--data", "data.csv"];

fn study(name: &str, args: &[&str]) -> Ran {
    run("variance_reduction", name, &[&COMMON, args].concat())
}

/// A study of a table that is made here, and not kept in a file.
fn study_of(bytes: impl AsRef<[u8]>, args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.csv"), bytes).unwrap();
    run_in("variance_reduction", folder.path(), &[&COMMON, args].concat())
}

/// The figures of a study, as JSON, without times.
fn figures(folder: &Path, args: &[&str]) -> serde_json::Value {
    let ran = run_in("variance_reduction", folder, &[&COMMON, args, &["--json", "$OUT/f.json"]].concat());
    ran.success();
    let text = fs::read_to_string(ran.out.path().join("f.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// 40 rows of two inputs and a class, each row in the words of `row`.
fn table(header: &str, row: impl Fn(usize, f64, f64, usize) -> String) -> String {
    let mut text = format!("{header}\n");
    for i in 0..40 {
        let (a, b) = ((i * 37 % 101) as f64 / 25. - 2., (i * 53 % 97) as f64 / 24. - 2.);
        writeln!(text, "{}", row(i, a, b, usize::from(a + 0.4 * b > 0.2))).unwrap();
    }
    text
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn a_byte_order_mark_crlf_and_quoted_names_are_read() {
    let ran = study("pass_csv_bom_crlf_quotes", &["--target", "a, m", "--task", "regression"]);
    says(ran.success(), &["target \"a, m\""]);
}

#[test]
fn an_offset_of_the_target_changes_no_figure() {
    let of = |name| {
        let args = ["--task", "regression", "--combine", "mean,median,simplex-squares"];
        let figures = figures(&super::case(name), &args);
        let mut all = vec![];
        for ensemble in figures["ensembles"].as_array().unwrap() {
            for metric in ["rmse", "mae", "r2"] {
                let mean = ensemble["metrics"][metric]["mean"].as_f64().unwrap();
                all.push(format!("{mean:.4}"));
            }
        }
        all
    };
    let (offset, none) = (of("csv_target_offset_1e9"), of("csv_target_no_offset"));
    assert_eq!(offset, none);
    assert!(none[0].parse::<f64>().unwrap() > 0.1 && none[2].parse::<f64>().unwrap() < 0.9999, "{none:?}");
}

#[test]
fn what_f32_cannot_hold_is_read_standardized_and_is_said_otherwise() {
    says(study("csv_feature_1e39", &[]).success(), &["accuracy"]);
    let raw = study("csv_feature_1e39", &["--standardize", "false"]);
    says(raw.error(), &["column \"a\" in line 3", "the range of f32", "--standardize true", "but is 6.4e38"]);
    let raw =
        study("csv_target_offset_1e9", &["--standardize", "false", "--task", "regression", "--lr", "1e-9"]);
    says(&raw.stderr, &["warning", "\"y\"", "values that differ are equal in f32"]);
    let text = table("t,b,y", |i, _, b, class| format!("{},{b},{class}", 1_700_000_000_000 + i * 60_000));
    let ran = study_of(text, &["--standardize", "false", "--lr", "1e-30"]);
    says(&ran.stderr, &["warning: \"t\" (40 different values become"]);
    let huge = table("a,b,y", |_, a, b, class| format!("{a}e300,{b}e-300,{class}"));
    says(study_of(huge, &[]).success(), &["accuracy"]);
}

#[test]
fn one_odd_cell_does_not_make_classes_of_numbers() {
    let error = study("csv_target_NA", &[]);
    says(error.error(), &["target \"y\" in line 11 of data.csv", "missing: \"NA\""]);
    let error = study("csv_target_thousands", &[]);
    says(error.error(), &["target \"y\" in line 2", "\"50,125.73\"", "thousands separators"]);
    for (cell, parts) in [
        ("?", &["missing: \"?\""][..]),
        ("", &["missing: \"\""]),
        ("wide", &["must be a finite number, but is \"wide\" (all others are"]),
        ("inf", &["must be a finite number, but is \"inf\""]),
        ("1e400", &["too large for a number of 64 bits"]),
        ("1_000", &["a number with underscores"]),
        ("12%", &["a percentage"]),
        ("$5", &["an amount of money"]),
        ("\"1,5\"", &["a number with a decimal comma"]),
        ("2024-01-31", &["a date"]),
        ("#DIV/0!", &["missing"]),
    ] {
        // Line 9 of the file is row 7: once in the target, once in an input.
        let odd = |i: usize, x: f64| if i == 7 { cell.to_string() } else { x.to_string() };
        let target = table("a,b,y", |i, a, b, _| format!("{a},{b},{}", odd(i, 3. * a - b)));
        let input = table("a,b,y", |i, a, b, class| format!("{},{b},{class}", odd(i, a)));
        for (text, place) in [(target, "target \"y\" in line 9"), (input, "column \"a\" in line 9")] {
            let ran = study_of(text, &[]);
            says(ran.error(), &[parts, &[place]].concat());
        }
    }
}

#[test]
fn columns_that_give_the_answer_away_are_found() {
    let twice = study_of(table("a,y,y", |_, a, _, class| format!("{a},{class},{class}")), &[]);
    says(twice.error(), &["\"y\" for the columns 2 and 3", "--drop y"]);
    let copy = table("a,code,y", |_, a, _, class| format!("{a},{},{}", 7 - class, ["no", "yes"][class]));
    says(&study_of(&copy, &[]).stderr, &["warning: column \"code\": gives the target away", "--drop"]);
    let dropped = study_of(&copy, &["--drop", "code"]);
    says(dropped.success(), &["1 columns"]);
    assert_eq!(dropped.stderr, "");
    let index = table("id,a,y", |i, a, _, class| format!("{},{a},{class}", 100 + i * 7 % 40));
    says(&study_of(index, &[]).stderr, &["column \"id\": numbers the rows"]);
    let ran = study("csv_pandas_index", &[]);
    says(ran.success(), &["2 columns"]);
    says(&ran.stderr, &["column 1 has no name and numbers the rows: it is left out"]);
}

#[test]
fn a_file_without_a_header_is_an_error_that_offers_a_flag() {
    let ran = study("csv_no_header", &[]);
    says(ran.error(), &["the first line of data.csv", "all numbers", "--no-header"]);
    let ran = study("csv_no_header", &["--no-header"]);
    says(ran.success(), &["target \"3\"", "84 rows to train on, 36 to test on"]);
}

#[test]
fn delimiters_and_encodings_are_found_or_named() {
    says(&study("csv_semicolon", &["--target", "y"]).stderr, &["separated by \";\""]);
    let ran = study("csv_semicolon", &["--target", "y", "--delimiter", ","]);
    says(ran.error(), &["two columns or more", "--delimiter", "a;b;y"]);
    let latin = study("csv_latin1", &[]);
    says(latin.error(), &["column \"y\" in line 2 of data.csv must be in UTF-8", "très"]);
    says(study("csv_latin1", &["--encoding", "latin1"]).success(), &["2 classes"]);
    let text = table("größe,b,y", |_, a, b, class| format!("{a},{b},{}", ["nein", "schön"][class]));
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    says(study_of(&units, &[]).success(), &["2 classes"]);
}

#[test]
fn truth_values_are_numbers_and_few_texts_are_indicators() {
    says(study("csv_bool_feature", &[]).success(), &["2 columns", "2 classes"]);
    let colours = ["red", "green", "blue"];
    let few = table("a,colour,y", |i, a, _, class| format!("{a},{},{class}", colours[i % 3]));
    let ran = study_of(few, &[]);
    says(ran.success(), &["4 columns"]);
    says(&ran.stderr, &["column \"colour\" (\"blue\", \"green\", \"red\"): texts"]);
    let many = study_of(table("name,a,y", |i, a, _, class| format!("n{i},{a},{class}")), &[]);
    says(many.error(), &["column \"name\"", "40 different texts", "--drop name"]);
}

#[test]
fn classes_are_compared_digit_by_digit() {
    let args = ["--task", "classification"];
    says(study("csv_big_int_labels", &args).success(), &["2 classes"]);
    says(study("csv_minus_zero", &args).success(), &["2 classes"]);
}

#[test]
fn rows_to_train_on_of_one_class_are_an_error() {
    let ran = study("csv_train_rows_one_class", &["--train-rows", "67"]);
    says(ran.error(), &["the first 67", "two classes or more", "none is of class \"1\""]);
}

/// What Excel, R, pandas, numpy and SAS write.
#[test]
fn files_of_other_programs_are_read() {
    let plain = |_: usize, a: f64, b: f64, class: usize| format!("{a},{b},{class}");
    let base = table("a,b,y", plain);
    let accuracy = |bytes: &[u8], args: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.csv"), bytes).unwrap();
        let figures = figures(folder.path(), args);
        figures["ensembles"][0]["metrics"]["accuracy"]["mean"].as_f64().unwrap()
    };
    let expected = accuracy(base.as_bytes(), &[]);
    let german = table("a;b;y", |_, a, b, class| format!("{a};{b};{class}").replace('.', ","));
    let quoted = |i: usize, a: f64, b: f64, class: usize| format!("\"{}\" {a} {b} {class}", i + 1);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, base.as_bytes()).unwrap();
    for (what, bytes, args) in [
        ("Excel, with its own line", format!("sep=;\r\n{}", base.replace(',', ";")).into_bytes(), &[][..]),
        ("Excel, in German", german.clone().into_bytes(), &["--decimal", ","]),
        (
            "Excel, empty columns and rows",
            format!("{},,\n,,,,\n", base.trim_end().replace('\n', ",,\n")).into_bytes(),
            &[],
        ),
        ("R's write.table", table("\"a\" \"b\" \"y\"", quoted).into_bytes(), &[]),
        ("numpy.savetxt", format!("# made by numpy\n# {base}").into_bytes(), &[]),
        ("an old Mac", base.replace('\n', "\r").into_bytes(), &[]),
        ("DOS", format!("{}\x1a", base.replace('\n', "\r\n")).into_bytes(), &[]),
        ("gzip", gzip.finish().unwrap(), &[]),
        ("spaces", base.replace(',', " , ").into_bytes(), &[]),
        (
            "floats for classes",
            table("a,b,y", |_, a, b, class| format!("{a},{b},{class}.0")).into_bytes(),
            &[],
        ),
    ] {
        assert_eq!(accuracy(&bytes, args), expected, "{what}");
    }
    says(study_of(german, &[]).error(), &["column \"a\" in line 3", "--decimal , reads decimal commas"]);
}

#[test]
fn what_is_no_table_and_what_is_suspicious_is_said() {
    let rows = |odd: &dyn Fn(usize, f64) -> String| {
        table("a,b,y", |i, a, b, class| format!("{},{b},{class}", odd(i, a)))
    };
    let usual = rows(&|_, a| a.to_string());
    for (text, parts) in [
        (format!("Sales of 2024\n\n{usual}"), &["the header of data.csv must be 3 names of columns"][..]),
        (format!("{usual}{usual}"), &["target \"y\" in line 42", "\"y\""]),
        (usual.replacen(",1\n", ",\"1\n", 1), &["target \"y\" in line ", "a quote in it is not closed"]),
        (usual.replacen("\n0", "\n\"0", 1), &["a quote in it is not closed"]),
        ("[{\"a\": 1}]".into(), &["a JSON file"]),
        ("<!DOCTYPE html><html></html>".into(), &["a web page"]),
        (
            rows(&|i, a| if i == 7 { ".".into() } else { a.to_string() }),
            &["column \"a\" in line 9", "missing: \".\""],
        ),
        (usual.replace('-', "−"), &["a typographic minus sign"]),
        (rows(&|i, _| format!("2024-01-{:02}", 1 + i % 28)), &["column \"a\" in line 2", "a date"]),
        (table("a,b,y", |_, _, _, class| format!("1,1,{class}")), &["all constant"]),
    ] {
        says(study_of(text, &[]).error(), parts);
    }
    let minus = rows(&|i, a| if i % 8 == 1 { "-9999".into() } else { a.to_string() });
    says(&study_of(minus, &[]).stderr, &["warning: column \"a\" (-9999): a number far from all others"]);
    let accents = ["tr\u{e8}s", "tre\u{300}s"];
    let text = table("a,b,y", |i, a, b, class| format!("{a},{b},{}", [accents[i % 2], "pas"][class]));
    says(&study_of(text, &[]).stderr, &["warning: target: some classes look alike"]);
    let text = usual.replace(",0\n", ",“no”\n").replace(",1\n", ",“yes”\n");
    let (windows, ..) = encoding_rs::WINDOWS_1252.encode(&text);
    says(study_of(&windows, &[]).error(), &["column \"y\" in line 2", "“", "--encoding windows-1252"]);
    says(study_of(&windows, &["--encoding", "windows-1252"]).success(), &["2 classes"]);
}

#[test]
fn long_and_wide_tables_are_read() {
    let names: Vec<String> = (0..2000).map(|i| format!("x{i}")).collect();
    let wide = table(&format!("{},y", names.join(",")), |i, a, b, class| {
        let cells: Vec<String> = (0..2000).map(|k| format!("{:.3}", a + b * ((i * k % 17) as f64))).collect();
        format!("{},{class}", cells.join(","))
    });
    says(study_of(wide, &["--hidden", "2"]).success(), &["2000 columns"]);
    let mut long = String::from("a,b,y\n");
    for i in 0..50_000u32 {
        writeln!(long, "{},{},{}", i * 37 % 1009, i * 53 % 997, i % 3).unwrap();
    }
    says(
        study_of(long, &["--train-rows", "200", "--hidden", "2"]).success(),
        &["49800 to test on", "3 classes"],
    );
}
