//! From files to diagnoses.
use super::{args::Args, program::Failure};
use candle_ensemble::{
    data::Task,
    diagnose::{Curve, CurveMetric, Curves, Diagnose, ReadCurves},
    remedy::{propose, remedies, DiagnosisReport, Setup, Start},
    train::TrainConfig,
    Result,
};

/// The diagnosis of each network.
pub fn diagnose(args: &Args) -> Result<Vec<DiagnosisReport>, Failure> {
    let setup = args.settings.as_ref().map(Setup::read).transpose()?;
    let networks = match args.together {
        true => vec![Curves::read_all(&args.curves)?],
        false => Curves::read_each(&args.curves)?,
    };
    let report = |read| report(args, setup.as_ref(), read);
    Ok(networks.into_iter().map(report).collect::<Result<_>>()?)
}

fn report(args: &Args, setup: Option<&Setup>, read: ReadCurves) -> Result<DiagnosisReport> {
    let (mut curves, mut notes) = (read.curves, read.notes);
    curves.train_rows = curves.train_rows.or(args.train_rows);
    curves.valid_rows = curves.valid_rows.or(args.valid_rows);
    let mut trainer = TrainConfig::default();
    trainer.epochs = curves.runs.iter().map(Curve::epochs).max().unwrap_or(1);
    let known = setup.is_some();
    let setup = setup.cloned().unwrap_or_default();
    if !known {
        notes.push(format!(
            "The settings of the training are not known. Remedies start from {} epochs of Adam with a learning rate of \
             0.001; --settings names others.",
            trainer.epochs
        ));
    }
    let task = match (args.classes, curves.metric) {
        (Some(classes), _) => Some(Task::Classification { classes }),
        (None, Some(CurveMetric::Rmse)) => Some(Task::Regression { outputs: 1 }),
        _ => None,
    };
    let config = setup.config(&trainer)?;
    let mut diagnose = Diagnose::curves(&curves);
    if let Some(task) = task {
        diagnose = diagnose.task(task);
    }
    if known {
        diagnose = diagnose.config(&config);
    }
    let diagnosis = diagnose.run()?;
    let mut start = Start::new(&trainer, &setup)?;
    (start.task, start.rows) = (task, curves.train_rows);
    let proposals = propose(&remedies(), &diagnosis.findings, &start);
    Ok(DiagnosisReport::new(read.files.join(", "), diagnosis)
        .notes(notes)
        .curves(curves)
        .proposals(proposals))
}
