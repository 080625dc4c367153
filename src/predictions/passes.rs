//! Passes over the rows of tensors or of a data set, batch by batch.
use crate::{
    data::{
        positions::{pass_rows, FlatTargets},
        Dataset, Inputs, Positions, Purpose, Task,
    },
    kernels::finite::bad_rows,
    observe::{Event, Flow, Observer, Silent},
    predictions::workers::Workers,
    threads::in_order,
    Error, Result,
};
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use std::{collections::BTreeSet, ops::Range};

/// The rows of a pass, where nothing else is said.
pub(crate) const ROWS: usize = 1024;

/// Where the rows come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// Tensors in memory.
    Inputs(&'a Inputs),
    /// These rows of a data set.
    Rows(&'a dyn Dataset, &'a [u32]),
}

impl Source<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::Inputs(inputs) => inputs.rows(),
            Self::Rows(_, rows) => rows.len(),
        }
    }

    /// The number of the row at this position.
    fn number(&self, position: usize) -> usize {
        match self {
            Self::Inputs(_) => position,
            Self::Rows(_, rows) => rows.get(position).map_or(position, |row| *row as usize),
        }
    }

    /// The inputs of the first row.
    fn first(&self) -> CandleResult<Inputs> {
        match self {
            Self::Inputs(inputs) => inputs.narrow(0, 1),
            Self::Rows(data, rows) => Ok(data.batch(rows.get(..1).unwrap_or_default(), &Device::Cpu)?.inputs),
        }
    }

    fn pass(&self, start: usize, len: usize, device: &Device) -> CandleResult<Pass> {
        match self {
            Self::Inputs(inputs) => {
                let inputs = inputs.narrow(start, len)?.to_device(device)?;
                Ok(Pass { start, inputs, targets: None, weights: None })
            }
            Self::Rows(data, rows) => {
                // Passes run on several threads, and each tells of as many rows as it reads.
                let (ahead, read) = (data.read_ahead_rows(), start..start + len);
                if ahead > 0
                    && let Some(soon) = rows.get(start + ahead..(start + ahead + len).min(rows.len()))
                {
                    data.read_ahead(soon);
                }
                let batch = data.batch_for(Purpose::Scoring, &rows[read], device)?;
                Ok(Pass { start, inputs: batch.inputs, targets: Some(batch.targets), weights: batch.weights })
            }
        }
    }
}

/// The rows of one pass.
pub(crate) struct Pass {
    /// The position of the first row.
    pub(crate) start: usize,
    pub(crate) inputs: Inputs,
    pub(crate) targets: Option<Tensor>,
    pub(crate) weights: Option<Tensor>,
}

impl Pass {
    /// The places of its rows among all rows of the passes.
    pub(crate) fn places(&self) -> Range<usize> {
        self.start..self.start + self.inputs.rows()
    }

    /// The targets and the weights of the positions of its rows, if it has targets and one of them has a class. With one
    /// position a row, they are those of the rows.
    pub(crate) fn positions(&self, positions: Positions) -> Result<Option<FlatTargets>> {
        match &self.targets {
            None => Ok(None),
            Some(targets) => FlatTargets::of_some(targets, self.weights.as_ref(), positions),
        }
    }
}

/// How rows are divided into passes, and what is checked. No more than the inputs of a few passes for each thread are in
/// memory.
#[derive(Clone, Copy)]
pub(crate) struct Passes<'a> {
    pub(crate) source: Source<'a>,
    /// Rows of a pass, at least 1.
    pub(crate) size: usize,
    pub(crate) device: &'a Device,
    /// Whether NaN may occur in inputs and predictions; otherwise it is an error that names the row.
    pub(crate) allow_nan: bool,
    pub(crate) observer: &'a dyn Observer,
}

impl<'a> Passes<'a> {
    pub(crate) fn new(source: Source<'a>, size: usize, device: &'a Device) -> Self {
        Self { source, size: size.max(1), device, allow_nan: false, observer: &Silent }
    }

    /// With fewer rows in a pass where rows have many positions, so that the outputs of a pass stay small.
    pub(crate) fn limited(self, kind: (Task, Positions)) -> Self {
        Self { size: pass_rows(self.size, kind, || self.source.first()), ..self }
    }

    pub(crate) fn allow_nan(self, allow_nan: bool) -> Self {
        Self { allow_nan, ..self }
    }

    pub(crate) fn observer(self, observer: &'a dyn Observer) -> Self {
        Self { observer, ..self }
    }

