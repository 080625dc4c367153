//! The sums of the definition, one product after the other.
use super::*;
use proptest::prelude::*;

/// Calls `visit` with the places of the input, the weight and the output of each product.
fn each_product(of: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let [height, width] = of.axes;
    let under = |axis: Axis, output: usize, element: usize| {
        (output * axis.stride + element * axis.dilation)
            .checked_sub(axis.padding)
            .filter(|at| *at < axis.input)
    };
    let channels = of.groups * of.outputs;
    for place in 0..of.batch * channels * height.output * width.output {
        let (row, column) = (place / width.output % height.output, place % width.output);
        let channel = place / (height.output * width.output);
        let (b, o) = (channel / channels, channel % channels);
        let group = o / of.outputs;
        for c in 0..of.inputs {
            for i in 0..height.kernel {
                for j in 0..width.kernel {
                    let (Some(at), Some(beside)) = (under(height, row, i), under(width, column, j)) else {
                        continue;
                    };
                    let plane = (b * of.groups + group) * of.inputs + c;
                    let input = (plane * height.input + at) * width.input + beside;
                    let weight = ((o * of.inputs + c) * height.kernel + i) * width.kernel + j;
                    visit(input, weight, place);
                }
            }
        }
    }
}

fn numbers(len: usize, salt: usize) -> Vec<f64> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 101) as f64 / 50. - 1.).collect()
}

fn near(got: &[f64], exact: &[f64], tolerance: f64) -> bool {
    got.len() == exact.len()
        && got.iter().zip(exact).all(|(a, b)| (a - b).abs() <= tolerance * (1. + b.abs()))
}

/// Numbers in `T`, and back.
fn narrow<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|x| T::of(*x)).collect()
}

fn wide<T: Real>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.wide()).collect()
}

fn check<T: Real>(of: &Convolution, tolerance: f64) -> Result<(), TestCaseError> {
    let outputs = of.batch * of.channels() * of.positions();
    let x = numbers(of.batch * of.input_row(), 1);
    let weight = numbers(of.channels() * of.kernel(), 2);
    let (bias, g) = (numbers(of.channels(), 3), numbers(outputs, 4));
    let mut y: Vec<f64> = (0..outputs).map(|i| bias[i / of.positions() % of.channels()]).collect();
    let (mut of_x, mut of_weight) = (vec![0.; x.len()], vec![0.; weight.len()]);
    each_product(of, |a, b, c| {
        y[c] += x[a] * weight[b];
        of_x[a] += g[c] * weight[b];
        of_weight[b] += g[c] * x[a];
    });
    let mut of_bias = vec![0.; bias.len()];
    g.iter().enumerate().for_each(|(i, g)| of_bias[i / of.positions() % of.channels()] += g);

    let (x, weight, bias, g) = (narrow::<T>(&x), narrow::<T>(&weight), narrow::<T>(&bias), narrow::<T>(&g));
    let twice = |y: &mut [T]| y.iter_mut().for_each(|y| *y += *y);
    let got = of.forward(&x, &weight, Some(&bias), twice).unwrap();
    prop_assert!(near(&wide(&got), &y.iter().map(|y| 2. * y).collect::<Vec<_>>(), tolerance));
    let zeros = vec![T::zero(); bias.len()];
    let without = of.forward(&x, &weight, None, |_| {}).unwrap();
    let with_zeros = of.forward(&x, &weight, Some(&zeros), |_| {}).unwrap();
    prop_assert!(without == with_zeros, "a bias of zeros changes the outputs");

    let all = Wanted { x: true, weight: true, bias: true };
    let part = |range: Range<usize>| Cow::Borrowed(&g[range]);
    let got = of.backward(&x, &weight, part, all).unwrap();
    prop_assert!(near(&wide(got.x.as_ref().unwrap()), &of_x, tolerance));
    prop_assert!(near(&wide(got.weight.as_ref().unwrap()), &of_weight, tolerance));
    prop_assert!(near(&wide(got.bias.as_ref().unwrap()), &of_bias, tolerance));
    // One gradient alone is the same.
    let of_x = of.backward(&x, &weight, part, Wanted { x: true, weight: false, bias: false }).unwrap();
    prop_assert!(of_x.x == got.x && of_x.weight.is_none() && of_x.bias.is_none());
    let of_weight = of.backward(&x, &weight, part, Wanted { x: false, weight: true, bias: false }).unwrap();
    prop_assert!(of_weight.weight == got.weight && of_weight.x.is_none());
    Ok(())
}

fn axis() -> impl Strategy<Value = Axis> {
    let sizes = (0usize..14, 1usize..6, 0usize..4, 1usize..4, 1usize..4);
    sizes.prop_filter_map("a kernel that fits", |(input, kernel, padding, stride, dilation)| {
        Axis::new(input, kernel, padding, stride, dilation)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn sums_are_those_of_the_definition(
        batch in 0usize..5, groups in 1usize..4, inputs in 1usize..4, outputs in 1usize..4,
        height in axis(), width in axis(),
    ) {
        let of = Convolution { batch, groups, inputs, outputs, axes: [height, width] };
        check::<f64>(&of, 1e-12)?;
        check::<f32>(&of, 1e-4)?;
    }

    /// Inputs and outputs of the same size are moved as one run.
    #[test]
    fn sums_of_outputs_as_large_as_the_inputs_are_those_of_the_definition(
        batch in 1usize..4, inputs in 1usize..3, outputs in 1usize..3, sizes in prop::array::uniform2(1usize..9),
        reach in 0usize..4, dilation in 1usize..3,
    ) {
        let axis = |input| Axis::new(input, 2 * reach + 1, reach * dilation, 1, dilation).unwrap();
        let of = Convolution { batch, groups: 1, inputs, outputs, axes: sizes.map(axis) };
        check::<f64>(&of, 1e-12)?;
    }
}

/// Some tables hold several rows of the batch, the last fewer than the others.
#[test]
fn several_blocks_are_one_batch() {
    let axis = Axis::new(14, 3, 1, 1, 1).unwrap();
    let of = Convolution { batch: 7, groups: 2, inputs: 9, outputs: 3, axes: [axis; 2] };
    assert!((2..7).contains(&of.rows_of_block()) && !of.batch.is_multiple_of(of.rows_of_block()));
    check::<f64>(&of, 1e-12).unwrap();
    // More than a table holds, for one row.
    let of = Convolution { batch: 2, groups: 1, inputs: 40, outputs: 2, axes: [axis; 2] };
    assert_eq!(of.rows_of_block(), 1);
    check::<f64>(&of, 1e-12).unwrap();
}

#[test]
fn no_channels_leave_the_bias() {
    let axis = Axis::new(3, 2, 0, 1, 1).unwrap();
    let of = Convolution { batch: 2, groups: 1, inputs: 0, outputs: 2, axes: [axis; 2] };
    check::<f64>(&of, 0.).unwrap();
}
