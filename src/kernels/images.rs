//! Copies of the pixels of images `(B, C, H, W)` of any type: to other places, and of rectangles.
use crate::{
    kernels::cpu::{contiguous, on_values},
    Result,
};
use candle_core::{Device, Tensor, WithDType};
use std::ops::Range;

/// Where each pixel of an image comes from: row and column `from + y · by_row + x · by_column` for the pixel in row `y` and
/// column `x`. Flips, shifts and turns are of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) from: [i64; 2],
    pub(crate) by_row: [i64; 2],
    pub(crate) by_column: [i64; 2],
}

impl Source {
    /// Every pixel stays where it is.
    pub(crate) const SAME: Self = Self { from: [0, 0], by_row: [1, 0], by_column: [0, 1] };
}

/// A rectangle of pixels: of rows, and of columns.
pub(crate) type Rectangle = [Range<usize>; 2];

/// The images with all pixels moved, those of each image in its own way. A pixel that comes from outside of the image is
/// `outside`.
///
/// # Errors
/// When there are no four dimensions, or the type is none of candle's usual ones.
pub(crate) fn moved(images: &Tensor, sources: &[Source], outside: f64) -> Result<Tensor> {
    let (_, _, height, width) = images.dims4()?;
    let on_cpu = contiguous(images)?;
    let moved = on_values!(on_cpu, pixels => {
        let mut moved = vec![WithDType::from_f64(outside); pixels.len()];
        let image = (pixels.len() / sources.len().max(1)).max(1);
        let of_images = pixels.chunks_exact(image).zip(moved.chunks_exact_mut(image));
        for ((from, to), source) in of_images.zip(sources) {
            let plane = (height * width).max(1);
            for (from, to) in from.chunks_exact(plane).zip(to.chunks_exact_mut(plane)) {
                move_plane(from, to, [height, width], *source);
            }
        }
        Ok(Tensor::from_vec(moved, images.shape(), &Device::Cpu)?)
    })?;
    Ok(moved.to_device(images.device())?)
}

/// The images with a rectangle of each replaced by 0, or by the same rectangle of the image whose number stands beside it.
///
/// # Errors
/// As [`moved`].
pub(crate) fn with_rectangles(images: &Tensor, of: &[(Rectangle, Option<u32>)]) -> Result<Tensor> {
    let (_, _, height, width) = images.dims4()?;
    let on_cpu = contiguous(images)?;
    let replaced = on_values!(on_cpu, pixels => {
        let mut replaced = pixels.to_vec();
        let image = (pixels.len() / of.len().max(1)).max(1);
        for (to, ([rows, columns], other)) in replaced.chunks_exact_mut(image).zip(of) {
            let from = other.and_then(|other| pixels.get(other as usize * image..(other as usize + 1) * image));
            for start in (0..image).step_by((height * width).max(1)) {
                for row in rows.clone() {
                    let line = start + row * width;
                    let line = line + columns.start..line + columns.end;
                    let Some(to) = to.get_mut(line.clone()) else { continue };
                    match from.and_then(|from| from.get(line)) {
                        Some(from) => to.copy_from_slice(from),
                        None => to.fill(Default::default()),
                    }
                }
            }
        }
        Ok(Tensor::from_vec(replaced, images.shape(), &Device::Cpu)?)
    })?;
    Ok(replaced.to_device(images.device())?)
}

/// Moves the pixels of one channel of an image to a channel whose pixels are all from outside.
fn move_plane<T: Copy>(from: &[T], to: &mut [T], [height, width]: [usize; 2], source: Source) {
    let Source { from: [top, left], by_row, by_column } = source;
    for (y, line) in (0..).zip(to.chunks_exact_mut(width.max(1))) {
        let [top, left] = [top + y * by_row[0], left + y * by_row[1]];
        if by_column == [0, 1] {
            // A shift: the part of the line that is in the image, in one piece.
            let start = left.clamp(0, width as i64);
            let end = (left + width as i64).clamp(start, width as i64);
            let Some(row) = within(top, height) else { continue };
            let (start_to, length) = ((start - left) as usize, (end - start) as usize);
            let start = row * width + start as usize;
            let parts = (from.get(start..start + length), line.get_mut(start_to..start_to + length));
            if let (Some(from), Some(to)) = parts {
                to.copy_from_slice(from);
            }
            continue;
        }
        for (x, to) in (0..).zip(line) {
            let place = (within(top + x * by_column[0], height), within(left + x * by_column[1], width));
            let (Some(row), Some(column)) = place else { continue };
            if let Some(pixel) = from.get(row * width + column) {
                *to = *pixel;
            }
        }
    }
}

