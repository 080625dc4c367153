//! Held-out predictions of a pool that need not fit in memory.
use crate::{
    combine::Combiner,
    data::{positions::FlatTargets, Task},
    ensemble::Ensemble,
    kernels::{cpu, rows::select},
    pool::{slots, Pool},
    predictions::{
        on_disk::{About, AboutRows, SlotWriter},
        passes::Source,
        unseen::Unseen,
        HeldOutFile,
    },
    store::member::leading,
    train::Learner,
    Error, Result, Rows,
};
use candle_core::DType;
use std::path::Path;

/// The place of a row that is not predicted.
const NONE: u32 = u32::MAX;

impl<L: Learner> Pool<'_, L> {
    /// Writes the predictions of members for rows that did not shape them to a file, for a table that does not fit in memory.
    ///
    /// They are those of [`held_out`](Self::held_out), without rows of weight 0; predictions of classes are f32. Networks are
    /// built one after the other, a few at the same time, and each predicts all its rows before the next. The memory is that
    /// of these networks and of one slot's predictions for all rows, in f64. The file gets its name when it is complete.
    ///
    /// ```
    /// # use candle_core::{Device, Tensor};
    /// # use candle_ensemble::{combine::*, data::TensorDataset, strategy::Bagging, train::Trainer, Session};
    /// # let folder = tempfile::tempdir()?;
    /// # let x = Tensor::arange(0f32, 80., &Device::Cpu)?.affine(0.02, -0.8)?.reshape((40, 2))?;
    /// # let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
    /// # let trainer = Trainer::new(|vb| candle_nn::linear(2, 1, vb)).epochs(2);
    /// let pool = Session::new(&trainer, &data).fit(&Bagging::new(5), 42)?;
    /// let file = pool.held_out_on_disk(folder.path().join("out-of-bag.heldout"))?;
    /// assert_eq!(file.rows(), pool.held_out()?.rows().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`held_out`](Self::held_out), when rows have several positions, when a prediction or a target is not finite, and
    /// [`Error::Io`] when the file cannot be written.
    pub fn held_out_on_disk(&self, path: impl AsRef<Path>) -> Result<HeldOutFile> {
        self.refuse_unknown()?;
        self.data.positions().check_one("held-out predictions on disk")?;
        let (data, task) = (self.data, self.data.task());
        let mut members = leading(self.members.iter().filter(|m| !m.record.refit));
        members.sort_by_key(|member| member.record.slot);
        let all: Rows = (0..data.rows() as u32).collect();
        let pass_rows = self.passes(Source::Rows(data, &all)).size;
        let (learner, new_data, device) = (self.learner, self.new_data, &self.device);
        let all_members = &*self.members;
        let unseen = Unseen { members, all: all_members, learner, data, new_data, device, pass_rows };
        let rows = self.about_rows(unseen.predicted_rows())?;
        let slots = slots(&self.members);
        let about = About {
            task,
            wide: matches!(task, Task::Regression { .. }) && learner.dtype() == DType::F64,
            names: self.names(),
            costs: self.costs(),
            seed: self.seed,
            total_rows: data.rows(),
            partial: !unseen.is_complete(&slots, &rows.numbers),
        };
        let mut places = vec![NONE; data.rows()];
        rows.numbers.iter().zip(0..).for_each(|(row, place)| places[*row as usize] = place);
        let count = rows.numbers.len();
        let mut writer = SlotWriter::create(path.as_ref(), about, rows)?;
        let mut slot = SlotMeans::new(count, task.width(), learner.dtype() == DType::F64);
        let mut written = 0;
        unseen.predict(
            |_, predicted| Ok(predicted),
            |member, rows, predicted| {
                while slots.get(written).is_some_and(|slot| *slot < member.record.slot) {
                    slot.write(&mut writer)?;
                    written += 1;
                }
                let places: Vec<u32> = rows.iter().map(|row| places[*row as usize]).collect();
                cpu::with_slice(&predicted, |predicted: &[f64]| slot.add(&places, predicted))?.map_err(
                    |(at, value)| {
                        let what = format!("prediction of {} for row {}", member.record.key, rows[at]);
                        Error::invalid(what, "finite", value)
                    },
                )
            },
        )?;
        for _ in written..slots.len() {
            slot.write(&mut writer)?;
        }
        writer.finish()
    }

    /// The targets of those of these rows that have a weight above 0.
    fn about_rows(&self, mut rows: Rows) -> Result<AboutRows> {
        let total_rows = self.data.rows();
        let none = || Error::HeldOut { combiner: "the combiner".into(), need: 1, have: 0, rows: total_rows };
        if rows.is_empty() {
            return Err(none());
        }
        let mut flat = FlatTargets::read(self.data, &rows, &self.device)?;
        let weights = match &flat.weights {
            Some(weights) => Some(weights.to_dtype(DType::F64)?.to_vec1::<f64>()?),
            None => None,
        };
        if let Some(weights) = &weights {
            let kept: Vec<u32> =
                (0..).zip(weights).filter(|(_, weight)| **weight > 0.).map(|(place, _)| place).collect();
            if kept.is_empty() {
                return Err(Error::invalid("sum of the weights of the held-out rows", "positive", 0));
            }
            rows = kept.iter().map(|place| rows[*place as usize]).collect();
            flat.targets = select(&flat.targets, &kept)?;
        }
        let weights = weights.map(|weights| weights.into_iter().filter(|weight| *weight > 0.).collect());
        let mut about = AboutRows::of_targets(self.data.task(), &flat.targets)?;
        about.groups = self.data.groups().map(|all| rows.iter().map(|row| all[*row as usize]).collect());
        Ok(AboutRows { weights, numbers: rows, ..about })
    }

    /// Fits a combiner on held-out predictions of this pool on disk, in passes over the file where the rule allows it
    /// ([`Combiner::fit_on_disk`]), and puts it together with the members into an ensemble.
    ///
    /// # Errors
    /// When the file is of other members or of other data; as [`Combiner::fit_on_disk`].
    pub fn combine_on_disk<C: Combiner>(
        &self,
        combiner: &C,
        file: &HeldOutFile,
    ) -> Result<Ensemble<L::Network, C::Fitted>> {
        let what = |part: &str| format!("{part} of {}", file.path().display());
        let (task, rows) = (self.data.task(), self.data.rows());
        if file.task() != task {
            return Err(Error::invalid(what("the task"), format!("that of the pool, {task}"), file.task()));
        }
        let names = self.names();
        if let Some((_, name)) = names.iter().zip(file.names()).find(|(own, name)| own != name) {
            return Err(Error::invalid(
                what("a member"),
                "that of the pool at its place",
                format!("{name:?}"),
            ));
        }
        if file.slots() != names.len() {
            let must = format!("{}, as in the pool", names.len());
            return Err(Error::invalid(what("the number of slots"), must, file.slots()));
        }
        if file.total_rows() != rows {
            let must = format!("{rows}, as in the data of the pool");
            return Err(Error::invalid(what("the number of rows"), must, file.total_rows()));
        }
        self.ensemble(combiner.fit_on_disk(file)?)
    }
}

