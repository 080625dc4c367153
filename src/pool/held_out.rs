//! Predictions of members for rows that did not shape them.
use crate::{
    pool::{slots, Pool},
    predictions::{
        kept::{Kept, MOST_NUMBERS},
        live::flat_inputs,
        passes::Source,
        unseen::Unseen,
        Predictions,
    },
    store::member::leading,
    train::Learner,
    HeldOut, Result, Rows,
};
use candle_core::{DType, Tensor};
use std::sync::OnceLock;

impl<L: Learner> Pool<'_, L> {
    /// The predictions of members for rows that did not shape them. They are made on the first call and kept.
    ///
    /// A slot's prediction for a row is the mean over its members that have not seen the row; refit members
    /// take no part. Rows that no slot can predict are left out. For a row that some slots can predict and
    /// others cannot, the predictions of the others are missing ([`Predictions::covered`]).
    ///
    /// Where rows have several positions, each position is a row here, and the positions of a row are one group. Of more
    /// than 2²⁶ probabilities in all, the same number of positions of each row is kept, drawn with the seed of the plan.
    ///
    /// # Errors
    /// [`Error::UnknownRows`] when it is unknown which rows shaped some member: declare them, or use rows that are new to
    /// all members ([`on_new_data`](Self::on_new_data)). [`Error::HeldOut`] when there is no such row. When candle
    /// fails.
    ///
    /// [`Error::UnknownRows`]: crate::Error::UnknownRows
    /// [`Error::HeldOut`]: crate::Error::HeldOut
    pub fn held_out(&self) -> Result<&HeldOut> {
        get_or_make(&self.held_out, || self.predict_held_out())
    }

    fn predict_held_out(&self) -> Result<HeldOut> {
        self.refuse_unknown()?;
        let task = self.data.task();
        // The type of predictions, whatever that of the networks.
        let dtype = if self.learner.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let slots = slots(&self.members);
        let all: Rows = (0..self.data.rows() as u32).collect();
        let of_slot = MOST_NUMBERS / slots.len().max(1);
        let kept = Kept::of(self.data, &all, of_slot, &self.device, self.seed)?;
        let rows = kept.len();
        let mut sums: Vec<_> = slots.iter().map(|_| (None::<Tensor>, vec![0f32; rows])).collect();
        let members = leading(self.members.iter().filter(|m| !m.record.refit));
        let (data, device) = (self.data, &self.device);
        let pass_rows = self.passes(Source::Rows(data, &all)).size;
        let unseen = Unseen {
            members,
            all: &self.members,
            learner: self.learner,
            data,
            new_data: self.new_data,
            device,
            pass_rows,
        };
        unseen.predict(
            |rows, predicted| kept.select(rows, predicted),
            |member, unseen, predicted| {
                let slot = slots.partition_point(|slot| *slot < member.record.slot);
                let Some((sum, count)) = sums.get_mut(slot) else { return Ok(()) };
                let predicted = predicted.to_dtype(dtype)?;
                let before = match sum.take() {
                    Some(sum) => sum,
                    None => Tensor::zeros((rows, predicted.dim(1)?), predicted.dtype(), &self.device)?,
                };
                let places = kept.places(unseen);
                *sum = Some(before.index_add(&Tensor::new(&*places, &self.device)?, &predicted, 0)?);
                for place in &*places {
                    if let Some(n) = count.get_mut(*place as usize) {
                        *n += 1.;
                    }
                }
                Ok(())
            },
        )?;
        let (mut values, mut covered) = (vec![], vec![]);
        for (sum, count) in sums {
            let sum = match sum {
                Some(sum) => sum,
                None => Tensor::zeros((rows, task.width()), dtype, &self.device)?,
            };
            let counts = Tensor::new(count.as_slice(), &self.device)?.to_dtype(sum.dtype())?;
            // 0 / 0 marks a missing prediction.
            values.push(sum.broadcast_div(&counts.unsqueeze(1)?)?);
            covered.push(counts.gt(0f64)?.to_dtype(DType::F32)?);
        }
        let predictions =
            Predictions::partial(Tensor::stack(&values, 0)?, Tensor::stack(&covered, 0)?, task)?;
        let of_slots = (self.names(), self.costs());
        let held_out = kept.held_out(&predictions, (self.data, &all), &self.device, of_slots)?;
        Ok(held_out.with_seed(self.seed))
    }

    /// The held-out predictions, with the inputs of their rows where `inputs` says so.
    pub(crate) fn held_out_for(&self, inputs: bool) -> Result<&HeldOut> {
        match inputs {
            true => get_or_make(&self.held_out_with_inputs, || self.with_inputs(self.held_out()?)),
            false => self.held_out(),
        }
    }

    fn with_inputs(&self, held_out: &HeldOut) -> Result<HeldOut> {
        self.data.positions().check_one("a combiner that reads the inputs of a row")?;
        held_out.clone().with_inputs(&flat_inputs(self.data, held_out.rows(), &self.device)?)
    }
}

/// The content of the cell, made first where it is empty.
fn get_or_make<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}
