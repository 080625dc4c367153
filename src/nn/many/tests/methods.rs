//! What Packed, MIMO, Masksembles and Monte-Carlo dropout do, and what they refuse.
use super::{members::select, *};
use crate::{
    network::{MemberBatches, Members},
    nn::{
        many::{EfficientEnsemble, Epinet, Masksembles, McDropout, Mimo, Packed},
        testing::{assert_near, numbers},
        BatchNormConfig, Dropout, SpatialDropout2d,
    },
};
use candle_core::ModuleT;

/// A plain network of this width for rows of five numbers.
pub(super) fn wide(width: usize) -> impl Fn(VarBuilder<'_>) -> Result<Sequential> {
    move |vb| {
        let first = seq().add(nn::linear(5, width, vb.pp("a"))?).add(Activation::Relu);
        let second = first.add(nn::linear_no_bias(width, width, vb.pp("b"))?).add(Activation::Tanh);
        Ok(second.add(nn::linear(width, 3, vb.pp("c"))?))
    }
}

/// A plain network of this width for images of two channels, six by six, with normalization layers of every kind.
fn normalized(width: usize) -> impl Fn(VarBuilder<'_>) -> Result<Sequential> {
    move |vb| {
        let padded = Conv2dConfig { padding: 1, ..Default::default() };
        let grouped = Conv2dConfig { stride: 2, groups: 2, ..Default::default() };
        let first = seq().add(nn::conv2d(2, width, 3, padded, vb.pp("a"))?);
        let first = first.add(nn::batch_norm(width, 1e-5, vb.pp("na"))?).add(Activation::Relu);
        let second = first.add(nn::conv2d_no_bias(width, width, 2, grouped, vb.pp("b"))?);
        let second = second.add(nn::group_norm(2, width, 1e-5, vb.pp("nb"))?).add_fn(|x| x.flatten_from(1));
        let third = second.add(nn::linear(width * 9, width, vb.pp("c"))?);
        let third = third.add(nn::layer_norm(width, 1e-5, vb.pp("nc"))?).add(Activation::Relu);
        let fourth =
            third.add(nn::linear(width, width, vb.pp("d"))?).add(nn::rms_norm(width, 1e-5, vb.pp("nd"))?);
        let config = BatchNormConfig::keras().affine(false);
        let fourth = fourth.add(nn::batch_norm(width, config, vb.pp("ne"))?).add(Activation::Tanh);
        Ok(fourth.add(nn::linear(width, 3, vb.pp("e"))?))
    }
}

/// A plain network with dropout of elements and of channels, for images of two channels, six by six.
pub(super) fn dropping(vb: VarBuilder<'_>) -> Result<Sequential> {
    let first = seq().add(nn::conv2d(2, 8, 3, Default::default(), vb.pp("a"))?).add(Activation::Relu);
    let first = first.add(SpatialDropout2d::new(0.25, vb.pp("da"))?).add_fn(|x| x.flatten_from(1));
    let second = first.add(nn::linear(8 * 16, 12, vb.pp("b"))?).add(Activation::Relu);
    Ok(second.add(Dropout::new(0.5, vb.pp("db"))?).add(nn::linear(12, 3, vb.pp("c"))?))
}

/// The weights of a member as those of a plain network: its entries under the plain names.
fn of_member(weights: &Weights, member: usize) -> Weights {
    weights.iter().map(|(name, x)| (name.replace("members.", ""), x.get(member).unwrap())).collect()
}

