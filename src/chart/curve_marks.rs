//! Marks in a chart of learning curves: epochs, ranges of epochs, gaps and levels.
use crate::{
    chart::{
        drawable,
        frame::Frame,
        labels::{place, Area},
        picture::{Anchor, At, Drawn, Picture, SPARE},
        style::{GREY, INK, NAME, WHITE},
    },
    Error, Result,
};

/// Something that is marked in a chart of learning curves, with its label.
#[derive(Clone, Debug, PartialEq)]
pub enum CurveMark {
    /// A vertical line at an epoch, such as the best one. The number of the epoch follows the label.
    Epoch {
        /// The epoch.
        epoch: usize,
        /// What it is.
        label: String,
    },
    /// A shaded range of epochs, such as those over which the loss still falls. Their numbers follow the
    /// label.
    Epochs {
        /// The first one.
        from: usize,
        /// The last one, not before the first.
        to: usize,
        /// What they are.
        label: String,
    },
    /// A vertical bracket between two values at an epoch, such as the training and the validation loss.
    Gap {
        /// The epoch.
        epoch: usize,
        /// The lower value.
        low: f64,
        /// The upper value, not below `low`.
        high: f64,
        /// What it is.
        label: String,
    },
    /// A horizontal line, such as the loss of an untrained network.
    Level {
        /// The value.
        value: f64,
        /// What it is.
        label: String,
    },
}

/// The height of a row of labels above the frame.
const ROW: f64 = 21.0;
/// The distance of the text of a label from its line.
const BESIDE: f64 = 5.0;
/// The largest width of a label.
const WIDEST: f64 = 340.0;
/// The half width of the caps of a bracket.
const CAP: f64 = 5.0;
/// A label that is farther from what it names has a line to it.
const FAR: f64 = 12.0;

impl CurveMark {
    /// Checks that the mark can be drawn.
    pub(super) fn check(&self, log: bool) -> Result<()> {
        let label = self.label();
        match self {
            Self::Epochs { from, to, .. } if from > to => {
                let must = format!("at most the last one, {to}");
                return Err(Error::invalid(format!("first epoch of mark {label:?}"), must, from));
            }
            _ => {}
        }
        for value in self.values() {
            drawable(value, || format!("value of mark {label:?}"))?;
            if log && value <= 0.0 {
                let what = format!("value of mark {label:?}");
                return Err(Error::invalid(what, "above 0 on a logarithmic axis", value));
            }
        }
        match self {
            Self::Gap { low, high, .. } if low > high => {
                Err(Error::invalid(format!("low of mark {label:?}"), format!("at most high, {high}"), low))
            }
            _ => Ok(()),
        }
    }

    fn label(&self) -> &str {
        match self {
            Self::Epoch { label, .. }
            | Self::Epochs { label, .. }
            | Self::Gap { label, .. }
            | Self::Level { label, .. } => label,
        }
    }

    /// The values that the vertical axis has to hold.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let values = match self {
            Self::Gap { low, high, .. } => [Some(*low), Some(*high)],
            Self::Level { value, .. } => [Some(*value), None],
            Self::Epoch { .. } | Self::Epochs { .. } => [None, None],
        };
        values.into_iter().flatten()
    }

    /// The epochs that the horizontal axis has to hold.
    pub(super) fn epochs(&self) -> impl Iterator<Item = usize> {
        let epochs = match self {
            Self::Epoch { epoch, .. } | Self::Gap { epoch, .. } => [Some(*epoch), None],
            Self::Epochs { from, to, .. } => [Some(*from), Some(*to)],
            Self::Level { .. } => [None, None],
        };
        epochs.into_iter().flatten()
    }

    /// The epoch that its label above the frame stands at, and the text of that label.
    fn head(&self) -> Option<(usize, String)> {
        match self {
            Self::Epoch { epoch, label } => Some((*epoch, format!("{label}: {epoch}"))),
            Self::Epochs { from, to, label } => Some((*from, format!("{label}: {from} to {to}"))),
            Self::Gap { .. } | Self::Level { .. } => None,
        }
    }
}

/// A label above the frame, beside the line that it names.
struct Flag {
    text: String,
    /// Where its line is.
    x: f64,
    /// Where its text begins and ends.
    span: (f64, f64),
    /// The row, counted upwards from the frame.
    row: usize,
}

