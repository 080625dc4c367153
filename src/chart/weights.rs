//! The weights that rules give to the members.
use crate::{
    chart::{
        check_length, check_number, drawable,
        frame::{Frame, BELOW},
        legend::{Entry, Legend},
        picture::{Anchor, Draw, Drawn, Mark, Picture, SPARE},
        scale::{short, Range, Scale},
        style::{between, color, mark, AXIS, EDGE, GREY, TICK, TOP, WHITE, WIDTH},
        Chart,
    },
    Result,
};

/// The weights of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleWeights {
    /// The name in the legend.
    pub name: String,
    /// A weight for each member; it may be negative.
    pub weights: Vec<f64>,
}

/// The weights that one or several rules give to the members of an ensemble.
///
/// The weights of one rule are bars with their values; negative ones are hatched. Those of several rules are
/// markers in a row for each member, in a colour and a shape for each rule.
///
/// Use it to see which members a rule relies on. Up to 100 members all have their names; of more, every k-th
/// has.
///
/// [`Chart::check`] fails when there are no members or more than 500, no rules or more than 40, a rule
/// does not have a weight for each member, or a weight is not finite or beyond ±1e300.
///
/// ```
/// use candle_ensemble::chart::{Chart, RuleWeights, WeightsChart};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("weights.svg");
/// WeightsChart {
///     title: "Digits: weights of the members".into(),
///     label: "weight".into(),
///     members: ["MLP 64", "MLP 256", "CNN"].map(String::from).to_vec(),
///     rules: vec![
///         RuleWeights { name: "ensemble selection".into(), weights: vec![0.0, 0.25, 0.75] },
///         RuleWeights { name: "linear stack".into(), weights: vec![-0.05, 0.32, 0.70] },
///     ],
///     sorted: true,
/// }
/// .save(&path)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsChart {
    /// The title above the chart.
    pub title: String,
    /// Label of the horizontal axis: the weight and its unit.
    pub label: String,
    /// The names of the members, 1 to 500.
    pub members: Vec<String>,
    /// The rules, 1 to 40.
    pub rules: Vec<RuleWeights>,
    /// Whether members are sorted by their weights in the first rule, largest on top. Otherwise they keep
    /// their order.
    pub sorted: bool,
}

impl Chart for WeightsChart {
    fn check(&self) -> Result<()> {
        check_number("members of the chart", 1..=500, self.members.len())?;
        check_number("rules of the chart", 1..=40, self.rules.len())?;
        for rule in &self.rules {
            let name = &rule.name;
            let what = format!("the number of weights of rule {name:?}");
            check_length(what, "member", self.members.len(), rule.weights.len())?;
            for (i, &weight) in rule.weights.iter().enumerate() {
                drawable(weight, || format!("weight {i} of rule {name:?}"))?;
            }
        }
        Ok(())
    }
}

/// The height of the rows together, beyond which they become narrower.
const HEIGHT: f64 = 1500.0;

impl Draw for WeightsChart {
    fn picture(&self) -> Drawn<Picture> {
        let legend = Legend::new(match self.rules.as_slice() {
            [_] => vec![],
            rules => rules.iter().enumerate().map(entry).collect(),
        })?;
        let top = if self.rules.len() > 1 { legend.bottom } else { TOP };
        let row = (HEIGHT / self.members.len() as f64).min(24.0);
        let order = self.order();
        let frame = self.frame(&order, top, row)?;
        let mut picture = Picture::new(WIDTH, frame.bottom + BELOW);
        picture.title(&self.title)?;
        legend.draw(&mut picture);
        // Horizontal lines would cross the values of bars.
        let lines = if self.rules.len() > 1 { frame.y_ticks.clone() } else { vec![] };
        Frame { y_ticks: lines, ..frame.clone() }.draw_grid(&mut picture);
        frame.label_x(&mut picture);
        frame.label_y(&mut picture);
        let zero = frame.x_at(0.0);
        match self.rules.as_slice() {
            [only] => draw_bars(&mut picture, &frame, &order, &only.weights, row),
            rules => draw_marks(&mut picture, &frame, &order, rules),
        }
        picture.stroke(vec![(zero, frame.top), (zero, frame.bottom)], 1.3, GREY);
        picture.stroke(vec![(frame.left, frame.bottom), (frame.right, frame.bottom)], 1.0, GREY);
        let middle = (frame.left + frame.right) / 2.0;
        let label = AXIS.fit(&self.label, (frame.right - frame.left) / SPARE)?;
        picture.text(label, (middle, frame.bottom + 41.0), AXIS, Anchor::Center);
        Ok(picture)
    }
}

impl WeightsChart {
    /// The members from top to bottom.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        if let (true, Some(first)) = (self.sorted, self.rules.first()) {
            let weight = |i: &usize| first.weights.get(*i).copied().unwrap_or(0.0);
            order.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        }
        order
    }

    /// The frame, whose vertical scale counts rows from the bottom.
    fn frame(&self, order: &[usize], top: f64, row: f64) -> Drawn<Frame> {
        let rows = order.len() as f64;
        let every = (15.0 / row).ceil() as usize;
        let mut y_ticks = vec![];
        for (k, &i) in order.iter().enumerate().step_by(every) {
            let name = self.members.get(i).map_or("", String::as_str);
            y_ticks.push((rows - k as f64 - 0.5, TICK.fit(name, 240.0 / SPARE)?));
        }
        let left = EDGE + 12.0 + TICK.widest(y_ticks.iter().map(|t| t.1.as_str()))?;
        let weights = self.rules.iter().flat_map(|r| r.weights.iter().copied());
        let range = Range::of(weights.chain([0.0])).ok_or("no weights")?;
        // Room for the values beside the bars.
        let pad = if self.rules.len() == 1 { 0.12 } else { 0.04 } * range.span();
        let low = if range.low < 0.0 { range.low - pad } else { range.low };
        let high = if range.high > 0.0 { range.high + pad } else { range.high };
        let range = if low < high { Range { low, high } } else { Range { low: 0.0, high: 1.0 } };
        let y = Scale::Linear(Range { low: 0.0, high: rows });
        let bottom = top + rows * row;
        let mut frame = Frame::new((EDGE, WIDTH - EDGE), (top, bottom), Scale::Linear(range), y)?;
        frame.left = left;
        frame.y_ticks = y_ticks;
        Ok(frame)
    }
}