#[test]
fn packed_members_are_narrow_networks() {
    for members in [1, 2, 3] {
        // Together twice as wide as 4 · M, so each member has 8 features.
        let packed = Packed::new(members).alpha(2.);
        let (vars, vb) = variables(1, DType::F64);
        let network = packed.convert(vb, normalized(4 * members)).unwrap();
        perturb(&vars);
        let x = inputs(6, &[2, 6, 6], DType::F64);
        let before = vars.snapshot().unwrap();
        let (evaluated, trained) = (network.run_members(&x).unwrap(), network.run(&x, true).unwrap());
        let all = gradients(&vars, &trained);
        let after = vars.snapshot().unwrap();
        let upstream = numbers(trained.shape(), 9, DType::F64);
        for number in 0..members {
            let (own, vb) = variables(2, DType::F64);
            let narrow = normalized(8)(vb).unwrap();
            own.load(&of_member(&before, number)).unwrap();
            let what = format!("member {number} of {members}");
            assert_near(
                &member(&evaluated, number, 6),
                &narrow.forward(x.only().unwrap()).unwrap(),
                1e-12,
                &what,
            );
            let y = narrow.forward_t(x.only().unwrap(), true).unwrap();
            assert_near(&member(&trained, number, 6), &y, 1e-12, &what);
            // Running statistics too.
            for (name, value) in own.snapshot().unwrap() {
                let (layer, kind) = name.rsplit_once('.').unwrap();
                let found = after[&format!("{layer}.members.{kind}")].get(number).unwrap();
                assert_near(&found, &value, 1e-12, &format!("{what} {name}"));
            }
            let store = backward(&(y * member(&upstream, number, 6)).unwrap().sum_all().unwrap()).unwrap();
            for (name, var) in own.named() {
                let Some(expected) = store.get(&var) else { continue };
                let (layer, kind) = name.rsplit_once('.').unwrap();
                let found = all[&format!("{layer}.members.{kind}")].get(number).unwrap();
                assert_near(&found, expected, 1e-10, &format!("{what} {name}"));
            }
        }
    }
}

#[test]
fn one_packed_member_of_full_width_is_the_plain_network() {
    for (plain, dims) in PLAIN {
        let (vars, vb) = variables(1, DType::F64);
        let network = Packed::new(1).alpha(1.).convert(vb, plain).unwrap();
        let weights = of_member(&vars.snapshot().unwrap(), 0);
        let alone = plain(over(&weights, DType::F64)).unwrap();
        let x = inputs(4, dims, DType::F64);
        assert_near(
            &network.run_members(&x).unwrap(),
            &alone.forward(x.only().unwrap()).unwrap(),
            1e-12,
            "outputs",
        );
    }
}

#[test]
fn no_packed_member_depends_on_anothers_variables() {
    for gamma in [1, 2] {
        let (vars, vb) = variables(1, DType::F64);
        let network = Packed::new(3).gamma(gamma).convert(vb, wide(12)).unwrap();
        let y = network.run(&inputs(4, &[5], DType::F64), true).unwrap();
        let store = backward(&member(&y, 1, 4).sqr().unwrap().sum_all().unwrap()).unwrap();
        for (name, var) in vars.named() {
            let gradient = store.get(&var).unwrap();
            for number in 0..3 {
                let is_zero = flat(&gradient.get(number).unwrap()).iter().all(|g| *g == 0.);
                assert_eq!(is_zero, number != 1, "{name} {number}");
            }
        }
    }
}

#[test]
fn widths_of_packed_members_are_rounded_up() {
    let width = |packed: Packed, width| {
        let (vars, vb) = variables(1, DType::F32);
        packed.convert(vb, wide(width)).unwrap();
        let weights = vars.snapshot().unwrap();
        assert_eq!(weights["c.members.weight"].dims()[..2], [packed.members, 3]);
        (weights["a.members.weight"].dims()[1], weights["b.members.weight"].dims()[2])
    };
    assert_eq!(width(Packed::new(4), 10), (5, 5));
    assert_eq!(width(Packed::new(4).alpha(1.5), 10), (4, 4)); // ⌈15 / 4⌉
    assert_eq!(width(Packed::new(4).alpha(1.5).gamma(2), 10), (4, 2)); // 2 ⌈15 / 8⌉, in two groups
    assert_eq!(width(Packed::new(8).alpha(0.1), 10), (1, 1));
    // A convolution with a group for each channel stays one.
    let depthwise = |vb: VarBuilder<'_>| {
        let config = Conv2dConfig { groups: 8, ..Default::default() };
        let first = seq().add(nn::conv2d(2, 8, 1, Default::default(), vb.pp(0))?);
        let second = first.add(nn::conv2d(8, 16, 2, config, vb.pp(1))?).add_fn(|x| x.flatten_from(1));
        Ok(second.add(nn::linear(16 * 4, 3, vb.pp(2))?))
    };
    let (vars, vb) = variables(1, DType::F32);
    let network = Packed::new(2).alpha(1.).gamma(2).convert(vb, depthwise).unwrap();
    let weights = vars.snapshot().unwrap();
    assert_eq!(weights["1.members.weight"].dims(), [2, 8, 1, 2, 2]);
    assert_eq!(weights["2.members.weight"].dims(), [2, 3, 8 * 4]);
    assert_eq!(network.run_members(&inputs(5, &[2, 3, 3], DType::F32)).unwrap().dims(), [10, 3]);
}

