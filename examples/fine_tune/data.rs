//! Images to train on first, and images of other classes with few rows each.
use crate::{digits, letters, program::Failure};
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::{Dataset, TensorDataset},
    Seed,
};
use rand::seq::SliceRandom;
use std::{fs, path::Path};

/// The most images of a file that are used.
const MOST: usize = 20_000;
/// The most rows to test on.
const MOST_TEST: usize = 2000;

/// Images `(rows, 1, side, side)` whose pixels are from 0 to 1, to train on first and to fine-tune on.
pub struct Images {
    pub side: usize,
    pub source: TensorDataset,
    pub target: TensorDataset,
}

/// The rows of the target.
pub struct Rows {
    /// A few of each class.
    pub few: Vec<u32>,
    /// As many others, on which soups are chosen.
    pub valid: Vec<u32>,
    /// Rows of the second half, which are the same for every draw.
    pub test: Vec<u32>,
}

impl Images {
    /// Letters that were drawn with fonts, and then handwritten digits.
    pub fn letters_and_digits() -> Result<Self, Failure> {
        let shape = [1, 8, 8];
        let [source, target] = [letters::letters(&shape)?, digits::digits(&shape)?];
        let from_zero = |data: &TensorDataset| data.with_inputs((data.inputs().only()?.affine(0.5, 0.5))?);
        Ok(Self { side: 8, source: from_zero(&source)?, target: from_zero(&target)? })
    }

    /// The images of a folder with files in the format of MNIST and Fashion-MNIST: first those of the lower half of the
    /// classes, and then the others.
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
        let ([labelled], labels) = idx::<1>("the labels", &labels?)?;
        if rows != labelled || side != width {
            return Err(format!(
                "the files must have a label for each square image, but have {labelled} labels and {rows} images of \
                 {side} by {width}"
            )
            .into());
        }
        let rows = rows.min(MOST);
        let pixels = pixels.iter().take(rows * side * side).map(|pixel| f32::from(*pixel) / 255.).collect();
        let x = Tensor::from_vec(pixels, (rows, 1, side, side), &Device::Cpu)?;
        let labels: Vec<u32> = labels.iter().take(rows).map(|label| u32::from(*label)).collect();
        let half = labels.iter().max().map_or(0, |most| most.div_ceil(2));
        let part = |of: &dyn Fn(u32) -> bool, first: u32| -> Result<TensorDataset, Failure> {
            let of_part = labels.iter().zip(0..).filter(|(label, _)| of(**label));
            let (labels, rows): (Vec<u32>, Vec<u32>) =
                of_part.map(|(label, row)| (label - first, row)).unzip();
            let rows = Tensor::new(rows, &Device::Cpu)?;
            Ok(TensorDataset::classification(x.index_select(&rows, 0)?, &Tensor::new(labels, &Device::Cpu)?)?)
        };
        Ok(Self {
            side,
            source: part(&|label| label < half, 0)?,
            target: part(&|label| label >= half, half)?,
        })
    }

    /// Rows of the target: `few` of each class to train on and as many to choose by, drawn from the first half, and the
    /// second half to test on. The digits of the two halves were written by different people.
    pub fn draw(&self, few: usize, seed: Seed) -> Result<Rows, Failure> {
        let half = (self.target.rows() / 2) as u32;
        let labels = self.target.labels().unwrap_or_default();
        let mut order: Vec<u32> = (0..half).collect();
        order.shuffle(&mut seed.rng());
        let mut counts = vec![0; classes(&self.target)];
        let test = (half..).take(MOST_TEST.min(self.target.rows() - half as usize)).collect();
        let mut rows = Rows { few: vec![], valid: vec![], test };
        for row in order {
            let count = &mut counts[labels[row as usize] as usize];
            *count += 1;
            match *count {
                count if count <= few => rows.few.push(row),
                count if count <= 2 * few => rows.valid.push(row),
                _ => {}
            }
        }
        let least = counts.iter().min().copied().unwrap_or(0);
        match least >= 2 * few {
            true => Ok(rows),
            false => Err(format!(
                "--rows must be at most {}, half of the images of the rarest class in the first half of the rows",
                least / 2
            )
            .into()),
        }
    }
}

pub fn classes(data: &TensorDataset) -> usize {
    data.classes().unwrap_or_default()
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
