use super::*;
use crate::{
    data::{Batch, Inputs},
    train::Loss,
};
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::{prop_assert, prop_assert_eq, prop_assert_ne, proptest};

const CPU: &Device = &Device::Cpu;

fn tensor(numbers: &[f64], shape: &[usize]) -> Tensor {
    Tensor::new(numbers, CPU).unwrap().to_dtype(DType::F32).unwrap().reshape(shape).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

fn batch(inputs: impl Into<Inputs>, targets: Tensor) -> Batch {
    Batch { inputs: inputs.into(), targets, weights: None }
}

/// Images with the numbers 0, 1, … and classes 0, 1, ….
fn images(dims: [usize; 4], dtype: DType) -> Batch {
    let count = dims.iter().product::<usize>() as u32;
    let x = Tensor::arange(0u32, count, CPU).unwrap().reshape(&dims[..]).unwrap();
    batch(x.to_dtype(dtype).unwrap(), Tensor::arange(0u32, dims[0] as u32, CPU).unwrap())
}

fn parse(text: &str) -> BatchTransforms {
    BatchTransforms::parse(text).unwrap()
}

fn transformed(text: &str, batch: &Batch, seed: u64) -> Tensor {
    parse(text).apply(batch.clone(), seed).unwrap().batch.inputs.only().unwrap().clone()
}

fn shares(mixed: &MixedBatch) -> Vec<f64> {
    std::iter::once(mixed.share).chain(mixed.others.iter().map(|other| other.share)).collect()
}

fn close(a: f64, b: f64, tolerance: f64) {
    assert!((a - b).abs() <= tolerance, "{a} {b}");
}

#[test]
fn mixup_is_that_of_a_case_by_hand() {
    let x = tensor(&[0., 10., 4., 20., 8., 40.], &[3, 2]);
    let mut rows = batch(x, Tensor::new(&[0u32, 1, 2], CPU).unwrap());
    rows.weights = Some(tensor(&[1., 2., 3.], &[3]));
    let mixed = mixup::mix(rows.clone().into(), 0.75, &[2, 0, 1]).unwrap();
    assert_eq!(numbers(mixed.batch.inputs.only().unwrap()), [2., 17.5, 3., 17.5, 7., 35.]);
    assert_eq!(numbers(&mixed.batch.targets), [0., 1., 2.]);
    assert_eq!(numbers(mixed.batch.weights.as_ref().unwrap()), [1., 2., 3.]);
    assert_eq!(shares(&mixed), [0.75, 0.25]);
    assert_eq!(numbers(&mixed.others[0].targets), [2., 0., 1.]);
    assert_eq!(numbers(mixed.others[0].weights.as_ref().unwrap()), [3., 1., 2.]);

    // The targets with the larger share come first.
    let mixed = mixup::mix(rows.clone().into(), 0.25, &[2, 0, 1]).unwrap();
    assert_eq!((shares(&mixed), numbers(&mixed.batch.targets)), (vec![0.75, 0.25], vec![2., 0., 1.]));
    // Nothing of the partner, and nothing but the partner.
    for (own, expected) in [(1., [0., 1., 2.]), (0., [2., 0., 1.])] {
        let mixed = mixup::mix(rows.clone().into(), own, &[2, 0, 1]).unwrap();
        assert_eq!((shares(&mixed), numbers(&mixed.batch.targets)), (vec![1.], expected.to_vec()));
    }
    for (own, partners) in [(0.5, &[0, 1, 3][..]), (0.5, &[0, 0, 1]), (0.5, &[1, 0]), (1.5, &[0, 1, 2])] {
        assert!(MixedBatch::from(rows.clone()).mix_targets(own, partners).is_err(), "{own} {partners:?}");
    }
}

#[test]
fn cut_mix_is_that_of_a_case_by_hand() {
    let rows = images([2, 1, 4, 4], DType::F32);
    // Rows 0 and 1, columns 2 and 3: the corner cuts the rectangle off.
    let mixed = cut_mix::mix(rows.into(), [0, 3], [4, 2], &[1, 0]).unwrap();
    let image = |first: f64, other: f64| -> Vec<f64> {
        (0..16)
            .map(|i| if i < 8 && i % 4 >= 2 { other + f64::from(i) } else { first + f64::from(i) })
            .collect()
    };
    assert_eq!(numbers(mixed.batch.inputs.only().unwrap()), [image(0., 16.), image(16., 0.)].concat());
    assert_eq!((shares(&mixed), numbers(&mixed.others[0].targets)), (vec![0.75, 0.25], vec![1., 0.]));
}

/// The loss of every row is the sum over its targets, each with its share and the weight of the row that it is from.
#[test]
fn the_loss_is_that_of_each_row_with_each_of_its_targets() {
    let (seed, text) = (7, "mixup:1,cutmix:1");
    let mut rows = images([4, 1, 4, 4], DType::F32);
    rows.targets = Tensor::new(&[0u32, 1, 2, 1], CPU).unwrap();
    let logits: [f64; 12] = [0.3, -1., 0.4, 2., 0.1, -0.3, 0.2, 0.9, 1.1, -2., 0.5, 0.6];
    for weights in [None, Some([1., 0., 2.5, 0.25])] {
        rows.weights = weights.map(|weights| tensor(&weights, &[4]));
        let mixed = parse(text).apply(rows.clone(), seed).unwrap();
        assert_eq!(mixed.others.len(), 3);
        close(shares(&mixed).iter().sum(), 1., 1e-12);
        assert!(shares(&mixed).windows(2).all(|pair| pair[0] >= pair[1]));
        let first = TargetShare {
            share: mixed.share,
            targets: mixed.batch.targets.clone(),
            weights: mixed.batch.weights.clone(),
        };
        let (mut loss, mut gradient, mut total) = (0., vec![0.; 12], 0.);
        for of in mixed.others.iter().chain([&first]) {
            let targets = of.targets.to_vec1::<u32>().unwrap();
            let weights = of.weights.as_ref().map_or(vec![1.; 4], numbers);
            for row in 0..4 {
                let z = &logits[3 * row..3 * row + 3];
                let sum: f64 = z.iter().map(|z| z.exp()).sum();
                let counts = of.share * weights[row];
                total += counts;
                loss += counts * (sum.ln() - z[targets[row] as usize]);
                for class in 0..3 {
                    let is = f64::from(u8::from(targets[row] as usize == class));
                    gradient[3 * row + class] += counts * (z[class].exp() / sum - is);
                }
            }
        }
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6), (DType::F16, 2e-3)] {
            let output = Tensor::new(&logits, CPU).unwrap().reshape((4, 3)).unwrap();
            let output = Var::from_tensor(&output.to_dtype(dtype).unwrap()).unwrap();
            let mean = |batch: &Batch| {
                Loss::CrossEntropy { smoothing: 0. }.mean(&output, &batch.targets, batch.weights.as_ref())
            };
            let got = mixed.loss(mean).unwrap();
            close(numbers(&got)[0], loss / total, tolerance);
            let store = crate::nn::backward(&got).unwrap();
            for (got, expected) in numbers(store.get(&output).unwrap()).into_iter().zip(&gradient) {
                close(got, expected / total, tolerance);
            }
        }
    }
}

