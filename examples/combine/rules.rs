//! The rules by name, with their settings from the command line.
use super::{
    any::{Any, AnyFitted, AnyRule, Boxed},
    args::{Args, PruneName},
};
use candle_ensemble::{
    combine::{
        stack::{ElasticNet, Linear, Logistic, MetaLearner, Mlp, NeuralNetwork, Ridge},
        *,
    },
    data::Task,
    predictions::*,
    prune::{ByDiversity, ByWeight, Ordered, Pruned},
    Seed,
};
use clap::ValueEnum;

/// Every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleName {
    /// Each rule that goes with the task, ranked
    All,
    /// Mean of probabilities or values (soft vote)
    #[value(alias = "soft-vote")]
    Mean,
    /// The same, by --weights
    WeightedMean,
    /// Mean of log-probabilities, normalised
    #[value(alias = "geometric-mean")]
    GeometricMean,
    /// Mean of log-odds
    LogOddsMean,
    /// Most votes; ties to the lowest class
    HardVote,
    /// The same, by --weights
    WeightedVote,
    /// Product of probabilities
    Product,
    /// Least probability or value
    Minimum,
    /// Greatest probability or value
    Maximum,
    /// Median
    Median,
    /// Mean without --cut at each end
    TrimmedMean,
    /// Mean with --cut at each end set to the next value
    WinsorizedMean,
    /// Mean rank of each class
    RankAverage,
    /// Borda count
    BordaCount,
    /// Weights 1/loss
    InverseError,
    /// Shares of least squares
    SimplexSquares,
    /// Shares of least log-loss
    SimplexLogLoss,
    /// simplex-squares, drawn towards equal weights
    ShrunkSquares,
    /// simplex-log-loss, drawn towards equal weights
    ShrunkLogLoss,
    /// Any weights of least squares
    LeastSquares,
    /// The same with a penalty
    Ridge,
    /// Shares by trying a grid
    GridSearch,
    /// Shares by differential evolution
    DifferentialEvolution,
    /// Shares for each class
    PerClass,
    /// Greedy selection with replacement
    EnsembleSelection,
    /// Weights by expected log predictive density
    PseudoBma,
    /// The same with the Bayesian bootstrap
    PseudoBmaPlus,
    /// Stacking of predictive distributions
    PredictiveStacking,
    /// Bayesian model combination
    ModelCombination,
    /// A linear meta-learner
    StackLinear,
    /// A ridge meta-learner
    StackRidge,
    /// An elastic net as meta-learner
    StackElasticNet,
    /// Multinomial logistic regression as meta-learner
    StackLogistic,
    /// A network as meta-learner
    StackNetwork,
    /// Several of these rules, blended
    MultiLayerStack,
    /// The mean, scaled by a temperature
    Temperature,
    /// The mean, scaled class by class
    VectorScaling,
    /// The mean through isotonic regression
    Isotonic,
    /// Members that are right on all neighbours
    KnoraE,
    /// Members by how many neighbours they are right on
    KnoraU,
    /// Members by a meta-classifier of competence
    MetaDes,
    /// A gating network
    Gating,
}

impl RuleName {
    fn text(self) -> String {
        self.to_possible_value().map_or_else(String::new, |v| v.get_name().to_string())
    }

    /// Whether it is for classes only.
    fn for_classes(self) -> bool {
        use RuleName::*;
        matches!(
            self,
            GeometricMean
                | LogOddsMean
                | HardVote
                | WeightedVote
                | Product
                | RankAverage
                | BordaCount
                | SimplexLogLoss
                | ShrunkLogLoss
                | StackLogistic
                | Temperature
                | VectorScaling
                | Isotonic
                | KnoraE
                | KnoraU
                | MetaDes
        )
    }

