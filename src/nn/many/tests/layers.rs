//! Models of single layers are the converted networks, to the bit.
use super::{
    members::select,
    methods::{dropping, wide},
    *,
};
use crate::{
    network::MemberBatches,
    nn::{
        many::{
            Along, BatchEnsemble, BatchEnsembleLayer, EfficientEnsemble, EnsembleNetwork, EnsembleView,
            Heads, Independent, Masksembles, MasksemblesLayer, McDropout, McDropoutLayer, Mimo, MimoInputs,
            MimoOutputs, Packed, PackedLayer, PackedPlace, ScaleEnsemble, ScaleInit, SeparateLayer,
            SeparateNorm, TabM, TabMMini,
        },
        testing::assert_near,
        SpatialDropout2d,
    },
};
use candle_core::{Module, ModuleT};

const MEMBERS: usize = 3;
const SIGNS: ScaleInit = ScaleInit::RandomSigns { probability: 0.5 };
const ONES: ScaleInit = ScaleInit::Ones;
const RELU: Activation = Activation::Relu;
const TANH: Activation = Activation::Tanh;

/// A model of one's own.
struct Own<F>(F);

impl<F: Fn(&Tensor, bool) -> Result<Tensor>> ModuleT for Own<F> {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0(x, train)
    }
}

