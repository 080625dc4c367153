//! Charts as SVG or PNG files, and as SVG text for a page.
//!
//! A chart is data; the trait [`Chart`] checks and draws it. Colours can be told apart by colour-blind
//! readers, and no meaning depends on colour alone: lines differ in markers or dashes, cells have their
//! numbers. No fonts need to be installed: text in PNG files is drawn with an embedded font, and text in SVG
//! files with a font of the viewer. The same chart gives the same bytes.
//!
//! | Chart | Shows |
//! |---|---|
//! | [`SizeChart`] | a metric against the size of the ensemble |
//! | [`LearningCurves`] | a loss or a metric against the epoch, with bands over runs |
//! | [`TrainingSizeChart`] | a metric against the number of training rows |
//! | [`PredictionBands`] | predicted values against one input, with bands such as prediction intervals |
//! | [`ReliabilityDiagram`] | accuracy against confidence |
//! | [`ConfusionMatrix`] | which classes are taken for which |
//! | [`WeightsChart`] | the weights that rules give to the members |
//! | [`HeatMap`] | a measure for each pair, such as the diversity of two members |
//! | [`HeatTable`] | a measure for each pair of two lists, such as learning rates and batch sizes |
//! | [`RangeTestChart`] | the loss against a rising learning rate |
//! | [`KappaErrorDiagram`] | agreement and error of pairs of members |
//! | [`QualityCost`] | quality against cost, with the Pareto front |
//! | [`ForestPlot`] | estimates with their intervals, one below the other |
//! | [`CriticalDifferenceDiagram`] | average ranks and which of them do not differ significantly |
mod cells;
mod confusion;
mod critical_difference;
mod curve_marks;
mod forest;
mod frame;
mod heat_map;
mod heat_table;
mod kappa_error;
mod labels;
mod learning;
mod legend;
mod pareto;
mod picture;
mod prediction_bands;
mod quality_cost;
mod range_test;
mod reliability;
mod render;
mod scale;
mod size;
mod style;
#[cfg(test)]
mod testing;
mod training_size;
mod weights;

pub use confusion::ConfusionMatrix;
pub use critical_difference::CriticalDifferenceDiagram;
pub use curve_marks::CurveMark;
pub use forest::{ForestPlot, ForestRow};
pub use heat_map::HeatMap;
pub use heat_table::HeatTable;
pub use kappa_error::{KappaError, KappaErrorDiagram, PairGroup};
pub use learning::{Curve, CurvePoint, LearningCurves};
pub use pareto::pareto_front;
pub use prediction_bands::{Band, BandPoint, PredictionBands, ValuePoints};
pub use quality_cost::{CostPoint, QualityCost};
pub use range_test::{RangeTestChart, RateMark, RatePoint};
pub use reliability::ReliabilityDiagram;
pub use size::{Line, Point, SizeChart};
pub use training_size::TrainingSizeChart;
pub use weights::{RuleWeights, WeightsChart};

use crate::{files, Error, Result};
use picture::{Draw, Drawn, Picture};
use std::{io::Write, path::Path};

