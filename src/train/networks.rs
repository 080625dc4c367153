//! What the learners made of constructors share: named architectures, the type of the weights, the kind of
//! output.
use crate::{network::Output, plan::Settings, Error, Result};
use candle_core::{DType, Result as CandleResult};
use candle_nn::VarBuilder;
use std::sync::Arc;

type Constructor<N> = Arc<dyn Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync>;

struct Architecture<N> {
    name: String,
    /// The names of the settings that the constructor reads.
    reads: Vec<String>,
    new: Constructor<N>,
}

impl<N> Clone for Architecture<N> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), reads: self.reads.clone(), new: self.new.clone() }
    }
}

/// The networks that a learner can build.
pub(crate) struct Networks<N> {
    architectures: Vec<Architecture<N>>,
    pub(crate) dtype: DType,
    pub(crate) output: Output,
}

/// The copies share the constructors.
impl<N> Clone for Networks<N> {
    fn clone(&self) -> Self {
        Self { architectures: self.architectures.clone(), ..*self }
    }
}

impl<N> Networks<N> {
    /// The one architecture `"model"`; see [`Networks::add`].
    pub(crate) fn new(
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) -> Self {
        let mut networks = Self { architectures: vec![], dtype: DType::F32, output: Output::default() };
        networks.add("model", reads, new);
        networks
    }

    /// Adds an architecture, or replaces the one of the same name. `reads` names the settings that the
    /// constructor reads.
    pub(crate) fn add(
        &mut self,
        name: &str,
        reads: &[&str],
        new: impl Fn(&Settings, VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
    ) {
        self.architectures.retain(|a| a.name != name);
        let reads = reads.iter().map(ToString::to_string).collect();
        self.architectures.push(Architecture { name: name.into(), reads, new: Arc::new(new) });
    }

    /// The names of the architectures.
    pub(crate) fn names(&self) -> Vec<String> {
        self.architectures.iter().map(|a| a.name.clone()).collect()
    }

    pub(crate) fn build(&self, name: &str, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
        (self.get(name)?.new)(settings, vb)
    }

    /// What the constructor of an architecture is told of a run: the name of the architecture and the settings that it
    /// reads.
    pub(crate) fn key(&self, name: &str, settings: &Settings) -> String {
        let reads = self.get(name).map(|architecture| &*architecture.reads).unwrap_or_default();
        let read = settings.iter().filter(|(setting, _)| reads.iter().any(|read| read == setting));
        format!("{name:?} {:?}", read.collect::<Vec<_>>())
    }

    /// Checks that there is an architecture called `name`.
    pub(crate) fn check_name(&self, name: &str) -> Result<()> {
        self.get(name).map(drop)
    }

    /// The names of the settings that the constructors read, each once.
    pub(crate) fn reads(&self) -> Vec<String> {
        let mut names: Vec<_> = self.architectures.iter().flat_map(|a| a.reads.iter().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the constructor of an architecture reads a setting.
    pub(crate) fn reads_setting(&self, name: &str, setting: &str) -> bool {
        self.get(name).is_ok_and(|architecture| architecture.reads.iter().any(|read| read == setting))
    }

    /// Checks that each setting is read by the trainer (`known`) or by the constructor of the architecture.
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
        self.architectures
            .iter()
            .find(|a| a.name == name)
            .ok_or_else(|| Error::invalid("the architecture", known(), format!("{name:?}")))
    }
}

/// The setters of a learner with a field `networks: Networks<N>`. The argument is the path of its field for
/// the initialization.
macro_rules! network_setters {
    ($($init:ident).+) => {
        /// Adds an architecture, or replaces the one of the same name.
        ///
        /// All architectures of one learner are of one type. To mix types, wrap each network in
        /// [`AnyNetwork`](crate::AnyNetwork).
        #[must_use]
        pub fn architecture(
            mut self,
            name: &str,
            new: impl Fn(VarBuilder<'static>) -> CandleResult<N> + Send + Sync + 'static,
        ) -> Self {
            self.networks.add(name, &[], move |_, vb| new(vb));
            self
        }

        /// Sets how initial weights are drawn. The default is to follow what the model's constructor
        /// declares.
        #[must_use]
        pub fn init(mut self, init: InitScheme) -> Self {
            self.$($init).+ = init;
            self
        }

        /// Sets what the networks output for classes, or as distributions of values, such as
        /// [`Output::Gaussian`](crate::network::Output::Gaussian). The default is logits, and plain values; the hinge
        /// losses need [`Output::Margins`](crate::network::Output::Margins).
        #[must_use]
        pub fn output(mut self, output: Output) -> Self {
            self.networks.output = output;
            self
        }

        /// Sets the type of the weights. The default is `f32`.
        #[must_use]
        pub fn dtype(mut self, dtype: DType) -> Self {
            self.networks.dtype = dtype;
            self
        }
    };
}

/// The methods of [`Learner`](crate::train::Learner) that such a learner answers from its networks.
macro_rules! learner_methods {
    () => {
        type Network = N;

        fn architectures(&self) -> Vec<String> {
            self.networks.names()
        }

        fn build(&self, architecture: &str, settings: &Settings, vb: VarBuilder<'static>) -> CandleResult<N> {
            self.networks.build(architecture, settings, vb)
        }

        fn shared_build(&self) -> Option<crate::train::SharedBuild<N>> {
            Some(crate::train::SharedBuild::of_networks(&self.networks))
        }

        fn dtype(&self) -> DType {
            self.networks.dtype
        }

        fn output(&self) -> Output {
            self.networks.output
        }
    };
}

pub(crate) use {learner_methods, network_setters};
