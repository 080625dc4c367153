//! Learning curves from files.
mod build;
mod cell;
mod columns;
mod curves;
mod history;
mod json;
mod layout;
mod name;
mod records;
mod rows;
mod table;
mod tensorboard;
mod text;

use super::{metric, Curve, CurveMetric, Curves};
use crate::{files::failed, Error, Result};
use build::Parsed;
use json::Json;
use std::{borrow::Cow, fs, path::Path};

/// Learning curves as they were read, and what was guessed on the way.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReadCurves {
    /// The files, as they were named.
    pub files: Vec<String>,
    /// The curves.
    pub curves: Curves,
    /// The format, which column was taken as what, and all else that was guessed or left out, in sentences.
    pub notes: Vec<String>,
}

/// The text of a file, and its JSON if it is one.
struct Source<'a> {
    file: &'a str,
    text: Cow<'a, str>,
    json: Option<Json>,
}

/// A format of files with learning curves. It is recognized by the content.
trait CurveFormat: Sync {
    /// Its name in notes.
    fn name(&self) -> &'static str;

    /// Whether the file has this format.
    fn recognizes(&self, source: &Source<'_>) -> bool;

    /// Reads the file.
    fn read(&self, source: &Source<'_>) -> Result<Parsed>;
}

/// The formats. The first that recognizes a file reads it.
const FORMATS: [&dyn CurveFormat; 5] =
    [&curves::CurvesJson, &history::History, &records::Records, &tensorboard::TensorBoard, &table::Table];

impl Curves {
    /// Reads the learning curves of one file.
    ///
    /// The content tells the format:
    ///
    /// - This library's own: `Curves` as JSON, the CSV of [`Curves::to_csv`], a list of
    ///   [`EpochRecord`](crate::store::EpochRecord)s as JSON, or a list of such lists.
    /// - Keras: `History.history` as JSON, alone or with `epoch` and `params`; the table of `CSVLogger`.
    /// - PyTorch Lightning: the `metrics.csv` of `CSVLogger`, with rows for training and validation apart.
    /// - TensorBoard: a downloaded table `Wall time,Step,Value`. It holds one series; its name says which.
    /// - Other tables: CSV or JSON rows with columns such as `epoch`, `train_loss`, `valid_loss` and
    ///   `valid_accuracy`, in many spellings.
    ///
    /// Tables may be separated by commas, semicolons or tabs, and may hold several runs, which a column such
    /// as `run`, `seed` or `fold` tells apart. A value that is missing or not finite is NaN in the curves. A
    /// few cells that hold no number are taken as missing. [`ReadCurves::notes`] says all that was guessed.
    ///
    /// ```
    /// use candle_ensemble::diagnose::{CurveMetric, Curves};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("log.csv");
    /// std::fs::write(&path, "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,0.9,0.4,1\n1,0.8,0.4,0.6,0.7\n")?;
    /// let read = Curves::read(&path)?;
    /// assert_eq!(read.curves.runs[0].valid_loss, [1.0, 0.7]);
    /// assert_eq!(read.curves.metric, Some(CurveMetric::Accuracy));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the file cannot be read, or holds no learning curves. The message names the file and the place.
    pub fn read(path: impl AsRef<Path>) -> Result<ReadCurves> {
        Self::read_all([path])
    }

    /// Reads several files of one network: each holds one run or several, or, as TensorBoard exports them,
    /// one series of a run.
    ///
    /// # Errors
    /// As of [`Self::read`], and when the files differ in their metric.
    pub fn read_all(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<ReadCurves> {
        let parsed: Result<Vec<Parsed>> = paths.into_iter().map(|path| parse_file(path.as_ref())).collect();
        together(parsed?)
    }

    /// Reads several files, each of them another network. Only the files that TensorBoard exported are put
    /// together if they are in the same folder, because each holds one series.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn read_each(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Vec<ReadCurves>> {
        let mut sets: Vec<Vec<Parsed>> = vec![];
        for path in paths {
            let parsed = parse_file(path.as_ref())?;
            let folder = |file: &str| Path::new(file).parent().map(Path::to_path_buf);
            let belongs = |set: &&mut Vec<Parsed>| {
                let same = |one: &Parsed| one.partial && folder(&one.file) == folder(&parsed.file);
                parsed.partial && set.iter().any(same)
            };
            match sets.iter_mut().find(belongs) {
                Some(set) => set.push(parsed),
                None => sets.push(vec![parsed]),
            }
        }
        sets.into_iter().map(together).collect()
    }

    /// Reads the bytes of a file as [`Self::read`] does. `file` is its name in messages, and tells what a
    /// series of TensorBoard is.
    ///
    /// ```
    /// use candle_ensemble::diagnose::Curves;
    ///
    /// let history = br#"{"loss": [0.9, 0.4, NaN], "val_loss": [1.0, 0.7, 0.8]}"#;
    /// let read = Curves::from_bytes("history.json", history)?;
    /// assert_eq!(read.curves.runs[0].valid_loss, [1.0, 0.7, 0.8]);
    /// assert!(read.curves.runs[0].train_loss[2].is_nan());
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// When they hold no learning curves.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<ReadCurves> {
        together(vec![parse(file, bytes)?])
    }
}

fn parse_file(path: &Path) -> Result<Parsed> {
    let bytes = fs::read(path).map_err(|source| failed(path, source))?;
    parse(&path.display().to_string(), &bytes)
}

fn parse(file: &str, bytes: &[u8]) -> Result<Parsed> {
    let text = text::text(file, bytes)?;
    let json = match text.trim_start().starts_with(['{', '[']) {
        true => Some(Json::parse(file, &text)?),
        false => None,
    };
    let source = Source { file, text, json };
    let Some(format) = FORMATS.iter().find(|format| format.recognizes(&source)) else {
        let must = "learning curves: lists of losses by name, or a list of epochs";
        return Err(Error::invalid(file, must, "other JSON"));
    };
    let mut parsed = format.read(&source)?;
    parsed.notes.insert(0, format!("read as {}", format.name()));
    Ok(parsed)
}

/// Puts what files of one network hold together.
fn together(files: Vec<Parsed>) -> Result<ReadCurves> {
    let several = files.len() > 1;
    let mut read = ReadCurves { files: vec![], curves: Curves::default(), notes: vec![] };
    let metric = one_metric(&files)?;
    let (train, valid) = (agreed(&files, |file| file.train_rows), agreed(&files, |file| file.valid_rows));
    for file in merge_partial(files) {
        let mut notes = file.notes;
        for run in file.runs {
            let curves = run.curves(&mut notes);
            read.curves.runs.extend(curves.into_iter().map(|curve| with_loss(curve, metric, &mut notes)));
        }
        let name = |note: String| if several { format!("{}: {note}", file.file) } else { note };
        for note in notes.into_iter().map(name) {
            if !read.notes.contains(&note) {
                read.notes.push(note);
            }
        }
        read.files.push(file.file);
    }
    read.curves = read.curves.with_metric(metric).with_rows(train, valid);
    guess_metric(&mut read);
    read.curves.check()?;
    Ok(read)
}

/// Moves the rows of runs that are spread over files to the first of these files.
fn merge_partial(files: Vec<Parsed>) -> Vec<Parsed> {
    let mut merged: Vec<Parsed> = vec![];
    for mut file in files {
        for run in std::mem::take(&mut file.runs) {
            let known = merged
                .iter_mut()
                .filter(|known| file.partial && known.partial)
                .flat_map(|known| &mut known.runs);
            match known.into_iter().find(|known| known.key == run.key) {
                Some(known) => known.points.extend(run.points),
                None => file.runs.push(run),
            }
        }
        merged.push(file);
    }
    merged
}

/// The metric of the files that say it.
fn one_metric(files: &[Parsed]) -> Result<Option<CurveMetric>> {
    let mut named = files.iter().filter_map(|file| Some((file, file.metric?)));
    let Some((first, metric)) = named.next() else { return Ok(None) };
    match named.find(|(_, other)| *other != metric) {
        None => Ok(Some(metric)),
        Some((file, other)) => {
            let must = format!("{metric}, as in {}, because all are runs of one network", first.file);
            Err(Error::invalid(format!("the metric of {}", file.file), must, other))
        }
    }
}

/// The number that all files name which name one; `None` if they differ.
fn agreed(files: &[Parsed], rows: impl Fn(&Parsed) -> Option<usize>) -> Option<usize> {
    let mut named = files.iter().filter_map(rows);
    let first = named.next()?;
    named.all(|other| other == first).then_some(first)
}

/// Where no loss was recorded, the metric gives one: the share of errors, or the mean squared error.
fn with_loss(mut curve: Curve, metric: Option<CurveMetric>, notes: &mut Vec<String>) -> Curve {
    if curve.epochs() > 0 {
        return curve;
    }
    let (what, loss): (_, fn(&f64) -> f64) = match metric {
        Some(CurveMetric::Accuracy) => ("the share of errors", |accuracy| 1. - accuracy),
        Some(CurveMetric::Rmse) => ("the mean squared error", |rmse| rmse * rmse),
        None => return curve,
    };
    notes.push(format!("there is no loss: {what} stands in for it"));
    curve.train_loss = curve.train_metric.iter().map(loss).collect();
    curve.valid_loss = curve.valid_metric.iter().map(loss).collect();
    curve
}

/// Says what a metric is that no name tells.
fn guess_metric(read: &mut ReadCurves) {
    let curves = &mut read.curves;
    let unnamed = curves.metric.is_none();
    let some = curves.runs.iter().any(|run| !run.train_metric.is_empty() || !run.valid_metric.is_empty());
    if unnamed && some {
        curves.metric = metric::likely(curves);
        read.notes.push(match curves.metric {
            Some(metric) => format!("the metric is not named; by its values it is taken as {metric}"),
            None => "the metric is not named, and its values do not tell what it is".into(),
        });
    }
}
