//! The fit of a scaling on rows that are read in batches.
use crate::{
    data::{
        scale::{columns, fitted::check_table, running::Running, FittedColumn, FittedScaling, Scaling},
        values::{on_cpu, place, position},
    },
    kernels::cpu::{Elements, FloatLoop},
    Error, Result,
};
use candle_core::{Tensor, WithDType};
use rayon::prelude::*;
use std::ops::Range;

/// The number of values that are in memory at a time, if a column has no more: 256 MiB as f64.
const VALUES: usize = 1 << 25;

/// The fit of a scaling. All rows are read once for each [pass](Self::next_pass). Where the values of all columns do not fit
/// in memory, the scalings that can be are fitted value by value, all columns at once in three passes. Each other pass fits as
/// many columns as fit in memory.
pub(super) struct Fitting<'s> {
    /// What the table is called in errors: `""`, `"inputs, "` or `"targets, "`.
    name: &'static str,
    /// The scaling of each column.
    scalings: Vec<Option<&'s Scaling>>,
    /// The numbers of the columns, for errors.
    numbers: Vec<usize>,
    /// The dimensions of a row.
    row: Vec<usize>,
    rows: usize,
    /// The number of values that may be in memory.
    pub(super) memory: usize,
    fitted: Vec<FittedColumn>,
    /// The columns that are fitted value by value, and how many of their passes have begun; none before the first pass.
    running: Option<(Vec<(usize, Running)>, usize)>,
    /// The columns of this pass.
    pass: Range<usize>,
    /// The values of each column of this pass; none of a column that stays as it is.
    values: Vec<Vec<f64>>,
}

impl<'s> Fitting<'s> {
    /// The fit on `rows` rows of the shape of those of `x`. `features` are the numbers of the columns, if they are some of
    /// `width` columns.
    pub(super) fn new(
        name: &'static str,
        scaling: &'s Scaling,
        x: &Tensor,
        rows: usize,
        features: Option<(&[u32], usize)>,
    ) -> Result<Self> {
        scaling.check()?;
        check_table(x)?;
        let count = x.dims().get(1).copied().unwrap_or(1);
        let (numbers, width): (Vec<usize>, _) = match features {
            Some((features, width)) => (features.iter().map(|column| *column as usize).collect(), width),
            None => ((0..count).collect(), count),
        };
        let scalings = match scaling {
            Scaling::Columns(groups) => columns::of_each(groups, numbers.iter().copied(), width)?,
            all => vec![Some(all); count],
        };
        if x.rank() > 2 && scalings.iter().any(|scaling| matches!(scaling, Some(Scaling::OneHot { .. }))) {
            let must = "of shape (N, D) or (N,) for one-hot encoding";
            return Err(Error::invalid(format!("{name}a table"), must, format!("{:?}", x.dims())));
        }
        let row = x.dims().get(1..).unwrap_or_default().to_vec();
        Ok(Self {
            name,
            scalings,
            numbers,
            row,
            rows,
            memory: VALUES,
            fitted: vec![],
            running: None,
            pass: 0..0,
            values: vec![],
        })
    }

    /// The number of values that one row has of a column.
    fn inner(&self) -> usize {
        self.row.iter().skip(1).product()
    }

    /// Begins the next pass over the values of columns that are fitted value by value. False if there is none.
    fn next_running(&mut self) -> bool {
        let each = self.rows.saturating_mul(self.inner());
        let scaled = self.scalings.iter().flatten().count();
        let (columns, begun) = self.running.get_or_insert_with(|| {
            if scaled.saturating_mul(each) <= self.memory {
                return (vec![], 0);
            }
            let take = |(column, scaling): (usize, &mut Option<&Scaling>)| {
                let running = Running::of((*scaling)?, each)?;
                *scaling = None;
                Some((column, running))
            };
            (self.scalings.iter_mut().enumerate().filter_map(take).collect(), 0)
        });
        if *begun > 0 && *begun <= Running::PASSES {
            columns.iter_mut().for_each(|(_, running)| running.end_pass());
        }
        *begun += 1;
        !columns.is_empty() && *begun <= Running::PASSES
    }

    /// The columns that are fitted value by value in this pass.
    fn running(&mut self) -> Option<&mut [(usize, Running)]> {
        match &mut self.running {
            Some((columns, begun)) if !columns.is_empty() && *begun <= Running::PASSES => Some(columns),
            _ => None,
        }
    }

    /// Fits the columns of the last pass, and begins the next one. False if there is none.
    pub(super) fn next_pass(&mut self) -> Result<bool> {
        if self.next_running() {
            return Ok(true);
        }
        let values = std::mem::take(&mut self.values);
        let scalings = self.scalings.get(self.pass.clone()).unwrap_or_default();
        let numbers = self.numbers.get(self.pass.clone()).unwrap_or_default();
        let columns: Vec<_> = values.into_iter().zip(scalings).zip(numbers).collect();
        let name = self.name;
        let fit = |((values, scaling), number): ((Vec<f64>, &Option<&Scaling>), &usize)| {
            let Some(scaling) = scaling else { return Ok(FittedColumn::Unchanged) };
            let column = scaling.fit_column(values)?;
            column.check(*number).map_err(|e| Error::invalid(format!("{name}the scaling"), "possible", e))?;
            Ok(column)
        };
        // The error is that of the first column, whatever the threads do.
        for column in columns.into_par_iter().map(fit).collect::<Vec<Result<_>>>() {
            self.fitted.push(column?);
        }

        let (start, each) = (self.pass.end, self.rows.saturating_mul(self.inner()).max(1));
        let most = (self.memory / each).max(1);
        let mut scaled = 0;
        let mut end = start;
        while let Some(scaling) = self.scalings.get(end) {
            scaled += usize::from(scaling.is_some());
            if scaled > most {
                break;
            }
            end += 1;
        }
        self.pass = start..end;
        let room = |scaling: &Option<_>| Vec::with_capacity(if scaling.is_some() { each } else { 0 });
        self.values = self.scalings.get(start..end).unwrap_or_default().iter().map(room).collect();
        Ok(start < end)
    }

