//! Digits and letters that the networks have never seen.
use super::{
    digits,
    letters::{letter, letters},
    program::{say, Failure},
    table::{share, table},
    Args, HIDDEN,
};
use candle_core::Tensor;
use candle_ensemble::{
    data::{Dataset, TensorDataset},
    nn::{seq, Sequential},
    statistics::{bootstrap_statistic, Interval},
    strategy::MultiRun,
    train::Trainer,
    uncertainty::{energy, ClassUncertainty, Detection, Mahalanobis},
    Pool, Result, Seed, Session,
};
use candle_nn::{linear, Activation, VarBuilder};

/// The digits below this are known, where the others are the rows of another kind.
const KNOWN: u32 = 5;
/// The letters that look like digits at this size, chosen by eye and before any network saw them.
const LIKE_DIGITS: &str = "BDGIJOQSZbgijloqsz";
/// The layers whose output are the features.
const LAYERS: usize = 2;
/// The draws of a bootstrap interval.
const RESAMPLES: usize = 400;
const HEADER: [&str; 4] = ["score", "AUROC", "AUPR", "FPR at 95 %"];

pub fn show(args: &Args) -> Result<(), Failure> {
    let digits = digits::digits(&[64])?;
    let known = part(&digits, |digit| digit < KNOWN)?.with_classes(KNOWN as usize)?;
    let others = part(&digits, |digit| digit >= KNOWN)?;
    let rows = (0..others.rows() as u32).collect();
    let found = Found::new(args, &known, &[Others { data: &others, groups: rows }])?;
    say(format!(
        "Networks of the digits 0 to {}: {} such rows that no network trained on, and {} rows of the other digits.\n",
        KNOWN - 1,
        found.inside,
        others.rows(),
    ));
    say(table(&HEADER, found.rows()));

    let letters = letters(&[64])?;
    let like = |class| LIKE_DIGITS.contains(letter(class));
    let (others, alike) = (part(&letters, |class| !like(class))?, part(&letters, like)?);
    let by_letter = |data: &TensorDataset| data.labels().unwrap_or_default().to_vec();
    let kinds = [&others, &alike].map(|data| Others { data, groups: by_letter(data) });
    let found = Found::new(args, &digits, &kinds)?;
    say(format!(
        "\nNetworks of all digits: {} rows that no network trained on, and {} rows of letters. In the last column the letters \
         are\n{} rows of those that look like digits: {LIKE_DIGITS}.\n",
        found.inside,
        others.rows(),
        alike.rows(),
    ));
    say(table(&[&HEADER[..], &["AUROC, like digits"]].concat(), found.rows()));
    say("\n95 % intervals over digits and over whole letters: the pictures of a letter are alike.");
    Ok(())
}

/// The rows with these labels.
fn part(all: &TensorDataset, of: impl Fn(u32) -> bool) -> Result<TensorDataset> {
    let labels = all.labels().unwrap_or_default();
    let rows: Vec<u32> = (0..).zip(labels).filter(|(_, label)| of(**label)).map(|(row, _)| row).collect();
    all.subset(&rows)
}

/// Rows of another kind, and the groups of those that are alike.
struct Others<'a> {
    data: &'a TensorDataset,
    groups: Vec<u32>,
}

/// How well each score tells known rows from those of other kinds.
struct Found {
    /// The number of known rows.
    inside: usize,
    /// For each score its name, and the figures for each kind with the interval of the AUROC.
    scores: Vec<(&'static str, Vec<(Interval, Detection)>)>,
}

impl Found {
    /// Trains networks on a part of the known rows, and compares their scores for the others with those of other kinds.
    fn new(args: &Args, known: &TensorDataset, others: &[Others<'_>]) -> Result<Self> {
        let classes = known.classes().unwrap_or_default();
        let network = move |vb: VarBuilder<'_>| {
            let hidden = seq().add(linear(64, HIDDEN, vb.pp("hidden"))?).add(Activation::Relu);
            Ok(hidden.add(linear(HIDDEN, classes, vb.pp("out"))?))
        };
        let trainer = Trainer::new(network).epochs(args.epochs as usize);
        let pool =
            Session::new(&trainer, known).reserve(0.4).fit(&MultiRun::new(args.members()), args.seed)?;
        let reserved = known.subset(pool.reserved())?;
        let trained: Vec<u32> =
            (0..known.rows() as u32).filter(|row| pool.reserved().binary_search(row).is_err()).collect();
        let images: Vec<&Tensor> = [&reserved]
            .into_iter()
            .chain(others.iter().map(|other| other.data))
            .map(|data| data.inputs().only())
            .collect::<Result<_, _>>()?;
        let scores = scores(&pool, &known.subset(&trained)?, &Tensor::cat(&images, 0)?)?;
        let figures = |(name, scores): (&'static str, Vec<f64>)| {
            let (inside, mut rest) = scores.split_at(reserved.rows());
            let each = others.iter().map(|other| {
                let (outside, further) = rest.split_at(other.data.rows());
                rest = further;
                let seed = Seed::from(args.seed).child("detection");
                Ok((auroc(inside, outside, &other.groups, seed)?, Detection::new(inside, outside)?))
            });
            Ok((name, each.collect::<Result<_>>()?))
        };
        let scores = scores.into_iter().map(figures).collect::<Result<_>>()?;
        Ok(Self { inside: reserved.rows(), scores })
    }

    /// The rows of a table: all figures of the first kind, and the AUROC of further ones.
    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(name, kinds): &(&str, Vec<(Interval, Detection)>)| {
            let aurocs: Vec<String> = kinds.iter().map(|(auroc, _)| share(*auroc)).collect();
            let (first, further) = aurocs.split_at(1);
            let figures = kinds.iter().take(1).flat_map(|(_, found)| [found.aupr_out, found.fpr_at_95]);
            let figures = figures.map(|figure| format!("{figure:.3}")).collect();
            [vec![(*name).to_string()], first.to_vec(), figures, further.to_vec()].concat()
        };
        self.scores.iter().map(row).collect()
    }
}

/// The area under the curve, with its interval over rows inside and over whole groups of rows outside.
fn auroc(inside: &[f64], outside: &[f64], groups: &[u32], seed: Seed) -> Result<Interval> {
    let mut of_group = std::collections::BTreeMap::<u32, Vec<f64>>::new();
    for (group, score) in groups.iter().zip(outside) {
        of_group.entry(*group).or_default().push(*score);
    }
    let of_group: Vec<Vec<f64>> = of_group.into_values().collect();
    bootstrap_statistic(inside.len() + of_group.len(), 0.95, RESAMPLES, seed, |units| {
        let (mut ins, mut outs) = (vec![], vec![]);
        for unit in units.iter().map(|unit| *unit as usize) {
            match unit.checked_sub(inside.len()) {
                None => ins.push(inside[unit]),
                Some(group) => outs.extend(&of_group[group]),
            }
        }
        Ok(Detection::new(&ins, &outs)?.auroc)
    })
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
