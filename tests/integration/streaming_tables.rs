//! Data sets over CSV files: cells are read where the rows are, and what they are is said.
use crate::common::{flat, CPU};
use candle_core::DType;
use candle_core::Tensor;
use candle_ensemble::{
    data::{CsvOptions, Dataset, FileDataset, RowFiles, Shuffle, TensorDataset},
    strategy::Bagging,
    train::Trainer,
    Result, Session,
};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// Writes these texts as files.
fn written(texts: &[&str]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, text): (usize, &&str)| {
        let path = folder.path().join(format!("part-{number}.csv"));
        fs::write(&path, text).unwrap();
        path
    };
    let paths = texts.iter().enumerate().map(write).collect();
    (folder, paths)
}

fn csv(texts: &[&str]) -> Result<(TempDir, RowFiles)> {
    let (folder, paths) = written(texts);
    Ok((folder, RowFiles::csv(paths, &CsvOptions::default())?))
}

/// All inputs of a column as numbers.
fn column(files: &RowFiles, name: &str) -> Result<Vec<f64>> {
    let data = FileDataset::regression(files, &[name], &[name]).dtype(DType::F64).open()?;
    let all: Vec<u32> = (0..data.rows() as u32).collect();
    Ok(flat(data.batch(&all, &CPU)?.inputs.only()?))
}

#[test]
fn cells_of_shards_are_read_in_their_order() {
    let (_folder, files) = csv(&[
        "a,b,text\n1,.5, red\n-2e3,1,\"blue,\n\"\"dark\"\"\"\n",
        "\u{feff}a,b,text\r\n3, 7 ,red\r\n\r\n",
        "a,b,text\n",
        "a,b,text\n4,1e-300,green",
    ])
    .unwrap();
    assert_eq!((files.rows(), files.columns()), (4, vec!["a", "b", "text"]));
    assert_eq!(column(&files, "a").unwrap(), [1., -2000., 3., 4.]);
    assert_eq!(column(&files, "b").unwrap(), [0.5, 1., 7., 1e-300]);
    assert_eq!(files.categories("text").unwrap(), ["blue,\n\"dark\"", "green", "red"]);
    assert_eq!(files.categories("a"), None);
    assert_eq!(column(&files, "text").unwrap(), [2., 0., 2., 1.]);
}

