//! Many members in one network, as a strategy.
use crate::{
    data::Dataset,
    nn::many::EfficientEnsemble,
    plan::Plan,
    registry::{Argument, Entry},
    strategy::{
        registry::{all_rows, VALIDATION},
        EnsembleBuilder, MultiRun,
    },
    train::EFFICIENT_ENSEMBLE,
    Error, Result, Seed,
};

/// An efficient ensemble: many members in one network, by a method of [`nn::many`](crate::nn::many) such as
/// [`TabM`](crate::nn::many::TabM) or [`BatchEnsemble`](crate::nn::many::BatchEnsemble).
///
/// ```text
/// run 0 trains one network of M members on all rows; each of its members has a slot of its own
/// ```
///
/// The method is the setting `"efficient_ensemble"` of the runs. A learner that carries it out builds the plain network
/// without it and the network of the method with it: [`Trainer::convertible`](crate::train::Trainer::convertible). So one
/// learner trains both, and a [`Study`](crate::evaluate::Study) compares `bootstrap:8` with `efficient:tab-m:32`. The setting is
/// in the members' records, so stores and files of ensembles know how to build their networks.
///
/// [`within`](Self::within) makes such a network of each run of another strategy, on the rows of that run:
/// `within(KFold::new(5))` gives held-out predictions of every member for every row, and `within(MultiRun::new(3))` three
/// networks from other seeds. In text that is `k-fold:5+efficient:tab-m:32`. Within a sequence each network counts as one
/// member, whose prediction is that of the mean of its members' outputs: `efficient:tab-m:8+adaboost:10`.
///
/// Use it for an ensemble at a fraction of the cost of separate networks, above all TabM on tables. Do not use it where members
/// have to differ much, or where the networks have few units to share: separate networks are better then.
///
/// Cost: the training of one network, of which a step costs between one and `M` steps of a plain one; [`nn::many`](crate::nn::many)
/// says it for each method. A prediction takes one pass of that network.
///
/// # Errors
/// Planning fails when a parameter of the method is out of range, or the runs have a method already. A session refuses a
/// learner that does not carry the setting out ([`Learner::converts`](crate::train::Learner::converts)) before it trains.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{combine::Mean, data::TensorDataset, nn::{linear, many::TabM, seq, Activation}};
/// use candle_ensemble::{strategy::Efficient, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let data = TensorDataset::regression(x.clone(), &x.sum(1)?)?;
/// let trainer = Trainer::convertible(&[], |_, vb| {
///     Ok(seq().add(linear(2, 8, vb.pp(0))?).add(Activation::Relu).add(linear(8, 1, vb.pp(1))?))
/// })
/// .epochs(3);
///
/// let pool = Session::new(&trainer, &data).fit(&Efficient::new(TabM::new(4)), 42)?;
/// assert_eq!(pool.slots(), 4); // of one network
/// let ensemble = pool.combine(&Mean)?;
/// assert_eq!(ensemble.predict(&x)?.dims(), [20, 1]);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Wen, Tran and Ba 2020, arXiv:2002.06715; Gorishniy, Kotelnikov and Babenko 2025, arXiv:2410.24210. Each method names
/// its own.
#[derive(Debug)]
pub struct Efficient {
    method: EfficientEnsemble,
    within: Box<dyn EnsembleBuilder>,
}

impl Efficient {
    /// One network by this method, on all rows.
    #[must_use]
    pub fn new(method: impl Into<EfficientEnsemble>) -> Self {
        Self { method: method.into(), within: Box::new(MultiRun::new(1)) }
    }

    /// Makes a network by the method of each run of another strategy, on the rows of that run and with its settings. The
    /// default is one run on all rows.
    #[must_use]
    pub fn within(mut self, other: impl EnsembleBuilder + 'static) -> Self {
        self.within = Box::new(other);
        self
    }
}

impl EnsembleBuilder for Efficient {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        self.method.check()?;
        let mut plan = self.within.plan(data, architectures, seed)?;
        let method = self.method.to_string();
        for run in &mut plan.runs {
            if let Some(other) = run.settings.text(EFFICIENT_ENSEMBLE)? {
                let must = format!("one of plain networks, around {method}");
                let got = format!("{}, whose networks hold the members of {other}", self.within.name());
                return Err(Error::invalid("the strategy around an efficient ensemble", must, got));
            }
            run.settings = std::mem::take(&mut run.settings).with(EFFICIENT_ENSEMBLE, method.as_str());
        }
        Ok(plan)
    }

    fn name(&self) -> String {
        let text = self.method.to_string();
        let method = text.split(':').next().unwrap_or_default();
        match self.within.name() {
            all_rows if all_rows == MultiRun::new(1).name() => method.into(),
            other => format!("{other}+{method}"),
        }
    }

    fn within(&self, other: Box<dyn EnsembleBuilder>) -> Result<Box<dyn EnsembleBuilder>> {
        Ok(Box::new(Self { method: self.method, within: other }))
    }
}

pub(crate) const ENTRY: Entry<Box<dyn EnsembleBuilder>> =
    Entry::new("efficient", "Efficient", "Many members in one network", |arguments| {
        let method = EfficientEnsemble::registry().parse(&arguments.get::<String>("method")?)?;
        let strategy: Box<dyn EnsembleBuilder> =
            Box::new(Efficient::new(method).within(all_rows(arguments)?));
        Ok(strategy)
    })
    .with_aliases(&["efficient-ensemble"])
    .with_arguments(&[
        Argument::new("method", "tab-m:32", "How one network holds its members, with all that follows")
            .rest(),
        VALIDATION,
    ])
    .with_source("Wen, Tran and Ba 2020, arXiv:2002.06715");
