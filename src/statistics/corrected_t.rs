//! The t interval and the t test for repeated splits of one data set, corrected for their overlap.
use super::student;
use crate::{
    statistics::{Interval, TestResult},
    Error, Result,
};

/// Computes the corrected resampled t interval for differences from folds or repeated splits of one data set.
///
/// ```text
/// mean ± t sd sqrt(1/n + test_rows/train_rows)
/// ```
///
/// Such differences share training rows, so they vary less than independent ones would, and
/// [`t_interval`](crate::statistics::t_interval) is far too narrow. The added term corresponds to a
/// correlation of `test_rows / (test_rows + train_rows)` between them. For k folds, `test_rows / train_rows`
/// is `1 / (k − 1)`.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, the level is not between 0 and 1, or a
/// number of rows is 0.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{corrected_t_interval, t_interval};
///
/// let folds = [0.02, 0.03, 0.01, 0.02, 0.04];
/// let (naive, corrected) = (t_interval(&folds, 0.95)?, corrected_t_interval(&folds, 200, 800, 0.95)?);
/// let wider = (corrected.high - corrected.low) / (naive.high - naive.low);
/// assert!((wider - 1.5).abs() < 1e-12); // sqrt((1/5 + 200/800) / (1/5))
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.
pub fn corrected_t_interval(
    differences: &[f64],
    test_rows: usize,
    train_rows: usize,
    level: f64,
) -> Result<Interval> {
    student::interval(differences, level, overlap(test_rows, train_rows)?)
}

/// Tests whether the mean difference over folds or repeated splits of one data set is 0, by the corrected
/// resampled t test.
///
/// ```text
/// t = mean / (sd sqrt(1/n + test_rows/train_rows)),  p = P(|T| ≥ |t|) with n − 1 degrees of freedom
/// ```
///
/// **Setting**: one data set, split at random into training and test rows `n` times, or k folds, repeated or
/// not. There is one difference for each split, in which both predictors have the same rows.
///
/// **Assumes** that the differences are close to normal, and that two of them have the correlation
/// `test_rows / (test_rows + train_rows)`. That holds where the loss hardly depends on which rows were drawn
/// for training: for stable learners. For learners that change much with their training rows, the test finds
/// differences too often, though far less so than [`paired_t_test`](crate::statistics::paired_t_test), which
/// takes the splits for independent and rejects more often the more splits there are. More splits than about
/// 15 add little. The answer is about predictors trained on `train_rows` rows.
///
/// The effect is the mean difference, and the statistic is `t`. Cost: `O(n)`.
///
/// # Errors
/// When there are fewer than 2 differences, one is NaN or infinite, or a number of rows is 0.
///
/// # Examples
/// ```
/// use candle_ensemble::statistics::{corrected_t_test, paired_t_test};
///
/// let folds = [0.02, 0.03, 0.01, 0.02, 0.04];
/// assert!(paired_t_test(&folds)?.p_value < 0.01);
/// assert!(corrected_t_test(&folds, 200, 800)?.p_value > 0.03);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
///
/// Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366; for repeated folds Bouckaert and Frank 2004,
/// doi:10.1007/978-3-540-24775-3_3.
pub fn corrected_t_test(differences: &[f64], test_rows: usize, train_rows: usize) -> Result<TestResult> {
    student::test(differences, overlap(test_rows, train_rows)?)
}

/// `test_rows / train_rows`.
fn overlap(test_rows: usize, train_rows: usize) -> Result<f64> {
    for (what, rows) in [("test_rows", test_rows), ("train_rows", train_rows)] {
        if rows == 0 {
            return Err(Error::invalid(what, "at least 1", rows));
        }
    }
    Ok(test_rows as f64 / train_rows as f64)
}
