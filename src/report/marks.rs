//! Where learning curves show the evidence of findings, each place under a letter.
use crate::{
    chart::CurveMark,
    diagnose::{Finding, Mark},
};

/// The largest number of places that one chart marks.
const MOST: usize = 8;

/// The places that the evidence of findings names, in the order of the findings.
pub(crate) struct Marks<'f>(Vec<(Mark, &'f str)>);

impl<'f> Marks<'f> {
    /// The places that the evidence of the likeliest findings names, each once. Values that cannot be drawn
    /// are left out.
    pub(crate) fn of(findings: &'f [Finding]) -> Self {
        let mut places: Vec<(Mark, &'f str)> = vec![];
        for finding in findings {
            for mark in finding.evidence.iter().filter_map(|evidence| evidence.mark) {
                if places.len() < MOST && drawable(&mark) && !places.iter().any(|(known, _)| *known == mark) {
                    places.push((mark, &finding.name));
                }
            }
        }
        Self(places)
    }

    /// The letter of a place, if it is marked.
    pub(crate) fn letter(&self, mark: &Mark) -> Option<char> {
        self.0.iter().zip('A'..='Z').find(|((known, _), _)| known == mark).map(|(_, letter)| letter)
    }

    /// The marks of a chart. Their labels have the letter, the name of the finding and the figure.
    pub(crate) fn of_chart(&self) -> Vec<CurveMark> {
        self.0
            .iter()
            .zip('A'..='Z')
            .map(|((mark, finding), letter)| labelled(mark, finding, letter))
            .collect()
    }

    /// The losses that the places name.
    pub(crate) fn losses(&self) -> Vec<f64> {
        self.0
            .iter()
            .flat_map(|(mark, _)| match mark {
                Mark::Gap { low, high, .. } => vec![*low, *high],
                Mark::Level(level) => vec![*level],
                Mark::Epoch(_) | Mark::Epochs { .. } => vec![],
            })
            .collect()
    }
}

fn drawable(mark: &Mark) -> bool {
    let value = |x: f64| x.abs() <= 1e300;
    match mark {
        Mark::Epoch(_) => true,
        Mark::Epochs { from, to } => from <= to,
        Mark::Gap { low, high, .. } => value(*low) && value(*high) && low <= high,
        Mark::Level(level) => value(*level),
    }
}

fn labelled(mark: &Mark, finding: &str, letter: char) -> CurveMark {
    let label = format!("{letter}, {finding}");
    match *mark {
        // The chart adds the epochs.
        Mark::Epoch(epoch) => CurveMark::Epoch { epoch, label },
        Mark::Epochs { from, to } => CurveMark::Epochs { from, to, label },
        Mark::Gap { epoch, low, high } => {
            CurveMark::Gap { epoch, low, high, label: format!("{label}: {} apart", figure(high - low)) }
        }
        Mark::Level(value) => CurveMark::Level { value, label: format!("{label}: {}", figure(value)) },
    }
}

/// A loss with three significant digits.
fn figure(x: f64) -> String {
    let text = match x.abs() {
        0. => "0".into(),
        size if (1e-3..1e6).contains(&size) => {
            let digits = (2. - size.log10().floor()).clamp(0., 6.) as usize;
            format!("{x:.digits$}")
        }
        _ => format!("{x:.2e}"),
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Evidence, Label};

    fn finding(label: Label, marks: &[Mark]) -> Finding {
        let evidence = |mark: &Mark| Evidence::new("text").mark(*mark);
        marks.iter().map(evidence).fold(Finding::of(label, 0.5, "", ""), Finding::evidence)
    }

    #[test]
    fn each_place_has_a_letter_and_a_label_with_its_figure() {
        let gap = Mark::Gap { epoch: 9, low: 0.1, high: 0.534 };
        let level = Mark::Level(2.345_678);
        let findings = [
            finding(Label::Overfit, &[Mark::Epoch(7), gap]),
            finding(Label::UnderfitFlat, &[gap, level, Mark::Epochs { from: 3, to: 9 }]),
        ];
        let marks = Marks::of(&findings);
        assert_eq!(marks.letter(&gap), Some('B'), "the second finding names it again");
        assert_eq!(marks.letter(&level), Some('C'));
        assert_eq!(marks.letter(&Mark::Epoch(8)), None);
        assert_eq!(marks.losses(), [0.1, 0.534, 2.345_678]);
        let expected = [
            CurveMark::Epoch { epoch: 7, label: "A, overfit".into() },
            CurveMark::Gap { epoch: 9, low: 0.1, high: 0.534, label: "B, overfit: 0.434 apart".into() },
            CurveMark::Level { value: 2.345_678, label: "C, underfit_flat: 2.35".into() },
            CurveMark::Epochs { from: 3, to: 9, label: "D, underfit_flat".into() },
        ];
        assert_eq!(marks.of_chart(), expected);
    }

    #[test]
    fn what_cannot_be_drawn_has_no_letter_and_the_others_are_few() {
        let bad = [
            Mark::Level(f64::NAN),
            Mark::Level(f64::INFINITY),
            Mark::Gap { epoch: 1, low: 2., high: 1. },
            Mark::Epochs { from: 2, to: 1 },
        ];
        assert!(Marks::of(&[finding(Label::Overfit, &bad)]).of_chart().is_empty());
        let many: Vec<Mark> = (0..30).map(Mark::Epoch).collect();
        assert_eq!(Marks::of(&[finding(Label::Overfit, &many)]).of_chart().len(), MOST);
    }

    #[test]
    fn figures_have_three_digits() {
        let texts = [2.345_678, 0.012_345, 1234.5, -0.5, 1e-9, 0.].map(figure);
        assert_eq!(texts, ["2.35", "0.0123", "1234", "−0.500", "1.00e−9", "0"]);
    }
}