#[test]
fn packed_layers_begin_as_layers_of_their_width() {
    let (vars, vb) = variables(1, DType::F64);
    Packed::new(4).gamma(4).convert(vb, wide(64)).unwrap();
    let weights = vars.snapshot().unwrap();
    let deviation = |name: &str| {
        (flat(&weights[name].sqr().unwrap()).iter().sum::<f64>() / weights[name].elem_count() as f64).sqrt()
    };
    // √(2 / inputs) of 5, of 32 in 4 groups and of 32, within 10 %.
    for (name, inputs) in [("a", 5.), ("b", 8.), ("c", 32.)] {
        let ratio = deviation(&format!("{name}.members.weight")) / (2f64 / inputs).sqrt();
        assert!((ratio - 1.).abs() < 0.1, "{name} {ratio}");
    }
    let bound = flat(&weights["c.members.bias"]).iter().fold(0f64, |most, x| most.max(x.abs()));
    assert!(bound <= 1. / 32f64.sqrt() && bound > 0.5 / 32f64.sqrt(), "{bound}");
}

/// The plain network with the weights behind dropped features set to 0.
#[test]
fn masksembles_members_are_the_plain_network_with_weights_of_zero() {
    let (vars, vb) = variables(1, DType::F64);
    let network = Masksembles::new(3).scale(1.8).convert(vb, wide(20)).unwrap();
    perturb(&vars);
    let weights = vars.snapshot().unwrap();
    let x = inputs(4, &[5], DType::F64);
    let y = network.run(&x, true).unwrap();
    assert_eq!(bits(&network.run_members(&x).unwrap()), bits(&y));
    let mut kept = vec![];
    for number in 0..3 {
        let mut own = weights.clone();
        own.retain(|name, _| !name.contains("members"));
        for layer in ["b", "c"] {
            let mask = weights[&format!("{layer}.members.masks")].get(number).unwrap();
            kept.push(mask.to_vec1::<u32>().unwrap());
            let weight = own.get_mut(&format!("{layer}.weight")).unwrap();
            *weight = weight.broadcast_mul(&mask.to_dtype(DType::F64).unwrap()).unwrap();
        }
        let alone = wide(20)(over(&own, DType::F64)).unwrap().forward(x.only().unwrap()).unwrap();
        assert_near(&member(&y, number, 4), &alone, 1e-12, "outputs");
    }
    // ⌊20 / (1.8 (1 − (1 − 1/1.8)³))⌋, and other masks for another layer.
    assert!(kept.iter().all(|mask| mask.iter().sum::<u32>() == 12));
    assert_ne!(kept[0], kept[1]);
    // No gradient reaches a weight behind a feature that a member does not use, and the weights get one.
    let store = backward(&member(&y, 0, 4).sqr().unwrap().sum_all().unwrap()).unwrap();
    let var = vars.named().into_iter().find(|(name, _)| name == "c.weight").unwrap().1;
    let of_features = store.get(&var).unwrap().abs().unwrap().sum(0).unwrap().to_vec1::<f64>().unwrap();
    for (mask, gradient) in kept[1].iter().zip(of_features) {
        assert_eq!(*mask == 0, gradient == 0.);
    }
}

#[test]
fn masks_of_convolutions_are_of_channels() {
    let plain = |vb: VarBuilder<'_>| {
        let first =
            seq().add(nn::conv2d(2, 10, 3, Default::default(), vb.pp(0))?).add(Activation::Exponential);
        Ok(first.add(nn::conv2d(10, 3, 2, Default::default(), vb.pp(1))?).add_fn(|x| x.mean((2, 3))))
    };
    let (vars, vb) = variables(1, DType::F64);
    let network = Masksembles::new(2).convert(vb, plain).unwrap();
    let weights = vars.snapshot().unwrap();
    let x = inputs(3, &[2, 5, 5], DType::F64);
    let y = network.run_members(&x).unwrap();
    for number in 0..2 {
        let mut own = weights.clone();
        let mask = own.remove("1.members.masks").unwrap().get(number).unwrap().to_dtype(DType::F64).unwrap();
        let weight = own.get_mut("1.weight").unwrap();
        *weight = weight.broadcast_mul(&mask.reshape((1, 10, 1, 1)).unwrap()).unwrap();
        let alone = plain(over(&own, DType::F64)).unwrap().forward(x.only().unwrap()).unwrap();
        assert_near(&member(&y, number, 3), &alone, 1e-12, "outputs");
    }
}

