//! Digits that the networks have never seen.
use super::{
    digits,
    program::{say, Failure},
    table::table,
    Args, HIDDEN,
};
use candle_core::{Device, Tensor};
use candle_ensemble::{
    data::TensorDataset,
    nn::{seq, Sequential},
    strategy::MultiRun,
    train::Trainer,
    uncertainty::{energy, ClassUncertainty, Detection, Mahalanobis},
    Pool, Result, Session,
};
use candle_nn::{linear, Activation, VarBuilder};

/// The digits below this are known.
const KNOWN: u32 = 5;
/// The layers whose output are the features.
const LAYERS: usize = 2;

pub fn show(args: &Args) -> Result<(), Failure> {
    let (known, unknown) = (those(|label| label < KNOWN)?, those(|label| label >= KNOWN)?);
    let known = TensorDataset::classification(known.0, &Tensor::new(known.1, &Device::Cpu)?)?;
    let network = |vb: VarBuilder<'_>| {
        let hidden = seq().add(linear(64, HIDDEN, vb.pp("hidden"))?).add(Activation::Relu);
        Ok(hidden.add(linear(HIDDEN, KNOWN as usize, vb.pp("out"))?))
    };
    let trainer = Trainer::new(network).epochs(args.epochs as usize);
    let pool = Session::new(&trainer, &known).reserve(0.4).fit(&MultiRun::new(args.members()), args.seed)?;
    let inside = known.subset(pool.reserved())?;
    let outside = unknown.0;

    let seen: Vec<u32> = (0..known.labels().map_or(0, <[u32]>::len) as u32)
        .filter(|row| pool.reserved().binary_search(row).is_err())
        .collect();
    let scores = |inputs: &Tensor| scores(&pool, &known.subset(&seen)?, inputs);
    let (inside, outside) = (scores(inside.inputs().only()?)?, scores(&outside)?);
    let rows = inside.iter().zip(&outside).map(|((name, inside), (_, outside))| {
        let found = Detection::new(inside, outside)?;
        let figures = [found.auroc, found.aupr_out, found.fpr_at_95].map(|figure| format!("{figure:.3}"));
        Ok([vec![(*name).to_string()], figures.to_vec()].concat())
    });
    say(format!(
        "{} rows of the digits 0 to {} that no network trained on, and {} of the others.\n",
        inside[0].1.len(),
        KNOWN - 1,
        outside[0].1.len()
    ));
    say(table(&["score", "AUROC", "AUPR", "FPR at 95 %"], rows.collect::<Result<Vec<_>>>()?));
    Ok(())
}

/// The images with these labels, and the labels.
fn those(of: impl Fn(u32) -> bool) -> Result<(Tensor, Vec<u32>)> {
    let all = digits::digits(&[64])?;
    let labels = all.labels().unwrap_or_default();
    let rows: Vec<u32> = (0..).zip(labels).filter(|(_, label)| of(**label)).map(|(row, _)| row).collect();
    let labels = labels.iter().copied().filter(|label| of(*label)).collect();
    Ok((all.subset(&rows)?.inputs().only()?.clone(), labels))
}

/// All scores of some images; greater for those that are less like the training.
fn scores(
    pool: &Pool<'_, Trainer<Sequential>>,
    training: &TensorDataset,
    images: &Tensor,
) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let of = ClassUncertainty::new(&pool.predictions(images)?)?;
    let one = ClassUncertainty::new(&pool.predictions(images)?.select_slots(&[0])?)?;
    let labels = training.labels().unwrap_or_default();
    let (mut energies, mut distances, mut relative) = (vec![], vec![], vec![]);
    for member in 0..pool.members().len() {
        let network = pool.network(member)?;
        energies.push(energy(&network.forward(images)?, 1.)?);
        let fitted =
            Mahalanobis::fit(&network.forward_first(LAYERS, training.inputs().only()?)?, labels, 0.01)?;
        let features = network.forward_first(LAYERS, images)?;
        distances.push(fitted.distances(&features)?);
        relative.push(fitted.relative(&features)?);
    }
    Ok(vec![
        ("largest probability of one network", one.least_confidence),
        ("largest probability", of.least_confidence),
        ("total entropy", of.total),
        ("expected entropy", of.expected),
        ("mutual information", of.mutual_information),
        ("variation ratio", of.variation_ratio),
        ("pairwise divergence", of.pairwise_kl),
        ("energy", mean(&energies)),
        ("Mahalanobis distance", mean(&distances)),
        ("relative Mahalanobis distance", mean(&relative)),
    ])
}

/// The mean of the members' scores.
fn mean(members: &[Vec<f64>]) -> Vec<f64> {
    let rows = members.first().map_or(0, Vec::len);
    let of_row = |row: usize| members.iter().filter_map(|member| member.get(row)).sum::<f64>();
    (0..rows).map(|row| of_row(row) / members.len() as f64).collect()
}
