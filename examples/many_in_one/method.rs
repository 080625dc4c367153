//! The methods by name.
use super::program::say;
use candle_ensemble::{
    nn::many::EfficientEnsemble,
    strategy::{self, EnsembleBuilder},
    Error, Result,
};

/// How members are made.
pub enum Method {
    /// A strategy, of plain networks.
    Strategy(String, Box<dyn EnsembleBuilder>),
    /// Many networks in one.
    OneNetwork(EfficientEnsemble),
}

/// The share of the training rows by which the best epoch of a network is chosen.
pub const VALIDATION: f64 = 0.2;

/// The name of one network.
pub const PLAIN: &str = "plain";

impl Method {
    /// The method that a text names.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.split(':').next().unwrap_or_default();
        // The best epoch is chosen by rows that a network is not trained on.
        let settings = [("validation", VALIDATION.to_string())];
        if name == PLAIN {
            return Ok(Self::Strategy(text.into(), strategy::parse_with("multi-run:1", &settings)?));
        }
        if strategy::registry().get(name).is_ok() {
            return Ok(Self::Strategy(text.into(), strategy::parse_with(text, &settings)?));
        }
        match EfficientEnsemble::registry().parse(text) {
            Ok(method) => Ok(Self::OneNetwork(method)),
            Err(_) if EfficientEnsemble::registry().get(name).is_err() => {
                let must = "plain, a strategy or many networks in one (--list shows them)";
                Err(Error::invalid("--methods", must, text))
            }
            Err(e) => Err(e),
        }
    }

    /// Its name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Strategy(text, _) => text.clone(),
            Self::OneNetwork(method) => method.to_string(),
        }
    }

    /// Whether it is one network.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Strategy(text, _) if text == PLAIN)
    }

    /// Prints all methods.
    pub fn list() {
        say("plain: one network\n\nStrategies, of separate networks:");
        say(strategy::registry().help().trim_end());
        say("\nMany networks in one:");
        say(EfficientEnsemble::registry().help().trim_end());
    }
}
