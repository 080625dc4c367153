//! Stacks on held-out predictions on disk.
use crate::{
    combine::{
        fit_loaded,
        joint_normal::{JointNormal, WithTargets},
        stack::{
            features::slot_features, learner::MetaMoments, moments::Moments, FittedStack, MetaDataset,
            MetaFeatures, MetaLearner, Stack,
        },
        FittedOn,
    },
    Error, HeldOut, HeldOutFile, Result,
};
use candle_core::Tensor;

/// Fits a stack without inputs: in passes over the moments of the meta-features where the meta-learner needs no more than
/// these, and in memory otherwise. With fewer rows than meta-features it needs the rows.
pub(crate) fn fit<M: MetaLearner>(stack: &Stack<M>, file: &HeldOutFile) -> Result<FittedStack<M::Model>> {
    let (_, count) = MetaFeatures::kept_outputs(file.task());
    if file.rows() < file.slots() * count {
        return fit_loaded(stack, file);
    }
    let mut joint = None;
    let model = stack.learner.fit_moments(&mut || {
        let (distribution, moments) = read(file, stack.features)?;
        joint = Some(distribution);
        Ok(moments)
    })?;
    let (Some(model), Some(joint)) = (model, joint) else { return fit_loaded(stack, file) };
    let (names, on) = (file.names().to_vec(), FittedOn::new(&file.without_rows()?));
    Ok(FittedStack { features: stack.features, names, on, inputs: None, joint, model })
}

/// The joint distribution of the meta-features, from as many rows as a fit in memory takes for it, and the moments of
/// meta-features and targets of all rows, in one pass. Missing meta-features are drawn as in memory.
fn read(file: &HeldOutFile, features: MetaFeatures) -> Result<(JointNormal, MetaMoments)> {
    let (_, count) = MetaFeatures::kept_outputs(file.task());
    let bytes = Moments::bytes(file.slots() * count, file.task().width());
    if bytes > file.memory() {
        let what = format!("the moments of {} meta-features", file.slots() * count);
        let must = format!("at most {} bytes, the limit of HeldOutFile::with_memory", file.memory());
        return Err(Error::invalid(what, must, format!("{bytes} bytes")));
    }
    let sample = file.every(JointNormal::step(file.rows(), file.slots(), count))?;
    let (table, targets) = table_of(&sample, features)?;
    let distribution = WithTargets::of_table(&table, &sample, &targets)?;
    drop((sample, table, targets));
    let (mut sum, mut first): (Option<Moments>, usize) = (None, 0);
    for number in 0..file.chunks() {
        let chunk = file.chunk(number)?;
        let (table, targets) = table_of(&chunk, features)?;
        let table = distribution.draw_table(&table, &chunk, &targets, first)?;
        first += chunk.rows().len();
        let own = Moments::of_all(&MetaDataset::new(table, &chunk), sum.as_ref())?;
        sum = Some(match sum {
            Some(sum) => sum.plus(&own),
            None => own,
        });
    }
    let none = || Error::invalid("number of held-out rows", "at least 1", 0);
    let moments = MetaMoments::new(&sum.ok_or_else(none)?, file.task());
    Ok((distribution.without_targets(), moments))
}

/// The meta-features of rows, and the target of each column of a slot.
fn table_of(held_out: &HeldOut, features: MetaFeatures) -> Result<(Tensor, Vec<Vec<f64>>)> {
    let (first, count) = MetaFeatures::kept_outputs(held_out.predictions().task());
    let targets = held_out.target_columns()?;
    Ok((slot_features(held_out.predictions(), features)?.detach(), targets[first..first + count].to_vec()))
}
