use super::*;
use crate::{
    nn::{
        backward, batch_norm, seq,
        testing::{asked, assert_near, assert_slopes, flat, followers, gradients, numbers, Make},
        then::WithThen,
        Activation,
    },
    weights::fresh,
};
use candle_core::{DType, Device, Module, ModuleT, Var};
use candle_nn::{Conv1dConfig, Conv2dConfig, VarMap};
use proptest::prelude::*;

/// The parameters of a convolution of either number of dimensions.
#[derive(Clone, Copy, Debug)]
struct Parameters {
    padding: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
}

impl Parameters {
    fn one(self) -> Conv1dConfig {
        let Self { padding, stride, dilation, groups } = self;
        Conv1dConfig { padding, stride, dilation, groups, cudnn_fwd_algo: None }
    }

    fn two(self) -> Conv2dConfig {
        let Self { padding, stride, dilation, groups } = self;
        Conv2dConfig { padding, stride, dilation, groups, cudnn_fwd_algo: None }
    }
}

/// A layer of ours and one of candle's with the same variables. A kernel of one size is for sequences.
struct Pair {
    weight: Var,
    bias: Option<Var>,
    ours: Box<dyn WithThen + Send + Sync>,
    theirs: Box<dyn Module + Send + Sync>,
}

fn pair(channels: [usize; 2], kernel: &[usize], with: Parameters, bias: bool, dtype: DType) -> Pair {
    let shape = [&[channels[1], channels[0] / with.groups], kernel].concat();
    let weight = Var::from_tensor(&numbers(shape, 1, dtype)).unwrap();
    let bias = bias.then(|| Var::from_tensor(&numbers(channels[1], 2, dtype)).unwrap());
    let (w, b) = (weight.as_tensor().clone(), bias.as_ref().map(|bias| bias.as_tensor().clone()));
    let (ours, theirs): (Box<dyn WithThen + Send + Sync>, Box<dyn Module + Send + Sync>) = match kernel.len()
    {
        1 => (
            Box::new(Conv1d::new(w.clone(), b.clone(), with.one())),
            Box::new(AsImages { layer: candle_nn::Conv1d::new(w, b, with.one()), with }),
        ),
        _ => (
            Box::new(Conv2d::new(w.clone(), b.clone(), with.two())),
            Box::new(candle_nn::Conv2d::new(w, b, with.two())),
        ),
    };
    Pair { weight, bias, ours, theirs }
}

impl Pair {
    fn vars<'a>(&'a self, x: &'a Var) -> Vec<&'a Var> {
        [Some(x), Some(&self.weight), self.bias.as_ref()].into_iter().flatten().collect()
    }
}

/// The number of inputs along a dimension that the kernel reaches, if it fits.
fn reached(size: usize, kernel: usize, with: Parameters) -> Option<usize> {
    let covered = with.dilation * (kernel - 1) + 1;
    let left = (size + 2 * with.padding).checked_sub(covered)?;
    Some(left / with.stride * with.stride + covered)
}

/// Whether candle's backward pass works for an image: what it subtracts from sizes has to be positive and the same in
/// both dimensions.
fn candle_goes_back([height, width]: [usize; 2], kernel: usize, with: Parameters) -> bool {
    let beyond = |size: usize| {
        let used = reached(size, kernel, with)?.checked_sub(2 * with.padding)?;
        size.checked_sub(used)
    };
    beyond(height).is_some() && beyond(height) == beyond(width)
}

/// candle's convolution of sequences as one of images that are one row high. The backward pass of the former reads the
/// wrong elements.
struct AsImages {
    layer: candle_nn::Conv1d,
    with: Parameters,
}

impl Module for AsImages {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Parameters { padding, stride, dilation, groups } = self.with;
        let weight = self.layer.weight().unsqueeze(2)?;
        let used = reached(x.dim(2)?, weight.dim(3)?, self.with).unwrap();
        let x = x.pad_with_zeros(2, padding, padding)?.narrow(2, 0, used)?.contiguous()?.unsqueeze(2)?;
        let y = x.conv2d(&weight, 0, stride, dilation, groups)?.squeeze(2)?;
        match self.layer.bias() {
            None => Ok(y),
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1))?),
        }
    }
}

