//! The comparison on one data set: splits, settings, training and scores.
use super::{
    method::Method,
    program::Failure,
    results::{MethodResults, Results},
    tabular::{data::Data, network::perceptron, prepared::Prepared},
    Args,
};
use candle_ensemble::{
    combine::Mean,
    data::{Dataset, TensorDataset},
    exec::Sequential,
    metrics::MetricList,
    plan::Settings,
    train::{EarlyStopping, Optimizer, Trainer},
    AnyNetwork, Ensemble, Result, Seed, Session,
};
use rand::Rng;
use std::time::Instant;

pub struct Comparison<'a> {
    args: &'a Args,
    data: &'a Data,
}

/// What one training gives.
struct Trained {
    score: f64,
    /// The score on the validation rows: the mean over the runs of their best epochs.
    validation: f64,
    members: usize,
    parameters: usize,
    train_seconds: f64,
    predict_milliseconds: f64,
}

impl<'a> Comparison<'a> {
    pub fn new(args: &'a Args, data: &'a Data) -> Self {
        Self { args, data }
    }

    pub fn run(&self, methods: &[Method]) -> Result<Results, Failure> {
        let first = self.split(0)?;
        let (metric, higher_is_better) = match first.train.classes() {
            Some(_) => ("accuracy", true),
            None => ("rmse", false),
        };
        let mut results = Results {
            data: first.describe(),
            metric,
            higher_is_better,
            train_rows: first.train.rows(),
            test_rows: first.test.rows(),
            fixed_test: self.args.tune > 0,
            methods: vec![],
        };
        for method in methods {
            let settings = self.tuned(method, &first, higher_is_better)?;
            let mut trained = vec![];
            for repeat in 0..self.args.repeats as usize {
                let split = if results.fixed_test { 0 } else { repeat };
                let seed = Seed::from(self.args.seed).nth("repeat", repeat as u64);
                self.tell(format!(
                    "{}: {}, repeat {} of {}",
                    first.name,
                    method.name(),
                    repeat + 1,
                    self.args.repeats
                ));
                trained.push(self.train(method, &self.split(split)?, settings.as_ref(), seed)?);
            }
            results.methods.push(MethodResults {
                name: method.name(),
                is_plain: method.is_plain(),
                members: trained.iter().map(|of| of.members).max().unwrap_or(0),
                parameters: trained.iter().map(|of| of.parameters).max().unwrap_or(0),
                settings: settings.map(|settings| shown(&settings)),
                scores: trained.iter().map(|of| of.score).collect(),
                train_seconds: trained.iter().map(|of| of.train_seconds).collect(),
                predict_milliseconds: trained.iter().map(|of| of.predict_milliseconds).collect(),
            });
        }
        Ok(results)
    }

    fn tell(&self, what: String) {
        if !self.args.quiet {
            eprintln!("{what}");
        }
    }

    /// The rows of one of the splits.
    fn split(&self, number: usize) -> Result<Prepared> {
        Prepared::of(&self.args.table, self.args.seed, self.data, number)
    }

    /// The best of the settings that a method tries, by its validation rows. All methods try the same ones.
    fn tuned(&self, method: &Method, split: &Prepared, higher: bool) -> Result<Option<Settings>> {
        let mut best: Option<(f64, Settings)> = None;
        let mut rng = Seed::from(self.args.seed).child("tune").rng();
        for number in 0..self.args.tune {
            let settings = draw(&mut rng);
            let seed = Seed::from(self.args.seed).nth("tuning", number as u64);
            self.tell(format!(
                "{}: {}, setting {} of {}",
                split.name,
                method.name(),
                number + 1,
                self.args.tune
            ));
            let score = self.train(method, split, Some(&settings), seed)?.validation;
            let is_better = |best: f64| if higher { score > best } else { score < best };
            if best.as_ref().is_none_or(|(best, _)| is_better(*best)) {
                best = Some((score, settings));
            }
        }
        Ok(best.map(|(_, settings)| settings))
    }

