//! The combiners by name, with their settings from the command line.
use super::{
    args::{Args, PruneName},
    program::Failure,
};
use candle_ensemble::{
    combine::{self, AnyCombiner, Calibrate, Combiner, SimplexSquares},
    data::Task,
    metrics,
    predictions::Predictions,
    prune::{ByDiversity, ByWeight, Ordered, Pruned},
    registry::split_list,
};

/// A combiner with the name that is shown.
pub type Named = (String, AnyCombiner);

/// The combiners that the command line names.
pub fn chosen(args: &Args, predictions: &Predictions) -> Result<Vec<Named>, Failure> {
    let registry = combine::registry();
    if args.rule != "all" {
        let named = |text: &String| -> Result<Named, Failure> {
            let entry = registry.get(text)?;
            let combiner = registry.parse_with(text, &args.settings)?;
            let arguments = text.split_once(':').map_or_else(String::new, |(_, rest)| format!(":{rest}"));
            let name = format!("{}{arguments}", entry.name());
            if combiner.needs_inputs() && predictions.inputs().is_none() {
                let or = if entry.takes("outputs") { ", or give --outputs" } else { "" };
                return Err(format!(
                    "{name} reads the rows' inputs, but there is no array `inputs`: add it{or}"
                )
                .into());
            }
            Ok((name, around(combiner, args)?))
        };
        return split_list(&args.rule).iter().map(named).collect();
    }
    let classes = matches!(predictions.task(), Task::Classification { .. });
    let mut all = vec![];
    for entry in registry.entries() {
        let task = if classes { entry.tasks().classification() } else { entry.tasks().regression() };
        let mut required = entry.arguments().iter().filter(|argument| argument.is_required());
        let missing = required.any(|argument| args.setting(argument.name()).is_none());
        // A grid over many members has too many points.
        let too_many = entry.name() == "grid-search" && predictions.slots() > 5;
        if !task || missing || too_many {
            continue;
        }
        let combiner = registry.parse_with(entry.name(), &args.settings)?;
        if predictions.inputs().is_some() || !combiner.needs_inputs() {
            all.push((entry.name().to_string(), around(combiner, args)?));
        }
    }
    Ok(all)
}

/// The combiner with what the command line puts around it.
fn around(mut combiner: AnyCombiner, args: &Args) -> Result<AnyCombiner, Failure> {
    if let Some(calibration) = args.calibrate_members {
        combiner = AnyCombiner::new(combiner.on_calibrated(calibration.calibration()));
    }
    if let Some(calibration) = args.calibrate {
        combiner = AnyCombiner::new(combiner.calibrated(calibration.calibration()));
    }
    let Some(prune) = args.prune else { return Ok(combiner) };
    let criterion = args.setting("criterion").map(|name| metrics::registry().parse(name)).transpose()?;
    let ordered = |mut ordered: Ordered| {
        if let Some(metric) = criterion {
            ordered = ordered.criterion(metric);
        }
        match args.keep {
            Some(members) => ordered.members(members),
            None => ordered,
        }
    };
    let keep = || args.keep.ok_or("pruning by diversity needs --keep N");
    Ok(match prune {
        PruneName::Weight => match args.keep {
            Some(n) => AnyCombiner::new(Pruned::new(ByWeight::largest(SimplexSquares::new(), n), combiner)),
            None => AnyCombiner::new(Pruned::new(ByWeight::above(SimplexSquares::new(), 0.01), combiner)),
        },
        PruneName::ReduceError => AnyCombiner::new(Pruned::new(ordered(Ordered::reduce_error()), combiner)),
        PruneName::Complementarity => {
            AnyCombiner::new(Pruned::new(ordered(Ordered::complementarity()), combiner))
        }
        PruneName::MarginDistance => {
            AnyCombiner::new(Pruned::new(ordered(Ordered::margin_distance()), combiner))
        }
        PruneName::Kappa => AnyCombiner::new(Pruned::new(ByDiversity::kappa(keep()?), combiner)),
        PruneName::Disagreement => {
            AnyCombiner::new(Pruned::new(ByDiversity::disagreement(keep()?), combiner))
        }
    })
}
