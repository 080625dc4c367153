//! Variables with one entry for each member: how they begin, and fewer of them.
use super::*;
use crate::nn::many::{BatchEnsemble, EfficientEnsemble, Heads, Independent, ScaleInit, TabM, TabMMini};
use crate::weights::members::has_entries;

fn all(members: usize) -> [EfficientEnsemble; 5] {
    [
        BatchEnsemble::new(members).into(),
        TabM::new(members).into(),
        TabMMini::new(members).into(),
        Heads::new(members).into(),
        Independent::new(members).into(),
    ]
}

/// Rows of the variables of members, and the others as they are.
pub(super) fn select(weights: &Weights, members: &[u32]) -> Weights {
    let rows = Tensor::new(members, &Device::Cpu).unwrap();
    let pick = |(name, x): (&String, &Tensor)| match has_entries(name) {
        true => (name.clone(), x.index_select(&rows, 0).unwrap()),
        false => (name.clone(), x.clone()),
    };
    weights.iter().map(pick).collect()
}

#[test]
fn selected_members_predict_what_they_predicted() {
    for method in all(5) {
        for (plain, dims) in PLAIN {
            let (vars, vb) = variables(1, DType::F32);
            let network = method.convert(vb, plain).unwrap();
            perturb(&vars);
            let x = inputs(4, dims, DType::F32);
            let before = network.run_members(&x).unwrap();
            for kept in [&[3u32, 0][..], &[4], &[0, 1, 2, 3, 4]] {
                let weights = select(&vars.snapshot().unwrap(), kept);
                let (vb, unread) = crate::weights::strict::builder(&weights, DType::F32, &Device::Cpu);
                let fewer = method.convert(vb, plain).unwrap();
                assert!(unread.names().is_empty(), "{method} {:?}", unread.names());
                assert_eq!(fewer.members().count, kept.len());
                let after = fewer.run_members(&x).unwrap();
                for (slot, number) in kept.iter().enumerate() {
                    let (a, b) = (member(&after, slot, 4), member(&before, *number as usize, 4));
                    assert_eq!(bits(&a), bits(&b), "{method} {number}");
                }
            }
        }
    }
}

#[test]
fn other_numbers_and_shapes_of_what_is_stored_are_named() {
    let (vars, vb) = variables(1, DType::F32);
    TabM::new(4).convert(vb, mlp).unwrap();
    let weights = vars.snapshot().unwrap();
    let error =
        |weights: &Weights, k| TabM::new(k).convert(over(weights, DType::F32), mlp).unwrap_err().to_string();
    let e = error(&weights, 3);
    assert!(e.contains("the number of members in 0.members.r must be from 1 to 3"), "{e}");
    let mut uneven = weights.clone();
    uneven.extend(select(&weights, &[0, 1]).into_iter().filter(|(name, _)| name == "2.members.weight"));
    let e = error(&uneven, 4);
    assert!(e.contains("the number of members in 2.members.weight must be 4, as for other variables"), "{e}");
    let mut narrow = weights.clone();
    narrow.insert("0.members.s".into(), Tensor::ones((4, 2), DType::F32, &Device::Cpu).unwrap());
    let e = error(&narrow, 4);
    assert!(
        e.contains("the shape of 0.members.s must be (members, 7), as the layer is built, but is [4, 2]"),
        "{e}"
    );
}

#[test]
fn batch_ensemble_begins_with_random_signs_and_biases_alike() {
    let wide = |vb: VarBuilder<'_>| Ok(seq().add(nn::linear(2000, 1500, vb.pp(0))?));
    let begun = |init| {
        let (vars, vb) = variables(3, DType::F32);
        BatchEnsemble::new(4).init(init).convert(vb, wide).unwrap();
        vars.snapshot().unwrap()
    };
    // 8000 signs: five standard deviations are 0.028 of their share for p = 1/2.
    for probability in [0.5, 0.9, 0., 1.] {
        let weights = begun(ScaleInit::RandomSigns { probability });
        for name in ["0.members.r", "0.members.s"] {
            let signs = flat(&weights[name]);
            assert!(signs.iter().all(|sign| sign.abs() == 1.), "{name}");
            let share = signs.iter().filter(|sign| **sign == 1.).count() as f64 / signs.len() as f64;
            let deviation = (probability * (1. - probability) / signs.len() as f64).sqrt();
            assert!((share - probability).abs() <= 5. * deviation, "{name} {share} {probability}");
        }
        let bias = weights["0.members.bias"].to_vec2::<f32>().unwrap();
        assert!(bias.iter().all(|one| *one == bias[0]));
        let bound = 1. / 2000f32.sqrt();
        let largest = bias[0].iter().fold(0f32, |most, b| most.max(b.abs()));
        assert!(largest <= bound && largest > 0.9 * bound);
    }
    let numbers = flat(&begun(ScaleInit::Normal { mean: 1., deviation: 0.5 })["0.members.r"]);
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
    assert!(
        (mean - 1.).abs() < 5. * 0.5 / (8000f64).sqrt() && (variance - 0.25).abs() < 0.02,
        "{mean} {variance}"
    );
}