/// The mean prediction of a slot's members for each row.
struct SlotMeans {
    /// `(R, C)`.
    sums: Vec<f64>,
    counts: Vec<f32>,
    width: usize,
    /// Whether sums are those of f64 numbers; otherwise each is rounded to f32.
    wide: bool,
}

impl SlotMeans {
    fn new(rows: usize, width: usize, wide: bool) -> Self {
        Self { sums: vec![0.; rows * width], counts: vec![0.; rows], width, wide }
    }

    /// Adds the predictions of a member for the rows at these places; the place of one that is not finite, and itself.
    fn add(&mut self, places: &[u32], predicted: &[f64]) -> std::result::Result<(), (usize, f64)> {
        for (at, (place, predicted)) in places.iter().zip(predicted.chunks_exact(self.width)).enumerate() {
            if let Some(value) = predicted.iter().find(|x| !x.is_finite()) {
                return Err((at, *value));
            }
            if *place == NONE {
                continue;
            }
            let place = *place as usize;
            self.counts[place] += 1.;
            let sums = self.sums[place * self.width..].iter_mut().zip(predicted);
            match self.wide {
                true => sums.for_each(|(sum, x)| *sum += x),
                false => sums.for_each(|(sum, x)| *sum = f64::from((*sum + x) as f32)),
            }
        }
        Ok(())
    }

    /// Writes the means of a slot and begins the next one.
    fn write(&mut self, writer: &mut SlotWriter) -> Result<()> {
        for (sums, count) in self.sums.chunks_exact_mut(self.width).zip(&self.counts) {
            if *count > 1. {
                sums.iter_mut().for_each(|sum| *sum /= f64::from(*count));
            }
        }
        writer.put(&self.sums, &self.counts)?;
        self.sums.fill(0.);
        self.counts.fill(0.);
        Ok(())
    }
}