#[test]
fn monte_carlo_dropout_trains_as_the_plain_network() {
    let (_, vb) = variables(1, DType::F32);
    let network = McDropout::new(6).convert(vb, dropping).unwrap();
    let (_, vb) = variables(1, DType::F32);
    let plain = dropping(vb).unwrap();
    let x = inputs(4, &[2, 6, 6], DType::F32);
    for _ in 0..3 {
        let alone = plain.forward_t(x.only().unwrap(), true).unwrap();
        assert_eq!(bits(&network.run(&x, true).unwrap()), bits(&alone));
    }
    assert_eq!(network.members(), Members { count: 6, batches: MemberBatches::Single });
}

/// Ones before and behind the masks, so that the outputs are the masks.
#[test]
fn masks_of_passes_drop_with_the_probability_and_keep_the_mean() {
    let plain = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(1, 500, vb.pp(0))?).add(Dropout::new(0.3, vb.pp("d"))?);
        Ok(first.add(nn::linear_no_bias(500, 500, vb.pp(1))?))
    };
    let (vars, vb) = variables(1, DType::F64);
    let network = McDropout::new(40).convert(vb, plain).unwrap();
    for (name, var) in vars.named() {
        let value = match name.as_str() {
            "0.weight" | "0.bias" => var.ones_like().unwrap(),
            "1.weight" => Tensor::eye(500, DType::F64, &Device::Cpu).unwrap(),
            _ => continue,
        };
        var.set(&value).unwrap();
    }
    let x = Tensor::zeros((2, 1), DType::F64, &Device::Cpu).unwrap().into();
    let all = network.run_members(&x).unwrap().reshape((40, 2, 500)).unwrap().to_vec3::<f64>().unwrap();
    let kept = f64::from((1. / 0.7) as f32);
    for (number, pass) in all.iter().enumerate() {
        assert_eq!(pass[0], pass[1], "one mask for all rows");
        assert!(pass[0].iter().all(|x| *x == 0. || *x == kept));
        assert!(all[..number].iter().all(|other| other[0] != pass[0]), "another mask in each pass");
    }
    let dropped = all.iter().flat_map(|pass| &pass[0]).filter(|x| **x == 0.).count() as f64 / 20_000.;
    // Within 5 standard deviations; the seed is fixed.
    assert!((dropped - 0.3).abs() < 5. * (0.21f64 / 20_000.).sqrt(), "{dropped}");
    let mean = network.run(&x, false).unwrap().to_vec2::<f64>().unwrap();
    let expected = all.iter().map(|pass| pass[0][7]).sum::<f64>() / 40.;
    assert!((mean[1][7] - expected).abs() < 1e-12);
}

#[test]
fn dropout_is_added_where_there_is_none() {
    let names = |method: McDropout, plain: Plain| {
        let (vars, vb) = variables(1, DType::F32);
        method.convert(vb, plain).unwrap();
        let all: Vec<String> = vars.snapshot().unwrap().into_keys().collect();
        all.into_iter()
            .filter(|name| name.contains("members") || name.contains("dropout"))
            .collect::<Vec<_>>()
    };
    let added = |layer: usize| {
        ["dropout.seed", "dropout.step", "members.seeds"].map(|name| format!("{layer}.{name}"))
    };
    assert_eq!(names(McDropout::new(3).p(0.1), mlp), [added(1), added(2)].concat());
    // One layer of the plain network is left without dropout before it.
    let plain: Plain = |vb| {
        let first = seq().add(nn::linear(5, 6, vb.pp(0))?).add(Dropout::new(0.2, vb.pp("d"))?);
        Ok(first.add(nn::linear(6, 6, vb.pp(1))?).add(Activation::Relu).add(nn::linear(6, 3, vb.pp(2))?))
    };
    assert_eq!(names(McDropout::new(3).p(0.1), plain), [&added(2)[..], &["d.members.seeds".into()]].concat());
    assert_eq!(names(McDropout::new(3), plain), ["d.members.seeds"]);
    // Without dropping anything the passes are the network itself.
    let (vars, vb) = variables(1, DType::F64);
    let network = McDropout::new(3).p(0.).convert(vb, mlp).unwrap();
    let mut weights = vars.snapshot().unwrap();
    weights.retain(|name, _| !name.contains("members") && !name.contains("dropout"));
    let x = inputs(4, &[5], DType::F64);
    let alone = mlp(over(&weights, DType::F64)).unwrap().forward(x.only().unwrap()).unwrap();
    let y = network.run_members(&x).unwrap();
    (0..3).for_each(|pass| assert_near(&member(&y, pass, 4), &alone, 1e-12, "pass"));
}