/// The coordinate, if it is in an image of this size.
fn within(coordinate: i64, size: usize) -> Option<usize> {
    usize::try_from(coordinate).ok().filter(|coordinate| *coordinate < size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;
    use proptest::prelude::*;

    fn numbers(t: &Tensor) -> Vec<f64> {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    proptest! {
        /// Against the definition, pixel by pixel.
        #[test]
        fn pixels_come_from_their_sources(
            dims in prop::array::uniform4(1usize..5),
            numbers_of in prop::collection::vec(prop::array::uniform6(-1i64..2), 4),
            shift in -3i64..4,
            dtype in prop::sample::select(&[DType::U8, DType::F16, DType::F32, DType::F64, DType::I64][..]),
            outside in 0u8..9,
        ) {
            let [rows, channels, height, width] = dims;
            let count = dims.iter().product::<usize>() as u32;
            let images = Tensor::arange(1u32, count + 1, &Device::Cpu).unwrap().reshape(&dims[..]).unwrap();
            let images = images.to_dtype(dtype).unwrap();
            let sources: Vec<Source> = numbers_of.iter().take(rows).map(|n| Source {
                from: [n[0] + shift, n[1] - shift],
                by_row: [n[2], n[3]],
                by_column: if n[4] == 1 { [0, 1] } else { [n[4], n[5]] },
            }).collect();
            let outside = f64::from(outside);
            let got = numbers(&moved(&images, &sources, outside).unwrap());
            let pixels = numbers(&images);
            let mut at = 0;
            for (row, source) in sources.iter().enumerate() {
                for channel in 0..channels {
                    for y in 0..height as i64 {
                        for x in 0..width as i64 {
                            let [fy, fx] = [0, 1].map(|i| {
                                source.from[i] + y * source.by_row[i] + x * source.by_column[i]
                            });
                            let inside = (0..height as i64).contains(&fy) && (0..width as i64).contains(&fx);
                            let place = ((row * channels + channel) * height) as i64;
                            let expected = match inside {
                                true => pixels[((place + fy) * width as i64 + fx) as usize],
                                false => outside,
                            };
                            prop_assert_eq!(got[at], expected);
                            at += 1;
                        }
                    }
                }
            }
            prop_assert_eq!(at, got.len());
        }
    }

    #[test]
    fn a_rectangle_is_that_of_another_image_or_zero() {
        let images = Tensor::arange(1f32, 25., &Device::Cpu).unwrap().reshape((2, 2, 2, 3)).unwrap();
        let of = [([0..1, 1..3], Some(1)), ([0..2, 0..1], None)];
        let got = numbers(&with_rectangles(&images, &of).unwrap());
        let first = [1., 14., 15., 4., 5., 6., 7., 20., 21., 10., 11., 12.];
        let second = [0., 14., 15., 0., 17., 18., 0., 20., 21., 0., 23., 24.];
        assert_eq!(got, [first, second].concat());
        let nothing = [([0..0, 0..0], Some(1)), ([2..2, 1..1], None)];
        assert_eq!(numbers(&with_rectangles(&images, &nothing).unwrap()), numbers(&images));
        // A view is read in the order of its elements.
        let view = images.transpose(0, 1).unwrap();
        let got = numbers(&with_rectangles(&view, &[([0..1, 0..1], Some(1)), ([0..0, 0..0], None)]).unwrap());
        assert_eq!(got[..4], [7., 2., 3., 4.]);
        assert!(with_rectangles(&images.flatten_all().unwrap(), &[]).is_err());
    }
}