/// What a chart of this crate does: it checks its data and draws them, as text or into a file.
///
/// Only the charts of this module implement it. `Box<dyn Chart>` does too, for lists of charts of several
/// kinds.
///
/// ```
/// use candle_ensemble::chart::{Chart, HeatMap, KappaError, KappaErrorDiagram, PairGroup};
///
/// let pairs = vec![KappaError { kappa: 0.8, error: 0.1 }, KappaError { kappa: 0.7, error: 0.12 }];
/// let charts: Vec<Box<dyn Chart>> = vec![
///     Box::new(KappaErrorDiagram {
///         title: "Digits: pairs of members".into(),
///         groups: vec![PairGroup { name: "bagging".into(), pairs }],
///     }),
///     Box::new(HeatMap {
///         title: "Digits: disagreement of two members".into(),
///         measure: "disagreement (share of rows)".into(),
///         names: vec!["0".into(), "1".into()],
///         values: vec![vec![0.0, 0.2], vec![0.2, 0.0]],
///         center: None,
///     }),
/// ];
/// # let folder = tempfile::tempdir()?;
/// for (i, chart) in charts.iter().enumerate() {
///     assert!(chart.svg()?.starts_with("<svg"));
///     chart.save(folder.path().join(format!("{i}.png")))?;
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Chart: Draw {
    /// Checks that the data can be drawn. [`Chart::svg`] and [`Chart::save`] do so first.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the fault: a number that is not finite or beyond ±1e300, lists without
    /// elements, lists whose lengths differ, and what the fields of the chart say.
    fn check(&self) -> Result<()>;

    /// Returns the chart as an `<svg>` element, which can stand in an HTML page or be a file of its own.
    ///
    /// It is as wide as the page, up to 900 pixels, and its text is text. The first element in it is the white
    /// background, a `<rect>` of the class `background`.
    ///
    /// # Errors
    /// Those of [`Chart::check`].
    fn svg(&self) -> Result<String> {
        self.check()?;
        render::svg(&drawn(self.picture())?).map_err(not_drawable)
    }

    /// Writes the chart to `path`, as SVG (900 pixels wide) or PNG (1800 pixels wide, for sharp print),
    /// depending on the extension.
    ///
    /// The file is written atomically; an existing one is replaced.
    ///
    /// # Errors
    /// Those of [`Chart::check`]; [`Error::Invalid`] when the extension is another one; [`Error::Io`] when
    /// the file cannot be written.
    fn save(&self, path: impl AsRef<Path>) -> Result<()>
    where
        Self: Sized,
    {
        write(self, path.as_ref())
    }
}

impl<C: Draw + ?Sized> Draw for Box<C> {
    fn picture(&self) -> Drawn<Picture> {
        (**self).picture()
    }
}

impl<C: Chart + ?Sized> Chart for Box<C> {
    fn check(&self) -> Result<()> {
        (**self).check()
    }
}

fn write(chart: &impl Chart, path: &Path) -> Result<()> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("svg") => {
            let text = chart.svg()?;
            files::write_with(path, |file| file.write_all(text.as_bytes()))
        }
        Some("png") => {
            chart.check()?;
            let picture = drawn(chart.picture())?;
            // plotters looks at the extension, which is that of the temporary file too.
            files::write_with(path, |file| render::png(&picture, file.path()))
        }
        _ => {
            let must = "one that ends in .svg or .png";
            Err(Error::invalid("the chart's file name", must, path.display()))
        }
    }
}

fn drawn(picture: Drawn<Picture>) -> Result<Picture> {
    picture.map_err(not_drawable)
}

fn not_drawable(why: String) -> Error {
    Error::invalid("the chart", "drawable", why)
}

/// Checks that a value can be drawn: beyond 1e300, distances between values overflow.
fn drawable(value: f64, what: impl FnOnce() -> String) -> Result<()> {
    if value.abs() <= 1e300 {
        return Ok(());
    }
    Err(Error::invalid(what(), "finite and within ±1e300", value))
}

/// Checks an interval around a value.
fn check_band(mean: f64, low: f64, high: f64, of: impl Fn() -> String) -> Result<()> {
    for (what, value) in [("mean", mean), ("low", low), ("high", high)] {
        drawable(value, || format!("{what} of {}", of()))?;
    }
    if low > high {
        return Err(Error::invalid(format!("low of {}", of()), format!("at most high, {high}"), low));
    }
    Ok(())
}

/// Checks the number of the elements of a chart.
fn check_number(what: &str, range: std::ops::RangeInclusive<usize>, got: usize) -> Result<()> {
    if range.contains(&got) {
        return Ok(());
    }
    let must = match (*range.start(), *range.end()) {
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    Err(Error::invalid(format!("the number of {what}"), must, got))
}

/// Checks that there is one element for each of `of`.
fn check_length(what: impl Into<String>, of: &str, must: usize, got: usize) -> Result<()> {
    if must == got {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{must}, one for each {of}"), got))
}
