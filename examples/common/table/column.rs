//! A column as numbers or as texts.
use super::{cell, Table};
use candle_ensemble::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::UnicodeNormalization;

/// The most texts that an input column may have, and the most whole numbers that are taken for classes.
const FEW: usize = 20;

/// A column to predict from.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Finite numbers; `True` and `False` are 1 and 0.
    Numbers(Vec<f64>),
    /// Texts, each once and in order, and the number of each row's text.
    Texts(Vec<String>, Vec<u32>),
    /// No cell has a value.
    Missing,
}

/// What a column to predict holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Classes,
    Values,
}

/// A column to predict.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// The names of the classes, each once and in order, and the number of each row's class.
    Classes(Vec<String>, Vec<u32>),
    /// Finite numbers.
    Values(Vec<f64>),
}

impl Table {
    /// Reads a column to predict from: numbers, `True` and `False`, or few different texts.
    ///
    /// # Errors
    /// When a value is missing or not finite, a cell is not a number although most are, or there are many
    /// different texts. The message names the line.
    pub fn input(&self, column: usize) -> Result<Input> {
        if let Some(numbers) = self.all(column, number) {
            return Ok(Input::Numbers(numbers));
        }
        let cells = Cells::of(self, column, self.name(column), "column");
        if cells.missing == self.rows() {
            return Ok(Input::Missing);
        }
        cells.check_missing("a finite number")?;
        if let Some(numbers) = self.all(column, cell::boolean) {
            return Ok(Input::Numbers(numbers));
        }
        let drop = format!("--drop {} leaves the column out", cells.name);
        if cells.mostly_numbers {
            return Err(cells.not_a_number("a finite number", &drop));
        }
        let (texts, ids) = numbered(self.cells(column));
        if texts.len() > FEW {
            let texts_of = format!("column {} of {}", cell::quote(cells.name), self.file);
            let must = format!("numbers, or at most {FEW} different texts ({drop})");
            let got = format!("{} different texts, such as {}", texts.len(), cell::described(&texts[0]));
            return Err(Error::invalid(texts_of, must, got));
        }
        Ok(Input::Texts(texts, ids))
    }

    /// Reads the column to predict, as what is asked for, or as what it looks like. The text says why.
    ///
    /// # Errors
    /// When a value is missing, or the cells do not fit the kind. The message names the line.
    pub fn target(&self, column: usize, asked: Option<Kind>) -> Result<(Target, String)> {
        let cells = Cells::of(self, column, self.name(column), "target");
        cells.check_missing("there")?;
        let numbers = self.all(column, number);
        let classes = || numbered(self.cells(column).map(cell::label));
        match (asked, numbers, self.all(column, cell::boolean)) {
            (Some(Kind::Values), Some(values), _) | (Some(Kind::Values), None, Some(values)) => {
                Ok((Target::Values(values), "as asked".into()))
            }
            (Some(Kind::Values), ..) => Err(cells.not_a_number("a finite number", "a regression needs them")),
            (Some(Kind::Classes), ..) => cells.classes(classes(), "as asked".into()),
            (None, Some(values), _) => {
                let (names, ids) = classes();
                let whole = names.iter().all(|name| cell::is_whole(name));
                match whole && names.len() <= FEW {
                    true => {
                        let why = format!("{} different whole numbers", names.len());
                        cells.classes((names, ids), why)
                    }
                    false => Ok((Target::Values(values), format!("{} different numbers", names.len()))),
                }
            }
            (None, None, None) if cells.mostly_numbers => {
                let else_ = "--task classification takes the cells for names of classes";
                Err(cells.not_a_number("a finite number", else_))
            }
            (None, None, Some(_)) => cells.classes(classes(), "True and False".into()),
            (None, None, None) => cells.classes(classes(), "texts".into()),
        }
    }

    /// All cells, if each of them can be read so.
    fn all(&self, column: usize, read: impl Fn(&str) -> Option<f64>) -> Option<Vec<f64>> {
        self.cells(column).map(read).collect()
    }
}

fn number(text: &str) -> Option<f64> {
    cell::number(text).filter(|x| x.is_finite())
}

/// Texts, each once and in order, and the number of each row's text.
pub fn numbered<T: AsRef<str> + Ord + Clone>(
    texts: impl Iterator<Item = T> + Clone,
) -> (Vec<String>, Vec<u32>) {
    let mut ids: BTreeMap<T, u32> = texts.clone().map(|text| (text, 0)).collect();
    ids.values_mut().zip(0..).for_each(|(id, i)| *id = i);
    let of_rows = texts.map(|text| ids.get(&text).copied().unwrap_or(0)).collect();
    (ids.keys().map(|text| text.as_ref().to_string()).collect(), of_rows)
}

