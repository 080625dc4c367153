//! The strategies by name.
use crate::{
    data::Dataset,
    plan::{Collect, Plan},
    registry::{split_list, Argument, Arguments, Registry},
    resample::{Resample, ResampleUnit},
    strategy::{EnsembleBuilder, MultiRun, Strategy},
    Error, Result, Seed,
};
use std::sync::LazyLock;

/// The strategies by name: the ways to resample, and the rules for collecting members, each of which is a
/// strategy of one run.
///
/// [`parse`] also reads a way to resample together with a rule for collecting members.
#[must_use]
pub fn registry() -> &'static Registry<Box<dyn EnsembleBuilder>> {
    static REGISTRY: LazyLock<Registry<Box<dyn EnsembleBuilder>>> = LazyLock::new(|| {
        let mut entries = super::entries();
        // The default rule makes one member of the one run, which is no ensemble.
        let default = Collect::default().name();
        entries.extend(Collect::entries().into_iter().filter(|entry| entry.name() != default));
        Registry::new("strategy", entries)
    });
    &REGISTRY
}

/// Makes the strategy that a text names: `bootstrap:5`, or, with a rule for collecting members within each of
/// its runs, `bootstrap:5+snapshot:3`, or with a strategy whose members depend on each other within each of them,
/// `k-fold:5+adaboost:10`, or with many members in each network, `k-fold:5+efficient:tab-m:32`. Several may follow each other.
///
/// ```
/// use candle_ensemble::strategy;
///
/// let bagging = strategy::parse("bootstrap:5:size=0.5")?;
/// let within = strategy::parse("bootstrap:5+snapshot:3")?; // 15 members
/// assert_eq!(within.name(), "bootstrap+snapshot");
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// # Errors
/// When a name or an argument is unknown, or a value cannot be read.
pub fn parse(text: &str) -> Result<Box<dyn EnsembleBuilder>> {
    parse_with(text, &[])
}

/// Makes the strategy that a text names. An argument that the text does not give has the value that
/// `settings` has under its name; settings under other names are ignored.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(text: &str, settings: &[(&str, String)]) -> Result<Box<dyn EnsembleBuilder>> {
    let Some((first, others)) = text.split_once('+') else {
        return registry().parse_with(text, settings);
    };
    let name = registry().get(first)?.name();
    if Collect::registry().get(name).is_ok() {
        let must = "a strategy that resamples, before `+`";
        return Err(Error::invalid("the strategy", must, format!("{name}, a rule for collecting members")));
    }
    let (mut strategy, mut others) = (registry().parse_with(first, settings)?, others.split('+').peekable());
    while let Some(other) = others.next() {
        strategy = match Collect::registry().get(other) {
            Ok(_) if others.peek().is_some() => {
                let must = "one that ends with its rule for collecting members";
                return Err(Error::invalid("the strategy", must, text));
            }
            Ok(_) => Box::new(Within { strategy, collect: Collect::registry().parse_with(other, settings)? }),
            Err(unknown) => match registry().get(other) {
                Ok(_) => registry().parse_with(other, settings)?.within(strategy).map_err(|_| unknown)?,
                Err(_) => return Err(unknown),
            },
        };
    }
    Ok(strategy)
}

/// The rule for collecting members that a text of [`parse`] ends with; the default one where it has none.
pub(crate) fn collect_in(text: &str) -> Result<Collect> {
    match text.rsplit_once('+') {
        Some((_, last)) if Collect::registry().get(last).is_ok() => Collect::registry().parse(last),
        _ => Ok(Collect::default()),
    }
}

/// Makes every strategy that a list names, separated by commas.
///
/// # Errors
/// As [`parse`], at the first text that cannot be made.
pub fn parse_list(list: &str) -> Result<Vec<Box<dyn EnsembleBuilder>>> {
    split_list(list).iter().map(|text| parse(text)).collect()
}

impl From<Collect> for Box<dyn EnsembleBuilder> {
    fn from(collect: Collect) -> Self {
        Box::new(collect)
    }
}

/// A strategy whose runs collect members by another rule.
#[derive(Debug)]
struct Within {
    strategy: Box<dyn EnsembleBuilder>,
    collect: Collect,
}

impl EnsembleBuilder for Within {
    fn plan(&self, data: &dyn Dataset, architectures: &[String], seed: Seed) -> Result<Plan> {
        let mut plan = self.strategy.plan(data, architectures, seed)?;
        for run in &mut plan.runs {
            run.collect = self.collect;
        }
        Ok(plan)
    }

    fn name(&self) -> String {
        format!("{}+{}", self.strategy.name(), self.collect.name())
    }
}

/// How many networks are trained.
pub(crate) const RUNS: Argument = Argument::new("runs", "10", "Networks, for each architecture");

/// What rows are drawn by.
pub(crate) const UNIT: Argument = Argument::optional(
    "unit",
    "What is drawn: rows, strata (rows, class by class) or groups; if not set, what suits the data",
);

/// Rows for early stopping.
pub(crate) const VALIDATION: Argument =
    Argument::optional("validation", "Share of each run\'s rows that is kept for early stopping");

/// The value of [`UNIT`].
pub(crate) fn unit(arguments: &Arguments) -> Result<Option<ResampleUnit>> {
    use ResampleUnit::{Groups, Rows, Strata};
    arguments.choice("unit", &[("rows", Rows), ("strata", Strata), ("groups", Groups)])
}

