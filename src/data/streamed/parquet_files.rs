//! Tables in Parquet files, by their columns, without Arrow.
use crate::{
    data::streamed::source::{in_shards, starts, Column, Source},
    files::fixed::FixedFile,
    Error, Result,
};
use candle_core::{DType, Device, Tensor};
use parquet::{
    basic::{LogicalType, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::DataType,
    errors::ParquetError,
    file::{
        metadata::{page_index::RowGroupPageIndex, ParquetMetaData, ParquetMetaDataReader},
        properties::ReaderProperties,
        reader::RowGroupReader,
        serialized_reader::SerializedRowGroupReader,
    },
    schema::types::ColumnDescriptor,
};
use rayon::prelude::*;
use std::{collections::BTreeSet, fs::File, ops::Range, path::Path, str, sync::Arc};

/// The most categories of a column.
const MOST: usize = 1 << 16;
/// The rows that writers put into a page at most, which is decoded as a whole.
const PAGE_ROWS: usize = 20_000;
/// The rows that are decoded at a time where all are read.
const READ: usize = 1 << 16;

/// A file with its description.
struct Shard {
    file: FixedFile,
    about: Arc<ParquetMetaData>,
    /// The first row of each row group, and the number of all rows at last.
    starts: Vec<usize>,
}

/// Columns of Parquet files.
pub(super) struct ParquetFiles {
    shards: Vec<Shard>,
    starts: Vec<usize>,
    columns: Vec<Column>,
    /// The rows of the largest row group.
    group_rows: usize,
}

/// Values of a column.
enum Values {
    Numbers(Tensor),
    Texts(Vec<Vec<u8>>),
}

impl ParquetFiles {
    pub(super) fn open<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self> {
        let shards = files.into_iter().map(|path| Shard::open(path.as_ref())).collect::<Result<Vec<_>>>()?;
        let Some(first) = shards.first() else {
            return Err(Error::invalid("the files of a data set", "at least one", "none"));
        };
        let columns = first.columns();
        for shard in &shards {
            let own = shard.columns();
            if let Some((one, other)) = columns.iter().zip(&own).find(|(one, other)| one != other) {
                let what = format!("a column of {}", shard.file.path().display());
                let of = |column: &Column| format!("{:?} of type {}", column.name, kind(column));
                return Err(Error::invalid(what, format!("{}, as in the first file", of(one)), of(other)));
            }
            if columns.len() != own.len() {
                let what = format!("the number of columns of {}", shard.file.path().display());
                return Err(Error::invalid(
                    what,
                    format!("{}, as in the first file", columns.len()),
                    own.len(),
                ));
            }
        }
        let starts = starts(shards.iter().map(|shard| shard.starts.last().copied().unwrap_or_default()));
        let groups = shards.iter().flat_map(|shard| shard.starts.windows(2));
        let group_rows = groups.map(|ends| ends.iter().rev().fold(0, |a, b| b.abs_diff(a))).max();
        let mut files = Self { shards, starts, columns, group_rows: group_rows.unwrap_or_default() };
        files.find_categories()?;
        Ok(files)
    }

    /// Collects the texts of the columns of categories, in order.
    fn find_categories(&mut self) -> Result<()> {
        for number in 0..self.columns.len() {
            if self.columns.get(number).is_none_or(|column| column.categories.is_none()) {
                continue;
            }
            let find = |shard: &Shard| -> Result<BTreeSet<Vec<u8>>> {
                let mut texts = BTreeSet::new();
                let rows = shard.starts.last().copied().unwrap_or_default();
                for start in (0..rows).step_by(READ) {
                    for values in shard.read(number, start..(start + READ).min(rows))? {
                        if let Values::Texts(found) = values {
                            texts.extend(found.into_iter().take(if texts.len() > MOST { 0 } else { READ }));
                        }
                    }
                }
                Ok(texts)
            };
            let mut all = BTreeSet::new();
            let mut error = None;
            for found in self.shards.par_iter().map(find).collect::<Vec<_>>() {
                match found {
                    Ok(mut found) => all.append(&mut found),
                    // A column that is not used may have nulls.
                    Err(Error::Invalid { what, must, got }) => error = error.or(Some([what, must, got])),
                    Err(other) => return Err(other),
                }
            }
            let Some(column) = self.columns.get_mut(number) else { continue };
            column.fault = error;
            if all.len() > MOST {
                let what = format!("the column {:?} of texts", column.name);
                column.fault = Some([what, format!("of at most {MOST} different ones"), "of more".into()]);
            }
            let texts = all.into_iter().take(MOST).map(String::from_utf8);
            match texts.collect::<std::result::Result<Vec<_>, _>>() {
                Ok(texts) => column.categories = Some(texts),
                Err(_) => {
                    let what = format!("the column {:?} of texts", column.name);
                    column.fault = Some([what, "in UTF-8".into(), "not".into()]);
                }
            }
        }
        Ok(())
    }
}

impl Source for ParquetFiles {
    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_direct(&self) -> bool {
        false
    }

    fn least_block(&self) -> usize {
        self.group_rows.clamp(1, PAGE_ROWS)
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Tensor>> {
        let read = |number: &usize| {
            let categories = self.columns.get(*number).and_then(|column| column.categories.as_ref());
            let id = |text: &Vec<u8>| {
                let texts = categories.map_or(&[][..], Vec::as_slice);
                let found = texts.binary_search_by(|known| known.as_bytes().cmp(text));
                found.map(|id| id as f64).map_err(|_| {
                    let text = String::from_utf8_lossy(text);
                    Error::invalid("a text of a column", "one that was there when the file was opened", text)
                })
            };
            let mut parts = vec![];
            for (shard, part) in in_shards(&self.starts, rows.clone()) {
                let Some(shard) = self.shards.get(shard) else { continue };
                for values in shard.read(*number, part)? {
                    parts.push(match values {
                        Values::Numbers(tensor) => tensor,
                        Values::Texts(texts) => {
                            let ids = texts.iter().map(id).collect::<Result<Vec<f64>>>()?;
                            let rows = ids.len();
                            Tensor::from_vec(ids, rows, &Device::Cpu)?
                        }
                    });
                }
            }
            match parts.len() {
                1 => Ok(parts.swap_remove(0)),
                _ => Ok(Tensor::cat(&parts, 0)?),
            }
        };
        columns.iter().map(read).collect()
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self> {
        let file = FixedFile::new(path)?;
        let about = ParquetMetaDataReader::new().parse_and_finish(&file.open_at(0)?);
        let about = about.map_err(|e| unreadable(&file, &e))?;
        let rows = |group: &parquet::file::metadata::RowGroupMetaData| {
            usize::try_from(group.num_rows()).map_err(|_| {
                let why = format!("a row group has {} rows", group.num_rows());
                Error::Foreign { what: path.display().to_string(), why }
            })
        };
        let starts = starts(about.row_groups().iter().map(rows).collect::<Result<Vec<_>>>()?);
        Ok(Self { file, about: Arc::new(about), starts })
    }

    fn columns(&self) -> Vec<Column> {
        self.about.file_metadata().schema_descr().columns().iter().map(|about| column(about)).collect()
    }

    /// The values of a column in these rows of the file, by row group.
    fn read(&self, column: usize, rows: Range<usize>) -> Result<Vec<Values>> {
        let failed = |e: ParquetError| unreadable(&self.file, &e);
        let file = Arc::new(self.file.open_at(0)?);
        let mut parts = vec![];
        for (group, part) in in_shards(&self.starts, rows).filter(|(_, part)| !part.is_empty()) {
            let Some(about) = self.about.row_groups().get(group) else { continue };
            let properties = Arc::new(ReaderProperties::builder().build());
            let index = RowGroupPageIndex::new(group, None);
            let reader = SerializedRowGroupReader::<File>::new(file.clone(), about, index, properties);
            let reader = reader.and_then(|reader| reader.get_column_reader(column)).map_err(failed)?;
            let first = self.starts.get(group).copied().unwrap_or_default() + part.start;
            let place = Place { shard: self, column, first };
            parts.push(place.values(reader, part)?);
        }
        Ok(parts)
    }
}

/// A column from a row on.
struct Place<'s> {
    shard: &'s Shard,
    column: usize,
    /// The first row, of those of the file.
    first: usize,
}

impl Place<'_> {
    /// The values of these rows of a row group.
    fn values(&self, reader: ColumnReader, rows: Range<usize>) -> Result<Values> {
        let count = rows.len();
        let unsigned = match self.shard.about.file_metadata().schema_descr().columns().get(self.column) {
            Some(about) => {
                matches!(about.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed)
            }
            None => false,
        };
        let tensor = |tensor: candle_core::Result<Tensor>| Ok(Values::Numbers(tensor?));
        match reader {
            ColumnReader::BoolColumnReader(reader) => {
                let values: Vec<u8> = self.all(reader, rows)?.into_iter().map(u8::from).collect();
                tensor(Tensor::from_vec(values, count, &Device::Cpu))
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let wide = |x: i32| if unsigned { i64::from(x.cast_unsigned()) } else { i64::from(x) };
                let values: Vec<i64> = self.all(reader, rows)?.into_iter().map(wide).collect();
                tensor(Tensor::from_vec(values, count, &Device::Cpu))
            }
            ColumnReader::Int64ColumnReader(reader) => {
                tensor(Tensor::from_vec(self.all(reader, rows)?, count, &Device::Cpu))
            }
            ColumnReader::FloatColumnReader(reader) => {
                tensor(Tensor::from_vec(self.all(reader, rows)?, count, &Device::Cpu))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                tensor(Tensor::from_vec(self.all(reader, rows)?, count, &Device::Cpu))
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                Ok(Values::Texts(self.all(reader, rows)?.iter().map(|text| text.data().to_vec()).collect()))
            }
            _ => Err(Error::invalid("the type of a column of Parquet", "of numbers or texts", "another")),
        }
    }

    /// All values of these rows, none of which is null.
    fn all<T: DataType>(&self, mut reader: ColumnReaderImpl<T>, rows: Range<usize>) -> Result<Vec<T::T>> {
        let failed = |e: ParquetError| unreadable(&self.shard.file, &e);
        let skipped = reader.skip_records(rows.start).map_err(failed)?;
        let (mut values, mut levels, mut read) = (Vec::with_capacity(rows.len()), vec![], 0);
        while read < rows.len() && skipped == rows.start {
            levels.clear();
            let before = values.len();
            let (records, found, _) = reader
                .read_records(rows.len() - read, Some(&mut levels), None, &mut values)
                .map_err(failed)?;
            if found < records {
                // Null is the only level below the highest one, of a column that is not nested.
                let highest = levels.iter().max().copied().unwrap_or_default();
                let null = match found {
                    0 => 0,
                    _ => levels.iter().position(|level| *level < highest).unwrap_or_default(),
                };
                return Err(self.null(before + null));
            }
            if records == 0 {
                break;
            }
            read += records;
        }
        match values.len() == rows.len() {
            true => Ok(values),
            false => {
                let why = format!("a row group has fewer rows than it says: {read}, not {}", rows.len());
                Err(Error::Damaged { what: self.shard.file.path().display().to_string(), why })
            }
        }
    }

    fn null(&self, row: usize) -> Error {
        let about = self.shard.about.file_metadata().schema_descr();
        let name = about.columns().get(self.column).map_or("", |about| about.name());
        let what =
            format!("column {name:?} in row {} of {}", self.first + row, self.shard.file.path().display());
        Error::invalid(what, "there", "null")
    }
}

/// The words for what a column holds.
fn kind(column: &Column) -> &'static str {
    match column.categories {
        Some(_) => "text",
        None => column.dtype.as_str(),
    }
}