/// A column whose cells are not all numbers, and what they look like.
struct Cells<'t> {
    table: &'t Table,
    column: usize,
    name: &'t str,
    role: &'static str,
    /// At least half of the cells with a value are numbers, or are nearly so.
    mostly_numbers: bool,
    missing: usize,
}

impl<'t> Cells<'t> {
    fn of(table: &'t Table, column: usize, name: &'t str, role: &'static str) -> Self {
        let mut counts = BTreeMap::<&str, usize>::new();
        table.cells(column).for_each(|cell| *counts.entry(cell).or_default() += 1);
        let count = |is: &dyn Fn(&str) -> bool| {
            counts.iter().filter(|(cell, _)| is(cell)).map(|(_, count)| count).sum::<usize>()
        };
        let numbers = count(&|cell| cell::number(cell).is_some() || cell::nearly_number(cell).is_some());
        let present = table.rows() - count(&|cell| cell::is_missing(cell, true));
        let mostly_numbers = numbers > 0 && numbers * 2 >= present;
        let missing = count(&|cell| cell::is_missing(cell, mostly_numbers));
        Self { table, column, name, role, mostly_numbers, missing }
    }

    fn first(&self, is: impl Fn(&str) -> bool) -> Option<(usize, &'t str)> {
        self.table.cells(self.column).enumerate().find(|(_, cell)| is(cell))
    }

    fn place(&self, row: usize) -> String {
        let (line, file) = (self.table.line(row), &self.table.file);
        format!("{} {} in line {line} of {file}", self.role, cell::quote(self.name))
    }

    fn check_missing(&self, must: &str) -> Result<()> {
        let Some((row, text)) = self.first(|cell| cell::is_missing(cell, self.mostly_numbers)) else {
            return Ok(());
        };
        let count = match self.missing {
            1 => "the only one that is missing".to_string(),
            n => format!("{n} of {} are missing", self.table.rows()),
        };
        Err(Error::invalid(self.place(row), must, format!("missing: {} ({count})", cell::quote(text))))
    }

    /// The first cell that is not a finite number.
    fn not_a_number(&self, must: &str, hint: &str) -> Error {
        let odd = |cell: &str| number(cell).is_none();
        let others = self.table.cells(self.column).filter(|cell| odd(cell)).count() - 1;
        let others = match others {
            0 => "all others are".to_string(),
            1 => "1 other is not".to_string(),
            n => format!("{n} others are not"),
        };
        let (row, text) = self.first(odd).unwrap_or_default();
        let comma = cell::with_decimal_point(text).is_some();
        let hint = if comma { "--decimal , reads decimal commas" } else { hint };
        let got = format!("{} ({others}; {hint})", cell::described(text));
        Error::invalid(self.place(row), must, got)
    }

    fn classes(&self, (names, ids): (Vec<String>, Vec<u32>), why: String) -> Result<(Target, String)> {
        let rows = self.table.rows();
        if names.len() > FEW && names.len() * 2 > rows {
            let what = format!("target {} of {}", cell::quote(self.name), self.table.file);
            let must = "classes that occur in several rows each (--task regression predicts numbers)";
            let such = names.first().map_or_else(String::new, |name| cell::described(name));
            let got = format!("{} different classes in {rows} rows, such as {such}", names.len());
            return Err(Error::invalid(what, must, got));
        }
        Ok((Target::Classes(names, ids), why))
    }
}