#[test]
fn rows_are_found_between_the_noted_places() {
    // More rows than two noted places, with cells of several lines.
    let row = |i: usize| {
        if i.is_multiple_of(7) {
            format!("{i},\"t\n{}\"\n", i % 3)
        } else {
            format!("{i},t{}\n", i % 3)
        }
    };
    let text: Vec<String> = [0..700, 700..701, 701..1500]
        .map(|rows| format!("n,t\n{}", rows.map(row).collect::<String>()))
        .into();
    let (_folder, files) = csv(&text.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for shuffle in
        [Shuffle::Full, Shuffle::Blocks { rows: 10, window: 3 }, Shuffle::Blocks { rows: 333, window: 1 }]
    {
        let data = FileDataset::regression(&files, &["n", "t"], &["n"]).shuffle(shuffle).open().unwrap();
        let rows: Vec<u32> = (0..1500).map(|i| i * 389 % 1500).collect();
        let batch = data.batch(&rows, &CPU).unwrap();
        let expected = rows.iter().flat_map(|row| {
            let text = if row % 7 == 0 { row % 3 } else { 3 + row % 3 };
            [f64::from(*row), f64::from(text)]
        });
        assert_eq!(flat(batch.inputs.only().unwrap()), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_training_on_csv_is_that_on_the_numbers() {
    let rows: Vec<(f32, f32, u32)> = (0..60u32)
        .map(|i| ((i * 37 % 60) as f32 / 30. - 1., (i * 17 % 60) as f32 / 30. - 1., i % 3))
        .collect();
    let part = |rows: &[(f32, f32, u32)]| {
        let line = |(a, b, class): &(f32, f32, u32)| format!("{a},class {class},{b}\n");
        format!("a,y,b\n{}", rows.iter().map(line).collect::<String>())
    };
    let (_folder, files) = csv(&[&part(&rows[..20]), &part(&rows[20..])]).unwrap();
    let data = FileDataset::classification(&files, &["a", "b"], "y").shuffle(Shuffle::Full).open().unwrap();
    let x: Vec<f32> = rows.iter().flat_map(|(a, b, _)| [*a, *b]).collect();
    let y: Vec<u32> = rows.iter().map(|row| row.2).collect();
    let x = Tensor::from_vec(x, (60, 2), &CPU).unwrap();
    let memory = TensorDataset::classification(x, &Tensor::new(y, &CPU).unwrap()).unwrap();
    assert_eq!(data.fingerprint(), memory.fingerprint());
    let trainer = Trainer::new(|vb| candle_nn::linear(2, 3, vb)).epochs(2).batch_size(8);
    let members = |data: &dyn Dataset| {
        let pool = Session::new(&trainer, data).fit(&Bagging::new(2), 1).unwrap();
        pool.members().iter().map(|member| member.to_bytes().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(members(&data), members(&memory));
}

#[test]
fn no_guess_is_overturned_by_one_odd_cell() {
    let (folder, files) = csv(&["a,b\n1,x\n2,y\n", "a,b\n3,\nfour,z\n"]).unwrap();
    let path = folder.path().join("part-1.csv");
    let of = |name| column(&files, name).unwrap_err().to_string();
    assert_eq!(
        of("a"),
        format!(
            "column \"a\" in line 3 of {} must be a finite number, as 3 of 4 are, but is \"four\" \
             (CsvOptions::categories names columns of categories)",
            path.display()
        )
    );
    assert_eq!(
        of("b"),
        format!("column \"b\" in line 2 of {} must be there, but is missing (1 of 4 are)", path.display())
    );
    let options = CsvOptions { categories: vec!["a".into()], ..CsvOptions::default() };
    let files = RowFiles::csv([folder.path().join("part-0.csv"), path], &options).unwrap();
    assert_eq!(files.categories("a").unwrap(), ["1", "2", "3", "four"]);
    assert_eq!(column(&files, "a").unwrap(), [0., 1., 2., 3.]);
    let (_folder, files) = csv(&["a,b\nnan,1\ninf,1\n1,2\n"]).unwrap();
    assert_eq!(files.categories("a").unwrap(), ["1", "inf", "nan"], "most are no finite numbers");
}

#[test]
fn files_that_are_no_table_are_refused_with_their_place() {
    let of = |texts: &[&str]| csv(texts).map(drop).unwrap_err().to_string();
    let error = of(&["a,b\n1,2\n1,2,3\n"]);
    assert!(
        error.starts_with("line 3 of ") && error.ends_with("must be 2 cells, as the header has, but is 3"),
        "{error}"
    );
    let error = of(&["a,b\n1,2\n", "b,a\n1,2\n"]);
    assert!(error.contains("part-1.csv must be that of the first file, a, b, but is b, a"), "{error}");
    let error = of(&["a,a\n1,2\n"]);
    assert!(error.contains("\"a\" for two columns"), "{error}");
    assert!(of(&[]).contains("at least one"));
    let lost = CsvOptions { categories: vec!["c".into()], ..CsvOptions::default() };
    let (_folder, paths) = written(&["a,b\n1,2\n"]);
    let error = RowFiles::csv(&paths, &lost).unwrap_err().to_string();
    assert!(error.contains("a, b, but is \"c\""), "{error}");
    let semicolon = CsvOptions { delimiter: b';', ..CsvOptions::default() };
    assert_eq!(RowFiles::csv(&paths, &semicolon).unwrap().columns(), ["a,b"]);
    let data = RowFiles::csv(&paths, &CsvOptions::default()).unwrap();
    fs::write(&paths[0], "a,b\n1,2\n3,4\n").unwrap();
    let error = column(&data, "a").unwrap_err().to_string();
    assert!(error.contains("it had 8 bytes and now has 12"), "{error}");
}