fn compare(
    shape: &[usize],
    outputs: usize,
    kernel: &[usize],
    with: Parameters,
    (bias, dtype): (bool, DType),
    view: impl Fn(&Tensor) -> Tensor,
) {
    let tolerance = if dtype == DType::F64 { 1e-11 } else { 1e-4 };
    let x = Var::from_tensor(&numbers(shape, 3, dtype)).unwrap();
    let pair = pair([view(&x).dims()[1], outputs], kernel, with, bias, dtype);
    let vars = pair.vars(&x);
    for (then, activate) in followers() {
        let what = format!("{then:?} {shape:?} {outputs} {kernel:?} {with:?} {bias} {dtype:?}");
        let ours = pair.ours.forward_with(then, &view(&x), true).unwrap();
        let theirs = activate(&pair.theirs.forward(&view(&x)).unwrap()).unwrap();
        assert_near(&ours, &theirs, tolerance, &what);
        let expected = gradients(&theirs, &vars, Tensor::backward);
        for got in [gradients(&ours, &vars, Tensor::backward), gradients(&ours, &vars, backward)] {
            got.iter()
                .zip(&expected)
                .for_each(|(got, expected)| assert_near(got, expected, tolerance, &what));
        }
        // Without a gradient of the inputs.
        let ours = pair.ours.forward_with(then, &view(&x.as_detached_tensor()), true).unwrap();
        for (got, expected) in gradients(&ours, &vars[1..], backward).iter().zip(&expected[1..]) {
            assert_near(got, expected, tolerance, &what);
        }
    }
}

