//! Initial weights that suit the layers.
use super::{activation, because, BuiltIn, Draft};
use crate::{diagnose::Finding, nn::Activation, remedy::Start, weights::InitScheme};

pub(super) const REMEDY: BuiltIn = BuiltIn {
    name: "initial-weights",
    summary: "Initial weights whose variance suits the width of each layer",
    treats: &[
        ("vanishing_gradients", 0.9),
        ("saturated_units", 0.9),
        ("dead_units", 0.9),
        ("first_loss_too_high", 0.9),
        ("exploding_gradients", 0.8),
        ("cannot_fit_one_batch", 0.8),
        ("underfit_flat", 0.7),
        ("unstable_learning", 0.5),
        ("underfit_capacity", 0.4),
        ("underfit_unfinished", 0.4),
        ("overfit", 0.35),
        ("high_variance", 0.3),
    ],
    source: "He et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010, AISTATS 9:249–256",
    drafts,
};

fn drafts(finding: &Finding, start: &Start<'_>) -> Vec<Draft> {
    let scheme = scheme(start);
    let (present, factor) = match &start.config.init {
        InitScheme::Constant { .. } | InitScheme::Identity { .. } => {
            ("Units that begin alike get the same gradients and stay alike", 2.2)
        }
        InitScheme::Uniform { .. }
        | InitScheme::Normal { .. }
        | InitScheme::TruncatedNormal { .. }
        | InitScheme::ByName { .. } => {
            ("The initial weights do not depend on the number of inputs, so signals grow or vanish", 2.2)
        }
        _ => (
            "Signals keep their size from layer to layer if the variance of the weights suits the activation",
            0.8,
        ),
    };
    let effect = "Deep networks begin to learn. With one or two layers and usual initial weights there is \
                  no difference.";
    vec![Draft::new(because(finding, format!("{present}: draw them by {scheme}.")), effect)
        .set("init", scheme)
        .times(factor)]
}

/// The scheme that suits the activation function; that of relu if it is not known.
pub(super) fn scheme(start: &Start<'_>) -> &'static str {
    match activation(start) {
        Some(Activation::Selu) => "lecun-normal",
        Some(
            Activation::Tanh
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Softsign
            | Activation::Linear,
        ) => "glorot-uniform",
        _ => "he-uniform",
    }
}