impl Flag {
    /// Whether the text of one covers the text of the other, or the line of it.
    fn disturbs(&self, other: &Self) -> bool {
        let covers = |text: &Self, line: &Self| {
            line.row >= text.row && (text.span.0 - 2.0..=text.span.1 + 2.0).contains(&line.x)
        };
        let texts =
            self.row == other.row && self.span.0 < other.span.1 + 8.0 && other.span.0 < self.span.1 + 8.0;
        texts || covers(self, other) || covers(other, self)
    }
}

/// The labels above the frame, in rows in which none covers another.
pub(super) struct Flags(Vec<Flag>);

impl Flags {
    /// Places the labels. From some mark on, texts stand on the left of their lines, and before it on the
    /// right; that mark is the one with which the fewest rows are needed and nothing is covered.
    pub(super) fn place(marks: &[CurveMark], frame: &Frame) -> Drawn<Self> {
        let mut heads: Vec<(f64, f64, String)> = vec![];
        for (epoch, text) in marks.iter().filter_map(CurveMark::head) {
            let text = NAME.fit(&text, WIDEST)?;
            heads.push((frame.x_at(epoch as f64), SPARE * NAME.width(&text)?, text));
        }
        heads.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = (0..=heads.len()).rev().map(|turned| Self::turned(&heads, turned));
        Ok(all.min_by_key(|flags| (flags.faults(frame), flags.rows())).unwrap_or(Self(vec![])))
    }

    /// Places the labels `turned` and later on the left of their lines, from left to right, and then the
    /// others on the right, from right to left: each in the lowest row where it disturbs none.
    fn turned(heads: &[(f64, f64, String)], turned: usize) -> Self {
        let mut flags = Self(vec![]);
        let (on_right, on_left) = heads.split_at(turned.min(heads.len()));
        let left = on_left.iter().map(|(x, width, text)| (x, (x - BESIDE - width, x - BESIDE), text));
        let right = on_right.iter().rev().map(|(x, width, text)| (x, (x + BESIDE, x + BESIDE + width), text));
        for (x, span, text) in left.chain(right) {
            let flag = |row| Flag { text: text.clone(), x: *x, span, row };
            let rows = flags.rows();
            let free = (0..rows).map(flag).find(|new| flags.0.iter().all(|old| !new.disturbs(old)));
            flags.0.push(free.unwrap_or_else(|| flag(rows)));
        }
        flags
    }

    /// The number of labels that leave the picture, and of pairs that disturb each other.
    fn faults(&self, frame: &Frame) -> usize {
        let outside = |flag: &Flag| flag.span.0 < frame.left - 20.0 || flag.span.1 > frame.right + 8.0;
        let pairs = |(i, flag): (usize, &Flag)| self.0.iter().take(i).filter(|f| f.disturbs(flag)).count();
        self.0.iter().filter(|f| outside(f)).count() + self.0.iter().enumerate().map(pairs).sum::<usize>()
    }

    fn rows(&self) -> usize {
        self.0.iter().map(|flag| flag.row + 1).max().unwrap_or(0)
    }

    /// The room that they take above the frame.
    pub(super) fn height(&self) -> f64 {
        ROW * self.rows() as f64
    }

    fn draw(&self, picture: &mut Picture, frame: &Frame) {
        let y = |flag: &Flag| frame.top - 13.0 - ROW * flag.row as f64;
        for flag in &self.0 {
            let path = vec![(flag.x, y(flag) - 7.0), (flag.x, frame.bottom)];
            picture.dashed(path, &[5.0, 4.0], 1.3, INK);
        }
        for flag in &self.0 {
            picture.text(&flag.text, (flag.span.0, y(flag)), NAME, Anchor::Left);
        }
    }
}

/// Draws what stands behind the curves: ranges and lines.
pub(super) fn draw_behind(marks: &[CurveMark], flags: &Flags, picture: &mut Picture, frame: &Frame) {
    for mark in marks {
        match mark {
            CurveMark::Epochs { from, to, .. } => {
                let x = |epoch: usize| frame.x_at(epoch as f64);
                let last = (x(*to), frame.bottom);
                picture.rectangle((x(*from), frame.top), last, GREY, 0.12);
                picture.dashed(vec![(last.0, frame.top), last], &[5.0, 4.0], 1.0, GREY);
            }
            CurveMark::Level { value, .. } => {
                let y = frame.y_at(*value);
                picture.dashed(vec![(frame.left, y), (frame.right, y)], &[3.0, 3.0], 1.5, INK);
            }
            CurveMark::Epoch { .. } | CurveMark::Gap { .. } => {}
        }
    }
    flags.draw(picture, frame);
}

