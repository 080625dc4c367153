//! How a study is to be read: what its intervals, marks and words mean.
use super::text::{count, percent};
use crate::evaluate::StudyReport;

impl StudyReport {
    /// What was compared, as terms and values.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let direction = if self.higher_is_better { "higher is better" } else { "lower is better" };
        let mut facts = vec![
            ("Metric".into(), format!("{}, {direction}", self.metric)),
            ("Training rows".into(), self.of_first_split(self.train_rows)),
            ("Test rows".into(), self.of_first_split(self.test_rows)),
            ("Splits".into(), self.splits.to_string()),
            ("Trainings".into(), {
                let per = if self.splits > 1 { " for each split" } else { "" };
                format!("{} of each strategy{per}", self.repeats)
            }),
            ("Strategies".into(), self.strategy_names().to_string()),
            ("Rows".into(), {
                let without = self.ensembles.iter().filter(|e| e.metrics.is_empty()).count();
                let without = if without > 0 { format!("; {without} gave no result") } else { String::new() };
                format!("{}, each a strategy with a combination{without}", self.ensembles.len())
            }),
        ];
        if let Some(single) = self.single.metrics.get(&self.metric) {
            facts.push(("Single networks".into(), single.n.to_string()));
        }
        if let Some(epochs) = self.budget_epochs {
            facts.push(("Budget".into(), format!("{} for each strategy in all", count(epochs, "epoch"))));
        }
        facts
    }

    fn of_first_split(&self, rows: usize) -> String {
        match self.splits {
            0 | 1 => rows.to_string(),
            _ => format!("{rows} in the first split"),
        }
    }

    fn strategy_names(&self) -> usize {
        let names: std::collections::BTreeSet<&str> =
            self.ensembles.iter().map(|e| e.strategy.as_str()).collect();
        names.len()
    }

    /// The terms of the page and what they mean.
    pub(super) fn reading(&self) -> Vec<(String, String)> {
        let mut terms: Vec<(&str, String)> =
            vec![("±", self.plus_minus_means()), ("Interval of the difference", self.interval_means())];
        if self.has_holm() {
            let text = "The p-value after Holm's correction for the number of rows in the table. With many rows, \
                        some have a small p-value by chance alone; after the correction, the probability that any \
                        row without a difference falls below 0.05 is at most 5\u{a0}%.";
            terms.push(("p (Holm)", text.into()));
        }
        terms.push((
            "Single network",
            "One member of the baseline, trained on all training rows and measured on its own. Its row is the mean \
             over all members of all trainings."
                .into(),
        ));
        terms.push((
            "Epochs and forward passes",
            "Epochs are those of all networks of one ensemble together. Forward passes are those of one \
             prediction; members with a weight of 0 are not counted. Both compare fairly where times depend on the \
             machine."
                .into(),
        ));
        terms.extend(self.sources());
        if self.ensembles.iter().any(|e| e.barrier.is_some()) {
            let text = "The loss barrier is how far the loss rises on the straight line between the weights of two \
                        networks. Where it is high, the average of their weights is worse than both of them, and the \
                        merge is refused.";
            terms.push(("Loss barrier", text.into()));
        }
        terms.into_iter().map(|(term, text)| (term.into(), text)).collect()
    }

    fn plus_minus_means(&self) -> String {
        let over = match (self.splits, self.repeats) {
            (0 | 1, 0 | 1) => "There is one training, so only single networks have one.",
            (0 | 1, _) => "It says how much one training differs from the next on the same data.",
            _ => {
                "It says how much one training on one split differs from the next, so both the choice of the \
                  rows and the trainings are in it."
            }
        };
        format!("The standard deviation over the trainings, not the error of the mean. {over}")
    }

    fn interval_means(&self) -> String {
        let level = self.ensembles.iter().find_map(|e| e.difference).map_or(0.95, |i| i.level);
        let over = match (self.splits, self.repeats) {
            (0 | 1, 0 | 1) => {
                "It comes from a bootstrap over the test rows of one training. It covers the choice of the test \
                 rows, but not the chance of the training: another seed may give another result."
            }
            (0 | 1, _) => {
                "It is Student's t interval over the trainings. It covers the chance of the training, but not the \
                 choice of the data: other test rows may give another result."
            }
            _ => {
                "It is a t interval over the splits, corrected for the overlap of their training rows (Nadeau and \
                 Bengio 2003). It covers the choice of the rows and the chance of the training."
            }
        };
        format!(
            "The range that contains the true mean difference in {} of such studies. {over} An interval that \
             contains 0 shows no difference, which is no proof that there is none.",
            percent(level)
        )
    }

    /// The kinds of rows that combinations were fitted on, as far as they occur.
    fn sources(&self) -> Vec<(&'static str, String)> {
        let known = [
            (
                "out-of-bag",
                "Out-of-bag",
                "Each training row is predicted by the members whose resample of the rows did not contain it. The \
                 combination was fitted on these predictions.",
            ),
            (
                "out-of-fold",
                "Out-of-fold",
                "Each training row is predicted by the member that was trained on the other folds. The combination \
                 was fitted on these predictions.",
            ),
            (
                "held-out",
                "Held-out",
                "Rows that a member was not fitted on, because the strategy leaves some out. The combination was \
                 fitted on the predictions for them.",
            ),
            (
                "reserved",
                "Reserved",
                "Training rows that were kept back from all members, because the strategy leaves none out. The \
                 combination was fitted on them, or a merge was judged by them, so these members had fewer rows to \
                 train on.",
            ),
        ];
        let occurs = |source: &str| {
            self.ensembles.iter().filter_map(|e| e.fitted_on.as_ref()).any(|on| on.source == source)
        };
        let known = known.into_iter().filter(|(source, ..)| occurs(source));
        known.map(|(_, term, text)| (term, text.into())).collect()
    }
}
