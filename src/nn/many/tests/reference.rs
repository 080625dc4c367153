//! Outputs and gradients of torch-uncertainty's, tabm's and masksembles' layers with the same weights
//! (`tests/reference/many_in_one.py`).
use super::*;
use crate::nn::{
    many::{
        dense::{Along, Dense},
        grouped::GroupedLinear,
        member_masks::{mask, Unit},
        BatchEnsemble, Mimo, Packed, SeparateLayer, TabM, TabMMini,
    },
    testing::assert_near,
    Conv2d, Linear,
};
use candle_core::{ModuleT, Var};
use serde_json::Value;

fn cases(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    all.pointer(part).unwrap().as_array().unwrap().clone()
}

fn tensor(of: &Value) -> Tensor {
    let list = |name: &str| of[name].as_array().unwrap().clone();
    let shape: Vec<usize> = list("shape").iter().map(|x| x.as_u64().unwrap() as usize).collect();
    let values: Vec<f64> = list("values").iter().map(|x| x.as_f64().unwrap()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn number(case: &Value, name: &str) -> usize {
    case[name].as_u64().unwrap() as usize
}

fn is(case: &Value, name: &str) -> bool {
    case[name].as_bool().unwrap()
}

fn config(case: &Value) -> Conv2dConfig {
    let of = |name: &str, other| case["config"][name].as_u64().map_or(other, |x| x as usize);
    let (padding, stride, dilation, groups) =
        (of("padding", 0), of("stride", 1), of("dilation", 1), of("groups", 1));
    Conv2dConfig { padding, stride, dilation, groups, ..Default::default() }
}

fn var(x: Tensor) -> Var {
    Var::from_tensor(&x.contiguous().unwrap()).unwrap()
}

/// Compares outputs with those of a case, and the gradients of `Σ up · y` of these variables with those of the case, which are
/// given.
fn compare(case: &Value, y: &Tensor, of: &[(&Var, Tensor)]) {
    assert_near(y, &tensor(&case["y"]), 1e-12, "y");
    let store = backward(&(y * tensor(&case["up"])).unwrap().sum_all().unwrap()).unwrap();
    for (number, (var, expected)) in of.iter().enumerate() {
        let found = store.get(var).unwrap().reshape(expected.shape()).unwrap();
        assert_near(&found, expected, 1e-12, &format!("gradient {number} of {case}"));
    }
}

/// A case's weights under our names, as variables that are set to them, and their gradients.
fn load(
    vars: &Vars,
    case: &Value,
    names: &[(&str, String)],
    own: impl Fn(&str, Tensor) -> Tensor,
) -> Vec<(Var, Tensor)> {
    let vars: std::collections::BTreeMap<String, Var> = vars.named().into_iter().collect();
    assert_eq!(names.len(), vars.values().filter(|var| var.dtype().is_float()).count());
    let set = |(theirs, ours): &(&str, String)| {
        let var = vars[ours].clone();
        let [weight, gradient] = ["weights", "gradients"]
            .map(|kind| own(theirs, tensor(&case[kind][theirs])).reshape(var.shape()).unwrap());
        var.set(&weight).unwrap();
        (var, gradient)
    };
    names.iter().map(set).collect()
}

fn borrowed(all: &[(Var, Tensor)]) -> Vec<(&Var, Tensor)> {
    all.iter().map(|(var, gradient)| (var, gradient.clone())).collect()
}

/// The outputs of a network for rows of each member's own, of which it computes those of the other members, too.
fn for_own_rows(network: &impl Network, x: &Tensor, members: usize) -> Tensor {
    let rows = x.dim(0).unwrap() / members;
    let of = |number| {
        let own = member(x, number, rows);
        member(&network.run(&own.into(), true).unwrap(), number, rows)
    };
    Tensor::cat(&(0..members).map(of).collect::<Vec<_>>(), 0).unwrap()
}

fn batch_ensemble(part: &str, dense: &str, plain: impl Fn(&Value, VarBuilder<'_>) -> Result<Sequential>) {
    for case in cases(part) {
        let (members, (vars, vb)) = (number(&case, "members"), variables(1, DType::F64));
        let network = BatchEnsemble::new(members).convert(vb, |vb| plain(&case, vb)).unwrap();
        let mut names = vec![
            ("r_group", "0.members.r".into()),
            ("s_group", "0.members.s".into()),
            (dense, "0.weight".into()),
        ];
        if case["weights"].get("bias").is_some() {
            names.push(("bias", "0.members.bias".into()));
        }
        let loaded = load(&vars, &case, &names, |_, x| x);
        compare(&case, &for_own_rows(&network, &tensor(&case["x"]), members), &borrowed(&loaded));
    }
}

#[test]
fn batch_ensemble_has_torch_uncertaintys_outputs_and_gradients() {
    batch_ensemble("/batch_linear", "linear.weight", |case, vb| {
        let weight = tensor(&case["weights"]["linear.weight"]);
        let (outputs, inputs) = weight.dims2()?;
        Ok(seq().add(nn::linear_b(inputs, outputs, is(case, "bias"), vb.pp(0))?))
    });
    batch_ensemble("/batch_conv2d", "conv.weight", |case, vb| {
        let weight = tensor(&case["weights"]["conv.weight"]);
        let (outputs, inputs, kernel, _) = weight.dims4()?;
        let (config, vb) = (config(case), vb.pp(0));
        let inputs = inputs * config.groups;
        Ok(match case["weights"].get("bias") {
            Some(_) => seq().add(nn::conv2d(inputs, outputs, kernel, config, vb)?),
            None => seq().add(nn::conv2d_no_bias(inputs, outputs, kernel, config, vb)?),
        })
    });
}

/// The rows of one member after those of the other, of features with those of one member after those of the other.
fn by_member(x: &Tensor, members: usize) -> Tensor {
    let (rows, features) = (x.dim(0).unwrap(), x.dim(1).unwrap());
    let inner = &x.dims()[2..];
    let split = x.reshape([&[rows, members, features / members], inner].concat()).unwrap();
    let dims = [&[rows * members, features / members], inner].concat();
    split.transpose(0, 1).unwrap().contiguous().unwrap().reshape(dims).unwrap()
}

/// The same weights as those of each member: groups of outputs that are one member's follow each other.
fn packed_layers(part: &str, weight_name: &str, bias_name: &str, dense: impl Fn(&Value, usize) -> Dense) {
    for case in cases(part) {
        let (members, gamma) = (number(&case, "members"), number(&case, "gamma"));
        let (first, last) = (is(&case, "first"), is(&case, "last"));
        let [weight, of_weight] = ["weights", "gradients"].map(|kind| tensor(&case[kind][weight_name]));
        let bias = case["weights"].get(bias_name).map(tensor);
        let groups = if first { 1 } else { gamma };
        // Linear layers have a dimension for the groups.
        let inputs = if part == "/packed_linear" { &weight.dims()[2..] } else { &weight.dims()[1..] };
        let outputs = weight.elem_count() / inputs.iter().product::<usize>() / members;
        let weight = var(weight.reshape([&[members, outputs], inputs].concat()).unwrap());
        let bias = bias.map(|bias| var(bias.reshape((members, outputs)).unwrap()));
        let (w, b) = (weight.as_tensor().clone(), bias.as_ref().map(|bias| bias.as_tensor().clone()));
        let dense = dense(&case, groups);
        let (x, y) = (tensor(&case["x"]), tensor(&case["y"]));
        let of_members = |t: &Tensor, shared: bool| if shared { t.clone() } else { by_member(t, members) };
        let x = var(of_members(&x, first));
        let found = match &dense {
            Dense::Linear(_) if groups > 1 => {
                GroupedLinear::new(&dense, groups, w, b).unwrap().forward(x.as_tensor(), true).unwrap()
            }
            _ => {
                let layer = SeparateLayer::new(&dense, w, b).unwrap();
                if first { layer.shared_inputs() } else { layer }.forward_t(x.as_tensor(), true).unwrap()
            }
        };
        // The last layer's outputs are those of one member after those of the other there, too.
        let theirs = |t: Tensor| of_members(&t, last);
        assert_near(&found, &theirs(y), 1e-12, &case.to_string());
        let up = theirs(tensor(&case["up"]));
        let store = backward(&(found * up).unwrap().sum_all().unwrap()).unwrap();
        let near = |var: &Var, expected: Tensor| {
            let found = store.get(var).unwrap().reshape(expected.shape()).unwrap();
            assert_near(&found, &expected, 1e-12, &case.to_string());
        };
        near(&weight, of_weight);
        near(&x, of_members(&tensor(&case["dx"]), first));
        if let Some(bias) = bias {
            near(&bias, tensor(&case["gradients"][bias_name]));
        }
    }
}

#[test]
fn packed_layers_have_torch_uncertaintys_outputs_and_gradients() {
    let nothing = || Tensor::zeros((1, 1), DType::F64, &Device::Cpu).unwrap();
    packed_layers("/packed_linear", "weight", "bias", |_, _| Dense::Linear(Linear::new(nothing(), None)));
    packed_layers("/packed_conv2d", "conv.weight", "conv.bias", |case, groups| {
        Dense::Conv2d(Conv2d::new(nothing(), None, Conv2dConfig { groups, ..config(case) }))
    });
}

fn network_of_widths(widths: &[usize], vb: &VarBuilder<'_>) -> Result<Sequential> {
    let mut network = seq();
    for (number, pair) in widths.windows(2).enumerate() {
        network = network.add(nn::linear(pair[0], pair[1], vb.pp(number))?);
        if number + 2 < widths.len() {
            network = network.add(Activation::Relu);
        }
    }
    Ok(network)
}

#[test]
fn packed_networks_have_torch_uncertaintys_outputs_and_gradients() {
    for case in cases("/packed_mlp") {
        let widths: Vec<usize> =
            case["widths"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect();
        let packed = Packed::new(number(&case, "members")).alpha(case["alpha"].as_f64().unwrap());
        let packed = packed.gamma(number(&case, "gamma"));
        let (vars, vb) = variables(1, DType::F64);
        let network = packed.convert(vb, |vb| network_of_widths(&widths, &vb)).unwrap();
        let layers = 0..widths.len() - 1;
        let names = layers.flat_map(|number| {
            ["weight", "bias"]
                .map(|kind| (format!("{}.{kind}", 2 * number), format!("{number}.members.{kind}")))
        });
        let names: Vec<(String, String)> = names.collect();
        let names: Vec<(&str, String)> = names.iter().map(|(a, b)| (a.as_str(), b.clone())).collect();
        let loaded = load(&vars, &case, &names, |_, x| x);
        let x = tensor(&case["x"]);
        compare(&case, &network.run(&x.clone().into(), true).unwrap(), &borrowed(&loaded));
        assert_near(&network.run_members(&x.into()).unwrap(), &tensor(&case["y"]), 1e-12, "evaluation");
    }
}

#[test]
fn masked_layers_have_the_outputs_and_gradients_of_both_packages() {
    for (part, along) in [("/masked/linear", Along::Last), ("/masked/conv2d", Along::Second)] {
        for case in cases(part) {
            let name = if along == Along::Last { "linear" } else { "conv" };
            let of = |kind: &str, which: &str| tensor(&case[kind][format!("{name}.{which}")]);
            let (weight, bias) = (var(of("weights", "weight")), var(of("weights", "bias")));
            let x = var(tensor(&case["x"]));
            // Kept as integers.
            let masks = tensor(&case["masks"]).to_dtype(DType::U32).unwrap();
            let kept = mask(x.as_tensor(), &masks, Unit::Feature(along), false).unwrap();
            let (w, b) = (weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
            let y = match along {
                Along::Last => Linear::new(w, b).forward_t(&kept, true),
                Along::Second => Conv2d::new(w, b, Default::default()).forward_t(&kept, true),
            };
            let gradients = [
                (&weight, of("gradients", "weight")),
                (&bias, of("gradients", "bias")),
                (&x, tensor(&case["dx"])),
            ];
            compare(&case, &y.unwrap(), &gradients);
        }
    }
}

/// `(rows, k, outputs)` as the rows of one member after those of the other.
fn of_tab_m(y: &Tensor) -> Tensor {
    let (rows, k, outputs) = y.dims3().unwrap();
    y.transpose(0, 1).unwrap().contiguous().unwrap().reshape((rows * k, outputs)).unwrap()
}

#[test]
fn tab_m_has_the_outputs_and_gradients_and_begins_as_the_authors_package() {
    for case in cases("/tabm") {
        let (k, is_mini) = (number(&case, "k"), case["kind"] == "tabm-mini");
        let theirs: Vec<String> = case["weights"].as_object().unwrap().keys().cloned().collect();
        let blocks = theirs.iter().filter(|name| name.ends_with("0.weight")).count();
        let shape = |name: &str| tensor(&case["weights"][name]).dims().to_vec();
        let mut widths = vec![shape("backbone.blocks.0.0.weight")[1]];
        widths.extend((0..blocks).map(|block| shape(&format!("backbone.blocks.{block}.0.weight"))[0]));
        widths.push(shape("output.weight")[2]);
        let (vars, vb) = variables(1, DType::F64);
        let plain = |vb: VarBuilder<'_>| network_of_widths(&widths, &vb);
        let network = match is_mini {
            true => TabMMini::new(k).convert(vb, plain),
            false => TabM::new(k).convert(vb, plain),
        }
        .unwrap();
        let ours = |name: &str| {
            let shared = |kind: &str| kind == "weight" || is_mini;
            match name.split('.').collect::<Vec<_>>()[..] {
                ["backbone", "affine", _] => "0.members.r".to_string(),
                ["output", kind] => format!("{blocks}.members.{kind}"),
                [.., block, _, kind] if shared(kind) => format!("{block}.{kind}"),
                [.., block, _, kind] => format!("{block}.members.{kind}"),
                _ => panic!("{name}"),
            }
        };
        // The scales begin as there: random signs in the first layer, and ones.
        let initial = vars.snapshot().unwrap();
        for (name, value) in case["initial"].as_object().unwrap() {
            let [theirs, found] = [tensor(value), initial[&ours(name)].clone()].map(|x| flat(&x));
            let has = |all: &[f64], sign: f64| all.contains(&sign);
            assert!(theirs.iter().chain(&found).all(|x| x.abs() == 1.), "{name}");
            assert_eq!(has(&theirs, -1.), has(&found, -1.), "{name}");
        }
        let names: Vec<(&str, String)> = theirs.iter().map(|name| (name.as_str(), ours(name))).collect();
        let loaded = load(&vars, &case, &names, |name, x| match name {
            "output.weight" => x.transpose(1, 2).unwrap().contiguous().unwrap(),
            _ => x,
        });
        let y = network.run(&tensor(&case["x"]).into(), true).unwrap();
        assert_near(&y, &of_tab_m(&tensor(&case["y"])), 1e-12, "y");
        let up = of_tab_m(&tensor(&case["up"]));
        let store = backward(&(y * up).unwrap().sum_all().unwrap()).unwrap();
        for (number, (var, expected)) in loaded.iter().enumerate() {
            assert_near(
                store.get(var).unwrap(),
                expected,
                1e-12,
                &format!("gradient of {}", names[number].1),
            );
        }
    }
}

#[test]
fn mimo_has_the_outputs_and_gradients_of_torch_uncertaintys_networks() {
    for case in cases("/mimo") {
        let (members, outputs) = (number(&case, "members"), number(&case, "outputs"));
        let first = tensor(&case["weights"]["body.0.weight"]);
        let (width, inputs, images) = (first.dims()[0], first.dims()[1] / members, is(&case, "images"));
        let head = if images { "body.3" } else { "body.2" };
        let features = tensor(&case["weights"][format!("{head}.weight")]).dims()[1];
        let plain = |vb: VarBuilder<'_>| {
            let first = match images {
                true => seq().add(nn::conv2d(inputs, width, 3, Default::default(), vb.pp(0))?),
                false => seq().add(nn::linear(inputs, width, vb.pp(0))?),
            };
            let flat = first.add(Activation::Relu).add_fn(|x| x.flatten_from(1));
            Ok(flat.add(nn::linear(features, outputs, vb.pp(1))?))
        };
        let (vars, vb) = variables(1, DType::F64);
        let network = Mimo::new(members).convert(vb, plain).unwrap();
        let names: Vec<(String, String)> = ["weight", "bias"]
            .iter()
            .flat_map(|kind| {
                [
                    (format!("body.0.{kind}"), format!("0.{kind}")),
                    (format!("{head}.{kind}"), format!("1.{kind}")),
                ]
            })
            .collect();
        let names: Vec<(&str, String)> = names.iter().map(|(a, b)| (a.as_str(), b.clone())).collect();
        let loaded = load(&vars, &case, &names, |_, x| x);
        compare(&case, &network.run(&tensor(&case["x"]).into(), true).unwrap(), &borrowed(&loaded));
        let evaluated = network.run_members(&tensor(&case["x_evaluated"]).into()).unwrap();
        assert_near(&evaluated, &tensor(&case["y_evaluated"]), 1e-12, "evaluation");
    }
}