/// A column as it is read.
fn column(about: &ColumnDescriptor) -> Column {
    let name = about.path().string();
    let fault = |got: String| {
        let what = format!("the type of the column {name:?}");
        Some([
            what,
            "bool, an integer of up to 32 bits or a signed one, float32, float64 or text".into(),
            got,
        ])
    };
    let (dtype, texts) = match about.physical_type() {
        Type::BOOLEAN => (DType::U8, false),
        Type::INT32 | Type::INT64 => (DType::I64, false),
        Type::FLOAT => (DType::F32, false),
        Type::DOUBLE => (DType::F64, false),
        Type::BYTE_ARRAY => (DType::F64, true),
        _ => (DType::F64, false),
    };
    let known = match (about.physical_type(), about.logical_type_ref()) {
        (Type::INT64, Some(LogicalType::Integer(int))) => int.is_signed,
        (Type::INT32, Some(LogicalType::Integer(_))) => true,
        (Type::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Enum) | None) => true,
        (Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY, _) => false,
        (_, logical) => logical.is_none(),
    };
    let nested = about.max_rep_level() > 0 || about.path().parts().len() > 1;
    let column = Column::new(name.clone(), dtype, vec![]);
    match (nested, known) {
        (true, _) => Column { fault: fault("nested".into()), ..column },
        (false, true) => Column { categories: texts.then(Vec::new), ..column },
        (false, false) => {
            let of = match about.logical_type_ref() {
                Some(logical) => format!("{logical:?}"),
                None => format!("{:?}", about.physical_type()),
            };
            Column { fault: fault(of), ..column }
        }
    }
}

fn unreadable(file: &FixedFile, e: &ParquetError) -> Error {
    Error::Foreign { what: file.path().display().to_string(), why: e.to_string() }
}
