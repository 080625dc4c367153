//! Accuracy against confidence.
use crate::{
    chart::{
        check_number, drawable,
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{Anchor, At, Draw, Drawn, Mark, Picture},
        scale::{Range, Scale},
        style::{between, color, AXIS, EDGE, GREY, INK, TITLE, TOP, WHITE, WIDTH},
        Chart,
    },
    metrics::ReliabilityBin,
    Error, Result,
};
use plotters::style::RGBColor;

/// A reliability diagram: the accuracy of a classifier against its confidence, in bins.
///
/// ```text
/// ECE = Σ_b w_b/W |accuracy_b − confidence_b|
/// ```
///
/// Each bin has a bar as high as its accuracy, and a hatched gap between accuracy and mean confidence. A
/// calibrated classifier has its bars end on the diagonal. Below is a histogram of the confidences. The
/// legend shows the expected calibration error (ECE) of the bins.
/// [`reliability_bins`](crate::metrics::reliability_bins) makes the bins.
///
/// Use it to see whether a classifier is too confident, and where. Bins with few rows vary much; look at the
/// histogram.
///
/// [`Chart::check`] fails when there are no bins, bins overlap or are out of order, a number is not between 0
/// and 1, a weight is negative or not finite, or all weights are zero.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{chart::{Chart, ReliabilityDiagram}, metrics::{reliability_bins, ECE_BINS}};
///
/// let probs = Tensor::new(&[[0.75f32, 0.25], [0.25, 0.75], [0.9, 0.1]], &Device::Cpu)?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("reliability.svg");
/// ReliabilityDiagram {
///     title: "Digits: bagging of 10, mean".into(),
///     bins: reliability_bins(&probs, &[0, 0, 0], ECE_BINS, None)?,
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// Sources: DeGroot and Fienberg 1983, "The comparison and evaluation of forecasters"; Guo, Pleiss, Sun and
/// Weinberger 2017, arXiv:1706.04599.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliabilityDiagram {
    /// The title above the chart.
    pub title: String,
    /// The bins, in order. Empty bins may be left out.
    pub bins: Vec<ReliabilityBin>,
}

impl Chart for ReliabilityDiagram {
    fn check(&self) -> Result<()> {
        check_number("bins of the diagram", 1..=1 << 16, self.bins.len())?;
        let mut above = 0.0;
        for (i, bin) in self.bins.iter().enumerate() {
            let parts = [
                ("low", bin.low),
                ("high", bin.high),
                ("confidence", bin.confidence),
                ("accuracy", bin.accuracy),
            ];
            for (what, value) in parts {
                if !(0.0..=1.0).contains(&value) {
                    return Err(Error::invalid(format!("{what} of bin {i}"), "between 0 and 1", value));
                }
            }
            if bin.low < above {
                let must = format!("at least {above}, where the bin before it ends");
                return Err(Error::invalid(format!("low of bin {i}"), must, bin.low));
            }
            if bin.high <= bin.low {
                let must = format!("above its low, {}", bin.low);
                return Err(Error::invalid(format!("high of bin {i}"), must, bin.high));
            }
            above = bin.high;
            drawable(bin.weight, || format!("weight of bin {i}"))?;
            if bin.weight < 0.0 {
                return Err(Error::invalid(format!("weight of bin {i}"), "at least 0", bin.weight));
            }
        }
        if self.bins.iter().all(|b| b.weight == 0.0) {
            return Err(Error::invalid("the sum of the weights of the bins", "above 0", 0));
        }
        Ok(())
    }
}

/// What the bins sum to.
struct Totals {
    /// The weights, as shares of their sum.
    shares: Vec<f64>,
    ece: f64,
    accuracy: f64,
    confidence: f64,
}

impl Totals {
    fn of(bins: &[ReliabilityBin]) -> Self {
        // Scaled first, because the sum of weights up to 1e300 may overflow.
        let largest = bins.iter().map(|b| b.weight).fold(0.0, f64::max);
        let total: f64 = bins.iter().map(|b| b.weight / largest).sum();
        let shares: Vec<f64> = bins.iter().map(|b| b.weight / largest / total).collect();
        let mean =
            |value: fn(&ReliabilityBin) -> f64| bins.iter().zip(&shares).map(|(b, s)| s * value(b)).sum();
        let ece = mean(|b| (b.accuracy - b.confidence).abs());
        Self { ece, accuracy: mean(|b| b.accuracy), confidence: mean(|b| b.confidence), shares }
    }
}

const SQUARE: f64 = 430.0;
const HISTOGRAM: f64 = 96.0;
const BAR: RGBColor = RGBColor(0, 114, 178);
const GAP: RGBColor = RGBColor(213, 94, 0);

