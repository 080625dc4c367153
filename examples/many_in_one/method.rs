//! The methods by name.
use super::program::say;
use candle_ensemble::{
    nn::many::EfficientEnsemble,
    strategy::{self, EnsembleBuilder},
    Error, Result,
};

/// How members are made: a strategy with a name.
pub struct Method {
    name: String,
    strategy: Box<dyn EnsembleBuilder>,
}

/// The share of the training rows by which the best epoch of a network is chosen.
const VALIDATION: f64 = 0.2;

/// The name of one network.
const PLAIN: &str = "plain";

impl Method {
    /// The method that a text names: a strategy, or many members in one network, with `efficient:` or without.
    pub fn parse(text: &str) -> Result<Self> {
        let is_known = strategy::registry().get(text.split('+').next().unwrap_or_default()).is_ok();
        let strategy = match text {
            PLAIN => "multi-run:1".into(),
            _ if is_known => text.into(),
            _ if EfficientEnsemble::registry().get(text).is_ok() => format!("efficient:{text}"),
            _ => {
                let must = "plain, a strategy or many networks in one (--list shows them)";
                return Err(Error::invalid("--methods", must, text));
            }
        };
        // The best epoch is chosen by rows that a network is not trained on.
        let settings = [("validation", VALIDATION.to_string())];
        Ok(Self { name: text.into(), strategy: strategy::parse_with(&strategy, &settings)? })
    }

    /// Its name in tables.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// How it trains members.
    pub fn strategy(&self) -> &dyn EnsembleBuilder {
        &*self.strategy
    }

    /// Whether it is one network.
    pub fn is_plain(&self) -> bool {
        self.name == PLAIN
    }

    /// Prints all methods.
    pub fn list() {
        say("plain: one network\n\nStrategies:");
        say(strategy::registry().help().trim_end());
        say("\nMany networks in one, also behind efficient: within a strategy, such as k-fold:5+efficient:tab-m:32:");
        say(EfficientEnsemble::registry().help().trim_end());
    }
}