/// Draws brackets, and the labels of brackets and levels. `lines` are the paths of the curves.
pub(super) fn draw_before(
    marks: &[CurveMark],
    flags: &Flags,
    lines: &[Vec<At>],
    picture: &mut Picture,
    frame: &Frame,
) -> Drawn {
    for (i, mark) in marks.iter().enumerate() {
        if let CurveMark::Gap { epoch, low, high, .. } = mark {
            let x = bracket_x(marks, i, *epoch, frame);
            let (top, bottom) = (frame.y_at(*high), frame.y_at(*low));
            let path = [(-CAP, top), (CAP, top), (0.0, top), (0.0, bottom), (-CAP, bottom), (CAP, bottom)];
            let path = path.map(|(dx, y)| (x + dx, y)).to_vec();
            picture.stroke(path.clone(), 4.5, WHITE);
            picture.stroke(path, 2.0, INK);
        }
    }
    for label in labels(marks, flags, lines, frame)? {
        let (area, near) = (label.area, label.area.nearest(label.point));
        if (near.0 - label.point.0).hypot(near.1 - label.point.1) > FAR {
            picture.stroke(vec![near, label.point], 1.0, GREY);
        }
        picture.rectangle((area.left, area.top), (area.right, area.bottom), WHITE, 0.8);
        picture.text(label.text, area.middle(), NAME, Anchor::Center);
    }
    Ok(())
}

/// Where a bracket stands: at its epoch or, if earlier brackets stand there, beside them towards the middle.
fn bracket_x(marks: &[CurveMark], i: usize, epoch: usize, frame: &Frame) -> f64 {
    let x = frame.x_at(epoch as f64);
    let same = |mark: &&CurveMark| matches!(mark, CurveMark::Gap { epoch: other, .. } if *other == epoch);
    let before = marks.iter().take(i).filter(same).count() as f64;
    let inwards = if x > (frame.left + frame.right) / 2.0 { -1.0 } else { 1.0 };
    x + inwards * before * (2.0 * CAP + 3.0)
}

/// A label within the frame.
struct Label {
    text: String,
    /// What it names.
    point: At,
    area: Area,
}

/// The labels of brackets and levels, at places where they cover neither a curve nor each other.
fn labels(marks: &[CurveMark], flags: &Flags, lines: &[Vec<At>], frame: &Frame) -> Drawn<Vec<Label>> {
    let mut taken: Vec<Area> = lines.iter().flat_map(|line| along(line)).collect();
    taken.extend(flags.0.iter().flat_map(|flag| along(&[(flag.x, frame.top), (flag.x, frame.bottom)])));
    let (mut points, mut sizes, mut texts) = (vec![], vec![], vec![]);
    for (i, mark) in marks.iter().enumerate() {
        let (point, line) = match mark {
            CurveMark::Gap { epoch, low, high, .. } => {
                let x = bracket_x(marks, i, *epoch, frame);
                let (top, bottom) = (frame.y_at(*high), frame.y_at(*low));
                ((x, (top + bottom) / 2.0), [(x, top), (x, bottom)])
            }
            CurveMark::Level { value, .. } => {
                let y = frame.y_at(*value);
                ((frame.right - 40.0, y), [(frame.left, y), (frame.right, y)])
            }
            CurveMark::Epochs { to, .. } => {
                let x = frame.x_at(*to as f64);
                taken.extend(along(&[(x, frame.top), (x, frame.bottom)]));
                continue;
            }
            CurveMark::Epoch { .. } => continue,
        };
        taken.extend(along(&line));
        let text = NAME.fit(mark.label(), WIDEST)?;
        points.push(point);
        sizes.push((SPARE * NAME.width(&text)?, 17.0));
        texts.push(text);
    }
    let bounds =
        Area { left: frame.left + 4.0, top: frame.top, right: frame.right, bottom: frame.bottom - 3.0 };
    let areas = place(&points, &sizes, &taken, bounds);
    let all = areas.into_iter().zip(points).zip(texts);
    Ok(all.map(|((area, point), text)| Label { text, point, area }).collect())
}