impl Draw for ReliabilityDiagram {
    fn picture(&self) -> Drawn<Picture> {
        let totals = Totals::of(&self.bins);
        let unit = Scale::Linear(Range { low: 0.0, high: 1.0 });
        let top = TOP + 8.0;
        let across = (EDGE, EDGE + 62.0 + SQUARE);
        let above = Frame::new(across, (top, top + SQUARE), unit, unit)?;
        let highest = totals.shares.iter().copied().fold(0.0, f64::max);
        let shares = Scale::Linear(Range { low: 0.0, high: 1.08 * highest });
        let base = above.bottom + 26.0 + HISTOGRAM;
        let mut below = Frame::new(across, (base - HISTOGRAM, base), unit, shares)?;
        below.left = above.left;
        below.x_ticks.clone_from(&above.x_ticks);
        let mut picture = Picture::new(WIDTH, base + BELOW);
        picture.title(&self.title)?;
        above.draw_grid(&mut picture);
        above.label_y(&mut picture);
        self.draw_bars(&mut picture, &above);
        below.draw_grid(&mut picture);
        below.label_y(&mut picture);
        below.label_x(&mut picture);
        self.draw_histogram(&mut picture, &below, &totals);
        for frame in [&above, &below] {
            let corner =
                vec![(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)];
            picture.stroke(corner, 1.0, GREY);
        }
        let left = EDGE + 2.0;
        let middle = (above.left + above.right) / 2.0;
        picture.text("confidence", (middle, below.bottom + 41.0), AXIS, Anchor::Center);
        picture.turned_text("accuracy", (left, (above.top + above.bottom) / 2.0), AXIS, Anchor::Center);
        picture.turned_text("share of rows", (left, below.bottom - HISTOGRAM / 2.0), AXIS, Anchor::Center);
        draw_legend(&mut picture, above.right + 36.0, above.top, &totals)?;
        Ok(picture)
    }
}

impl ReliabilityDiagram {
    fn draw_bars(&self, picture: &mut Picture, frame: &Frame) {
        for bin in self.bins.iter().filter(|b| b.weight > 0.0) {
            let (left, right) = sides(frame, bin);
            let (base, top, ideal) = (frame.bottom, frame.y_at(bin.accuracy), frame.y_at(bin.confidence));
            picture.rectangle((left, top), (right, base), BAR, 0.75);
            draw_gap(picture, (left, top), (right, ideal), bin.accuracy < bin.confidence);
        }
        let diagonal = vec![(frame.left, frame.bottom), (frame.right, frame.top)];
        picture.dashed(diagonal, &[6.0, 4.0], 1.5, INK);
        for bin in self.bins.iter().filter(|b| b.weight > 0.0) {
            picture.edged_mark(Mark::Disc, frame.at(bin.confidence, bin.accuracy), 3.2, INK, WHITE);
        }
    }

    fn draw_histogram(&self, picture: &mut Picture, frame: &Frame, totals: &Totals) {
        for (bin, share) in self.bins.iter().zip(&totals.shares) {
            let (left, right) = sides(frame, bin);
            picture.rectangle((left, frame.y_at(*share)), (right, frame.bottom), GREY, 0.6);
        }
        for (value, dashes) in [(totals.accuracy, ACCURACY), (totals.confidence, CONFIDENCE)] {
            let x = frame.x_at(value);
            picture.dashed(vec![(x, frame.top - 6.0), (x, frame.bottom)], dashes, 2.0, color(line(dashes)));
        }
    }
}

const ACCURACY: &[f64] = &[];
const CONFIDENCE: &[f64] = &[6.0, 3.0];

/// The colour of the line with these dashes: that of the bars or of the gaps.
fn line(dashes: &[f64]) -> usize {
    usize::from(!dashes.is_empty())
}

/// The sides of a bar, with a gap to the next where there is room.
fn sides(frame: &Frame, bin: &ReliabilityBin) -> (f64, f64) {
    let (left, right) = (frame.x_at(bin.low), frame.x_at(bin.high));
    let gap = if right - left > 6.0 { 0.8 } else { 0.0 };
    (left + gap, right - gap)
}

/// Draws the gap between accuracy and confidence: hatched upwards if the classifier is too confident.
fn draw_gap(picture: &mut Picture, a: At, b: At, over: bool) {
    if (a.1 - b.1).abs() < 0.5 {
        return;
    }
    picture.rectangle(a, b, between(WHITE, GAP, if over { 0.3 } else { 0.12 }), 0.9);
    picture.hatch(a, b, over, GAP);
    picture.frame(a, b, 1.2, GAP);
}

