//! What a study costs over the training that it needs: its time, divided by that of the same trainings alone.
//!
//! `cargo bench --bench study`. The data are the digits, whose networks train in 50 ms; with networks that take
//! longer the share of the study falls.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::{Dataset, Split, TensorDataset},
    evaluate::Study,
    nn::{seq, Sequential},
    strategy::{self, MultiRun},
    threads,
    train::Trainer,
    Result, Seed, Session,
};
use candle_nn::{linear, Activation};
use std::hint::black_box;
use turns::{Bench, Target};

mod turns;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STRATEGIES: &str = "multi-run:10,bootstrap:10,k-fold:10,horizontal:10,snapshot:5";
const FIXED: &str = "mean,geometric-mean,hard-vote,median";
const DEFAULT: &str = "mean,simplex-log-loss,stack-logistic,average-weights";
const REPEATS: usize = 2;

fn digits(rows: usize) -> Result<(TensorDataset, TensorDataset)> {
    let digits = smartcore::dataset::digits::load_dataset();
    let inputs = Tensor::from_vec(digits.data, (digits.num_samples, 64), &Device::Cpu)?;
    let inputs = (inputs.narrow(0, 0, rows)? / 16.)?;
    let labels = Tensor::from_iter(digits.target.iter().take(rows).map(|&y| y as u32), &Device::Cpu)?;
    let all = TensorDataset::classification(inputs, &labels)?;
    let split = Split::stratified(all.strata().unwrap_or_default(), 0.3, Seed::from(1))?;
    Ok((all.subset(&split.train)?, all.subset(&split.test)?))
}

fn trainer(epochs: usize) -> Trainer<Sequential> {
    Trainer::new(|vb| {
        let net = seq().add(linear(64, 64, vb.pp(0))?).add(Activation::Relu);
        Ok(net.add(linear(64, 32, vb.pp(1))?).add(Activation::Relu).add(linear(32, 10, vb.pp(2))?))
    })
    .epochs(epochs)
}

/// The trainings of the study, and nothing else: with and without reserved rows.
fn train_only(session: &Session<'_, Trainer<Sequential>>, reserved: bool) -> Result<()> {
    for repeat in 0..REPEATS {
        let seed = Seed::from(1).nth("repeat", repeat as u64);
        // The single networks are those of the multi-run.
        for strategy in strategy::parse_list(STRATEGIES)? {
            black_box(session.fit(&*strategy, seed)?);
            if reserved {
                black_box(session.clone().reserve(0.2).fit(&*strategy, seed)?);
            }
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    let (rows, epochs) = if Bench::measured() { (1797, 30) } else { (200, 10) };
    let (train, test) = digits(rows)?;
    let trainer = trainer(epochs);
    let session = Session::new(&trainer, &train);
    let mut bench = Bench::new();
    // With the mean alone it is the study itself: predictions, scores, size curves, diversity and decompositions. Other
    // rows add the time of the combinations that they name.
    for (name, combinations, reserved, target) in [
        ("study/mean, over training", "mean", false, Target::AtMost(1.05)),
        ("study/4 rules that learn nothing, over training", FIXED, false, Target::Open),
        ("study/the default combinations, over training", DEFAULT, true, Target::Open),
    ] {
        let study = Study::new(session.clone(), &test).repeats(REPEATS).baseline(MultiRun::new(10));
        let study = study.strategies(STRATEGIES)?.combinations(combinations)?;
        let ours = || {
            black_box(study.run(1).expect("a study"));
        };
        let theirs = || train_only(&session, reserved).expect("trainings");
        bench.pair(name.into(), target, ours, Some(&theirs));
    }
    bench.finish();
    Ok(())
}
