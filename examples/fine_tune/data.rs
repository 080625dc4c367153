//! Images of two halves of classes.
use crate::program::Failure;
use candle_core::{Device, Tensor};
use candle_ensemble::{data::TensorDataset, Seed};
use rand::seq::SliceRandom;
use std::{fs, path::Path};

/// The classes of each half.
pub const CLASSES: usize = 5;
/// The most images of a file that are used.
const MOST: usize = 20_000;

/// Images `(rows, 1, side, side)` with their classes 0 to 9.
pub struct Images {
    pub side: usize,
    pub data: TensorDataset,
    labels: Vec<u32>,
}

/// The rows of the target half.
pub struct Rows {
    /// A few of each class.
    pub few: Vec<u32>,
    /// As many others, on which soups are chosen.
    pub valid: Vec<u32>,
    /// The others.
    pub test: Vec<u32>,
}

impl Images {
    pub fn new(side: usize, data: TensorDataset) -> Result<Self, Failure> {
        let labels = data.labels().unwrap_or_default().to_vec();
        match data.classes() {
            Some(classes) if classes == 2 * CLASSES => Ok(Self { side, data, labels }),
            _ => Err(format!("the images must be of {} classes", 2 * CLASSES).into()),
        }
    }

    /// Reads the images and labels of a folder with files in the format of MNIST and Fashion-MNIST.
    pub fn of_folder(folder: &Path) -> Result<Self, Failure> {
        let [images, labels] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"].map(|name| {
            let path = folder.join(name);
            fs::read(&path).map_err(|e| {
                format!(
                    "{} cannot be read: {e} (the folder must have the unpacked idx files)",
                    path.display()
                )
            })
        });
        let ([rows, side, width], pixels) = idx::<3>("the images", &images?)?;
        let ([labelled], classes) = idx::<1>("the labels", &labels?)?;
        if rows != labelled || side != width {
            return Err(format!(
                "the files must have a label for each square image, but have {labelled} labels and {rows} images of \
                 {side} by {width}"
            )
            .into());
        }
        let rows = rows.min(MOST);
        let pixels =
            pixels.iter().take(rows * side * side).map(|pixel| f32::from(*pixel) / 127.5 - 1.).collect();
        let x = Tensor::from_vec(pixels, (rows, 1, side, side), &Device::Cpu)?;
        let y = Tensor::from_iter(classes.iter().take(rows).map(|class| u32::from(*class)), &Device::Cpu)?;
        Self::new(side, TensorDataset::classification(x, &y)?)
    }

    /// The numbers of the rows of a half of the classes, in an order that depends on the seed.
    fn rows(&self, of: impl Fn(u32) -> bool, seed: Seed) -> Vec<u32> {
        let numbered = self.labels.iter().zip(0..);
        let mut rows: Vec<u32> = numbered.filter(|(class, _)| of(**class)).map(|(_, row)| row).collect();
        rows.shuffle(&mut seed.rng());
        rows
    }

    /// These rows, whose classes are counted from `first`.
    pub fn part(&self, rows: &[u32], first: usize) -> Result<TensorDataset, Failure> {
        let part = self.data.subset(rows)?;
        let labels = part.labels().unwrap_or_default().iter().map(|class| class - first as u32);
        let labels = Tensor::from_iter(labels, &Device::Cpu)?;
        let inputs = part.inputs().only()?.clone();
        Ok(TensorDataset::classification(inputs, &labels)?.with_classes(CLASSES)?)
    }

    /// Up to `most` rows of the first half of the classes.
    pub fn source(&self, most: usize, seed: Seed) -> Result<TensorDataset, Failure> {
        let mut rows = self.rows(|class| (class as usize) < CLASSES, seed);
        rows.truncate(most);
        self.part(&rows, 0)
    }

    /// The rows of the second half: `few` of each class to train on, as many to choose by, and up to `most` to test on.
    pub fn target(&self, few: usize, most: usize, seed: Seed) -> Result<Rows, Failure> {
        let (mut counts, mut rows) = ([0; CLASSES], Rows { few: vec![], valid: vec![], test: vec![] });
        for row in self.rows(|class| class as usize >= CLASSES, seed) {
            let class = self.labels.get(row as usize).map_or(0, |class| *class as usize) - CLASSES;
            let Some(count) = counts.get_mut(class) else { continue };
            *count += 1;
            match *count {
                count if count <= few => rows.few.push(row),
                count if count <= 2 * few => rows.valid.push(row),
                _ if rows.test.len() < most => rows.test.push(row),
                _ => {}
            }
        }
        match counts.iter().all(|count| *count > 2 * few) {
            true => Ok(rows),
            false => {
                let least = counts.iter().min().copied().unwrap_or(0);
                Err(format!(
                    "--rows must be below {}, half of the images of the rarest class",
                    least.div_ceil(2)
                )
                .into())
            }
        }
    }
}

/// The sizes and the bytes of an idx file of bytes.
fn idx<const N: usize>(what: &str, bytes: &[u8]) -> Result<([usize; N], Vec<u8>), Failure> {
    let foreign =
        || Failure::from(format!("{what} must be an idx file of bytes with {N} dimensions, but are none"));
    let (head, rest) = bytes.split_at_checked(4 + 4 * N).ok_or_else(foreign)?;
    if head[..4] != [0, 0, 8, N as u8] {
        return Err(foreign());
    }
    let mut sizes = [0; N];
    for (size, part) in sizes.iter_mut().zip(head[4..].chunks_exact(4)) {
        *size = part.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    }
    let count = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    match count == Some(rest.len()) && !rest.is_empty() {
        true => Ok((sizes, rest.to_vec())),
        false => Err(format!("{what} must have {sizes:?} bytes, but have {}", rest.len()).into()),
    }
}
