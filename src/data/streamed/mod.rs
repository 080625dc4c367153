//! Data sets over files that do not fit in memory.
//!
//! [`RowFiles`] are named columns of files, whatever their format ([`source`]: what a format has to do). A [`FileDataset`]
//! makes inputs and targets of some of them, block by block ([`reader`]), through a [`cache`] of bounded size which a thread
//! fills ahead of the training ([`ahead`]).
mod ahead;
mod arrays;
mod builder;
mod cache;
mod csv_files;
mod dataset;
mod npy;
#[cfg(feature = "parquet")]
mod parquet_files;
mod reader;
mod source;
#[cfg(test)]
mod tests;

pub use builder::FileDatasetBuilder;
pub use csv_files::CsvOptions;
pub use dataset::FileDataset;

use crate::{
    data::streamed::{
        arrays::Arrays,
        csv_files::CsvFiles,
        source::{Beside, Source},
    },
    Error, Result,
};
use std::{fmt, path::Path, sync::Arc};

/// Named columns of rows in files, which are read part by part.
///
/// A column has one value or one tensor for each row. It may be spread over several files (shards), whose rows follow each
/// other in the order in which the files are given; row numbers go through all of them. Columns of several formats are put
/// [beside](Self::beside) each other.
///
/// When it is made, the description of each file is checked against the size of the file. The content is read by a
/// [`FileDataset`]. A file must not change as long as it is in use: each access compares its size and the time of its last
/// change, and is an error if they differ.
///
/// ```
/// use candle_ensemble::data::RowFiles;
/// use candle_core::{DType, Device, Tensor};
///
/// let folder = tempfile::tempdir()?;
/// let [a, b] = ["part-0.npy", "part-1.npy"].map(|name| folder.path().join(name));
/// Tensor::zeros((3, 2), DType::F32, &Device::Cpu)?.write_npy(&a)?;
/// Tensor::ones((4, 2), DType::F32, &Device::Cpu)?.write_npy(&b)?;
/// let files = RowFiles::npy("x", [a, b])?;
/// assert_eq!((files.rows(), files.columns()), (7, vec!["x"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RowFiles(Arc<dyn Source>);

impl RowFiles {
    /// One column of `.npy` files (NumPy's format, versions 1 to 3): arrays in C order, with rows along the first dimension,
    /// of the same type and the same shape of a row. Types are floats of 16, 32 and 64 bits, integers of 8 to 64 bits (of
    /// unsigned ones up to 32) and `bool`, of either byte order. What candle lacks is widened: `int8` to i16, `uint16` to i32.
    ///
    /// # Errors
    /// When there is no file; when a file cannot be read, is no such array, or has another size than its header says. The
    /// error names the file.
    pub fn npy<P: AsRef<Path>>(name: &str, files: impl IntoIterator<Item = P>) -> Result<Self> {
        Arrays::npy(name, files).map(Self::of)
    }

    /// The tensors of safetensors files, each a column with rows along the first dimension. With several files, each has all
    /// of the tensors, of the same types and the same shapes of a row.
    ///
    /// # Errors
    /// When there is no file; when a file cannot be read, is no safetensors file or is cut short; when its tensors differ in
    /// names, types, shapes of a row or numbers of rows. The error names the file and the tensor.
    pub fn safetensors<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self> {
        Arrays::safetensors(files).map(Self::of)
    }

    /// The columns of CSV files in UTF-8, each of which has the same header. Cells are trimmed, and quoted ones may have line
    /// breaks.
    ///
    /// All files are read when they are opened, one on each thread. A column is of numbers if each of its cells is a finite
    /// number. It is of categories, at most 2¹⁶ different texts, if fewer than half of its cells are numbers, or if
    /// [`CsvOptions::categories`] names it. Its values are then the numbers of the texts from 0, in the order of their bytes;
    /// see [`categories`](Self::categories), and [`Scaling::OneHot`](crate::data::Scaling::OneHot) for inputs. A column with
    /// a missing cell, or with some other cells among numbers, can be left out, but not be used: no guess is overturned by
    /// one odd cell. The place of every 256th row is kept in memory.
    ///
    /// # Errors
    /// When there is no file, a file cannot be read, headers differ, or a line has another number of cells. The error names
    /// file and line.
    ///
    /// ```
    /// use candle_ensemble::data::{CsvOptions, RowFiles};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("part-0.csv");
    /// std::fs::write(&path, "width,colour\n1.5,red\n2,blue\n0.25,red\n")?;
    /// let files = RowFiles::csv([path], &CsvOptions::default())?;
    /// assert_eq!(files.columns(), ["width", "colour"]);
    /// assert_eq!(files.categories("colour").unwrap(), ["blue", "red"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn csv<P: AsRef<Path>>(files: impl IntoIterator<Item = P>, options: &CsvOptions) -> Result<Self> {
        CsvFiles::open(files, options).map(Self::of)
    }

    /// The columns of Parquet files (feature `parquet`), all of the same columns, uncompressed or compressed with Snappy or
    /// Zstandard. Columns of numbers are those of type `bool`, `int8` to `int64`, `uint8` to `uint32`, `float` and `double`.
    /// Columns of texts are categories, as in [`csv`](Self::csv); they are read once when the files are opened. Other
    /// columns (nested ones, dates, decimals), and those with nulls, can be left out, but not be used.
    ///
    /// A row is found by its row group and page; pages before it are skipped without being decoded. Small row groups, of
    /// some thousand rows, suit the [shuffle](FileDatasetBuilder::shuffle) best.
    ///
    /// # Errors
    /// When there is no file, a file cannot be read or is no Parquet file, or the files have different columns. The error
    /// names the file.
    #[cfg(feature = "parquet")]
    #[cfg_attr(docsrs, doc(cfg(feature = "parquet")))]
    pub fn parquet<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self> {
        parquet_files::ParquetFiles::open(files).map(Self::of)
    }

    fn of(source: impl Source + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// These columns and those of other files of as many rows.
    ///
    /// # Errors
    /// When the numbers of rows differ, or both have a column of the same name.
    pub fn beside(self, others: Self) -> Result<Self> {
        Beside::new(self.0, others.0).map(Self::of)
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        self.0.columns().iter().map(|column| &*column.name).collect()
    }

    /// The texts of a column of categories, in the order of their numbers; `None` for numbers.
    #[must_use]
    pub fn categories(&self, column: &str) -> Option<&[String]> {
        let found = self.0.columns().iter().find(|known| known.name == column)?;
        found.categories.as_deref()
    }

    /// The number of the column with this name.
    fn find(&self, name: &str) -> Result<usize> {
        let columns = self.0.columns();
        let Some(number) = columns.iter().position(|column| column.name == name) else {
            let must = format!("one of {}", self.columns().join(", "));
            return Err(Error::invalid("a column of the files", must, name));
        };
        match columns.get(number).and_then(|column| column.fault.clone()) {
            Some([what, must, got]) => Err(Error::invalid(what, must, got)),
            None => Ok(number),
        }
    }
}

impl fmt::Debug for RowFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowFiles").field("rows", &self.rows()).field("columns", &self.columns()).finish()
    }
}
