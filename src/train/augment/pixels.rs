//! What the transforms of images share.
use crate::{
    data::Inputs,
    kernels::images::{moved, Rectangle, Source},
    train::augment::MixedBatch,
    Error, Result,
};
use candle_core::Tensor;

/// The height and the width of images.
pub(super) type Size = [usize; 2];

/// The size of images `(B, C, H, W)`.
fn size(tensor: &Tensor) -> Option<Size> {
    match *tensor.dims() {
        [_, _, height, width] => Some([height, width]),
        _ => None,
    }
}

/// The only input, which must be images.
pub(super) fn only_images(batch: &MixedBatch, of: &str) -> Result<(Tensor, Size)> {
    check_targets(batch, of)?;
    match batch.batch.inputs.tensors() {
        [images] if size(images).is_some() => Ok((images.clone(), size(images).unwrap_or_default())),
        others => Err(no_images(others, of, "one tensor of images (B, C, H, W)")),
    }
}

/// Changes every input of images by `change`, which is given their size. Other inputs stay as they are.
pub(super) fn change_images(
    mut batch: MixedBatch,
    of: &str,
    change: impl Fn(&Tensor, Size) -> Result<Tensor>,
) -> Result<MixedBatch> {
    check_targets(&batch, of)?;
    let tensors = batch.batch.inputs.tensors();
    if !tensors.iter().any(|tensor| size(tensor).is_some()) {
        return Err(no_images(tensors, of, "images (B, C, H, W)"));
    }
    let changed = tensors.iter().map(|tensor| match size(tensor) {
        Some(size) => change(tensor, size),
        None => Ok(tensor.clone()),
    });
    let changed = changed.collect::<Result<Vec<_>>>()?;
    batch.batch.inputs = Inputs::from(changed);
    Ok(batch)
}

/// Moves the pixels of every input of images. `source` returns those of the images of a size; one that is `None` stays.
pub(super) fn move_images(
    batch: MixedBatch,
    of: &str,
    sources: impl Fn(usize, Size) -> Result<Vec<Option<Source>>>,
) -> Result<MixedBatch> {
    change_images(batch, of, |images, size| {
        let sources = sources(images.dim(0)?, size)?;
        if sources.iter().all(Option::is_none) {
            return Ok(images.clone());
        }
        let sources: Vec<_> = sources.into_iter().map(|source| source.unwrap_or(Source::SAME)).collect();
        moved(images, &sources)
    })
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

fn no_images(tensors: &[Tensor], of: &str, must: &str) -> Error {
    let shapes: Vec<_> = tensors.iter().map(|tensor| format!("{:?}", tensor.dims())).collect();
    Error::invalid(format!("the inputs of a training with {of}"), must, shapes.join(", "))
}

/// Targets for each pixel would have to be changed with the pixels.
fn check_targets(batch: &MixedBatch, of: &str) -> Result<()> {
    let dims = batch.batch.targets.dims();
    if dims.len() <= 2 {
        return Ok(());
    }
    let what = format!("the targets of a training with {of}");
    Err(Error::invalid(what, "of the whole image: of shape (B,) or (B, K)", format!("{dims:?}")))
}
