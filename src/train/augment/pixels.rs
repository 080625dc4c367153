//! What the transforms of images share.
use crate::{
    data::{Inputs, Positions},
    kernels::images::{moved, Rectangle, Source},
    train::augment::{mixed::TargetShare, MixedBatch},
    Error, Result,
};
use candle_core::Tensor;
use std::iter;

/// The height and the width of images.
pub(super) type Size = [usize; 2];

/// The size of images `(B, C, H, W)`.
fn size(tensor: &Tensor) -> Option<Size> {
    match *tensor.dims() {
        [_, _, height, width] => Some([height, width]),
        _ => None,
    }
}

/// The sizes of the inputs that are images.
pub(super) fn sizes(batch: &MixedBatch) -> impl Iterator<Item = Size> + '_ {
    batch.batch.inputs.tensors().iter().filter_map(size)
}

/// Checks that one input at least is images.
pub(super) fn has_images(batch: &MixedBatch, of: &str) -> Result<()> {
    match sizes(batch).next() {
        Some(_) => Ok(()),
        None => Err(no_images(batch, of, "images (B, C, H, W)")),
    }
}

/// Checks that one input at least is images, and that targets at positions are those of their pixels.
pub(super) fn check_images(batch: &MixedBatch, of: &str) -> Result<()> {
    has_images(batch, of)?;
    check_targets(batch, of)
}

/// The only input, which must be images, after the same check of targets.
pub(super) fn only_images(batch: &MixedBatch, of: &str) -> Result<(Tensor, Size)> {
    match batch.batch.inputs.tensors() {
        [images] => match size(images) {
            Some(size) => check_targets(batch, of).map(|()| (images.clone(), size)),
            None => Err(no_images(batch, of, ONE_TENSOR)),
        },
        _ => Err(no_images(batch, of, ONE_TENSOR)),
    }
}

/// Changes every input of images by `change`, which is given their size. Other inputs stay as they are.
pub(super) fn change_images(
    mut batch: MixedBatch,
    change: impl Fn(&Tensor, Size) -> Result<Tensor>,
) -> Result<MixedBatch> {
    let changed = batch.batch.inputs.tensors().iter().map(|tensor| match size(tensor) {
        Some(size) => change(tensor, size),
        None => Ok(tensor.clone()),
    });
    let changed = changed.collect::<Result<Vec<_>>>()?;
    batch.batch.inputs = Inputs::from(changed);
    Ok(batch)
}

/// Moves the pixels of every input of images, and the classes of pixels with them. `sources` returns those of the images of
/// a size; one that is `None` stays. A batch that would have no class left stays as it is.
pub(super) fn move_images(
    batch: MixedBatch,
    sources: impl Fn(usize, Size) -> Vec<Option<Source>>,
) -> Result<MixedBatch> {
    let moved_by = |images: &Tensor, size: Size, outside: f64| {
        let sources = sources(images.dim(0)?, size);
        if sources.iter().all(Option::is_none) {
            return Ok(images.clone());
        }
        let sources: Vec<_> = sources.into_iter().map(|source| source.unwrap_or(Source::SAME)).collect();
        moved(images, &sources, outside)
    };
    let changed = change_images(batch.clone(), |images, size| moved_by(images, size, 0.))?;
    let Positions::Many { ignore_index } = batch.positions else { return Ok(changed) };
    let outside = f64::from(ignore_index.unwrap_or_default());
    let changed = change_targets(changed, |targets| {
        let plane = targets.unsqueeze(1)?;
        let Some(size) = size(&plane) else { return Ok(targets.clone()) };
        Ok(moved_by(&plane, size, outside)?.squeeze(1)?)
    })?;
    match all_targets(&changed, |targets| has_class(targets, ignore_index))? {
        true => Ok(changed),
        false => Ok(batch),
    }
}

/// Changes all targets of the rows.
fn change_targets(mut batch: MixedBatch, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<MixedBatch> {
    batch.batch.targets = change(&batch.batch.targets)?;
    for TargetShare { targets, .. } in &mut batch.others {
        *targets = change(targets)?;
    }
    Ok(batch)
}

/// Whether something holds for all targets of the rows.
fn all_targets(batch: &MixedBatch, holds: impl Fn(&Tensor) -> Result<bool>) -> Result<bool> {
    let others = batch.others.iter().map(|other| &other.targets);
    iter::once(&batch.batch.targets).chain(others).try_fold(true, |all, targets| Ok(all && holds(targets)?))
}

/// Whether a position has another class than the ignored one.
fn has_class(targets: &Tensor, ignore_index: Option<u32>) -> Result<bool> {
    let Some(ignored) = ignore_index else { return Ok(true) };
    Ok(targets.ne(ignored)?.flatten_all()?.max(0)?.to_scalar::<u8>()? == 1)
}

/// The rectangle with this centre and these sides, as far as it is within images of this size.
pub(super) fn rectangle(centre: [usize; 2], sides: [usize; 2], size: Size) -> Rectangle {
    [0, 1].map(|axis: usize| {
        let of = |numbers: [usize; 2]| numbers.get(axis).copied().unwrap_or_default();
        let (centre, side, whole) = (of(centre), of(sides), of(size));
        let start = centre.saturating_sub(side / 2).min(whole);
        start..(centre + side - side / 2).min(whole).max(start)
    })
}

const ONE_TENSOR: &str = "one tensor of images (B, C, H, W)";

fn no_images(batch: &MixedBatch, of: &str, must: &str) -> Error {
    let shapes = batch.batch.inputs.tensors().iter().map(|tensor| format!("{:?}", tensor.dims()));
    let shapes: Vec<_> = shapes.collect();
    Error::invalid(format!("the inputs of a training with {of}"), must, shapes.join(", "))
}

/// Checks that targets are of whole images, or of each of their pixels.
fn check_targets(batch: &MixedBatch, of: &str) -> Result<()> {
    let what = || format!("the targets of a training with {of}");
    let dims = batch.batch.targets.dims();
    let Positions::Many { .. } = batch.positions else {
        return match dims.len() <= 2 {
            true => Ok(()),
            false => {
                let must = "of the whole image, of shape (B,) or (B, K), or said to be of positions";
                Err(Error::invalid(what(), must, format!("of shape {dims:?}")))
            }
        };
    };
    match sizes(batch).find(|[height, width]| dims.get(1..) != Some(&[*height, *width])) {
        None => Ok(()),
        Some([height, width]) => {
            let must = format!(
                "of shape (B, {height}, {width}), a class for each pixel, which is moved with it \
                 (Trainer::augment_with takes a transform of yours for others)"
            );
            Err(Error::invalid(what(), must, format!("of shape {dims:?}")))
        }
    }
}