fn parameters() -> impl Strategy<Value = Parameters> {
    (0usize..3, 1usize..4, 1usize..3, 1usize..4).prop_map(|(padding, stride, dilation, groups)| Parameters {
        padding,
        stride,
        dilation,
        groups,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn images_and_gradients_are_those_of_candles_layer(
        rows in 1usize..4, channels in prop::array::uniform2(1usize..4), sizes in prop::array::uniform2(1usize..10),
        kernel in 1usize..4, with in parameters(), bias: bool,
    ) {
        prop_assume!(candle_goes_back(sizes, kernel, with));
        let [inputs, outputs] = channels.map(|channels| channels * with.groups);
        let shape = [rows, inputs, sizes[0], sizes[1]];
        for dtype in [DType::F32, DType::F64] {
            compare(&shape, outputs, &[kernel; 2], with, (bias, dtype), Tensor::clone);
        }
    }

    #[test]
    fn sequences_and_gradients_are_those_of_candles_layer(
        rows in 1usize..4, channels in prop::array::uniform2(1usize..4), length in 1usize..20,
        kernel in 1usize..6, with in parameters(), bias: bool,
    ) {
        prop_assume!(reached(length, kernel, with).is_some());
        let [inputs, outputs] = channels.map(|channels| channels * with.groups);
        for dtype in [DType::F32, DType::F64] {
            compare(&[rows, inputs, length], outputs, &[kernel], with, (bias, dtype), Tensor::clone);
        }
    }
}

const PLAIN: Parameters = Parameters { padding: 1, stride: 1, dilation: 1, groups: 1 };

#[test]
fn views_that_are_not_contiguous_are_inputs_too() {
    for dtype in [DType::F32, DType::F64] {
        compare(&[2, 5, 6, 3], 4, &[3, 3], PLAIN, (true, dtype), |x| x.transpose(1, 3).unwrap());
        compare(&[2, 3, 9, 6], 4, &[3, 3], PLAIN, (true, dtype), |x| x.narrow(2, 2, 5).unwrap());
        compare(&[2, 9, 3], 4, &[3], PLAIN, (true, dtype), |x| x.transpose(1, 2).unwrap());
    }
    // Kernels that are higher than wide.
    compare(&[2, 3, 9, 6], 4, &[5, 2], PLAIN, (true, DType::F64), Tensor::clone);
}

/// Central differences, also where candle's backward pass fails.
#[test]
fn gradients_are_those_of_finite_differences() {
    let wide = Parameters { padding: 4, stride: 2, dilation: 2, groups: 2 };
    assert!(!candle_goes_back([3, 4], 2, wide));
    for (dtype, step, tolerance) in [(DType::F64, 1e-5, 1e-7), (DType::F32, 5e-3, 3e-2)] {
        for (then, _) in followers() {
            for (shape, kernel, with) in [
                (&[2, 4, 5, 4][..], &[3, 3][..], PLAIN),
                (&[2, 4, 3, 4], &[2, 2], wide),
                (&[2, 4, 7], &[3], PLAIN),
                (&[2, 4, 3], &[2], wide),
            ] {
                let x = Var::from_tensor(&numbers(shape, 3, dtype)).unwrap();
                let pair = pair([4, 2], kernel, with, true, dtype);
                let y = || pair.ours.forward_with(then, x.as_tensor(), true).unwrap();
                let what = format!("{then:?} {shape:?} {dtype:?}");
                assert_slopes(&pair.vars(&x), y, (step, tolerance), &what);
            }
        }
    }
}

#[test]
fn no_rows_are_no_error() {
    let pair = pair([3, 4], &[3, 3], PLAIN, true, DType::F32);
    let y = pair.ours.forward_with(Then::CandlesRelu, &numbers((0, 3, 5, 5), 1, DType::F32), true).unwrap();
    assert_eq!(y.dims(), [0, 4, 5, 5]);
    let gradients = backward(&y.sum_all().unwrap()).unwrap();
    assert_eq!(flat(gradients.get(&pair.weight).unwrap()), [0.; 108]);
}

#[test]
fn half_precision_is_computed_in_f32() {
    for dtype in [DType::F16, DType::BF16] {
        for (shape, kernel) in [(&[2, 3, 5, 5][..], &[3, 3][..]), (&[2, 3, 5], &[3])] {
            let x = Var::from_tensor(&numbers(shape, 1, dtype)).unwrap();
            let half = pair([3, 4], kernel, PLAIN, true, dtype);
            let full = pair([3, 4], kernel, PLAIN, true, DType::F32);
            for (to, from) in
                [(&full.weight, &half.weight), (&full.bias.clone().unwrap(), half.bias.as_ref().unwrap())]
            {
                to.set(&from.as_detached_tensor().to_dtype(DType::F32).unwrap()).unwrap();
            }
            let y = half.ours.forward_with(Then::CandlesRelu, x.as_tensor(), false).unwrap();
            let exact = full.theirs.forward(&x.to_dtype(DType::F32).unwrap()).unwrap().relu().unwrap();
            assert_eq!(y.dtype(), dtype);
            assert_near(&y, &exact, if dtype == DType::F16 { 1e-3 } else { 8e-3 }, "half");
            let vars = half.vars(&x);
            let all = gradients(&y, &vars, backward);
            assert!(all.iter().zip(&vars).all(|(g, var)| g.dtype() == dtype && g.dims() == var.dims()));
        }
    }
}

/// The reason for what the documentation says. Where this fails, it has to change.
#[test]
fn candle_computes_wrong_gradients_of_the_kernels_of_sequences() {
    let weight = Var::new(&[[[1f64]], [[0.]]], &Device::Cpu).unwrap();
    let x = Tensor::new(&[[[1f64, 2., 4.]], [[8., 16., 32.]]], &Device::Cpu).unwrap();
    let g =
        Tensor::new(&[[[1f64, 0., 0.], [0., 0., 0.]], [[0., 0., 1.], [0., 0., 0.]]], &Device::Cpu).unwrap();
    let gradient =
        |y: Tensor| flat((y * &g).unwrap().sum_all().unwrap().backward().unwrap().get(&weight).unwrap());
    let config = Conv1dConfig::default();
    let ours = Conv1d::new(weight.as_tensor().clone(), None, config).forward(&x).unwrap();
    assert_eq!(gradient(ours), [33., 0.]);
    let theirs = candle_nn::Conv1d::new(weight.as_tensor().clone(), None, config).forward(&x).unwrap();
    assert_ne!(gradient(theirs), [33., 0.]);
}

/// The outputs of candle's convolution of sequences are right.
#[test]
fn sequences_are_those_of_candles_layer() {
    let with = Parameters { padding: 2, stride: 2, dilation: 2, groups: 2 };
    let x = numbers((3, 4, 11), 3, DType::F64);
    let ours = conv1d(4, 6, 3, with.one(), fresh(1, Default::default(), DType::F64, &Device::Cpu).1).unwrap();
    let theirs = candle_nn::Conv1d::new(ours.weight().clone(), ours.bias().cloned(), with.one());
    assert_near(&ours.forward(&x).unwrap(), &theirs.forward(&x).unwrap(), 1e-12, "sequences");
}

#[test]
fn every_activation_follows_the_layer_as_it_would_alone() {
    let (_, vb) = fresh(1, Default::default(), DType::F32, &Device::Cpu);
    let conv = conv2d(3, 4, 3, PLAIN.two(), vb.pp("conv")).unwrap();
    let norm = batch_norm(3, 1e-5, vb.pp("norm")).unwrap();
    let x = numbers((4, 3, 6, 5), 5, DType::F32);
    for name in Activation::registry().names() {
        let activation = Activation::registry().parse(name).unwrap();
        let apart = activation.forward(&conv.forward(&x).unwrap()).unwrap();
        assert_eq!(flat(&conv.forward_then(activation, &x).unwrap()), flat(&apart), "{name}");
        let network = seq().add(conv.clone()).add(activation);
        assert_eq!(flat(&network.forward(&x).unwrap()), flat(&apart), "{name}");
        let apart = activation.forward(&norm.forward_t(&x, true).unwrap()).unwrap();
        assert_eq!(flat(&norm.forward_then(activation, &x, true).unwrap()), flat(&apart), "{name}");
        let network = seq().add(norm.clone()).add(activation);
        assert_eq!(flat(&network.forward_t(&x, true).unwrap()), flat(&apart), "{name}");
    }
}

#[test]
fn shapes_and_parameters_that_do_not_fit_are_named() {
    let refused = |layer: &dyn Module, shape: &[usize], expected: &str| {
        let e = layer.forward(&numbers(shape, 1, DType::F32)).unwrap_err().to_string();
        assert!(e.contains(expected), "{e}");
    };
    let conv = |weight: &[usize], bias: usize, with: Parameters| {
        Conv2d::new(numbers(weight, 1, DType::F32), Some(numbers(bias, 1, DType::F32)), with.two())
    };
    let two = conv(&[4, 3, 3, 3], 4, PLAIN);
    let inputs = "the shape of the inputs of Conv2d must be (rows, 3, height, width)";
    refused(&two, &[2, 2, 5, 5], inputs);
    refused(&two, &[3, 5, 5], inputs);
    let bare = Parameters { padding: 0, ..PLAIN };
    refused(
        &conv(&[4, 3, 3, 3], 4, bare),
        &[1, 3, 2, 5],
        &format!("{inputs} that with its padding has at least the 3 elements"),
    );
    refused(
        &conv(&[4, 3, 3, 3], 2, PLAIN),
        &[1, 3, 5, 5],
        "the shape of the bias of Conv2d must be (4,), but is [2]",
    );
    refused(
        &conv(&[4, 3, 3], 4, PLAIN),
        &[1, 3, 5, 5],
        "the shape of the weight of Conv2d must be (outputs, inputs / groups, height, width)",
    );
    let one = Conv1d::new(numbers((4, 3, 3), 1, DType::F32), None, PLAIN.one());
    refused(&one, &[2, 3, 5, 5], "the shape of the inputs of Conv1d must be (rows, 3, length)");
    // Types that differ are candle's error.
    assert!(two.forward(&numbers((2, 3, 5, 5), 1, DType::F64)).is_err());

    let vb = || fresh(1, Default::default(), DType::F32, &Device::Cpu).1;
    for (with, expected) in [
        (Parameters { stride: 0, ..PLAIN }, "the stride of Conv2d must be at least 1, but is 0"),
        (Parameters { dilation: 0, ..PLAIN }, "the dilation of Conv2d must be at least 1, but is 0"),
        (
            Parameters { groups: 0, ..PLAIN },
            "the number of groups of Conv2d must be a divisor of the numbers of channels, 4 and 6, but is 0",
        ),
        (Parameters { groups: 4, ..PLAIN }, "the number of groups of Conv2d"),
    ] {
        let e = conv2d(4, 6, 3, with.two(), vb()).unwrap_err().to_string();
        assert!(e.contains(expected), "{e}");
        refused(&conv(&[6, 4, 3, 3], 6, with), &[1, 4, 5, 5], expected.split(" must").next().unwrap());
    }
}

#[test]
fn variables_are_those_of_candles_layers() {
    let groups = Parameters { groups: 2, ..PLAIN };
    let pairs: [(Make<'_>, Make<'_>); 5] = [
        (&|vb| drop(conv1d(4, 6, 5, groups.one(), vb)), &|vb| {
            drop(candle_nn::conv1d(4, 6, 5, groups.one(), vb))
        }),
        (&|vb| drop(conv1d_no_bias(4, 6, 5, PLAIN.one(), vb)), &|vb| {
            drop(candle_nn::conv1d_no_bias(4, 6, 5, PLAIN.one(), vb))
        }),
        (&|vb| drop(conv2d(4, 6, 5, groups.two(), vb)), &|vb| {
            drop(candle_nn::conv2d(4, 6, 5, groups.two(), vb))
        }),
        (&|vb| drop(conv2d_no_bias(4, 6, 5, PLAIN.two(), vb)), &|vb| {
            drop(candle_nn::conv2d_no_bias(4, 6, 5, PLAIN.two(), vb))
        }),
        (&|vb| drop(batch_norm(4, 1e-5, vb)), &|vb| drop(candle_nn::batch_norm(4, 1e-5, vb))),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(asked(ours), asked(theirs));
    }
}

/// A file that one layer's variables are written to is read by the other's.
#[test]
fn checkpoints_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    let x = numbers((2, 3, 6, 6), 1, DType::F32);
    let (ours_vars, theirs_vars) = (VarMap::new(), VarMap::new());
    let vb = |vars: &VarMap| VarBuilder::from_varmap(vars, DType::F32, &Device::Cpu);
    let (ours_vb, theirs_vb) = (vb(&ours_vars), vb(&theirs_vars));
    let ours = seq()
        .add(conv2d(3, 4, 3, PLAIN.two(), ours_vb.pp("conv")).unwrap())
        .add(batch_norm(4, 1e-5, ours_vb.pp("norm")).unwrap());
    let theirs = seq()
        .add(candle_nn::conv2d(3, 4, 3, PLAIN.two(), theirs_vb.pp("conv")).unwrap())
        .add(candle_nn::batch_norm(4, 1e-5, theirs_vb.pp("norm")).unwrap());
    let differ = || {
        let [a, b] = [&ours, &theirs].map(|network| flat(&network.forward(&x).unwrap()));
        a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 1e-5)
    };
    for (from, to, writer, mut reader) in
        [(&ours, &theirs, &ours_vars, theirs_vars.clone()), (&theirs, &ours, &theirs_vars, ours_vars.clone())]
    {
        // Running statistics are written, too.
        from.forward_t(&x, true).unwrap();
        assert!(differ());
        writer.save(&file).unwrap();
        reader.load(&file).unwrap();
        assert!(!differ());
        to.forward_t(&(&x * 2.).unwrap(), true).unwrap();
    }
}

