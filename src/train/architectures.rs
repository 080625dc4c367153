//! Named constructors of networks.
use crate::{plan::Settings, Error, Result};
use candle_core::Result as CandleResult;
use candle_nn::VarBuilder;

type Constructor<N> = Box<dyn Fn(&Settings, VarBuilder<'_>) -> CandleResult<N> + Send + Sync>;

struct Architecture<N> {
    name: String,
    reads: Vec<String>,
    new: Constructor<N>,
}

/// The architectures of a learner.
pub(crate) struct Architectures<N>(Vec<Architecture<N>>);

impl<N> Architectures<N> {
    pub(crate) fn new() -> Self {
        Self(vec![])
    }

    /// Adds one, or replaces the one of that name. `reads` names the settings that the constructor reads.
    pub(crate) fn add(
        &mut self,
        name: &str,
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'_>) -> CandleResult<N> + Send + Sync + 'static,
    ) {
        self.0.retain(|a| a.name != name);
        let reads = reads.iter().map(ToString::to_string).collect();
        self.0.push(Architecture { name: name.into(), reads, new: Box::new(new) });
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|a| a.name.clone()).collect()
    }

    pub(crate) fn build(&self, name: &str, settings: &Settings, vb: VarBuilder<'_>) -> CandleResult<N> {
        (self.get(name)?.new)(settings, vb)
    }

    /// Checks that someone reads each setting: the trainer (`known`) or the architecture.
    pub(crate) fn check(&self, name: &str, settings: &Settings, known: &[&str]) -> Result<()> {
        let architecture = self.get(name)?;
        for (setting, _) in settings.iter() {
            let read = known.contains(&setting) || architecture.reads.iter().any(|r| r == setting);
            if !read {
                let own = architecture.reads.iter().map(String::as_str);
                let all: Vec<_> = known.iter().copied().chain(own).collect();
                let must = format!("one of {}", all.join(", "));
                return Err(Error::invalid(format!("a setting for {name:?}"), must, format!("{setting:?}")));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&Architecture<N>> {
        let known = || format!("one of {}", self.names().join(", "));
        self.0
            .iter()
            .find(|a| a.name == name)
            .ok_or_else(|| Error::invalid("the architecture", known(), format!("{name:?}")))
    }
}
