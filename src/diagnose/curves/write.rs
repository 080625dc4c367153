//! Learning curves as a table in text.
use crate::{
    diagnose::{Curve, Curves},
    Error, Result,
};

impl Curves {
    /// The curves as CSV: one row for each epoch of each run, with the columns `run` and `epoch` (both from
    /// 0) and those series that some run has, such as `train_loss`, `valid_loss`, `train_accuracy` and
    /// `valid_accuracy`.
    ///
    /// [`Curves::from_bytes`] reads it back, except for the numbers of rows. As JSON, through serde, nothing
    /// is lost.
    ///
    /// ```
    /// use candle_ensemble::diagnose::{Curve, Curves};
    ///
    /// let mut run = Curve::default();
    /// run.train_loss = vec![1.0, 0.5];
    /// let csv = Curves::new(vec![run]).to_csv()?;
    /// assert_eq!(csv, "run,epoch,train_loss\n0,0,1\n0,1,0.5\n");
    /// # Ok::<(), candle_ensemble::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Curves::check`].
    pub fn to_csv(&self) -> Result<String> {
        self.check()?;
        let metric = self.metric.map_or("metric", |metric| metric.name());
        let has = |series: usize| {
            self.runs.iter().any(|run| run.series().get(series).is_some_and(|(_, values)| !values.is_empty()))
        };
        let names: Vec<(usize, String)> = ["train_loss", "valid_loss", "train_metric", "valid_metric"]
            .iter()
            .enumerate()
            .filter(|(series, _)| has(*series))
            .map(|(series, name)| (series, name.replace("metric", metric)))
            .collect();
        let failed = |e: csv::Error| Error::invalid("learning curves", "writable as CSV", e);
        let mut csv = csv::Writer::from_writer(vec![]);
        let header = ["run", "epoch"].into_iter().chain(names.iter().map(|(_, name)| &**name));
        csv.write_record(header).map_err(failed)?;
        for (number, run) in self.runs.iter().enumerate() {
            for epoch in 0..run.epochs() {
                let values = names.iter().map(|(series, _)| cell(run, *series, epoch));
                let row = [number.to_string(), epoch.to_string()].into_iter().chain(values);
                csv.write_record(row).map_err(failed)?;
            }
        }
        let bytes = csv.into_inner().map_err(|e| Error::invalid("learning curves", "writable as CSV", e))?;
        String::from_utf8(bytes).map_err(|e| Error::invalid("learning curves", "text", e))
    }
}

/// A value as text; empty where the run has no such series.
fn cell(run: &Curve, series: usize, epoch: usize) -> String {
    let value = run.series().get(series).and_then(|(_, values)| values.get(epoch).copied());
    value.map_or_else(String::new, |x| if x.is_nan() { "nan".into() } else { x.to_string() })
}