    /// Runs `run` on each pass, on several threads where that pays, and gives the passes with what came of them to
    /// `take`, in order and on the calling thread. A pass is the same work on any number of threads, so the results
    /// are the same to the bit.
    pub(crate) fn spread<W, T: Send>(
        &self,
        workers: &Workers<'_, W>,
        run: impl Fn(&W, &Inputs) -> CandleResult<T> + Sync,
        mut take: impl FnMut(Pass, T) -> Result<()>,
    ) -> Result<()> {
        let of = self.source.rows();
        if of == 0 {
            return Err(Error::invalid("number of rows of the inputs", "at least 1", 0));
        }
        let (run, build) = (&run, workers.build());
        let helper = || {
            let networks = build?().ok()?;
            Some(move |number| self.one(number, |inputs| run(&networks, inputs)))
        };
        let own = |number| self.one(number, |inputs| run(workers.own(), inputs));
        in_order(of.div_ceil(self.size), workers.threads_for(of), helper, own, |(pass, output)| {
            let rows = pass.start.saturating_add(self.size).min(of);
            take(pass, output)?;
            let flow = self.observer.notify(&Event::RowsPredicted { rows, of });
            if flow == Flow::Stop && rows < of {
                Err(Error::Stopped { rows, of })
            } else {
                Ok(())
            }
        })
    }

    /// Reads and checks the pass with this number, and runs it.
    pub(super) fn one<T>(
        &self,
        number: usize,
        run: impl Fn(&Inputs) -> CandleResult<T>,
    ) -> Result<(Pass, T)> {
        let start = number * self.size;
        let len = self.size.min(self.source.rows() - start);
        let pass = self.source.pass(start, len, self.device)?;
        self.check_inputs(&pass)?;
        let output = run(&pass.inputs)?;
        Ok((pass, output))
    }

    /// As training does, which refuses data that is not finite. A network may hide NaN: the greater of NaN and
    /// 0, which is what ReLU computes, is 0.
    fn check_inputs(&self, pass: &Pass) -> Result<()> {
        if self.allow_nan {
            return Ok(());
        }
        let named = pass.inputs.names().zip(pass.inputs.tensors());
        for (name, tensor) in named.filter(|(_, tensor)| tensor.rank() > 0) {
            if let Some(row) = bad_rows(tensor, 0, true)?.first() {
                let values = tensor.get(*row)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
                let value = values.into_iter().find(|x| !x.is_finite()).unwrap_or(f64::NAN);
                let what = format!("{name}, row {}", self.source.number(pass.start + row));
                return Err(Error::invalid(what, "finite", value));
            }
        }
        Ok(())
    }

    /// Checks that no prediction is NaN; the rows are those from position `start` on, each with `per_row` predictions.
    pub(crate) fn check_predicted(
        &self,
        predicted: &Tensor,
        dim: usize,
        (start, per_row): (usize, usize),
    ) -> Result<()> {
        if self.allow_nan {
            return Ok(());
        }
        match bad_rows(predicted, dim, false)?.first() {
            None => Ok(()),
            Some(prediction) => {
                let row = prediction / per_row.max(1);
                let what = format!("the prediction of row {}", self.source.number(start + row));
                Err(Error::invalid(what, "a number", f64::NAN))
            }
        }
    }
}

/// The rows whose inputs hold NaN.
pub(crate) fn nan_rows(inputs: &Inputs) -> CandleResult<BTreeSet<usize>> {
    let tensors = inputs.tensors().iter().filter(|tensor| tensor.rank() > 0);
    let rows = tensors.map(|tensor| bad_rows(tensor, 0, false)).collect::<CandleResult<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// `predicted`, `(B, C)`, with NaN in these rows.
pub(crate) fn with_nan(predicted: Tensor, rows: &BTreeSet<usize>) -> CandleResult<Tensor> {
    if rows.is_empty() {
        return Ok(predicted);
    }
    let count = predicted.dim(0)?;
    let marks: Vec<f32> = (0..count).map(|row| if rows.contains(&row) { f32::NAN } else { 0. }).collect();
    let marks = Tensor::from_vec(marks, (count, 1), predicted.device())?.to_dtype(predicted.dtype())?;
    predicted.broadcast_add(&marks)
}

/// Concatenates tensors; a single one is not copied.
pub(crate) fn concat(mut parts: Vec<Tensor>, dim: usize) -> CandleResult<Tensor> {
    match parts.len() {
        1 => Ok(parts.swap_remove(0)),
        _ => Tensor::cat(&parts, dim),
    }
}