    fn train(
        &self,
        method: &Method,
        split: &Prepared,
        settings: Option<&Settings>,
        seed: Seed,
    ) -> Result<Trained> {
        let trainer = self.trainer(split, settings)?;
        let start = Instant::now();
        let session = Session::new(&trainer, &split.train).executor(&Sequential);
        let pool = session.fit(method.strategy(), seed)?;
        let train_seconds = start.elapsed().as_secs_f64();
        let members = pool.members().len();
        let (parameters, validation) = of_networks(pool.members(), split.train.classes().is_some());
        let ensemble = pool.combine(&Mean)?.threads(1);
        let inputs = split.test.inputs().clone();
        ensemble.predict(inputs.clone())?; // once before the measurement
        let start = Instant::now();
        ensemble.predict(inputs)?;
        let predict_milliseconds = start.elapsed().as_secs_f64() * 1e6 / split.test.rows() as f64;
        let score = score(&ensemble, split)?;
        Ok(Trained { score, validation, members, parameters, train_seconds, predict_milliseconds })
    }

    /// The trainer of plain networks and of those that hold many members: the strategy says which.
    fn trainer(&self, split: &Prepared, settings: Option<&Settings>) -> Result<Trainer<AnyNetwork>> {
        let Args { hidden, epochs, batch, lr, .. } = self.args;
        let usual = Settings::new().with("activation", "relu").with("hidden", hidden.as_str());
        let usual = usual.with_all(settings.iter().flat_map(|settings| settings.iter()));
        let (rate, decay) =
            (usual.real("learning_rate")?.unwrap_or(*lr), usual.real("weight_decay")?.unwrap_or(0.));
        let stop = EarlyStopping { patience: (*epochs).max(1), ..EarlyStopping::default() };
        let trainer = perceptron(split.columns, split.train_task(), usual).epochs(*epochs).batch_size(*batch);
        Ok(trainer.optimizer(Optimizer::adamw(rate, decay)).early_stopping(stop))
    }
}

/// Settings of the network and of its training, drawn at random.
fn draw(rng: &mut impl Rng) -> Settings {
    let between = |rng: &mut dyn rand::RngCore, low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    let rate = 10f64.powf(between(rng, -3.5, -2.));
    let decay = if rng.random_bool(0.5) { 0. } else { 10f64.powf(between(rng, -4., -1.)) };
    let width: i64 = 64 << rng.random_range(0..3);
    let layers = rng.random_range(1..=3);
    let dropout = if rng.random_bool(0.5) { 0. } else { between(rng, 0., 0.4) };
    let hidden = vec![width.to_string(); layers].join(",");
    let settings = Settings::new().with("learning_rate", rate).with("weight_decay", decay);
    settings.with("hidden", hidden.as_str()).with("dropout", dropout)
}

/// Settings in words.
fn shown(settings: &Settings) -> String {
    settings.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The parameters of all networks, each counted once, and the mean of the best validation scores of their runs.
fn of_networks(members: &[candle_ensemble::Member], higher: bool) -> (usize, f64) {
    let networks = members.iter().filter(|m| m.record.in_network.is_none_or(|place| place.member == 0));
    let (mut parameters, mut scores) = (0, vec![]);
    for member in networks {
        parameters += member.weights.values().map(|weight| weight.elem_count()).sum::<usize>();
        let epochs = member.record.curve.iter().filter_map(|epoch| epoch.valid_metric);
        scores.push(epochs.fold(f64::NAN, if higher { f64::max } else { f64::min }));
    }
    (parameters, scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Accuracy, or the root mean squared error in the unit of the target.
fn score(ensemble: &Ensemble<AnyNetwork, Mean>, split: &Prepared) -> Result<f64> {
    let metric = if split.train.classes().is_some() { "accuracy" } else { "rmse" };
    let test: &TensorDataset = &split.test;
    let score = ensemble.on(test).metrics(&MetricList::parse(metric)?)?;
    let scale = split.target_scaler.as_ref().map_or(1., |scaler| scaler.scale()[0]);
    Ok(score.first().copied().unwrap_or(f64::NAN) * scale)
}