fn own(
    members: usize,
    forward: impl Fn(&Tensor, bool) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<EnsembleNetwork> {
    EnsembleNetwork::new(Own(forward), members)
}

type Build = fn(VarBuilder<'static>) -> Result<EnsembleNetwork>;

/// The two networks begin alike, and with the same weights have the same outputs and gradients, in training and in evaluation,
/// and are pruned alike.
fn same(method: impl Into<EfficientEnsemble>, plain: Plain, dims: &[usize], build: Build) {
    let method = method.into();
    let begun = |build: &dyn Fn(VarBuilder<'static>) -> Result<EnsembleNetwork>| {
        let (vars, vb) = variables(3, DType::F32);
        let network = build(vb).unwrap();
        (vars, network)
    };
    let (theirs, converted) = begun(&|vb| method.convert(vb, plain));
    let (ours, network) = begun(&build);
    let all = |vars: &Vars| -> Vec<_> {
        vars.snapshot().unwrap().into_iter().map(|(name, x)| (name, x.dims().to_vec(), bits(&x))).collect()
    };
    assert_eq!(all(&theirs), all(&ours), "{method}");
    assert_eq!(network.members(), converted.members(), "{method}");
    perturb(&theirs);
    ours.load(&theirs.snapshot().unwrap()).unwrap();
    let x = inputs(6, dims, DType::F32);
    for _ in 0..2 {
        let [a, b] = [&converted, &network].map(|network| network.run(&x, true).unwrap());
        assert_eq!(bits(&a), bits(&b), "{method}");
        let (a, b) = (gradients(&theirs, &a), gradients(&ours, &b));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{method}");
        assert!(!a.is_empty());
        for (name, gradient) in &a {
            // Zeros may have another sign, where relu is one operation with the layer before it.
            assert_eq!(flat(gradient), flat(&b[name]), "{method} {name}");
        }
    }
    let evaluated = |network: &EnsembleNetwork| network.run_members(&x).unwrap();
    assert_eq!(bits(&evaluated(&converted)), bits(&evaluated(&network)), "{method}");
    if matches!(method, EfficientEnsemble::Mimo(_)) {
        return;
    }
    let fewer = build(over(&select(&ours.snapshot().unwrap(), &[0, 2]), DType::F32)).unwrap();
    assert_eq!(fewer.members().count, 2);
    let [few, all] = [evaluated(&fewer), evaluated(&network)];
    for (place, number) in [0, 2].into_iter().enumerate() {
        // Products of other numbers of rows are rounded otherwise.
        assert_near(&member(&few, place, 6), &member(&all, number, 6), 1e-6, &method.to_string());
    }
}

#[test]
fn layers_of_batch_ensemble() {
    same(BatchEnsemble::new(MEMBERS), mlp, &[5], |vb| {
        let signs = [SIGNS; 2];
        let a = BatchEnsembleLayer::linear(5, 7, MEMBERS, signs, vb.pp(0))?.shared_inputs();
        let b = BatchEnsembleLayer::of(MEMBERS, signs, vb.pp(1), |vb| nn::linear_no_bias(7, 6, vb))?;
        let c = BatchEnsembleLayer::of(MEMBERS, signs, vb.pp(2), |vb| candle_nn::linear(6, 3, vb))?;
        own(c.members(), move |x, train| {
            let x = b.forward_t(&a.forward_then(Activation::Relu, x)?, train)?.apply(&TANH)?;
            c.forward_t(&x, train)
        })
    });
    same(BatchEnsemble::new(MEMBERS), conv_net, &[2, 7, 6], |vb| {
        let signs = [SIGNS; 2];
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        let grouped = Conv2dConfig { stride: 2, groups: 2, ..Default::default() };
        let a = BatchEnsembleLayer::conv2d(2, 4, 3, padded, MEMBERS, signs, vb.pp("a"))?.shared_inputs();
        let b = BatchEnsembleLayer::of(MEMBERS, signs, vb.pp("b"), |vb| {
            nn::conv2d_no_bias(4, 6, 2, grouped, vb)
        })?;
        let c = BatchEnsembleLayer::linear(6 * 3 * 3, 2, MEMBERS, signs, vb.pp("c"))?;
        own(a.members(), move |x, train| {
            let x = b.forward_t(&Activation::Gelu.forward(&a.forward_t(x, train)?)?, train)?.apply(&RELU)?;
            c.forward_t(&x.flatten_from(1)?, train)
        })
    });
    same(BatchEnsemble::new(MEMBERS), sequence_net, &[3, 9], |vb| {
        let signs = [SIGNS; 2];
        let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
        let a = BatchEnsembleLayer::conv1d(3, 4, 3, config, MEMBERS, signs, vb.pp("a"))?.shared_inputs();
        let b = BatchEnsembleLayer::linear(4, 2, MEMBERS, signs, vb.pp("b"))?;
        own(b.members(), move |x, train| {
            b.forward_t(&a.forward_then(Activation::Sigmoid, x)?.mean(2)?, train)
        })
    });
}

#[test]
fn layers_of_tab_m() {
    same(TabM::new(MEMBERS), mlp, &[5], |vb| {
        let a = BatchEnsembleLayer::linear(5, 7, MEMBERS, [SIGNS, ONES], vb.pp(0))?;
        let b = BatchEnsembleLayer::of(MEMBERS, [ONES; 2], vb.pp(1), |vb| nn::linear_no_bias(7, 6, vb))?;
        let c = SeparateLayer::linear(6, 3, MEMBERS, vb.pp(2))?;
        // The rows of each member, in place of rows that they share.
        let view = EnsembleView::new(a.members())?;
        own(c.members(), move |x, train| {
            let x = a.forward_t(&view.forward(x)?, train)?.apply(&RELU)?;
            c.forward_t(&b.forward_then(Activation::Tanh, &x)?, train)
        })
    });
    same(TabMMini::new(MEMBERS), mlp, &[5], |vb| {
        let scales = ScaleEnsemble::new(5, MEMBERS, SIGNS, vb.pp(0))?.shared_inputs();
        let (a, b) = (nn::linear(5, 7, vb.pp(0))?, nn::linear_no_bias(7, 6, vb.pp(1))?);
        let c = SeparateLayer::linear(6, 3, MEMBERS, vb.pp(2))?;
        own(scales.members(), move |x, train| {
            c.forward_t(&b.forward(&a.forward(&scales.forward(x)?)?.apply(&RELU)?)?.apply(&TANH)?, train)
        })
    });
    same(TabMMini::new(MEMBERS), sequence_net, &[3, 9], |vb| {
        let scales = ScaleEnsemble::new(3, MEMBERS, SIGNS, vb.pp("a"))?.along(Along::Second).shared_inputs();
        let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
        let a = nn::conv1d(3, 4, 3, config, vb.pp("a"))?;
        let b = SeparateLayer::linear(4, 2, MEMBERS, vb.pp("b"))?;
        own(b.members(), move |x, train| {
            let x = a.forward(&scales.forward(x)?)?;
            b.forward_t(&Activation::Sigmoid.forward(&x)?.mean(2)?, train)
        })
    });
}

#[test]
fn layers_of_each_member() {
    same(Heads::new(MEMBERS), mlp, &[5], |vb| {
        let (a, b) = (nn::linear(5, 7, vb.pp(0))?, nn::linear_no_bias(7, 6, vb.pp(1))?);
        let head = SeparateLayer::linear(6, 3, MEMBERS, vb.pp(2))?.shared_inputs();
        own(head.members(), move |x, train| {
            head.forward_t(&b.forward(&a.forward(x)?.apply(&RELU)?)?.apply(&TANH)?, train)
        })
    });
    same(Independent::new(MEMBERS), conv_net, &[2, 7, 6], |vb| {
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        let grouped = Conv2dConfig { stride: 2, groups: 2, ..Default::default() };
        let a = SeparateLayer::conv2d(2, 4, 3, padded, MEMBERS, vb.pp("a"))?.shared_inputs();
        let b = SeparateLayer::of(MEMBERS, vb.pp("b"), |vb| nn::conv2d_no_bias(4, 6, 2, grouped, vb))?;
        let c = SeparateLayer::linear(6 * 3 * 3, 2, MEMBERS, vb.pp("c"))?;
        own(a.members(), move |x, train| {
            let x = b.forward_t(&Activation::Gelu.forward(&a.forward_t(x, train)?)?, train)?.apply(&RELU)?;
            c.forward_t(&x.flatten_from(1)?, train)
        })
    });
    same(Independent::new(MEMBERS), sequence_net, &[3, 9], |vb| {
        let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
        let a = SeparateLayer::conv1d(3, 4, 3, config, MEMBERS, vb.pp("a"))?.shared_inputs();
        let b = SeparateLayer::linear(4, 2, MEMBERS, vb.pp("b"))?;
        own(b.members(), move |x, train| {
            b.forward_t(&a.forward_then(Activation::Sigmoid, x)?.mean(2)?, train)
        })
    });
}

#[test]
fn normalization_layers_of_each_member() {
    let plain: Plain = |vb| {
        let first = seq().add(nn::linear(5, 8, vb.pp("a"))?).add(nn::batch_norm(8, 1e-5, vb.pp("na"))?);
        let first = first.add(TANH).add(nn::linear(8, 8, vb.pp("b"))?);
        let second = first.add(candle_nn::layer_norm(8, 1e-5, vb.pp("nb"))?);
        let second = second.add(nn::GroupNorm::new(2, 8, 1e-5, vb.pp("nc"))?);
        Ok(second.add(nn::rms_norm(8, 1e-5, vb.pp("nd"))?).add(nn::linear(8, 3, vb.pp("c"))?))
    };
    same(Independent::new(MEMBERS), plain, &[5], |vb| {
        let a = SeparateLayer::linear(5, 8, MEMBERS, vb.pp("a"))?.shared_inputs();
        let b = SeparateLayer::linear(8, 8, MEMBERS, vb.pp("b"))?;
        let c = SeparateLayer::linear(8, 3, MEMBERS, vb.pp("c"))?;
        let of_batches = SeparateNorm::of(MEMBERS, vb.pp("na"), |vb| nn::batch_norm(8, 1e-5, vb))?;
        let norms = [
            SeparateNorm::of(MEMBERS, vb.pp("nb"), |vb| candle_nn::layer_norm(8, 1e-5, vb))?,
            SeparateNorm::of(MEMBERS, vb.pp("nc"), |vb| nn::GroupNorm::new(2, 8, 1e-5, vb))?,
            SeparateNorm::of(MEMBERS, vb.pp("nd"), |vb| nn::rms_norm(8, 1e-5, vb))?,
        ];
        own(of_batches.members(), move |x, train| {
            let x = of_batches.forward_t(&a.forward_t(x, train)?, train)?.apply(&TANH)?;
            let x = b.forward_t(&x, train)?;
            c.forward_t(&norms.iter().try_fold(x, |x, norm| norm.forward_t(&x, train))?, train)
        })
    });
    let refused = SeparateNorm::of(2, variables(1, DType::F32).1, |vb| nn::linear(4, 4, vb));
    let e = refused.unwrap_err().to_string();
    assert!(e.contains("the plain layer of SeparateNorm must be a normalization layer"), "{e}");
}

/// Convolutions of which one has groups, with widths of members that need no rounding.
fn packable(vb: VarBuilder<'_>) -> Result<Sequential> {
    let grouped = Conv2dConfig { groups: 2, ..Default::default() };
    let first = seq().add(nn::conv2d(2, 12, 3, Default::default(), vb.pp("a"))?).add(Activation::Relu);
    let second = first.add(nn::conv2d_no_bias(12, 12, 2, grouped, vb.pp("b"))?).add(Activation::Tanh);
    Ok(second.add_fn(|x| x.flatten_from(1)).add(nn::linear(12 * 9, 2, vb.pp("c"))?))
}

#[test]
fn layers_of_packed() {
    const PACKED: Packed = Packed { members: MEMBERS, alpha: 2., gamma: 2 };
    same(
        PACKED,
        |vb| wide(12)(vb),
        &[5],
        |vb| {
            let a = PackedLayer::linear(5, 12, PACKED, PackedPlace::First, vb.pp("a"))?;
            let b = PackedLayer::of(PACKED, PackedPlace::Hidden, vb.pp("b"), |vb| {
                nn::linear_no_bias(12, 12, vb)
            })?;
            let c = PackedLayer::linear(12, 3, PACKED, PackedPlace::Last, vb.pp("c"))?;
            own(b.members(), move |x, train| {
                let x = b.forward_then(Activation::Tanh, &a.forward_then(Activation::Relu, x)?)?;
                c.forward_t(&x, train)
            })
        },
    );
    same(PACKED, packable, &[2, 6, 6], |vb| {
        let grouped = Conv2dConfig { groups: 2, ..Default::default() };
        let a = PackedLayer::conv2d(2, 12, 3, Default::default(), PACKED, PackedPlace::First, vb.pp("a"))?;
        let b = PackedLayer::of(PACKED, PackedPlace::Hidden, vb.pp("b"), |vb| {
            nn::conv2d_no_bias(12, 12, 2, grouped, vb)
        })?;
        let c = PackedLayer::linear(12 * 9, 2, PACKED, PackedPlace::Last, vb.pp("c"))?;
        own(c.members(), move |x, train| {
            let x = b.forward_t(&a.forward_t(x, train)?.apply(&RELU)?, train)?.apply(&TANH)?;
            c.forward_t(&x.flatten_from(1)?, train)
        })
    });
    // One of sequences, and a convolution with a group for each channel.
    let plain: Plain = |vb| {
        let depthwise = Conv1dConfig { groups: 12, ..Default::default() };
        let first = seq().add(nn::conv1d(2, 12, 3, Default::default(), vb.pp("a"))?);
        let second = first.add(nn::conv1d(12, 12, 2, depthwise, vb.pp("b"))?).add_fn(|x| x.mean(2));
        Ok(second.add(nn::linear(12, 2, vb.pp("c"))?))
    };
    same(PACKED, plain, &[2, 6], |vb| {
        let depthwise = Conv1dConfig { groups: 12, ..Default::default() };
        let a = PackedLayer::conv1d(2, 12, 3, Default::default(), PACKED, PackedPlace::First, vb.pp("a"))?;
        let b = PackedLayer::conv1d(12, 12, 2, depthwise, PACKED, PackedPlace::Hidden, vb.pp("b"))?;
        let c = PackedLayer::linear(12, 2, PACKED, PackedPlace::Last, vb.pp("c"))?;
        own(c.members(), move |x, train| {
            c.forward_t(&b.forward_t(&a.forward_t(x, train)?, train)?.mean(2)?, train)
        })
    });
}

#[test]
fn layers_of_masksembles() {
    same(
        Masksembles::new(MEMBERS),
        |vb| wide(20)(vb),
        &[5],
        |vb| {
            let (a, b) = (nn::linear(5, 20, vb.pp("a"))?, nn::linear_no_bias(20, 20, vb.pp("b"))?);
            let c = nn::linear(20, 3, vb.pp("c"))?;
            let first = MasksemblesLayer::new(20, MEMBERS, 2., vb.pp("b"))?.shared_inputs();
            let second = MasksemblesLayer::new(20, MEMBERS, 2., vb.pp("c"))?;
            own(second.members(), move |x, _| {
                let x = first.forward(&a.forward(x)?.apply(&RELU)?)?;
                c.forward(&second.forward(&b.forward(&x)?.apply(&TANH)?)?)
            })
        },
    );
    let plain: Plain = |vb| {
        let first = seq().add(nn::conv2d(2, 10, 3, Default::default(), vb.pp(0))?).add(Activation::Relu);
        Ok(first.add(nn::conv2d(10, 3, 2, Default::default(), vb.pp(1))?).add_fn(|x| x.mean((2, 3))))
    };
    same(Masksembles::new(MEMBERS), plain, &[2, 5, 5], |vb| {
        let a = nn::conv2d(2, 10, 3, Default::default(), vb.pp(0))?;
        let masks = MasksemblesLayer::new(10, MEMBERS, 2., vb.pp(1))?.along(Along::Second).shared_inputs();
        let b = nn::conv2d(10, 3, 2, Default::default(), vb.pp(1))?;
        own(masks.members(), move |x, _| {
            b.forward(&masks.forward(&a.forward(x)?.apply(&RELU)?)?)?.mean((2, 3))
        })
    });
}

#[test]
fn layers_of_monte_carlo_dropout() {
    same(McDropout::new(MEMBERS), dropping, &[2, 6, 6], |vb| {
        let a = nn::conv2d(2, 8, 3, Default::default(), vb.pp("a"))?;
        let b = nn::linear(8 * 16, 12, vb.pp("b"))?;
        let c = nn::linear(12, 3, vb.pp("c"))?;
        let of_channels = McDropoutLayer::of(MEMBERS, vb.pp("da"), |vb| SpatialDropout2d::new(0.25, vb))?;
        let (of_channels, dropout) =
            (of_channels.shared_inputs(), McDropoutLayer::new(0.5, MEMBERS, vb.pp("db"))?);
        let network = own(dropout.members(), move |x, train| {
            let x = of_channels.forward_t(&a.forward(x)?.apply(&RELU)?, train)?;
            let x = b.forward(&x.flatten_from(1)?)?.apply(&RELU)?;
            c.forward(&dropout.forward_t(&x, train)?)
        })?;
        Ok(network.batches(MemberBatches::Single))
    });
}

#[test]
fn layers_of_mimo() {
    const BATCHES: MemberBatches = MemberBatches::Own { repetitions: 1, shared: 0. };
    same(Mimo::new(MEMBERS), mlp, &[5], |vb| {
        let a = nn::linear(MEMBERS * 5, 7, vb.pp(0))?;
        let (b, c) = (nn::linear_no_bias(7, 6, vb.pp(1))?, nn::linear(6, MEMBERS * 3, vb.pp(2))?);
        let (inputs, outputs) = (MimoInputs::new(MEMBERS)?, MimoOutputs::new(MEMBERS)?);
        let network = own(MEMBERS, move |x, train| {
            let x = b.forward(&a.forward(&inputs.forward_t(x, train)?)?.apply(&RELU)?)?.apply(&TANH)?;
            outputs.forward_t(&c.forward(&x)?, train)
        })?;
        Ok(network.batches(BATCHES))
    });
    same(Mimo::new(MEMBERS), sequence_net, &[3, 9], |vb| {
        let config = Conv1dConfig { padding: 1, stride: 2, ..Default::default() };
        let a = nn::conv1d(MEMBERS * 3, 4, 3, config, vb.pp("a"))?;
        let b = nn::linear(4, MEMBERS * 2, vb.pp("b"))?;
        let inputs = MimoInputs::new(MEMBERS)?.along(Along::Second);
        let outputs = MimoOutputs::new(MEMBERS)?;
        let network = own(MEMBERS, move |x, train| {
            let x = Activation::Sigmoid.forward(&a.forward(&inputs.forward_t(x, train)?)?)?;
            outputs.forward_t(&b.forward(&x.mean(2)?)?, train)
        })?;
        Ok(network.batches(BATCHES))
    });
}

#[test]
fn layers_name_what_they_refuse() {
    let vb = || variables(1, DType::F32).1;
    let e = |outcome: candle_core::Error| outcome.to_string();
    let signs = [SIGNS; 2];
    let none = e(BatchEnsembleLayer::linear(2, 2, 0, signs, vb()).unwrap_err());
    assert!(none.contains("the members of BatchEnsembleLayer must be at least 1, but is 0"), "{none}");
    let beyond = [ScaleInit::RandomSigns { probability: 2. }; 2];
    let beyond = e(BatchEnsembleLayer::linear(2, 2, 2, beyond, vb()).unwrap_err());
    assert!(beyond.contains("ScaleInit::RandomSigns::probability must be from 0 to 1"), "{beyond}");
    let other = e(SeparateLayer::of(2, vb(), |vb| nn::layer_norm(4, 1e-5, vb)).unwrap_err());
    assert!(other.contains("the plain layer of SeparateLayer must be nn::Linear"), "{other}");
    assert!(other.contains("LayerNorm"), "{other}");
    for none in [
        ScaleEnsemble::new(2, 0, SIGNS, vb()).map(drop),
        SeparateLayer::linear(2, 2, 0, vb()).map(drop),
        EnsembleView::new(0).map(drop),
        McDropoutLayer::new(0.1, 0, vb()).map(drop),
        MimoInputs::new(0).map(drop),
        MimoOutputs::new(0).map(drop),
    ] {
        let e = e(none.unwrap_err());
        assert!(e.contains("must be at least 1, but is 0"), "{e}");
    }
    let kind = e(McDropoutLayer::of(2, vb(), |_| Ok(candle_nn::Dropout::new(0.5))).unwrap_err());
    assert!(kind.contains("the dropout of McDropoutLayer must be nn::Dropout"), "{kind}");
    let uneven = Packed::new(2).gamma(3);
    let uneven = e(PackedLayer::of(uneven, PackedPlace::Last, vb(), |vb| {
        nn::conv2d(6, 4, 1, Conv2dConfig { groups: 4, ..Default::default() }, vb)
    })
    .unwrap_err());
    assert!(uneven.contains("4"), "{uneven}");
    let masks = MasksemblesLayer::new(12, 2, 2., vb()).unwrap();
    let wrong = e(masks.forward(&Tensor::ones((4, 11), DType::F32, &Device::Cpu).unwrap()).unwrap_err());
    assert!(
        wrong.contains("the features of a layer with masks must be 12 for 2 members, but is 11"),
        "{wrong}"
    );
    let odd = Tensor::ones((3, 5), DType::F32, &Device::Cpu).unwrap();
    let odd = e(MimoOutputs::new(2).unwrap().forward_t(&odd, true).unwrap_err());
    assert!(odd.contains("the number of outputs of a network of Mimo must be a multiple of 2"), "{odd}");
}