fn draw_legend(picture: &mut Picture, left: f64, top: f64, totals: &Totals) -> Drawn {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let entries = vec![
        Entry::new("accuracy of the bin", |p, (x, y)| {
            p.rectangle((x - 9.0, y - 8.0), (x + 9.0, y + 8.0), BAR, 0.75);
        }),
        Entry::new("gap: too confident", |p, (x, y)| {
            draw_gap(p, (x - 9.0, y - 8.0), (x + 9.0, y + 8.0), true)
        }),
        Entry::new("gap: not confident enough", |p, (x, y)| {
            draw_gap(p, (x - 9.0, y - 8.0), (x + 9.0, y + 8.0), false);
        }),
        Entry::new("mean confidence of the bin", |p, at| p.edged_mark(Mark::Disc, at, 3.2, INK, WHITE)),
        Entry::new("calibrated", |p, (x, y)| {
            p.dashed(vec![(x - 13.0, y + 6.0), (x + 13.0, y - 6.0)], &[6.0, 4.0], 1.5, INK);
        }),
        Entry::new(format!("accuracy, {} of all rows", percent(totals.accuracy)), |p, (x, y)| {
            p.dashed(vec![(x, y - 9.0), (x, y + 9.0)], ACCURACY, 2.0, color(line(ACCURACY)));
        }),
        Entry::new(format!("mean confidence, {}", percent(totals.confidence)), |p, (x, y)| {
            p.dashed(vec![(x, y - 9.0), (x, y + 9.0)], CONFIDENCE, 2.0, color(line(CONFIDENCE)));
        }),
    ];
    let ece = format!("ECE {:.4}", totals.ece);
    picture.text(ece, (left, top + 8.0), TITLE, Anchor::Left);
    Legend::column(entries, left, top + 44.0, 27.0)?.draw(picture);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect};

    fn bin(low: f64, confidence: f64, accuracy: f64, weight: f64) -> ReliabilityBin {
        ReliabilityBin { low, high: low + 0.25, confidence, accuracy, weight }
    }

    fn chart(bins: Vec<ReliabilityBin>) -> ReliabilityDiagram {
        ReliabilityDiagram { title: "A & B".into(), bins }
    }

    #[test]
    fn the_legend_shows_the_error_and_each_bin_has_its_marks() {
        // Gaps .1 · 30/100, .2 · 20/100 and 0: ECE .07; accuracy .15 + .12 + .45; confidence .12 + .16 + .45.
        let c = chart(vec![bin(0.25, 0.4, 0.5, 30.0), bin(0.5, 0.8, 0.6, 20.0), bin(0.75, 0.9, 0.9, 50.0)]);
        let svg = inspect(&c);
        assert!(svg.contains("ECE 0.0700\n") && svg.contains("accuracy, 72.0 % of all rows\n"));
        assert!(svg.contains("mean confidence, 73.0 %\n"));
        assert_eq!(count(&svg, &["<rect", "opacity=\"0.75\"", "#0072B2"]), 3 + 1);
        assert_eq!(count(&svg, &["<rect", "opacity=\"0.9\""]), 2 + 2, "two gaps, and two in the legend");
        assert_eq!(count(&svg, &["<rect", "opacity=\"0.6\""]), 3, "the histogram");
        assert_eq!(count(&svg, &["<circle", "#222222"]), 3 + 1);
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(vec![])).contains("bins of the diagram"));
        assert!(fault(&chart(vec![bin(0.0, f64::NAN, 0.5, 1.0)])).contains("confidence of bin 0"));
        assert!(fault(&chart(vec![bin(0.0, 0.5, 1.5, 1.0)])).contains("accuracy of bin 0"));
        assert!(fault(&chart(vec![bin(0.0, 0.5, 0.5, -1.0)])).contains("weight of bin 0"));
        assert!(fault(&chart(vec![bin(0.0, 0.5, 0.5, 0.0)])).contains("sum of the weights"));
        let overlap = chart(vec![bin(0.0, 0.1, 0.5, 1.0), bin(0.2, 0.3, 0.5, 1.0)]);
        assert!(fault(&overlap).contains("low of bin 1 must be at least 0.25"));
        let mut empty = chart(vec![bin(0.5, 0.5, 0.5, 1.0)]);
        empty.bins[0].high = 0.5;
        assert!(fault(&empty).contains("high of bin 0"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let fine = (0..1000).map(|i| {
            let low = f64::from(i) / 1000.0;
            ReliabilityBin {
                low,
                high: f64::from(i + 1) / 1000.0,
                confidence: low,
                accuracy: 0.0,
                weight: 1e-9,
            }
        });
        for bins in [
            vec![bin(0.75, 1.0, 1.0, 1e300), bin(0.0, 0.0, 0.0, 1e300)],
            vec![bin(0.75, 1.0, 0.0, 1e-9)],
            fine.collect(),
        ] {
            let mut c = chart(bins);
            c.bins.sort_by(|a, b| a.low.total_cmp(&b.low));
            c.title = "long title ".repeat(100);
            inspect(&c);
        }
    }
}