/// For the squared error the gradient is that of the mixed targets.
#[test]
fn the_gradient_of_the_squared_error_is_that_of_mixed_values() {
    let x = tensor(&[1., 2., 5.], &[3, 1]);
    let mixed = mixup::mix(batch(x.clone(), x).into(), 0.7, &[1, 2, 0]).unwrap();
    let output = Var::from_tensor(&Tensor::new(&[[0.5f64], [3.], [-1.]], CPU).unwrap()).unwrap();
    let mean = |batch: &Batch| Loss::MeanSquared.mean(&output, &batch.targets.to_dtype(DType::F64)?, None);
    let store = mixed.loss(mean).unwrap().backward().unwrap();
    let mixed_targets = [0.7 + 0.3 * 2., 0.7 * 2. + 0.3 * 5., 0.7 * 5. + 0.3];
    let outputs = [0.5, 3., -1.];
    for (row, got) in numbers(store.get(&output).unwrap()).into_iter().enumerate() {
        close(got, 2. * (outputs[row] - mixed_targets[row]) / 3., 1e-12);
    }
}

/// Mean and variance of 200 000 draws, within 5 standard errors. The seeds are fixed; for random ones, correct code would
/// fail with probability 1e-6 for each figure.
#[test]
fn shares_have_the_moments_of_the_beta_distribution() {
    for (seed, alpha) in [(1u64, 0.2), (2, 0.4), (3, 1.), (4, 3.)] {
        let (mut rng, n) = (Seed::from(seed).rng(), 200_000);
        let draws: Vec<f64> = (0..n).map(|_| own_share(alpha, &mut rng).unwrap()).collect();
        assert!(draws.iter().all(|share| (0. ..=1.).contains(share)));
        let variance = 1. / (4. * (2. * alpha + 1.));
        let kurtosis = 3. - 6. / (2. * alpha + 3.);
        let mean = |f: &dyn Fn(f64) -> f64| draws.iter().map(|x| f(*x)).sum::<f64>() / f64::from(n);
        close(mean(&|x| x), 0.5, 5. * (variance / f64::from(n)).sqrt());
        let square = mean(&|x| (x - 0.5).powi(2));
        close(square, variance, 5. * variance * ((kurtosis - 1.) / f64::from(n)).sqrt());
    }
    assert!(own_share(f64::NAN, &mut Seed::from(1).rng()).is_err());
}