/// Dropout with a seed of the pass only has masks in evaluation too.
#[test]
fn dropout_without_variables_has_masks_of_passes() {
    let plain = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(5, 30, vb.pp(0))?).add(nn::drop_in::Dropout::new(0.5));
        Ok(first.add(nn::linear(30, 3, vb.pp(1))?))
    };
    let (vars, vb) = variables(1, DType::F32);
    let network = McDropout::new(4).convert(vb, plain).unwrap();
    assert!(vars.snapshot().unwrap().contains_key("dropout.1.members.seeds"));
    let y = network.run_members(&inputs(2, &[5], DType::F32)).unwrap();
    assert_ne!(bits(&member(&y, 0, 2)), bits(&member(&y, 1, 2)));
    let x = inputs(2, &[5], DType::F32);
    let train = |seed: u64| bits(&nn::seeded_pass(seed, || network.run(&x, true)).unwrap());
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
}

/// The constructor of a plain network.
type AnyPlain = dyn Fn(VarBuilder<'_>) -> Result<Sequential>;

/// The methods, each with a plain network that it goes with and the shape of its inputs.
fn each() -> Vec<(EfficientEnsemble, Box<AnyPlain>, Vec<usize>)> {
    vec![
        (Packed::new(3).gamma(2).into(), Box::new(wide(12)), vec![5]),
        (Packed::new(2).into(), Box::new(normalized(8)), vec![2, 6, 6]),
        (Mimo::new(3).into(), Box::new(wide(12)), vec![5]),
        (Mimo::new(2).into(), Box::new(conv_net), vec![2, 7, 6]),
        (Masksembles::new(3).into(), Box::new(wide(12)), vec![5]),
        (McDropout::new(4).into(), Box::new(dropping), vec![2, 6, 6]),
        (McDropout::new(4).p(0.2).into(), Box::new(mlp), vec![5]),
        (Epinet::new(4).into(), Box::new(mlp), vec![5]),
    ]
}

#[test]
fn a_members_prediction_is_a_function_of_the_row() {
    for (method, plain, dims) in each() {
        let (vars, vb) = variables(1, DType::F64);
        let network = method.convert(vb, &plain).unwrap();
        perturb(&vars);
        let (count, x) = (network.members().count, inputs(5, &dims, DType::F64));
        let y = network.run_members(&x).unwrap();
        // Twice the same, and the mean.
        assert_eq!(bits(&network.run_members(&x).unwrap()), bits(&y));
        let by_member = y.reshape((count, 5, 3.min(y.dim(1).unwrap()))).unwrap();
        assert_near(
            &network.run(&x, false).unwrap(),
            &by_member.mean(0).unwrap(),
            1e-12,
            &method.to_string(),
        );
        for row in 0..5 {
            let alone = network.run_members(&x.only().unwrap().narrow(0, row, 1).unwrap().into()).unwrap();
            let within = by_member.narrow(1, row, 1).unwrap().squeeze(1).unwrap();
            assert_near(&alone, &within, 1e-12, &format!("{method} {row}"));
        }
        // The members differ.
        assert_ne!(bits(&member(&y, 0, 5)), bits(&member(&y, 1, 5)), "{method}");
    }
}

#[test]
fn stored_variables_make_the_same_network_and_rows_of_them_some_of_its_members() {
    for (method, plain, dims) in each() {
        let (vars, vb) = variables(1, DType::F32);
        let network = method.convert(vb, &plain).unwrap();
        perturb(&vars);
        let (weights, x) = (vars.snapshot().unwrap(), inputs(4, &dims, DType::F32));
        let before = network.run_members(&x).unwrap();
        let again = method.convert(over(&weights, DType::F32), &plain).unwrap();
        assert_eq!(bits(&again.run_members(&x).unwrap()), bits(&before), "{method}");
        // Weights that are set later are those of the network, masks and seeds included.
        let (others, vb) = variables(2, DType::F32);
        let set = method.convert(vb, &plain).unwrap();
        others.load(&weights).unwrap();
        assert_eq!(bits(&set.run_members(&x).unwrap()), bits(&before), "{method}");
        if matches!(method, EfficientEnsemble::Mimo(_)) {
            assert!(weights.keys().all(|name| !name.contains("members")));
            continue;
        }
        let kept = [1u32, 0];
        let fewer = method.convert(over(&select(&weights, &kept), DType::F32), &plain).unwrap();
        assert_eq!(fewer.members().count, 2, "{method}");
        let after = fewer.run_members(&x).unwrap();
        for (slot, number) in kept.iter().enumerate() {
            let (a, b) = (member(&after, slot, 4), member(&before, *number as usize, 4));
            // Products of other numbers of rows are rounded otherwise.
            assert_near(&a, &b, 1e-5, &format!("{method} {number}"));
        }
    }
}

/// Two networks in one pass, each with rows of its own, give what they give alone.
#[test]
fn networks_with_many_members_share_a_pass() {
    for (method, plain, dims) in each() {
        let networks: Vec<_> = (0..2)
            .map(|seed| {
                let (vars, vb) = variables(seed, DType::F64);
                let network = method.convert(vb, &plain).unwrap();
                perturb(&vars);
                (vars, network)
            })
            .collect();
        let all: Vec<&Vars> = networks.iter().map(|(vars, _)| vars).collect();
        let (stack, vb) = nn::stack::Stack::new(&all, &Default::default(), DType::F64, &Device::Cpu);
        let together = method.convert(vb, &plain).unwrap();
        // Rows that the members of MIMO can share in training. Dropout and epinets draw anew in each pass.
        let draws = matches!(method, EfficientEnsemble::McDropout(_) | EfficientEnsemble::Epinet(_));
        let (rows, trains) = (6, !draws);
        let x = inputs(2 * rows, &dims, DType::F64);
        for train in [false, true].into_iter().filter(|train| !train || trains) {
            let (y, left) = stack.pass(&[0, 1], || together.run(&x, train).unwrap());
            assert!(left.is_empty() || !trains, "{method} {left:?}");
            let each = y.dim(0).unwrap() / 2;
            for (number, (_, network)) in networks.iter().enumerate() {
                let own = x.only().unwrap().narrow(0, number * rows, rows).unwrap();
                let alone = network.run(&own.into(), train).unwrap();
                assert_near(&member(&y, number, each), &alone, 1e-12, &format!("{method} {train}"));
            }
        }
    }
}

#[test]
fn mimo_gives_each_member_its_own_rows_in_training() {
    let mimo = Mimo::new(3).batch_repetition(2).input_repetition(0.5);
    let (_, vb) = variables(1, DType::F64);
    let network = mimo.convert(vb, wide(8)).unwrap();
    assert_eq!(network.members().batches, MemberBatches::Own { repetitions: 2, shared: 0.5 });
    // Rows that are the same for all members are those of evaluation.
    let x = inputs(2, &[5], DType::F64);
    let tensor = x.only().unwrap();
    let same = Tensor::cat(&[tensor, tensor, tensor], 0).unwrap();
    assert_near(
        &network.run(&same.into(), true).unwrap(),
        &network.run_members(&x).unwrap(),
        1e-12,
        "outputs",
    );
    let e = network.run(&inputs(4, &[5], DType::F64), true).unwrap_err().to_string();
    assert!(e.contains("the number of rows of a training batch of Mimo must be a multiple of 3"), "{e}");
    // Inputs of three dimensions, with features along the last.
    let plain = |vb: VarBuilder<'_>| {
        Ok(seq().add(nn::linear(5, 8, vb.pp(0))?).add(Activation::Relu).add(nn::linear(8, 2, vb.pp(1))?))
    };
    let (_, vb) = variables(1, DType::F64);
    let network = Mimo::new(3).convert(vb, plain).unwrap();
    let x = inputs(2, &[4, 5], DType::F64);
    let y = network.run_members(&x).unwrap();
    assert_eq!(y.dims(), [6, 4, 2]);
    let flat_rows = x.only().unwrap().reshape((8, 5)).unwrap().into();
    let of_rows = network.run_members(&flat_rows).unwrap().reshape((6, 4, 2)).unwrap();
    assert_near(&y, &of_rows, 1e-12, "rows of rows");
}

