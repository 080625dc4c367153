//! The arguments that optimizers share in text.
use crate::registry::Argument;

pub(super) const fn learning_rate(default: &'static str) -> Argument {
    Argument::new("learning-rate", default, "The base learning rate")
}

pub(super) const fn momentum(default: &'static str) -> Argument {
    Argument::new("momentum", default, "The momentum")
}

pub(super) const fn beta1(default: &'static str) -> Argument {
    Argument::new("beta1", default, "The decay of the first moment")
}

pub(super) const fn beta2(default: &'static str) -> Argument {
    Argument::new("beta2", default, "The decay of the second moment")
}

pub(super) const fn epsilon(default: &'static str) -> Argument {
    Argument::new("epsilon", default, "What keeps the division from one by zero")
}

pub(super) const fn weight_decay(default: &'static str) -> Argument {
    Argument::new("weight-decay", default, "The weight decay")
}

pub(super) const DECOUPLED: Argument =
    Argument::new("decoupled", "false", "Whether the weight decay is decoupled from the gradient");