/// Each row has each partner equally often: a chi-squared statistic of 25 cells, with 16 degrees of freedom, below its
/// quantile at 1 − 1e-6, which is 59.6.
#[test]
fn every_row_is_a_partner_of_every_other_one() {
    let (mut rng, mut counts) = (Seed::from(5).rng(), [[0u32; 5]; 5]);
    for _ in 0..20_000 {
        let partners = partners(5, &mut rng);
        let mut sorted = partners.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
        partners.iter().enumerate().for_each(|(row, partner)| counts[row][*partner as usize] += 1);
    }
    let statistic: f64 = counts.iter().flatten().map(|n| (f64::from(*n) - 4000.).powi(2) / 4000.).sum();
    assert!(statistic < 59.6, "{statistic}");
}

#[test]
fn images_are_mirrored_and_turned_as_by_hand() {
    let rows = images([1, 2, 2, 2], DType::U8);
    for (text, expected) in [
        ("flip:horizontal:1", [1., 0., 3., 2., 5., 4., 7., 6.]),
        ("flip:vertical:1", [2., 3., 0., 1., 6., 7., 4., 5.]),
        ("flip:horizontal:0", [0., 1., 2., 3., 4., 5., 6., 7.]),
    ] {
        let got = transformed(text, &rows, 3);
        assert_eq!((numbers(&got), got.dtype()), (expected.to_vec(), DType::U8), "{text}");
    }
    // 0 1 2    2 5 8
    // 3 4 5 →  1 4 7
    // 6 7 8    0 3 6
    let rows = images([1, 1, 3, 3], DType::F32);
    let turned = |turns| {
        let source = rotate::quarter_turns(turns, 3).unwrap_or(crate::kernels::images::Source::SAME);
        numbers(&crate::kernels::images::moved(rows.inputs.only().unwrap(), &[source], 0.).unwrap())
    };
    let quarter = [2., 5., 8., 1., 4., 7., 0., 3., 6.];
    assert_eq!(turned(1), quarter);
    assert_eq!(turned(2), [8., 7., 6., 5., 4., 3., 2., 1., 0.]);
    assert_eq!(turned(3), quarter.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(turned(4), turned(0));
}

/// The counts of 4000 draws, each within 5 standard errors; correct code with random seeds would fail with probability
/// 6e-7 for each.
#[test]
fn random_transforms_are_as_frequent_as_they_should_be() {
    let n = 4000;
    let frequent = |count: usize, probability: f64| {
        let expected = n as f64 * probability;
        close(count as f64, expected, 5. * (expected * (1. - probability)).sqrt());
    };
    let rows = |height: usize, width: usize| {
        let image = Tensor::arange(1f32, (height * width + 1) as f32, CPU).unwrap();
        let all = image.reshape((1, 1, height, width)).unwrap().repeat((n, 1, 1, 1)).unwrap();
        batch(all, Tensor::zeros(n, DType::U32, CPU).unwrap())
    };
    let count = |text: &str, rows: &Batch, size: usize, is: &dyn Fn(&[f64]) -> bool| {
        numbers(&transformed(text, rows, 11)).chunks_exact(size).filter(|image| is(image)).count()
    };
    let square = rows(2, 2);
    frequent(count("flip:horizontal:0.3", &square, 4, &|image| image[0] == 2.), 0.3);
    for (first, second) in [(1., 2.), (2., 4.), (4., 3.), (3., 1.)] {
        frequent(count("rotate90", &square, 4, &|image| image[..2] == [first, second]), 0.25);
    }
    let wide = rows(3, 4);
    for (row, column) in (0..3).flat_map(|row| (0..3).map(move |column| (row, column))) {
        // A pixel that is within the image after every shift.
        let is = |image: &[f64]| image[row * 4 + column] == 6.;
        frequent(count("crop:1", &wide, 12, &is), 1. / 9.);
    }
    // The centre of a square of side 1 is each pixel alike.
    for pixel in 0..12 {
        frequent(count("cutout:1:0.6", &wide, 12, &|image| image[pixel] == 0.), 0.6 / 12.);
    }
}

proptest! {
    /// Squares are squares, cut off at the border; the share of CutMix is that of the pixels that stay.
    #[test]
    fn shares_and_squares_are_those_of_the_pixels(
        seed: u64, rows in 1usize..6, height in 1usize..7, width in 1usize..7, size in 1usize..9, alpha in 0.1f64..3.,
    ) {
        let of_row: Vec<f64> = (0..rows).map(|row| row as f64 + 1.).collect();
        let images = tensor(&of_row, &[rows, 1, 1, 1]).repeat((1, 2, height, width)).unwrap();
        let all = batch(images, tensor(&of_row, &[rows]));
        let cut = numbers(&transformed(&format!("cutout:{size}"), &all, seed));
        for image in cut.chunks_exact(height * width) {
            let zero = |line: &[f64]| line.iter().filter(|pixel| **pixel == 0.).count();
            let lines: Vec<usize> = image.chunks_exact(width).map(zero).filter(|count| *count > 0).collect();
            prop_assert!(!lines.is_empty() && lines.len() <= size && lines[0] <= size);
            prop_assert!(lines.iter().all(|count| *count == lines[0]));
            // At least half of each side, rounded down, is within the image.
            prop_assert!(lines.len() >= (size / 2).clamp(1, height) && lines[0] >= (size / 2).clamp(1, width));
        }
        let mixed = parse(&format!("cutmix:{alpha}")).apply(all, seed).unwrap();
        let pixels = numbers(mixed.batch.inputs.only().unwrap());
        let main = numbers(&mixed.batch.targets);
        for (row, image) in pixels.chunks_exact(2 * height * width).enumerate() {
            let of = |target: f64| {
                image.iter().filter(|pixel| **pixel == target).count() as f64 / image.len() as f64
            };
            match mixed.others.first() {
                None => prop_assert_eq!(of(main[row]), 1.),
                Some(other) => {
                    let other_target = numbers(&other.targets)[row];
                    let expected = if other_target == main[row] { 1. } else { mixed.share };
                    prop_assert!((of(main[row]) - expected).abs() < 1e-12);
                }
            }
        }
    }

    /// A transform is a function of batch and seed, and at probability 0 it changes nothing.
    #[test]
    fn draws_depend_on_the_seed_alone(seed: u64) {
        let all = images([6, 2, 5, 5], DType::F32);
        let text = "mixup:0.3,cutmix:1,flip,crop:2,rotate90,cutout:2";
        let apply = |seed: u64| parse(text).apply(all.clone(), seed).unwrap();
        let (one, again, other) = (apply(seed), apply(seed), apply(seed ^ 1));
        let pixels = |mixed: &MixedBatch| numbers(mixed.batch.inputs.only().unwrap());
        prop_assert_eq!(pixels(&one), pixels(&again));
        prop_assert_eq!(shares(&one), shares(&again));
        prop_assert_ne!(pixels(&one), pixels(&other));
        let off = "mixup:0.3:0,cutmix:1:0,flip:vertical:0,crop:0,rotate90:0,cutout:3:0";
        let same = parse(off).apply(all.clone(), seed).unwrap();
        prop_assert_eq!(pixels(&same), numbers(all.inputs.only().unwrap()));
        prop_assert_eq!((same.share, same.others.len()), (1., 0));
        prop_assert_eq!(numbers(&same.batch.targets), numbers(&all.targets));
    }

    #[test]
    fn a_text_makes_the_transforms_that_it_describes(
        alpha in 0.01f64..10., probability in 0f64..=1., padding in 0usize..9, size in 1usize..9, vertical: bool,
    ) {
        let axis = if vertical { FlipAxis::Vertical } else { FlipAxis::Horizontal };
        let all: BatchTransforms = [
            BatchTransform::from(Mixup::new(alpha).probability(probability)),
            CutMix::new(alpha).probability(probability).into(),
            RandomFlip::new(axis).probability(probability).into(),
            RandomCrop::new(padding).into(),
            RandomRotate90::new().probability(probability).into(),
            Cutout::new(size).probability(probability).into(),
        ].into_iter().collect();
        prop_assert_eq!(&parse(&all.to_string()), &all);
        let json = serde_json::to_string(&all).unwrap();
        prop_assert_eq!(&serde_json::from_str::<BatchTransforms>(&json).unwrap(), &all);
        prop_assert!(all.check().is_ok() && all.mix(Positions::One));
    }
}

/// Images `(B, 1, H, W)` with the numbers 1, 2, … and for each pixel its number as class.
fn dense(rows: usize, height: usize, width: usize, ignore_index: Option<u32>) -> MixedBatch {
    let count = (rows * height * width) as u32;
    let classes = Tensor::arange(1, count + 1, CPU).unwrap().reshape((rows, height, width)).unwrap();
    let images = classes.unsqueeze(1).unwrap().to_dtype(DType::F32).unwrap();
    MixedBatch::from(batch(images, classes)).positions(Positions::Many { ignore_index })
}

#[test]
fn classes_of_pixels_move_with_them_as_by_hand() {
    let turned = |text: &str, rows: MixedBatch| {
        let moved = parse(text).apply(rows, 5).unwrap().batch;
        assert_eq!(moved.targets.dtype(), DType::U32);
        (numbers(moved.inputs.only().unwrap()), numbers(&moved.targets))
    };
    // 1 2 3 → 3 2 1
    // 4 5 6   6 5 4
    let mirrored = vec![3., 2., 1., 6., 5., 4.];
    assert_eq!(turned("flip:horizontal:1", dense(1, 2, 3, None)), (mirrored.clone(), mirrored));
    let upside_down = vec![4., 5., 6., 1., 2., 3.];
    assert_eq!(turned("flip:vertical:1", dense(1, 2, 3, None)), (upside_down.clone(), upside_down));
    // The classes of a square of zeros stay.
    let (pixels, classes) = turned("cutout:9", dense(1, 2, 3, None));
    assert_eq!((pixels, classes), (vec![0.; 6], vec![1., 2., 3., 4., 5., 6.]));
}

/// A shift by one row up and one column to the left: pixels from outside are 0, and have the ignored id.
#[test]
fn pixels_from_outside_are_ignored() {
    let source = crate::kernels::images::Source { from: [1, 1], ..crate::kernels::images::Source::SAME };
    let shift = |rows: MixedBatch| pixels::move_images(rows, |images, _| vec![Some(source); images]).unwrap();
    // 1 2 3    5 6 ·
    // 4 5 6 →  8 9 ·
    // 7 8 9    · · ·
    let of = |outside: f64| vec![5., 6., outside, 8., 9., outside, outside, outside, outside];
    let shifted = shift(dense(1, 3, 3, Some(255)));
    assert_eq!(numbers(shifted.batch.inputs.only().unwrap()), of(0.));
    assert_eq!(numbers(&shifted.batch.targets), of(255.));
    let shifted = shift(dense(1, 3, 3, Some(u32::MAX)));
    assert_eq!(numbers(&shifted.batch.targets), of(f64::from(u32::MAX)));

    // The only pixel with a class would leave the image: the batch stays as it is.
    let mut rare = dense(1, 3, 3, Some(255));
    rare.batch.targets = Tensor::new(&[[[7u32, 255, 255], [255; 3], [255; 3]]], CPU).unwrap();
    let shifted = shift(rare.clone());
    assert_eq!(numbers(&shifted.batch.targets), numbers(&rare.batch.targets));
    assert_eq!(numbers(shifted.batch.inputs.only().unwrap()), numbers(rare.batch.inputs.only().unwrap()));
}

#[test]
fn cut_mix_of_classes_of_pixels_is_that_of_a_case_by_hand() {
    let mut rows = dense(2, 2, 2, None);
    rows.batch.weights = Some(tensor(&[1., 3.], &[2]));
    // The left column is that of the other image, with the weight of its row.
    let mixed = cut_mix::mix(rows, [1, 0], [4, 2], &[1, 0]).unwrap();
    let expected = [5., 2., 7., 4., 1., 6., 3., 8.];
    assert_eq!(numbers(mixed.batch.inputs.only().unwrap()), expected);
    assert_eq!(numbers(&mixed.batch.targets), expected);
    assert_eq!(numbers(mixed.batch.weights.as_ref().unwrap()), [3., 1., 3., 1., 1., 3., 1., 3.]);
    assert_eq!(shares(&mixed), [1.]);
    // Once more: the weights are those of the pixels already.
    let again = cut_mix::mix(mixed, [0, 1], [2, 4], &[1, 0]).unwrap();
    assert_eq!(numbers(again.batch.weights.as_ref().unwrap()), [1., 3., 3., 1., 3., 1., 1., 3.]);
    assert_eq!(numbers(&again.batch.targets), [1., 6., 7., 4., 5., 2., 3., 8.]);
}

proptest! {
    /// Every pixel that is not from outside has its class, whatever transforms follow each other, and so have the other
    /// targets of mixed rows.
    #[test]
    fn classes_stay_with_their_pixels(
        seed: u64, rows in 1usize..5, side in 2usize..6,
        which in proptest::collection::vec(0usize..5, 1..5), mixed: bool,
    ) {
        let names = ["flip:horizontal", "flip:vertical", "rotate90", "crop:1", "cutmix:1"];
        let text: Vec<&str> = which.into_iter().map(|at| names[at]).collect();
        let mut all = dense(rows, side, side, Some(0));
        let partners: Vec<u32> = (0..rows as u32).rev().collect();
        if mixed {
            all = mixup::mix(all, 0.75, &partners).unwrap();
        }
        let moved = parse(&text.join(",")).apply(all, seed).unwrap();
        let pixels = numbers(moved.batch.inputs.only().unwrap());
        let main = numbers(&moved.batch.targets);
        match moved.others.first() {
            None => prop_assert_eq!(&pixels, &main),
            Some(other) => {
                let other = numbers(&other.targets);
                for (pixel, (own, other)) in pixels.iter().zip(main.iter().zip(&other)) {
                    let expected = moved.share * own + (1. - moved.share) * other;
                    prop_assert!((pixel - expected).abs() < 1e-3);
                }
            }
        }
        prop_assert!(main.iter().any(|class| *class != 0.));
    }
}

/// Images and a table as inputs: the images are changed alike, and the table stays.
#[test]
fn every_input_of_images_is_changed_alike() {
    let image = images([3, 1, 4, 4], DType::F32).inputs.only().unwrap().clone();
    let table = tensor(&[1., 2., 3.], &[3, 1]);
    let inputs = vec![image.clone(), table.clone(), (&image * 2.).unwrap()];
    let all = batch(inputs, tensor(&[0., 1., 2.], &[3]));
    for text in ["flip:horizontal:1", "crop:2", "rotate90", "cutout:2"] {
        let changed = parse(text).apply(all.clone(), 2).unwrap().batch.inputs;
        let [one, middle, two] = changed.tensors() else { panic!("{text}") };
        assert_eq!(numbers(&(one * 2.).unwrap()), numbers(two), "{text}");
        assert_ne!(numbers(one), numbers(&image), "{text}");
        assert_eq!(numbers(middle), numbers(&table), "{text}");
    }
}

#[test]
fn what_a_transform_is_not_for_is_refused_with_its_name() {
    let error = |text: &str, batch: Batch| parse(text).apply(batch, 1).unwrap_err().to_string();
    let table = || batch(tensor(&[1., 2.], &[2, 1]), Tensor::new(&[0u32, 1], CPU).unwrap());
    for text in ["flip", "crop:1", "rotate90", "cutout:2", "cutmix:1:0"] {
        let e = error(text, table());
        assert!(e.contains("images (B, C, H, W), but is [2, 1]"), "{e}");
    }
    let e = error("mixup", images([2, 1, 2, 2], DType::U8));
    assert_eq!(e, "the inputs of a training with Mixup must be of a floating-point type, but is u8");
    let e = error("crop:3", images([2, 1, 4, 3], DType::F32));
    assert!(
        e.contains("RandomCrop::padding must be below height and width of the images, which are 4 × 3"),
        "{e}"
    );
    let e = error("rotate90", images([2, 1, 4, 3], DType::F32));
    assert!(e.contains("must be as high as wide, but is 4 × 3"), "{e}");
    let mut unsaid = images([2, 1, 2, 2], DType::F32);
    unsaid.targets = Tensor::zeros((2, 2, 2), DType::U32, CPU).unwrap();
    let e = error("flip", unsaid);
    assert!(e.contains("the targets of a training with RandomFlip must be of the whole image"), "{e}");
    let many = |dims: &[usize], ignore_index| {
        let mut all = dense(2, 4, 3, ignore_index);
        all.batch.targets = Tensor::zeros(dims, DType::U32, CPU).unwrap();
        all
    };
    let refused = |text: &str, all: MixedBatch| parse(text).check_batch(&all).unwrap_err().to_string();
    for text in ["flip", "crop:1", "cutmix", "cutout:2,flip"] {
        let e = refused(text, many(&[2, 12], Some(9)));
        assert!(
            e.contains("must be of shape (B, 4, 3), a class for each pixel") && e.contains("[2, 12]"),
            "{e}"
        );
    }
    assert!(refused("flip", many(&[2, 3, 4], None)).contains("of shape (B, 4, 3)"));
    assert!(parse("cutout:2").check_batch(&many(&[2, 12], None)).is_ok());
    let e = refused("crop:1", many(&[2, 4, 3], None));
    assert!(e.contains("the data of a training with RandomCrop must be of an ignored id"), "{e}");
    assert!(e.contains("TensorDataset::dense") && e.ends_with("but is without an ignored id"), "{e}");
    assert!(parse("crop:0").check_batch(&many(&[2, 4, 3], None)).is_ok());
    // Labels are of the whole image.
    let mut labels = many(&[2, 5], None);
    labels.positions = Positions::Labels { labels: 5 };
    assert!(parse("flip,crop:1,cutout:1,cutmix,mixup").check_batch(&labels).is_ok());
    for (text, name) in [
        ("mixup:0", "Mixup::alpha"),
        ("cutmix:-1", "CutMix::alpha"),
        ("mixup:1:1.5", "Mixup::probability"),
        ("cutmix:1:-0.1", "CutMix::probability"),
        ("flip:horizontal:2", "RandomFlip::probability"),
        ("rotate90:nan", "RandomRotate90::probability"),
        ("cutout:0", "Cutout::size"),
        ("cutout:1:7", "Cutout::probability"),
        ("flip:diagonal", "horizontal"),
    ] {
        let e = BatchTransforms::parse(text).unwrap_err().to_string();
        assert!(e.contains(name), "{e}");
    }
}

#[test]
fn own_transforms_act_in_order_with_seeds_of_their_own() {
    let mut own = OwnTransforms::default();
    let add = |own: &mut OwnTransforms, name: &str, amount: f64| {
        own.add(name, move |batch: Batch, seed: Seed| {
            let draw = seed.rng().random::<f64>();
            let x = (batch.inputs.only()? * 2.)?;
            Ok(Batch { inputs: (x + (amount + draw))?.into(), ..batch })
        });
    };
    add(&mut own, "a, 1", 1.);
    add(&mut own, "b, 1", 10.);
    assert!(own.check().is_ok() && own.names() == ["a, 1", "b, 1"]);
    let x = Tensor::new(&[[0f64], [1.]], CPU).unwrap();
    let all = batch(x, Tensor::new(&[0u32, 1], CPU).unwrap());
    let seed = Seed::from(9);
    let [first, second] = [0, 1].map(|own| seed.nth("own", own).rng().random::<f64>());
    let got = numbers(own.apply(all.clone(), seed).unwrap().inputs.only().unwrap());
    for (got, x) in got.into_iter().zip([0., 1.]) {
        close(got, 2. * (2. * x + 1. + first) + 10. + second, 1e-12);
    }
    add(&mut own, "a, 1", 0.);
    assert!(own.check().unwrap_err().to_string().contains("\"a, 1\" twice"));
    let mut short = OwnTransforms::default();
    short.add("short", |batch: Batch, _| Ok(Batch { inputs: batch.inputs.narrow(0, 1)?, ..batch }));
    let e = short.apply(all, seed).unwrap_err().to_string();
    assert!(e.contains("the transform \"short\" returns must be 2, as before, but is 1"), "{e}");
    let bad = batch(tensor(&[1., f64::NAN], &[1, 2]), tensor(&[1.], &[1]));
    let e = own.check_finite(&bad).unwrap_err().to_string();
    assert!(e.contains("[\"a, 1\", \"b, 1\", \"a, 1\"] must be finite, but is NaN"), "{e}");
    short.add("", |batch: Batch, _| Ok(batch));
    assert!(short.check().unwrap_err().to_string().contains("the name of a batch transform"));
}