#[test]
fn what_does_not_fit_is_named() {
    let error = |method: EfficientEnsemble, plain: &dyn Fn(VarBuilder<'_>) -> Result<Sequential>| {
        let (_, vb) = variables(1, DType::F32);
        method.convert(vb, plain).unwrap_err().to_string()
    };
    let cases: [(EfficientEnsemble, &AnyPlain, &str); 12] = [
        (Packed::new(0).into(), &mlp, "the members of Packed must be at least 1, but is 0"),
        (Packed::new(2).alpha(0.).into(), &mlp, "Packed::alpha must be positive"),
        (Packed::new(2).gamma(0).into(), &mlp, "Packed::gamma must be at least 1"),
        (Mimo::new(0).into(), &mlp, "the members of Mimo must be at least 1"),
        (Mimo::new(2).batch_repetition(0).into(), &mlp, "Mimo::batch_repetition must be at least 1"),
        (Mimo::new(2).input_repetition(1.5).into(), &mlp, "Mimo::input_repetition must be from 0 to 1"),
        (Masksembles::new(4).scale(7.).into(), &mlp, "Masksembles::scale must be from 1"),
        (Masksembles::new(4).into(), &mlp, "must be at least 10, but is 7"),
        (McDropout::new(0).into(), &dropping, "the members of McDropout must be at least 1"),
        (McDropout::new(2).p(1.).into(), &mlp, "McDropout::p must be from 0 to less than 1"),
        (McDropout::new(2).into(), &mlp, "must be at least one layer such as nn::Dropout"),
        (
            McDropout::new(2).into(),
            &|vb| {
                let first = seq().add(nn::linear(5, 5, vb.pp(0))?).add(nn::AlphaDropout::new(0.1, vb.pp(1))?);
                Ok(first.add(nn::linear(5, 3, vb.pp(2))?))
            },
            "the dropout of layer 1 in a network for McDropout must be nn::Dropout",
        ),
    ];
    for (method, plain, expected) in cases {
        let e = error(method, plain);
        assert!(e.contains(expected), "{e}");
    }
    let one_layer = |vb: VarBuilder<'_>| Ok(seq().add(nn::linear(5, 3, vb.pp(0))?));
    assert!(error(Masksembles::new(2).into(), &one_layer)
        .contains("must be at least 2, because masks stand between"));
    let uneven = |vb: VarBuilder<'_>| {
        Ok(seq().add(nn::linear(5, 8, vb.pp(0))?).add_fn(|x| x.narrow(1, 0, 5)).add(nn::linear(
            5,
            3,
            vb.pp(1),
        )?))
    };
    let e = error(Packed::new(2).into(), &uneven);
    assert!(e.contains("the number of features that enter a layer of Packed must be a multiple of 8"), "{e}");
    let grouped = |vb: VarBuilder<'_>| {
        let config = Conv2dConfig { groups: 2, ..Default::default() };
        Ok(seq().add(nn::conv2d(2, 4, 2, config, vb.pp(0))?).add(nn::conv2d(
            4,
            3,
            2,
            Default::default(),
            vb.pp(1),
        )?))
    };
    assert!(
        error(Mimo::new(2).into(), &grouped).contains("the first of a network for Mimo, must be 1, but is 2")
    );
}

#[test]
fn they_go_from_text_to_text() {
    for text in [
        "packed:4:2:1",
        "packed:3:1.5:2",
        "mimo:3:4:0.5",
        "masksembles:4:2",
        "mc-dropout:32",
        "mc-dropout:8:p=0.1",
    ] {
        let made = EfficientEnsemble::registry().parse(text).unwrap();
        assert_eq!(made.to_string(), text);
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<EfficientEnsemble>(&json).unwrap(), made);
    }
    let parse = |text| EfficientEnsemble::registry().parse(text).unwrap();
    assert_eq!(parse("packed"), Packed::new(4).into());
    assert_eq!(parse("mimo:members=2"), Mimo::new(2).into());
    assert_eq!(parse("mc-dropout"), McDropout::new(32).into());
}