/// Small squares along a path, which labels avoid.
fn along(path: &[At]) -> Vec<Area> {
    const STEP: f64 = 7.0;
    let mut squares: Vec<Area> = path.first().map(|at| Area::around(*at, (STEP, STEP))).into_iter().collect();
    for ends in path.windows(2) {
        let [a, b] = *ends else { continue };
        // Curves may have more points than the picture has pixels.
        let steps = ((b.0 - a.0).hypot(b.1 - a.1) / STEP).ceil().min(1000.0);
        for step in 1..=steps as usize {
            let share = step as f64 / steps;
            let at = (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share);
            squares.push(Area::around(at, (STEP, STEP)));
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{
        scale::{Range, Scale},
        testing::{count, fault, inspect, texts},
        Chart, Curve, CurvePoint, LearningCurves,
    };

    fn epoch(epoch: usize, label: &str) -> CurveMark {
        CurveMark::Epoch { epoch, label: label.into() }
    }

    fn chart(marks: Vec<CurveMark>) -> LearningCurves {
        let curve = |name: &str, end: f64, rise: f64| {
            let value = |epoch: usize| end + 2.0 * 0.8f64.powi(epoch as i32) + rise * epoch as f64;
            let point = |epoch| {
                let mean = value(epoch);
                CurvePoint { epoch, mean, low: 0.9 * mean, high: 1.1 * mean }
            };
            Curve { name: name.into(), points: (1..=40).map(point).collect() }
        };
        LearningCurves {
            title: "Loss".into(),
            metric: "cross-entropy in nats (lower is better)".into(),
            log: false,
            curves: vec![curve("training", 0.05, 0.0), curve("validation", 0.3, 0.02)],
            marks,
        }
    }

    fn all_kinds() -> Vec<CurveMark> {
        vec![
            epoch(12, "the validation loss turns"),
            epoch(14, "the best epoch"),
            CurveMark::Epochs { from: 20, to: 40, label: "the gap grows".into() },
            CurveMark::Gap { epoch: 40, low: 0.05, high: 1.1, label: "gap of 1.05 nats".into() },
            CurveMark::Level { value: 2.302, label: "untrained network: 2.302".into() },
            CurveMark::Level { value: 2.25, label: "shares of the classes: 2.25".into() },
        ]
    }

    #[test]
    fn every_mark_is_drawn_with_its_label() {
        let svg = inspect(&chart(all_kinds()));
        let texts = texts(&svg);
        for text in [
            "the validation loss turns: 12",
            "the best epoch: 14",
            "the gap grows: 20 to 40",
            "gap of 1.05 nats",
            "untrained network: 2.302",
            "shares of the classes: 2.25",
        ] {
            assert!(texts.contains(&text), "{text} in {texts:?}");
        }
        // The shaded range, beside the legend's bands and the grounds of the labels.
        assert_eq!(count(&svg, &["<rect", "opacity=\"0.12\""]), 1);
    }

    fn frame() -> Frame {
        let y = Scale::Linear(Range { low: 0.0, high: 3.0 });
        let x = Scale::Linear(Range { low: 0.0, high: 100.0 });
        Frame::new((22.0, 878.0), (100.0, 480.0), x, y).unwrap()
    }

    #[test]
    fn labels_above_the_frame_cover_neither_each_other_nor_a_line() {
        for step in [0, 1, 3, 7, 12] {
            let marks: Vec<_> = (0..8).map(|i| epoch(50 + step * (i % 4), "a label of some width")).collect();
            let flags = Flags::place(&marks, &frame()).unwrap();
            for (i, flag) in flags.0.iter().enumerate() {
                assert!(flag.span.0 >= frame().left - 20.0 && flag.span.1 <= frame().right + 8.0);
                for other in &flags.0[..i] {
                    assert!(!flag.disturbs(other), "step {step}: {i}");
                }
            }
        }
        // Two labels of one epoch stand on both sides of its line, and a third above them.
        let flags = Flags::place(&[epoch(50, "a"), epoch(50, "b"), epoch(50, "c")], &frame()).unwrap();
        assert_eq!(flags.0.iter().filter(|flag| flag.row == 0).count(), 2);
        assert_eq!(flags.height(), 2.0 * ROW);
        assert_eq!(Flags::place(&[], &frame()).unwrap().height(), 0.0);
    }

    #[test]
    fn labels_within_the_frame_cover_neither_curves_nor_each_other() {
        let frame = frame();
        let line = vec![frame.at(0.0, 3.0), frame.at(20.0, 0.5), frame.at(100.0, 0.4)];
        let level = |value: f64| CurveMark::Level { value, label: format!("level of {value:.2}") };
        let gap =
            |epoch| CurveMark::Gap { epoch, low: 0.4, high: 1.5, label: format!("gap at epoch {epoch}") };
        let marks = vec![level(2.0), level(1.98), level(0.42), gap(90), gap(99), epoch(88, "turn")];
        let flags = Flags::place(&marks, &frame).unwrap();
        let placed = labels(&marks, &flags, std::slice::from_ref(&line), &frame).unwrap();
        assert_eq!(placed.len(), 5);
        let apart = |a: &Area, b: &Area| {
            a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top
        };
        for (i, label) in placed.iter().enumerate() {
            let area = label.area;
            assert!(area.left >= frame.left && area.right <= frame.right && area.bottom <= frame.bottom);
            assert!(placed[..i].iter().all(|other| apart(&area, &other.area)), "{}", label.text);
            assert!(along(&line).iter().all(|square| apart(&area, square)), "{}", label.text);
        }
    }

    #[test]
    fn brackets_of_one_epoch_stand_beside_each_other() {
        let gap = |epoch| CurveMark::Gap { epoch, low: 1.0, high: 2.0, label: String::new() };
        let (marks, frame) = ([gap(100), gap(100), gap(90), gap(0), gap(0)], frame());
        let x = |i: usize, epoch| bracket_x(&marks, i, epoch, &frame);
        assert_eq!((x(0, 100), x(2, 90), x(3, 0)), (frame.x_at(100.0), frame.x_at(90.0), frame.x_at(0.0)));
        assert_eq!((x(1, 100), x(4, 0)), (frame.x_at(100.0) - 13.0, frame.x_at(0.0) + 13.0));
    }

    #[test]
    fn squares_lie_along_a_path() {
        let squares = along(&[(0.0, 0.0), (21.0, 0.0), (21.0, 7.0)]);
        let middles: Vec<At> = squares.iter().map(Area::middle).collect();
        assert_eq!(middles, [(0.0, 0.0), (7.0, 0.0), (14.0, 0.0), (21.0, 0.0), (21.0, 7.0)]);
        assert!(along(&[]).is_empty());
    }

    #[test]
    fn bad_marks_are_errors_that_name_the_fault() {
        let gap = |low, high| CurveMark::Gap { epoch: 3, low, high, label: "g".into() };
        assert!(fault(&chart(vec![gap(2.0, 1.0)])).contains("low of mark \"g\" must be at most high, 1"));
        assert!(fault(&chart(vec![gap(f64::NAN, 1.0)])).contains("value of mark \"g\""));
        let range = CurveMark::Epochs { from: 5, to: 4, label: "r".into() };
        assert!(fault(&chart(vec![range])).contains("first epoch of mark \"r\" must be at most the last one"));
        let level = CurveMark::Level { value: 0.0, label: "l".into() };
        assert!(chart(vec![level.clone()]).check().is_ok());
        let log = LearningCurves { log: true, ..chart(vec![level]) };
        assert!(fault(&log).contains("value of mark \"l\" must be above 0 on a logarithmic axis"));
        assert!(fault(&chart(vec![epoch(1, "e"); 21])).contains("marks of the chart must be 0 to 20"));
    }

    #[test]
    fn unusual_marks_are_drawn() {
        let long = "very long ".repeat(50);
        let marks = vec![
            epoch(0, &long),
            epoch(1000, &long),
            CurveMark::Epochs { from: 7, to: 7, label: long.clone() },
            CurveMark::Gap { epoch: 1, low: 1.0, high: 1.0, label: long.clone() },
            CurveMark::Level { value: -1e300, label: long },
        ];
        inspect(&chart(marks));
        inspect(&chart((0..20).map(|i| epoch(20 + i % 2, "twenty at two epochs")).collect()));
        inspect(&chart(vec![CurveMark::Level { value: 1.0, label: String::new() }; 20]));
    }
}