/// One run on all rows, with the value of [`VALIDATION`].
pub(crate) fn all_rows(arguments: &Arguments) -> Result<MultiRun> {
    let one = MultiRun::new(1);
    Ok(match arguments.optional("validation")? {
        Some(share) => one.validation(share),
        None => one,
    })
}

/// The strategy with the value of [`VALIDATION`].
pub(crate) fn boxed<R: Resample + 'static>(
    strategy: Strategy<R>,
    arguments: &Arguments,
) -> Result<Box<dyn EnsembleBuilder>> {
    Ok(match arguments.optional("validation")? {
        Some(share) => Box::new(strategy.validation(share)),
        None => Box::new(strategy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::TensorDataset,
        nn::many::{ScaleInit, TabM},
        plan::{FastGeometric, Horizontal, Snapshot},
        strategy::*,
    };
    use candle_core::{Device, Tensor};

    fn data() -> TensorDataset {
        let x = Tensor::arange(0f32, 120., &Device::Cpu).unwrap().reshape((30, 4)).unwrap();
        let y = Tensor::from_iter((0..30u32).map(|i| i / 15), &Device::Cpu).unwrap();
        TensorDataset::classification(x, &y).unwrap()
    }

    fn plan(builder: &dyn EnsembleBuilder) -> Plan {
        builder.plan(&data(), &["model".into()], Seed::from(1)).unwrap()
    }

    #[test]
    fn a_text_makes_the_plan_that_code_makes() {
        let same = |text: &str, builder: &dyn EnsembleBuilder| {
            let parsed = parse(text).unwrap();
            assert_eq!(plan(&*parsed), plan(builder), "{text}");
        };
        same("multi-run:3", &MultiRun::new(3));
        same("multi-run:3:validation=0.2", &MultiRun::new(3).validation(0.2));
        same("bootstrap", &Bagging::new(10));
        same("bagging:4:0.5:unit=strata", &Bagging::new(4).size(0.5).unit(ResampleUnit::Strata));
        same("k-fold", &KFold::new(5));
        same("k-fold:3:2:unit=rows", &KFold::new(3).repeats(2).unit(ResampleUnit::Rows));
        same("random-split:4:0.7", &RandomSplit::new(4, 0.7));
        same("subspace:4:features=0.25", &RandomSubspace::new(4, 0.25));
        same("random-patches:4", &RandomPatches::new(4, 0.5, 0.5));
        let chained = ForwardChaining::new(3).gap(1).window(9).test_rows(2);
        same("forward-chaining:3:gap=1:window=9:test=2", &chained);
        same("horizontal:6:every=2", &Horizontal::last(6).every(2));
        same("snapshot:6:keep=2:per=epoch", &Snapshot::new(6).keep(2).per(crate::plan::Unit::Epoch));
        same("fast-geometric:2:0.1:0.01:0.5", &FastGeometric::new(2, 0.1, 0.01).pretraining(0.5));
        same("k-fold:3+snapshot:2", &KFold::new(3).collect(Snapshot::new(2)));
        let tab_m = || Efficient::new(TabM::new(8));
        same("efficient:tab-m:8", &tab_m());
        same("efficient:validation=0.2:tab-m:8", &tab_m().within(MultiRun::new(1).validation(0.2)));
        let normal = TabM::new(8).init(ScaleInit::Normal { mean: 1., deviation: 0.5 });
        same("efficient:tab-m:8:init=normal:1:0.5", &Efficient::new(normal));
        same("k-fold:3+efficient:tab-m:8", &tab_m().within(KFold::new(3)));
        same(
            "k-fold:3+efficient:tab-m:8+snapshot:2",
            &tab_m().within(KFold::new(3).collect(Snapshot::new(2))),
        );
        same(
            "k-fold:3+efficient:tab-m:8+adaboost:4",
            &AdaBoost::new(4).within(tab_m().within(KFold::new(3))),
        );
        same("adaboost:4+efficient:tab-m:8", &AdaBoost::new(4).within(tab_m()));
    }

    #[test]
    fn every_entry_makes_a_strategy_with_its_defaults() {
        for entry in registry().entries() {
            assert!(!parse(entry.name()).unwrap().name().is_empty(), "{}", entry.name());
        }
        for entry in Collect::registry().entries() {
            let text = format!("multi-run:2+{}", entry.name());
            assert_eq!(plan(&*parse(&text).unwrap()).runs[0].collect.name(), entry.name());
        }
    }

    #[test]
    fn lists_and_errors() {
        let names: Vec<_> = parse_list("bootstrap:10,k-fold:10,bootstrap:5+snapshot:3")
            .unwrap()
            .iter()
            .map(|b| b.name())
            .collect();
        assert_eq!(names, ["bootstrap", "10-fold", "bootstrap+snapshot"]);
        let error = |text| parse(text).unwrap_err().to_string();
        assert!(error("snapshot:3+horizontal:2").contains("a strategy that resamples, before `+`"));
        assert!(error("bootstrap+bagging").contains("the rule for collecting members must be one of last, "));
        assert!(
            error("bootstrap+snapshot+last").contains("snapshot+last"),
            "{}",
            error("bootstrap+snapshot+last")
        );
        assert!(error("efficient:tab-n:3").contains("the efficient ensemble must be one of"));
        assert!(error("bootstrap+efficient:tab-m:0").contains("the members of TabM must be at least 1"));
        assert!(error("efficient:tab-m:8:runs=3").contains("an argument of tab-m must be one of k, init"));
        assert!(error("boostrap").ends_with("but is boostrap; did you mean bootstrap?"));
        assert!(error("bootstrap:unit=row")
            .contains("the argument unit of bootstrap must be one of rows, strata"));
    }
}