    /// Whether the pass has a column that is scaled.
    pub(super) fn reads(&self) -> bool {
        let running = self.running.as_ref();
        let by_value = running.is_some_and(|(all, begun)| !all.is_empty() && *begun <= Running::PASSES);
        by_value || self.scalings.get(self.pass.clone()).unwrap_or_default().iter().any(Option::is_some)
    }

    /// Adds some rows to the pass. `number` is the number of a row, for an error.
    pub(super) fn add(&mut self, x: &Tensor, number: impl Fn(usize) -> usize) -> Result<()> {
        check_table(x)?;
        let row = x.dims().get(1..).unwrap_or_default();
        if row != self.row {
            let must = format!("{:?}, as that of the first row", self.row);
            return Err(Error::invalid(format!("{}the shape of a row", self.name), must, format!("{row:?}")));
        }
        let on_cpu = on_cpu(x)?;
        let (width, inner) = (self.row.iter().product(), self.inner());
        let columns = self.pass.clone();
        let bad = match self.running() {
            Some(columns) => Elements::of(&on_cpu)?.run(AddEach { width, inner, columns })?,
            None => {
                let (values, scalings) = (&mut self.values, &self.scalings);
                Elements::of(&on_cpu)?.run(Gather { width, inner, columns, values, scalings })?
            }
        };
        match bad {
            None => Ok(()),
            Some((at, value)) => {
                let mut within = position(at % width, &self.row);
                if let ([column], Some(of)) = (within.as_mut_slice(), self.numbers.get(at % width)) {
                    *column = *of;
                }
                let what = format!("{}{}", self.name, place(number(at / width), &within));
                Err(Error::invalid(what, "finite", value))
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<FittedScaling> {
        for (column, running) in self.running.take().map(|(columns, _)| columns).unwrap_or_default() {
            let fitted = running.finish()?;
            let number = self.numbers.get(column).copied().unwrap_or(column);
            self.check(&fitted, number)?;
            if let Some(place) = self.fitted.get_mut(column) {
                *place = fitted;
            }
        }
        FittedScaling::new(self.fitted)
    }

    fn check(&self, column: &FittedColumn, number: usize) -> Result<()> {
        column.check(number).map_err(|e| Error::invalid(format!("{}the scaling", self.name), "possible", e))
    }
}

/// Adds the values of columns that are fitted value by value. Returns the position of the first one that is not finite, and
/// the value.
struct AddEach<'a> {
    /// The number of values of a row.
    width: usize,
    /// The number of values of a column in a row.
    inner: usize,
    columns: &'a mut [(usize, Running)],
}

impl FloatLoop for AddEach<'_> {
    type Out = Option<(usize, f64)>;

    fn run<T: WithDType>(
        self,
        elements: &[T],
        load: impl Fn(T) -> f64 + Copy,
        _: impl Fn(f64) -> T + Copy,
    ) -> Result<Self::Out> {
        let Self { width, inner, columns } = self;
        for (row, cells) in elements.chunks_exact(width).enumerate() {
            for (column, running) in &mut *columns {
                let from = *column * inner;
                for (at, x) in cells.get(from..from + inner).unwrap_or_default().iter().enumerate() {
                    let x = load(*x);
                    if !x.is_finite() {
                        return Ok(Some((row * width + from + at, x)));
                    }
                    running.add(x);
                }
            }
        }
        Ok(None)
    }
}

/// Appends the values of some columns. Returns the position of the first one that is not finite, and the value.
struct Gather<'a, 's> {
    /// The number of values of a row.
    width: usize,
    /// The number of values of a column in a row.
    inner: usize,
    columns: Range<usize>,
    values: &'a mut [Vec<f64>],
    scalings: &'a [Option<&'s Scaling>],
}

impl FloatLoop for Gather<'_, '_> {
    type Out = Option<(usize, f64)>;

    fn run<T: WithDType>(
        self,
        elements: &[T],
        load: impl Fn(T) -> f64 + Copy,
        _: impl Fn(f64) -> T + Copy,
    ) -> Result<Self::Out> {
        let Self { width, inner, columns, values, scalings } = self;
        let scaled = |column: &usize| scalings.get(*column).is_some_and(Option::is_some);
        let scaled: Vec<usize> = columns.clone().filter(scaled).collect();
        for (row, cells) in elements.chunks_exact(width).enumerate() {
            for column in &scaled {
                let from = column * inner;
                let cells = cells.get(from..from + inner).unwrap_or_default();
                let Some(to) = values.get_mut(column - columns.start) else { continue };
                for (at, x) in cells.iter().map(|x| load(*x)).enumerate() {
                    if !x.is_finite() {
                        return Ok(Some((row * width + from + at, x)));
                    }
                    to.push(x);
                }
            }
        }
        Ok(None)
    }
}