fn draw_bars(picture: &mut Picture, frame: &Frame, order: &[usize], weights: &[f64], row: f64) {
    let largest = weights.iter().map(|w| w.abs()).fold(0.0, f64::max);
    for (k, &i) in order.iter().enumerate() {
        let weight = weights.get(i).copied().unwrap_or(0.0);
        let y = frame.y_at((order.len() - k) as f64 - 0.5);
        let half = 0.36 * row;
        let (zero, end) = (frame.x_at(0.0), frame.x_at(weight));
        let corners = ((zero, y - half), (end, y + half));
        let negative = weight < 0.0;
        let ground = if negative { between(WHITE, color(1), 0.35) } else { color(0) };
        picture.rectangle(corners.0, corners.1, ground, 1.0);
        if negative && row >= 8.0 {
            picture.hatch(corners.0, corners.1, true, color(1));
        }
        if row >= 15.0 {
            let (gap, anchor) = if negative { (-6.0, Anchor::Right) } else { (6.0, Anchor::Left) };
            picture.text(short(weight, largest), (end + gap, y), TICK, anchor);
        }
    }
}

fn draw_marks(picture: &mut Picture, frame: &Frame, order: &[usize], rules: &[RuleWeights]) {
    let radius = (0.2 * (frame.bottom - frame.top) / order.len() as f64).clamp(2.0, 4.2);
    for (r, rule) in rules.iter().enumerate().rev() {
        for (k, &i) in order.iter().enumerate() {
            let weight = rule.weights.get(i).copied().unwrap_or(0.0);
            let at = frame.at(weight, (order.len() - k) as f64 - 0.5);
            draw_mark(picture, mark(r), at, radius, r);
        }
    }
}

fn draw_mark(picture: &mut Picture, mark: Mark, at: (f64, f64), radius: f64, r: usize) {
    picture.mark(mark, at, radius + 0.9, WHITE, 1.0);
    picture.mark(mark, at, radius, color(r), 1.0);
}

fn entry((r, rule): (usize, &RuleWeights)) -> Entry<'_> {
    Entry::new(&rule.name, move |picture, at| draw_mark(picture, mark(r), at, 4.2, r))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::testing::{count, fault, inspect, texts};

    fn chart(rules: &[&[f64]]) -> WeightsChart {
        let members = rules.first().map_or(0, |r| r.len());
        WeightsChart {
            title: "W".into(),
            label: "weight".into(),
            members: (0..members).map(|i| format!("member <{i}>")).collect(),
            rules: (0..)
                .zip(rules)
                .map(|(i, r)| RuleWeights { name: format!("rule {i}"), weights: r.to_vec() })
                .collect(),
            sorted: false,
        }
    }

    #[test]
    fn one_rule_has_bars_with_values_and_several_have_markers() {
        let mut c = chart(&[&[0.25, -0.125, 0.875]]);
        let svg = inspect(&c);
        assert_eq!(count(&svg, &["<rect", "#0072B2"]), 2);
        assert!(["0.250", "−0.125", "0.875"].iter().all(|t| texts(&svg).contains(t)));
        let names = |svg: &str| {
            let names = texts(svg).into_iter().filter(|t| t.starts_with("member")).map(str::to_string);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&svg), [0, 1, 2].map(|i| format!("member &lt;{i}&gt;")));
        c.sorted = true;
        assert_eq!(names(&inspect(&c)), [2, 0, 1].map(|i| format!("member &lt;{i}&gt;")));
        let svg = inspect(&chart(&[&[0.25, 0.75], &[0.5, 0.5]]));
        assert_eq!(count(&svg, &["<circle", "#0072B2"]), 2 + 1);
        assert_eq!(count(&svg, &["<polygon", "#D55E00"]), 2 + 1);
        assert!(texts(&svg).contains(&"rule 1"));
    }

    #[test]
    fn bad_data_are_errors_that_name_the_fault() {
        assert!(fault(&chart(&[])).contains("members of the chart must be 1 to 500"));
        let mut c = chart(&[&[0.5, 0.5], &[0.1, f64::NAN]]);
        assert!(fault(&c).contains("weight 1 of rule \"rule 1\""));
        c.rules[1].weights.pop();
        assert!(fault(&c).contains("weights of rule \"rule 1\" must be 2, one for each member"));
        c.rules.clear();
        assert!(fault(&c).contains("rules of the chart"));
    }

    #[test]
    fn unusual_charts_are_drawn() {
        let many = vec![1.0 / 500.0; 500];
        let mut long = chart(&[&[1e9, -1e9]]);
        long.members = vec!["a very long name of a member ".repeat(20); 2];
        long.rules[0].name = "rule ".repeat(100);
        for c in [chart(&[&[1.0]]), chart(&[&[0.0, 0.0]]), chart(&[&[-1e-9]]), chart(&[&many]), long] {
            inspect(&c);
        }
        inspect(&chart(&[&[1e300, -1e300, 5e-324], &[0.0, 0.0, 0.0]]));
        let rows = vec![vec![0.1, 0.2]; 40];
        inspect(&chart(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
}