/// One layer has the outputs of the two.
#[test]
fn a_convolution_absorbs_a_normalization() {
    let (_, vb) = fresh(1, Default::default(), DType::F64, &Device::Cpu);
    let norm = batch_norm(4, 1e-3, vb.pp("norm")).unwrap();
    let x = numbers((2, 3, 6, 6), 1, DType::F64);
    for conv in [
        conv2d(3, 4, 3, PLAIN.two(), vb.pp("a")).unwrap(),
        conv2d_no_bias(3, 4, 3, PLAIN.two(), vb.pp("b")).unwrap(),
    ] {
        norm.forward_t(&conv.forward(&x).unwrap(), true).unwrap();
        let both = norm.forward_t(&conv.forward(&x).unwrap(), false).unwrap();
        assert_near(&conv.absorb_bn(&norm).unwrap().forward(&x).unwrap(), &both, 1e-12, "absorbed");
        let bare = crate::nn::BatchNormConfig::torch().affine(false);
        let e = conv.absorb_bn(&batch_norm(4, bare, vb.pp("c")).unwrap()).unwrap_err().to_string();
        assert!(e.contains("the batch normalization that a Conv2d absorbs must be with weights"), "{e}");
    }
}

/// The number of threads of candle's products changes no bit. The table of one row is larger than what a thread is
/// started for.
#[test]
fn gradients_of_large_layers_are_the_same_in_any_pool() {
    let pair = pair([32, 48], &[3, 3], PLAIN, true, DType::F32);
    let x = Var::from_tensor(&numbers((3, 32, 24, 24), 1, DType::F32)).unwrap();
    let pass = || {
        let y = pair.ours.forward_with(Then::CandlesRelu, x.as_tensor(), true).unwrap();
        let all = gradients(&y, &pair.vars(&x), backward);
        [flat(&y), all.iter().flat_map(flat).collect()]
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let one = pool(1).install(pass);
    for threads in [2, 8] {
        assert!(pool(threads).install(pass) == one, "{threads}");
    }
}
