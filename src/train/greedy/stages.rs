//! The steps of a greedy pretraining, as ranges of the run's epochs.
use crate::train::greedy::Pretraining;
use std::ops::Range;

/// What a step trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first `depth` hidden layers, of which the first `fixed` are frozen, and the output layer.
    Supervised { fixed: usize, depth: usize },
    /// One hidden layer, by reconstruction.
    Reconstruct { layer: usize },
}

/// A step and its epochs within the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) step: Step,
    pub(super) epochs: Range<usize>,
}

/// The steps of a network with this many hidden layers; `epochs` are those of each supervised step.
pub(super) fn stages(pretraining: Pretraining, layers: usize, epochs: usize) -> Vec<Stage> {
    let mut begin = 0usize;
    let mut stage = |step, epochs: usize| {
        let stage = Stage { step, epochs: begin..begin.saturating_add(epochs) };
        begin = stage.epochs.end;
        stage
    };
    let together = Step::Supervised { fixed: 0, depth: layers };
    match pretraining {
        Pretraining::Supervised { freeze_earlier, fine_tuning } => {
            let step = |depth| Step::Supervised { fixed: if freeze_earlier { depth - 1 } else { 0 }, depth };
            let mut all: Vec<_> = (1..=layers).map(|depth| stage(step(depth), epochs)).collect();
            if fine_tuning > 0 {
                all.push(stage(together, fine_tuning));
            }
            all
        }
        Pretraining::Autoencoder { epochs: of_layer, .. } => {
            let mut all: Vec<_> =
                (0..layers).map(|layer| stage(Step::Reconstruct { layer }, of_layer)).collect();
            all.push(stage(together, epochs));
            all
        }
    }
}

/// The epochs of all steps together.
pub(super) fn total(stages: &[Stage]) -> usize {
    stages.last().map_or(0, |stage| stage.epochs.end)
}
