//! Another activation function.
use super::{activation, because, BuiltIn, Draft};
use crate::{diagnose::Finding, nn::Activation, remedy::Start};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "activation",
    summary:
        "Relu with He's initial weights in place of units that saturate; leaky relu in place of dead units",
    treats: &[
        ("vanishing_gradients", 0.98),
        ("saturated_units", 0.98),
        ("dead_units", 0.95),
        ("underfit_flat", 0.82),
        ("cannot_fit_one_batch", 0.75),
        ("underfit_capacity", 0.55),
        ("underfit_unfinished", 0.5),
        ("exploding_gradients", 0.4),
    ],
    source: "Glorot, Bordes and Bengio 2011, AISTATS 15:315–323; leaky relu: Maas et al. 2013",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    const RELU: &str =
        "Gradients reach the first layers. In networks of one or two layers there is little difference.";
    let dead = finding.name == "dead_units";
    if !start.can_set("activation") {
        let about_units = ["vanishing_gradients", "saturated_units", "dead_units"];
        let by_hand = match dead {
            true => "use nn::Activation::LeakyRelu { slope: 0.01 } in the hidden layers",
            false => "use nn::Activation::Relu in the hidden layers, and InitScheme::he_uniform()",
        };
        let draft = || Draft::new(because(finding, "It depends on the activation function."), RELU);
        return match about_units.contains(&finding.name.as_str()) {
            true => vec![draft().by_hand(by_hand).times(0.5)],
            false => vec![],
        };
    }
    match activation(start) {
        Some(Activation::Relu) if dead => {
            let reason = "Relu has no gradient where its input is below 0, so a dead unit stays dead. Leaky \
                          relu has one.";
            let effect = "Dead units learn again. The score changes little unless many units were dead.";
            vec![Draft::new(because(finding, reason), effect).set("activation", "leaky-relu:0.01")]
        }
        Some(Activation::Linear) => {
            let reason =
                "Without an activation function the network is a linear model, however many layers it has.";
            let effect = "The network can represent curved functions.";
            vec![Draft::new(because(finding, reason), effect)
                .set("activation", "relu")
                .set("init", "he-uniform")
                .times(1.8)]
        }
        Some(
            present @ (Activation::Tanh
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Softsign
            | Activation::Exponential),
        ) => {
            let reason = format!(
                "{present:?} is flat far from 0, where no gradient passes. Relu is not, for inputs above 0, \
                 and He's initial weights go with it."
            );
            vec![Draft::new(because(finding, reason), RELU)
                .set("activation", "relu")
                .set("init", "he-uniform")]
        }
        _ => vec![],
    }
}