/// What may be wrong with the names of classes, in sentences.
pub fn odd_classes(names: &[String]) -> Vec<String> {
    let missing = names.iter().filter(|name| cell::is_missing(name, true));
    let missing =
        missing.map(|name| format!("{} is read as a class, not as a missing value", cell::quote(name)));
    let plain = |name: &String| name.nfkc().collect::<String>().to_lowercase();
    let alike = (names.iter().map(plain).collect::<BTreeSet<_>>().len() < names.len()).then(|| {
        "some classes look alike, but differ in capital letters or in how accents are encoded".into()
    });
    let numbers = names.iter().filter(|name| cell::number(name).is_some()).count();
    let mixed = (numbers > 0 && numbers < names.len())
        .then(|| format!("{numbers} of the {} classes are numbers, the others are texts", names.len()));
    missing.chain(alike).chain(mixed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Options;

    /// A table of one column `x` with these cells, beside a column of row numbers.
    fn of(cells: &[&str]) -> Table {
        let rows: String = cells.iter().enumerate().map(|(i, cell)| format!("{i},\"{cell}\"\n")).collect();
        Table::parse("t.csv", format!("i,x\n{rows}").into(), &Options::default()).unwrap()
    }

    fn input(cells: &[&str]) -> Result<Input> {
        of(cells).input(1)
    }

    fn target(cells: &[&str], asked: Option<Kind>) -> Result<Target> {
        Ok(of(cells).target(1, asked)?.0)
    }

    fn classes(names: &[&str], ids: &[u32]) -> Target {
        Target::Classes(names.iter().map(|name| name.to_string()).collect(), ids.to_vec())
    }

    #[test]
    fn inputs_are_numbers_truth_values_or_few_texts() {
        assert_eq!(input(&["1", ".5", "-2e3"]).unwrap(), Input::Numbers(vec![1., 0.5, -2000.]));
        assert_eq!(input(&["True", "FALSE", "true"]).unwrap(), Input::Numbers(vec![1., 0., 1.]));
        let texts = Input::Texts(vec!["NA".into(), "blue".into(), "red".into()], vec![2, 1, 2, 0]);
        assert_eq!(input(&["red", "blue", "red", "NA"]).unwrap(), texts);
        assert_eq!(input(&["", "NaN", "?"]).unwrap(), Input::Missing);
    }

    #[test]
    fn the_odd_cell_of_an_input_is_named() {
        for (cells, what) in [
            (&["1", "2", "NA", "NA"][..], "column \"x\" in line 4 of t.csv must be a finite number, but is missing: \"NA\" (2 of 4 are missing)"),
            (&["1", "2", "x"], "column \"x\" in line 4 of t.csv must be a finite number, but is \"x\" (all others are; --drop x leaves the column out)"),
            (&["red", "", "blue"], "line 3"),
            (&["2024-01-31", "2024-02-29"], "which looks like a date (1 other is not"),
            (&["True", "1", "0"], "line 2"),
        ] {
            let error = input(cells).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let many: Vec<String> = (0..30).map(|i| format!("n{i}")).collect();
        let error = input(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err().to_string();
        assert!(
            error.contains("at most 20 different texts (--drop x leaves the column out), but is 30"),
            "{error}"
        );
    }

    #[test]
    fn the_task_is_inferred_or_asked_for() {
        let whole = ["1", "-0", "0.0", "01", "1.0"];
        assert_eq!(target(&whole, None).unwrap(), classes(&["0", "1"], &[1, 0, 0, 1, 1]));
        assert_eq!(target(&whole, Some(Kind::Values)).unwrap(), Target::Values(vec![1., 0., 0., 1., 1.]));
        assert_eq!(target(&["1", "1.5"], None).unwrap(), Target::Values(vec![1., 1.5]));
        let truth = ["TRUE", "False", "True"];
        assert_eq!(target(&truth, None).unwrap(), classes(&["False", "True"], &[1, 0, 1]));
        assert_eq!(target(&truth, Some(Kind::Values)).unwrap(), Target::Values(vec![1., 0., 1.]));
        assert_eq!(target(&["b", "a", "NA"], None).unwrap(), classes(&["NA", "a", "b"], &[2, 1, 0]));
        let large = ["9007199254740993", "9007199254740992", "9007199254740993"];
        assert_eq!(target(&large, None).unwrap(), classes(&[large[1], large[0]], &[1, 0, 1]));
        let grades = ["1", "2", "3", "other"];
        assert!(target(&grades, None).unwrap_err().to_string().contains("--task classification"));
        assert_eq!(target(&grades, Some(Kind::Classes)).unwrap(), classes(&grades, &[0, 1, 2, 3]));
    }

    #[test]
    fn a_target_that_fits_no_task_is_an_error() {
        for cells in [&["1", "NA", "0"][..], &["a", "", "b"], &["0", "1", "?"]] {
            for asked in [None, Some(Kind::Classes), Some(Kind::Values)] {
                let error = target(cells, asked).unwrap_err().to_string();
                assert!(error.contains("must be there, but is missing"), "{error}");
            }
        }
        let names: Vec<String> = (0..30).map(|i| format!("n{i}")).collect();
        let error =
            target(&names.iter().map(String::as_str).collect::<Vec<_>>(), None).unwrap_err().to_string();
        assert!(error.contains("30 different classes in 30 rows"), "{error}");
        assert!(target(&["a", "b"], Some(Kind::Values)).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn odd_names_of_classes_are_said() {
        let of = |names: &[&str]| odd_classes(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
        assert!(of(&["no", "yes"]).is_empty() && of(&["0", "1"]).is_empty());
        assert_eq!(of(&["NA", "yes"]), ["\"NA\" is read as a class, not as a missing value"]);
        assert!(of(&["Yes", "no", "yes"])[0].contains("look alike"));
        assert!(of(&["pas", "tr\u{e8}s", "tre\u{300}s"])[0].contains("look alike"));
        assert!(of(&["1", "2", "x"])[0].contains("2 of the 3 classes are numbers"));
    }
}