#[test]
fn tab_m_begins_as_the_reference() {
    for mini in [false, true] {
        let (vars, vb) = variables(3, DType::F32);
        match mini {
            true => TabMMini::default().convert(vb, mlp).unwrap(),
            false => TabM::default().convert(vb, mlp).unwrap(),
        };
        let weights = vars.snapshot().unwrap();
        let names: Vec<&str> = weights.keys().map(String::as_str).collect();
        match mini {
            true => assert_eq!(
                names,
                ["0.bias", "0.members.r", "0.weight", "1.weight", "2.members.bias", "2.members.weight"]
            ),
            false => {
                assert_eq!(names.len(), 9);
                let bias = weights["0.members.bias"].to_vec2::<f32>().unwrap();
                assert!(bias.iter().all(|one| *one == bias[0]) && bias[0][0] != bias[0][1]);
                for name in ["0.members.s", "1.members.r", "1.members.s"] {
                    assert!(flat(&weights[name]).iter().all(|scale| *scale == 1.), "{name}");
                }
            }
        }
        let r = flat(&weights["0.members.r"]);
        assert!(r.iter().all(|sign| sign.abs() == 1.) && r.contains(&1.) && r.contains(&-1.));
        // Heads are drawn on their own, with the variance of one plain layer: 2 / 6.
        let heads = &weights["2.members.weight"];
        assert_eq!(heads.dims(), [32, 3, 6]);
        let numbers = flat(heads);
        let variance = numbers.iter().map(|w| w * w).sum::<f64>() / numbers.len() as f64;
        assert!((variance - 2. / 6.).abs() < 0.1, "{variance}");
        assert_ne!(bits(&heads.get(0).unwrap()), bits(&heads.get(1).unwrap()));
        let bias = weights["2.members.bias"].to_vec2::<f32>().unwrap();
        assert_ne!(bias[0], bias[1]);
    }
}

/// A scheme for initial weights sees entries, and leaves scales alone.
#[test]
fn schemes_apply_to_each_member() {
    let begun = |scheme: InitScheme| {
        let (vars, vb) = fresh(1, scheme, DType::F32, &Device::Cpu);
        TabM::default().convert(vb, mlp).unwrap();
        vars.snapshot().unwrap()
    };
    let torch = begun(InitScheme::Torch);
    let bound = 1. / 6f64.sqrt();
    for name in ["2.members.weight", "2.members.bias"] {
        let largest = flat(&torch[name]).iter().fold(0f64, |most, w| most.max(w.abs()));
        assert!(largest <= bound + 1e-7 && largest > 0.9 * bound, "{name} {largest}");
    }
    let glorot = begun(InitScheme::GlorotUniform);
    let bound = (6f64 / 9.).sqrt();
    let largest = flat(&glorot["2.members.weight"]).iter().fold(0f64, |most, w| most.max(w.abs()));
    assert!(largest <= bound + 1e-7 && largest > 0.9 * bound, "{largest}");
    for name in ["0.members.bias", "2.members.bias"] {
        assert!(flat(&glorot[name]).iter().all(|b| *b == 0.), "{name}");
    }
    for weights in [&torch, &glorot] {
        assert!(flat(&weights["0.members.r"]).iter().all(|sign| sign.abs() == 1.));
        assert!(flat(&weights["1.members.s"]).iter().all(|scale| *scale == 1.));
    }
}

#[test]
fn one_seed_gives_the_same_bytes_and_the_first_members_of_more() {
    for (few, many) in all(3).into_iter().zip(all(7)) {
        let begun = |method: EfficientEnsemble, seed| {
            let (vars, vb) = variables(seed, DType::F32);
            method.convert(vb, conv_net).unwrap();
            vars.snapshot().unwrap()
        };
        let (a, b, other) = (begun(few, 1), begun(few, 1), begun(few, 2));
        let more = select(&begun(many, 1), &[0, 1, 2]);
        assert!(a.iter().any(|(name, x)| bits(x) != bits(&other[name])));
        for (name, x) in &a {
            assert_eq!(bits(x), bits(&b[name]), "{few} {name}");
            assert_eq!(bits(x), bits(&more[name]), "{few} {name}");
        }
    }
}
