use crate::{
    merge::{
        align::trace::*,
        testing::{mlp, resnet},
    },
    nn::{drop_in, seq, MaxPool2d},
    train::Trainer,
    AnyNetwork,
};
use candle_core::{Module, ModuleT, Result as CResult};
use candle_nn::{
    batch_norm, conv1d, conv2d, layer_norm, linear, linear_no_bias, Activation, Conv1dConfig, Conv2dConfig,
    VarBuilder,
};

fn ones(dims: &[usize]) -> Tensor {
    Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap()
}

fn net(f: impl Fn(VarBuilder<'_>) -> CResult<AnyNetwork> + Send + Sync + 'static) -> Trainer<AnyNetwork> {
    Trainer::new(f)
}

fn derive<L: Learner>(trainer: &L, dims: &[usize]) -> crate::Result<PermutationSpec> {
    Trace::new(&Model::new(trainer)?, ones(dims))?.permutations()
}

/// A module made of a closure.
struct Fn2<F>(F);

impl<F: Fn(&Tensor, bool) -> CResult<Tensor>> ModuleT for Fn2<F> {
    fn forward_t(&self, xs: &Tensor, train: bool) -> CResult<Tensor> {
        (self.0)(xs, train)
    }
}

fn of(f: impl Fn(&Tensor, bool) -> CResult<Tensor> + Send + Sync + 'static) -> CResult<AnyNetwork> {
    Ok(AnyNetwork::new(Fn2(f)))
}

#[test]
fn each_hidden_layer_has_a_group() {
    let spec = derive(&mlp(&[5, 7, 7, 3]), &[4, 5]).unwrap();
    assert_eq!(
        spec.to_string(),
        "P0: 7 units along 0.bias axis 0, 0.weight axis 0, 1.weight axis 1\n\
         P1: 7 units along 1.bias axis 0, 1.weight axis 0, 2.weight axis 1\n"
    );
}

#[test]
fn activations_biases_and_the_order_of_names_do_not_matter() {
    for activation in [Activation::Gelu, Activation::Silu, Activation::Sigmoid, Activation::LeakyRelu(0.01)] {
        let trainer = net(move |vb| {
            let net = seq().add(linear_no_bias(4, 6, vb.pp("z"))?).add(activation);
            let net = net.add(linear_no_bias(6, 5, vb.pp("y"))?).add(activation);
            Ok(AnyNetwork::new(net.add(linear_no_bias(5, 2, vb.pp("x"))?)))
        });
        let spec = derive(&trainer, &[4, 4]).unwrap();
        let want = "P0: 6 units along y.weight axis 1, z.weight axis 0\n\
                    P1: 5 units along x.weight axis 1, y.weight axis 0\n";
        assert_eq!(spec.to_string(), want, "{activation:?}");
    }
}

#[test]
fn a_residual_stream_is_one_group() {
    let spec = derive(&resnet(&[(4, 1), (4, 1), (6, 2)]), &[4, 1, 8, 8]).unwrap();
    let group = |layers: &[(&str, usize)], norms: &[&str]| {
        let mut axes: Vec<String> =
            layers.iter().map(|(name, axis)| format!("{name}.weight axis {axis}")).collect();
        for norm in norms {
            let parts = ["weight", "bias", "running_mean", "running_var"];
            axes.extend(parts.map(|part| format!("{norm}.norm.{part} axis 0")));
        }
        axes.sort();
        axes
    };
    let mut want = [
        group(
            &[
                ("stem.conv", 0),
                ("block0.one.conv", 1),
                ("block0.two.conv", 0),
                ("block1.one.conv", 1),
                ("block1.two.conv", 0),
                ("block2.one.conv", 1),
                ("block2.short.conv", 1),
            ],
            &["stem", "block0.two", "block1.two"],
        ),
        group(&[("block0.one.conv", 0), ("block0.two.conv", 1)], &["block0.one"]),
        group(&[("block1.one.conv", 0), ("block1.two.conv", 1)], &["block1.one"]),
        group(&[("block2.one.conv", 0), ("block2.two.conv", 1)], &["block2.one"]),
        group(
            &[("block2.two.conv", 0), ("block2.short.conv", 0), ("head", 1)],
            &["block2.two", "block2.short"],
        ),
    ];
    want.sort();
    let mut got: Vec<Vec<String>> = spec
        .groups()
        .values()
        .map(|group| {
            let mut axes: Vec<_> = group.axes.iter().map(Axis::to_string).collect();
            axes.sort();
            axes
        })
        .collect();
    got.sort();
    assert_eq!(got, want);
}

#[test]
fn flattened_channels_are_blocks_or_interleaved() {
    let flat = |last: bool| {
        net(move |vb| {
            let conv = conv2d(1, 3, 3, Conv2dConfig::default(), vb.pp("conv"))?;
            let norm = batch_norm(3, 1e-5, vb.pp("norm"))?;
            let (one, two) = (linear(12, 5, vb.pp("one"))?, linear(5, 2, vb.pp("two"))?);
            of(move |xs, train| {
                let xs = norm.forward_t(&conv.forward(xs)?, train)?.relu()?.max_pool2d(2)?;
                let xs = if last { xs.permute((0, 2, 3, 1))? } else { xs };
                two.forward(&one.forward(&xs.flatten_from(1)?)?.relu()?)
            })
        })
    };
    use crate::merge::align::UnitLayout;
    for (last, layout) in [(false, UnitLayout::Blocks), (true, UnitLayout::Interleaved)] {
        let trainer = flat(last);
        let trace = Trace::new(&Model::new(&trainer).unwrap(), ones(&[4, 1, 6, 6])).unwrap();
        let biased: Vec<_> = trace.hidden().map(|hidden| (hidden.weight, hidden.bias)).collect();
        assert_eq!(biased, [("conv.weight", "conv.bias"), ("one.weight", "one.bias")]);
        let spec = trace.permutations().unwrap();
        let want = PermutationSpec::new()
            .units("P0", 3)
            .axis("P0", "conv.bias", 0)
            .axis("P0", "conv.weight", 0)
            .axis("P0", "norm.bias", 0)
            .axis("P0", "norm.running_mean", 0)
            .axis("P0", "norm.running_var", 0)
            .axis("P0", "norm.weight", 0)
            .axis_with_layout("P0", "one.weight", 1, layout)
            .units("P1", 5)
            .axis("P1", "one.bias", 0)
            .axis("P1", "one.weight", 0)
            .axis("P1", "two.weight", 1);
        assert_eq!(spec, want);
    }
}

/// Layers that are one operation with their activation have the units of candle's layers.
#[test]
fn layers_of_the_library_have_the_units_of_candles() {
    let ours = net(|vb| {
        let block = seq().add(drop_in::conv2d(1, 3, 3, Conv2dConfig::default(), vb.pp("conv"))?);
        let block = block.add(Activation::Relu).add(drop_in::batch_norm(3, 1e-5, vb.pp("norm"))?);
        let block = block.add(Activation::Relu).add(MaxPool2d::new(2)).add_fn(|xs| xs.flatten_from(1));
        let block = block.add(drop_in::linear(12, 5, vb.pp("one"))?).add(Activation::Relu);
        Ok(AnyNetwork::new(block.add(drop_in::linear(5, 2, vb.pp("two"))?)))
    });
    let theirs = net(|vb| {
        let block = seq().add(conv2d(1, 3, 3, Conv2dConfig::default(), vb.pp("conv"))?);
        let block = block.add(Activation::Relu).add(batch_norm(3, 1e-5, vb.pp("norm"))?);
        let block = block.add(Activation::Relu).add_fn(|xs| xs.max_pool2d(2)).add_fn(|xs| xs.flatten_from(1));
        let block = block.add(linear(12, 5, vb.pp("one"))?).add(Activation::Relu);
        Ok(AnyNetwork::new(block.add(linear(5, 2, vb.pp("two"))?)))
    });
    let [ours, theirs] = [ours, theirs].map(|trainer| derive(&trainer, &[4, 1, 6, 6]).unwrap());
    assert_eq!(ours, theirs);
    assert_eq!(ours.groups().len(), 2);
}

#[test]
fn one_dimensional_convolutions_and_time_steps_are_covered() {
    let trainer = net(|vb| {
        let one = conv1d(2, 4, 3, Conv1dConfig { padding: 1, ..Default::default() }, vb.pp("one"))?;
        let two = conv1d(4, 5, 3, Conv1dConfig { padding: 1, ..Default::default() }, vb.pp("two"))?;
        let (three, four) = (linear(5, 6, vb.pp("three"))?, linear(6, 2, vb.pp("four"))?);
        of(move |xs, _| {
            // candle 0.11.1 multiplies a transposed batch wrongly on the CPU unless it is made contiguous.
            let xs = two.forward(&one.forward(xs)?.gelu()?)?.relu()?.transpose(1, 2)?.contiguous()?;
            four.forward(&three.forward(&xs)?.tanh()?)?.mean(1)
        })
    });
    let spec = derive(&trainer, &[4, 2, 7]).unwrap();
    let sizes: Vec<_> = spec.groups().values().map(|group| group.units).collect();
    assert_eq!(sizes, [4, 5, 6]);
}

#[test]
fn units_that_share_a_reader_with_inputs_or_outputs_are_fixed() {
    // x + f(x), through a bottleneck: the stream is the inputs' own, and then the output.
    let trainer = net(|vb| {
        let (one, two) = (linear(4, 3, vb.pp("one"))?, linear(3, 4, vb.pp("two"))?);
        of(move |xs, _| xs + two.forward(&one.forward(xs)?.relu()?)?)
    });
    let spec = derive(&trainer, &[4, 4]).unwrap();
    assert_eq!(spec.to_string(), "P0: 3 units along one.bias axis 0, one.weight axis 0, two.weight axis 1\n");
    let alone = net(|vb| Ok(AnyNetwork::new(linear(4, 3, vb)?)));
    assert!(derive(&alone, &[4, 4]).unwrap().groups().is_empty());
}

#[test]
fn an_unsupported_network_is_refused_by_name() {
    let normed = net(|vb| {
        let net = seq().add(linear(4, 6, vb.pp("in"))?).add(layer_norm(6, 1e-5, vb.pp("norm"))?);
        Ok(AnyNetwork::new(net.add(linear(6, 2, vb.pp("out"))?)))
    });
    let e = derive(&normed, &[4, 4]).unwrap_err().to_string();
    assert!(e.contains("in.weight") && e.contains("by hand"), "{e}");
    let centred = net(|vb| {
        let (one, two) = (linear(4, 6, vb.pp("in"))?, linear(6, 2, vb.pp("out"))?);
        of(move |xs, _| {
            let hidden = one.forward(xs)?;
            two.forward(&hidden.broadcast_sub(&hidden.mean_keepdim(1)?)?)
        })
    });
    let e = derive(&centred, &[4, 4]).unwrap_err().to_string();
    assert!(
        e.contains("the units of in.weight axis 0 are mixed before they reach out.weight")
            && e.contains("by hand"),
        "{e}"
    );
    let grouped = net(|vb| {
        let config = Conv2dConfig { groups: 2, ..Default::default() };
        let net = seq().add(conv2d(2, 4, 3, config, vb.pp("one"))?).add(Activation::Relu);
        Ok(AnyNetwork::new(net.add_fn(|xs| xs.flatten_from(1)).add(linear(4, 2, vb.pp("two"))?)))
    });
    let e = derive(&grouped, &[4, 2, 3, 3]).unwrap_err().to_string();
    assert!(e.contains("one.weight"), "{e}");
    // A constant distinguishes its units, so they cannot be reordered.
    let distinguished = net(|vb| {
        let (one, two) = (linear(4, 3, vb.pp("one"))?, linear(3, 2, vb.pp("two"))?);
        of(move |xs, _| {
            let hidden = one.forward(xs)?.relu()?;
            two.forward(&hidden.broadcast_mul(&Tensor::new(&[1f32, 2., 3.], xs.device())?)?)
        })
    });
    let e = derive(&distinguished, &[4, 4]).unwrap_err().to_string();
    assert!(e.contains("P0") && e.contains("one.weight axis 0") && e.contains("changes the outputs"), "{e}");
    let trainer = mlp(&[4, 3, 2]);
    let model = Model::new(&trainer).unwrap();
    assert!(Trace::new(&model, ones(&[1, 4])).is_err());
    assert!(Trace::new(&model, Tensor::zeros((4, 4), DType::U32, &Device::Cpu).unwrap()).is_err());
}

#[test]
fn a_spec_by_hand_is_verified() {
    let trainer = mlp(&[4, 3, 2]);
    let trace = Trace::new(&Model::new(&trainer).unwrap(), ones(&[4, 4])).unwrap();
    let right = PermutationSpec::new().units("h", 3).axis("h", "0.weight", 0).axis("h", "0.bias", 0);
    let e = trace.verify(&right).unwrap_err().to_string();
    assert!(e.contains("the group h (0.weight axis 0, 0.bias axis 0)"), "{e}");
    trace.verify(&right.axis("h", "1.weight", 1)).unwrap();
}

#[test]
fn reordered_networks_give_equal_outputs() {
    let trainer = resnet(&[(4, 1), (4, 1), (6, 2)]);
    let model = Model::new(&trainer).unwrap();
    let trace = Trace::new(&model, ones(&[4, 1, 8, 8])).unwrap();
    let spec = trace.permutations().unwrap();
    for seed in 0..8u64 {
        let weights = random_weights(&trace.weights, Seed::from(seed)).unwrap();
        let xs = noisy(&ones(&[5, 1, 8, 8]), 1., Seed::from(seed).child("x")).unwrap();
        let moved = spec.apply(&weights, &spec.random(seed)).unwrap();
        let [a, b] = [&weights, &moved].map(|w| model.output(w, &xs).unwrap());
        assert!(distance(&a, &b).unwrap() < 1e-5);
        // The activations are the same, in the new order.
        let [predicted, again] = [&weights, &moved].map(|w| trace.activations(&spec, w, &xs).unwrap());
        for (name, order) in spec.random(seed) {
            assert_eq!(predicted[&name].len(), again[&name].len());
            for (ours, theirs) in predicted[&name].iter().zip(&again[&name]) {
                let order = Tensor::new(order.as_slice(), &Device::Cpu).unwrap();
                assert!(distance(&ours.index_select(&order, 0).unwrap(), theirs).unwrap() < 1e-5);
            }
        }
    }
}

#[test]
fn activations_are_those_that_the_reader_gets() {
    let trainer = mlp(&[3, 4, 2]);
    let model = Model::new(&trainer).unwrap();
    let xs = noisy(&ones(&[7, 3]), 1., Seed::from(4)).unwrap();
    let trace = Trace::new(&model, &xs).unwrap();
    let spec = trace.permutations().unwrap();
    let (w, b) = (&trace.weights["0.weight"], &trace.weights["0.bias"]);
    let by_hand = xs.matmul(&w.t().unwrap()).unwrap().broadcast_add(b).unwrap().relu().unwrap().t().unwrap();
    for rows in [2, 3, 100] {
        let trace = Trace::new(&model.clone().batch_rows(rows), &xs).unwrap();
        let predicted = trace.activations(&spec, &trace.weights, &xs).unwrap();
        assert_eq!(predicted["P0"].len(), 1);
        assert!(distance(&by_hand, &predicted["P0"][0]).unwrap() < 1e-6);
    }
}

#[test]
fn hidden_layers_with_a_bias_are_found_in_order() {
    let trainer = mlp(&[3, 4, 5, 2]);
    let trace = Trace::new(&Model::new(&trainer).unwrap(), ones(&[4, 3])).unwrap();
    let names: Vec<_> = trace.hidden().map(|h| (h.weight.to_string(), h.axis, h.bias.to_string())).collect();
    assert_eq!(names, [("0.weight".into(), 0, "0.bias".into()), ("1.weight".into(), 0, "1.bias".into())]);
}
