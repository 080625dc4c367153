//! From plain networks to those of many members.
use super::*;
use crate::nn::{
    many::{BatchEnsemble, EfficientEnsemble, EnsembleNetwork, Heads, TabM},
    testing::assert_near,
    Dropout,
};
use candle_core::ModuleT;

#[test]
fn a_plain_networks_weights_are_those_that_members_share() {
    let (vars, vb) = variables(1, DType::F32);
    mlp(vb).unwrap();
    let plain = vars.snapshot().unwrap();
    let (vars, vb) = variables(1, DType::F32);
    BatchEnsemble::new(4).convert(vb, mlp).unwrap();
    let many = vars.snapshot().unwrap();
    for name in ["0.weight", "1.weight", "2.weight"] {
        assert_eq!(bits(&plain[name]), bits(&many[name]));
    }
    assert!(!many.contains_key("0.bias"));
}

#[test]
fn layers_of_candle_and_nested_ones_are_converted_too() {
    let ours = |vb: VarBuilder<'_>| {
        let block = seq().add(nn::linear(5, 7, vb.pp("in").pp(0))?).add(Activation::Relu);
        Ok(seq().add(block).add_fn(|x| x * 2.).add(nn::linear(7, 3, vb.pp("out"))?))
    };
    let theirs = |vb: VarBuilder<'_>| {
        let block = seq().add(candle_nn::linear(5, 7, vb.pp("in").pp(0))?).add(candle_nn::Activation::Relu);
        Ok(seq().add(block).add_fn(|x| x * 2.).add(candle_nn::linear(7, 3, vb.pp("out"))?))
    };
    let x = inputs(4, &[5], DType::F32);
    let run = |plain: &dyn Fn(VarBuilder<'static>) -> Result<Sequential>| {
        let (vars, vb) = variables(1, DType::F32);
        let network = TabM::new(3).convert(vb, plain).unwrap();
        (vars.snapshot().unwrap(), network.run_members(&x).unwrap())
    };
    let ((ours, a), (theirs, b)) = (run(&ours), run(&theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    assert!(ours.contains_key("in.0.members.r") && ours.contains_key("out.members.weight"));
    assert_near(&a, &b, 1e-6, "candle's");
}

/// Variables are below the prefix of the `VarBuilder`, in the order of the layers.
#[test]
fn prefixes_and_the_order_of_layers_are_kept() {
    let (vars, vb) = variables(1, DType::F32);
    BatchEnsemble::new(2).convert(vb.pp("net"), conv_net).unwrap();
    let order = vars.creation_order();
    let expected = [
        "net.a.weight",
        "net.a.members.r",
        "net.a.members.s",
        "net.a.members.bias",
        "net.b.weight",
        "net.b.members.r",
        "net.b.members.s",
        "net.c.weight",
        "net.c.members.r",
        "net.c.members.s",
        "net.c.members.bias",
    ];
    assert_eq!(order, expected);
}

/// Dropout and normalization keep their variables; dropout draws for each member.
#[test]
fn other_layers_stay_as_they_are() {
    let plain = |vb: VarBuilder<'_>| {
        let first = seq().add(nn::linear(5, 40, vb.pp(0))?).add(nn::batch_norm(40, 1e-5, vb.pp("norm"))?);
        let first = first.add(Activation::Relu).add(Dropout::new(0.5, vb.pp("drop"))?);
        Ok(first.add(nn::linear(40, 3, vb.pp(1))?))
    };
    let (vars, vb) = variables(1, DType::F32);
    let network = Heads::new(3).convert(vb, plain).unwrap();
    let names: Vec<String> = vars.snapshot().unwrap().into_keys().collect();
    for name in ["norm.running_mean", "norm.weight", "drop.seed", "drop.step", "0.weight", "1.members.weight"]
    {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let x = inputs(6, &[5], DType::F32);
    let before = vars.snapshot().unwrap();
    network.run(&x, true).unwrap();
    let after = vars.snapshot().unwrap();
    assert_ne!(bits(&before["norm.running_mean"]), bits(&after["norm.running_mean"]));
    assert_eq!(after["drop.step"].to_scalar::<u32>().unwrap(), 1);

    // The masks of members differ: with equal inputs and weights their outputs do.
    let only = |vb: VarBuilder<'_>| {
        Ok(seq().add(nn::linear(5, 40, vb.pp(0))?).add(Dropout::new(0.5, vb.pp("drop"))?))
    };
    let (_, vb) = variables(1, DType::F32);
    let network = BatchEnsemble::new(2).init(crate::nn::many::ScaleInit::Ones).convert(vb, only).unwrap();
    let y = network.run(&x, true).unwrap();
    assert_ne!(bits(&member(&y, 0, 6)), bits(&member(&y, 1, 6)));
    let y = network.run_members(&x).unwrap();
    assert_eq!(bits(&member(&y, 0, 6)), bits(&member(&y, 1, 6)));
}