    /// Whether it looks at the rows' inputs as the command line has it.
    fn looks_at_inputs(self, args: &Args) -> bool {
        matches!(self, Self::KnoraE | Self::KnoraU | Self::MetaDes | Self::Gating) && !args.outputs
    }
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// The rules that were asked for.
pub fn chosen(args: &Args, predictions: &Predictions) -> Result<Vec<RuleName>, String> {
    let inputs = predictions.inputs().is_some();
    if !args.all() {
        if args.rule.looks_at_inputs(args) && !inputs {
            return Err(format!(
                "{} looks at the rows' inputs, but there is no array `inputs`: add it, or --outputs",
                args.rule
            ));
        }
        if args.pass_through && !inputs {
            return Err("--pass-through needs an array `inputs`".into());
        }
        return Ok(vec![args.rule]);
    }
    let classes = matches!(predictions.task(), Task::Classification { .. });
    let given = !args.weights.is_empty();
    let fits = |rule: &RuleName| match rule {
        RuleName::All => false,
        RuleName::WeightedMean | RuleName::WeightedVote if !given => false,
        // Nine to the tenth and more is for a grid of few members.
        RuleName::GridSearch if predictions.slots() > 5 => false,
        rule => (classes || !rule.for_classes()) && (inputs || !rule.looks_at_inputs(args)),
    };
    Ok(RuleName::value_variants().iter().copied().filter(fits).collect())
}

/// The rule of this name, with what is to stand around it.
pub fn rule(name: RuleName, args: &Args) -> Result<AnyRule, String> {
    let mut rule = bare(name, args)?;
    if let Some(calibration) = args.calibrate_members {
        rule = any(Boxed(rule).on_calibrated(calibration.calibration()));
    }
    if let Some(calibration) = args.calibrate {
        rule = any(Boxed(rule).calibrated(calibration.calibration()));
    }
    let criterion = |ordered: Ordered| match (args.criterion, args.keep) {
        (Some(c), Some(n)) => ordered.criterion(c.loss()).members(n),
        (Some(c), None) => ordered.criterion(c.loss()),
        (None, Some(n)) => ordered.members(n),
        (None, None) => ordered,
    };
    let Some(prune) = args.prune else { return Ok(rule) };
    let diverse = |by: fn(usize) -> ByDiversity| match args.keep {
        Some(n) => Ok(by(n)),
        None => Err("pruning by diversity needs --keep N".to_string()),
    };
    Ok(match prune {
        PruneName::Weight => match args.keep {
            Some(n) => any(Pruned::new(ByWeight::largest(SimplexSquares::new(), n), Boxed(rule))),
            None => any(Pruned::new(ByWeight::above(SimplexSquares::new(), 0.01), Boxed(rule))),
        },
        PruneName::ReduceError => any(Pruned::new(criterion(Ordered::reduce_error()), Boxed(rule))),
        PruneName::Complementarity => any(Pruned::new(criterion(Ordered::complementarity()), Boxed(rule))),
        PruneName::MarginDistance => any(Pruned::new(criterion(Ordered::margin_distance()), Boxed(rule))),
        PruneName::Kappa => any(Pruned::new(diverse(ByDiversity::kappa)?, Boxed(rule))),
        PruneName::Disagreement => any(Pruned::new(diverse(ByDiversity::disagreement)?, Boxed(rule))),
    })
}

fn any<C: Combiner + 'static>(rule: C) -> AnyRule
where
    C::Fitted: Into<AnyFitted>,
{
    AnyRule(Box::new(Any(rule)))
}

fn stack<M: MetaLearner + 'static>(args: &Args, learner: M) -> AnyRule
where
    FittedStack<M::Model>: Into<AnyFitted>,
    Stack<M>: Combiner<Fitted = FittedStack<M::Model>>,
{
    any(Stack::new(learner).features(args.features.features()).pass_through(args.pass_through))
}

fn strength(args: &Args) -> Penalty {
    args.lambda.map_or_else(|| Penalty::chosen(args.seed), Penalty::Fixed)
}

fn bare(name: RuleName, args: &Args) -> Result<AnyRule, String> {
    let text = |e: candle_ensemble::Error| e.to_string();
    let weights = || match args.weights.as_slice() {
        [] => Err(format!("{name} needs --weights, one a member")),
        weights => Ok(weights),
    };
    let space = if args.outputs { Space::Outputs } else { Space::Inputs };
    let seed = Seed::from(args.seed);
    Ok(match name {
        RuleName::All => return Err("`all` is not one rule".into()),
        RuleName::Mean => any(Mean),
        RuleName::WeightedMean => any(Weighted::new(weights()?).map_err(text)?),
        RuleName::GeometricMean => any(GeometricMean),
        RuleName::LogOddsMean => any(LogOddsMean),
        RuleName::HardVote => any(HardVote),
        RuleName::WeightedVote => any(WeightedVote::new(weights()?).map_err(text)?),
        RuleName::Product => any(Product),
        RuleName::Minimum => any(Minimum),
        RuleName::Maximum => any(Maximum),
        RuleName::Median => any(Median),
        RuleName::TrimmedMean => any(TrimmedMean::new(args.cut).map_err(text)?),
        RuleName::WinsorizedMean => any(WinsorizedMean::new(args.cut).map_err(text)?),
        RuleName::RankAverage => any(RankAverage),
        RuleName::BordaCount => any(BordaCount),
        RuleName::InverseError => {
            let rule = InverseError::new().power(args.power);
            any(args.criterion.map_or(rule, |c| rule.loss(c.loss())))
        }
        RuleName::SimplexSquares => any(SimplexSquares::new()),
        RuleName::SimplexLogLoss => any(SimplexLogLoss::new()),
        RuleName::ShrunkSquares => any(SimplexSquares::new().towards_equal(strength(args))),
        RuleName::ShrunkLogLoss => any(SimplexLogLoss::new().towards_equal(strength(args))),
        RuleName::LeastSquares => any(LeastSquares::new()),
        RuleName::Ridge => any(LeastSquares::ridge(strength(args))),
        RuleName::GridSearch => {
            let rule = GridSearch::new().steps(args.grid_steps);
            any(match args.criterion {
                Some(c) => rule.criterion(c.loss()),
                None => rule,
            })
        }
        RuleName::DifferentialEvolution => {
            let rule = DifferentialEvolution::new(args.seed).generations(args.generations);
            any(match args.criterion {
                Some(c) => rule.criterion(c.loss()),
                None => rule,
            })
        }
        RuleName::PerClass => any(PerClass),
        RuleName::EnsembleSelection => any(selection(args)),
        RuleName::PseudoBma => any(PseudoBma::new()),
        RuleName::PseudoBmaPlus => any(PseudoBma::bootstrap(args.draws, args.seed)),
        RuleName::PredictiveStacking => any(PredictiveStacking),
        RuleName::ModelCombination => any(ModelCombination::new(args.seed).draws(args.draws)),
        RuleName::StackLinear => stack(args, Linear),
        RuleName::StackRidge => {
            stack(args, args.lambda.map_or_else(|| Ridge::cross_validated(5), Ridge::new))
        }
        RuleName::StackElasticNet => {
            let ratio = args.l1_ratio;
            stack(
                args,
                match args.lambda {
                    Some(lambda) => ElasticNet::new(lambda, ratio),
                    None => ElasticNet::cross_validated(ratio, 5),
                },
            )
        }
        RuleName::StackLogistic => stack(args, Logistic::new().c(args.c)),
        RuleName::StackNetwork => {
            stack(args, NeuralNetwork::new(Mlp::new(&args.hidden)).epochs(args.epochs).seed(seed))
        }
        RuleName::MultiLayerStack => {
            let lower = vec![any(Mean), any(SimplexSquares::new()), stack(args, Ridge::cross_validated(5))];
            any(MultiLayerStack::new(lower, Boxed(any(SimplexSquares::new()))).seed(seed))
        }
        RuleName::Temperature => any(Mean.calibrated(Calibration::Temperature)),
        RuleName::VectorScaling => any(Mean.calibrated(Calibration::Vector)),
        RuleName::Isotonic => any(Mean.calibrated(Calibration::Isotonic)),
        RuleName::KnoraE => any(KnoraE::new(args.neighbours).space(space)),
        RuleName::KnoraU => any(KnoraU::new(args.neighbours).space(space)),
        RuleName::MetaDes => any(MetaDes::new(args.neighbours).space(space)),
        RuleName::Gating => {
            any(Gating::new().hidden(args.gate_units).inputs(!args.outputs).outputs(args.outputs).seed(seed))
        }
    })
}

fn selection(args: &Args) -> EnsembleSelection {
    let mut rule = EnsembleSelection::new(args.steps).start(args.start).seed(args.seed);
    if let Some(c) = args.criterion {
        rule = rule.criterion(c.loss());
    }
    if let Some(bags) = args.bags {
        rule = rule.bags(bags, args.bag_share);
    }
    if let Some(most) = args.budget {
        rule = rule.budget(most);
    }
    if args.without_replacement {
        rule = rule.without_replacement();
    }
    rule
}
