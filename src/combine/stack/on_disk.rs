//! Stacks on held-out predictions on disk.
use crate::{
    combine::{
        fit_loaded,
        joint_normal::JointNormal,
        stack::{
            features::slot_features, learner::MetaMoments, moments::Moments, FittedStack, MetaDataset,
            MetaFeatures, MetaLearner, Stack,
        },
        FittedOn,
    },
    Error, HeldOutFile, Result,
};

/// Fits a stack without inputs: in passes over the moments of the meta-features where the meta-learner needs no more than
/// these, and in memory otherwise. With missing predictions, which are drawn from the rows, and with fewer rows than
/// meta-features, it needs the rows.
pub(crate) fn fit<M: MetaLearner>(stack: &Stack<M>, file: &HeldOutFile) -> Result<FittedStack<M::Model>> {
    let (first, count) = MetaFeatures::kept_outputs(file.task());
    let features = file.slots() * count;
    if file.is_partial() || file.rows() < features {
        return fit_loaded(stack, file);
    }
    let Some(model) = stack.learner.fit_moments(&mut || moments(file, stack.features))? else {
        return fit_loaded(stack, file);
    };
    let sample = file.every(JointNormal::step(file.rows(), file.slots(), count))?;
    let table = slot_features(sample.predictions(), stack.features)?.detach();
    let targets = sample.target_columns()?;
    let (joint, _) = JointNormal::fit_table(&table, &sample, &targets[first..first + count])?;
    let on = FittedOn::new(&file.without_rows()?);
    Ok(FittedStack { features: stack.features, names: file.names().to_vec(), on, inputs: None, joint, model })
}

/// The moments of the meta-features and targets of all rows, in one pass.
fn moments(file: &HeldOutFile, features: MetaFeatures) -> Result<MetaMoments> {
    let (_, count) = MetaFeatures::kept_outputs(file.task());
    let bytes = Moments::bytes(file.slots() * count, file.task().width());
    if bytes > file.memory() {
        let what = format!("the moments of {} meta-features", file.slots() * count);
        let must = format!("at most {} bytes, the limit of HeldOutFile::with_memory", file.memory());
        return Err(Error::invalid(what, must, format!("{bytes} bytes")));
    }
    let mut sum: Option<Moments> = None;
    for number in 0..file.chunks() {
        let chunk = file.chunk(number)?;
        let table = slot_features(chunk.predictions(), features)?.detach();
        let own = Moments::of_all(&MetaDataset::new(table, &chunk), sum.as_ref())?;
        sum = Some(match sum {
            Some(sum) => sum.plus(&own),
            None => own,
        });
    }
    let none = || Error::invalid("number of held-out rows", "at least 1", 0);
    Ok(MetaMoments::new(&sum.ok_or_else(none)?, file.task()))
}