/// A layer with variables of its own that nothing is known of.
struct Own(Tensor);

impl ModuleT for Own {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        x.broadcast_mul(&self.0)
    }
}

#[test]
fn layers_that_cannot_be_converted_are_named() {
    let unknown = |vb: VarBuilder<'_>| {
        Ok(seq().add(nn::linear(5, 7, vb.pp(0))?).add(Own(vb.get(7, "own.scale")?)).add(Activation::Relu))
    };
    let (_, vb) = variables(1, DType::F32);
    let e = BatchEnsemble::new(2).convert(vb, unknown).unwrap_err().to_string();
    assert!(e.contains("each layer with variables in a network for batch-ensemble:2 must be"), "{e}");
    assert!(e.contains("layer 1 (") && e.contains("::Own)") && e.ends_with("the variables own.scale"), "{e}");

    let function = |vb: VarBuilder<'_>| {
        let scale = vb.get(7, "scale")?;
        let nested = seq().add(nn::linear(5, 7, vb.pp(0))?).add_fn(move |x| x.broadcast_mul(&scale));
        Ok(seq().add(nested))
    };
    let (_, vb) = variables(1, DType::F32);
    let e = BatchEnsemble::new(2).convert(vb, function).unwrap_err().to_string();
    assert!(e.contains("layer 0.1 (") && e.ends_with("the variables scale"), "{e}");

    let (_, vb) = variables(1, DType::F32);
    let e = TabM::new(2).convert(vb, |_| Ok(seq().add(Activation::Relu))).unwrap_err().to_string();
    assert!(e.contains("the layers of a network for tab-m:2 must be at least one nn::Linear"), "{e}");
    for text in ["batch-ensemble:0", "tab-m:0", "tab-m-mini:0", "heads:0", "independent:0"] {
        let e = EfficientEnsemble::registry().parse(text).unwrap_err().to_string();
        assert!(e.contains("must be at least 1, but is 0"), "{e}");
    }
    let e = EfficientEnsemble::registry().parse("tab-m:init=signs").unwrap_err().to_string();
    assert!(e.contains("the argument init of tab-m must be random-signs, random-signs:probability"), "{e}");
    let e =
        EfficientEnsemble::registry().parse("batch-ensemble:init=random-signs:2").unwrap_err().to_string();
    assert!(e.contains("probability must be from 0 to 1"), "{e}");
}

#[test]
fn a_constructor_that_changes_is_an_error() {
    let calls = std::cell::Cell::new(0);
    let plain = |vb: VarBuilder<'_>| {
        calls.set(calls.get() + 1);
        Ok(seq().add(nn::linear(5, 7, vb.pp(calls.get()))?))
    };
    let (_, vb) = variables(1, DType::F32);
    let e = Heads::new(2).convert(vb, plain).unwrap_err().to_string();
    assert!(e.contains("did not ask for a variable `2.weight` when it was called first"), "{e}");
}

#[test]
fn shapes_of_inputs_and_outputs_are_checked() {
    let (_, vb) = variables(1, DType::F32);
    let network = BatchEnsemble::new(2).convert(vb, mlp).unwrap();
    let e = network.run(&inputs(3, &[4], DType::F32), true).unwrap_err().to_string();
    assert!(e.contains("must be (rows, …, 5), but is [3, 4]"), "{e}");
    let lost = EnsembleNetwork::new(seq().add(Activation::Relu), 2).unwrap();
    let e = lost.run(&inputs(3, &[4], DType::F32), true).unwrap_err().to_string();
    assert!(
        e.contains("the number of rows that many members output must be 6, 2 for each of 3 inputs"),
        "{e}"
    );
    assert!(EnsembleNetwork::new(seq(), 0).is_err());
}

#[test]
fn methods_go_from_text_to_text() {
    for text in [
        "batch-ensemble:8",
        "batch-ensemble:8:init=normal:1:0.5",
        "tab-m:8:init=normal:0:1",
        "tab-m-mini:8:init=ones",
        "batch-ensemble:2:init=random-signs:0.9",
        "tab-m:16",
        "tab-m-mini:4",
        "heads:8",
        "independent:2",
    ] {
        let made = EfficientEnsemble::registry().parse(text).unwrap();
        assert_eq!(made.to_string(), text);
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<EfficientEnsemble>(&json).unwrap(), made);
    }
    assert_eq!(EfficientEnsemble::registry().parse("tabm").unwrap(), TabM::new(32).into());
}
