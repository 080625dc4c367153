//! Whether the output of a network fits the task.
use crate::{
    data::{Positions, Task},
    network::{positions::Layout, Output},
    Error, Result,
};
use candle_core::Tensor;

/// Checks that a network's output for a batch of `rows` rows has a shape that losses and predictions accept, at all positions
/// of the rows.
pub(crate) fn check_output_at(
    output: &Tensor,
    (task, positions): (Task, Positions),
    rows: usize,
    kind: Output,
) -> Result<()> {
    if positions.is_one() {
        return check_output(output, task, rows, kind);
    }
    if kind == Output::Margins || kind.is_ordinal() {
        let must = "used with one prediction for each row";
        return Err(Error::invalid(format!("Output::{kind:?}"), must, format!("used with data {positions}")));
    }
    Layout::of(output.dims(), task, positions)?;
    match output.dims().first() {
        Some(count) if *count == rows => Ok(()),
        _ => {
            let got = format!("of shape {:?}", output.dims());
            Err(Error::invalid("the network's output", format!("of {rows} rows"), got))
        }
    }
}

/// Checks that a network's output for a batch of `rows` rows has a shape that losses and predictions accept.
pub(crate) fn check_output(output: &Tensor, task: Task, rows: usize, kind: Output) -> Result<()> {
    kind.check(task)?;
    let (width, one_number) = match (task, kind) {
        (Task::Regression { outputs }, _) if kind.is_distribution() => {
            let width = outputs.saturating_mul(kind.numbers_per_value());
            (width, width == 1)
        }
        (Task::Classification { classes: 2 }, Output::Margins) => (1, true),
        (Task::Classification { classes }, Output::Margins) => {
            return Err(Error::invalid(
                "Output::Margins",
                "used with 2 classes",
                format!("used with {classes}"),
            ));
        }
        (Task::Classification { classes }, _) if kind.is_ordinal() => {
            (classes.saturating_sub(1), classes == 2)
        }
        (Task::Classification { classes }, _) => (classes, classes == 2),
        (Task::Regression { outputs }, _) => (outputs, outputs == 1),
    };
    let fits = match *output.dims() {
        [b] => b == rows && one_number,
        [b, w] => b == rows && (w == width || (w == 1 && one_number)),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let must = match task {
        Task::Classification { .. } if kind == Output::Margins => {
            format!("[{rows}, 1] or [{rows}] with one margin for the 2 classes")
        }
        Task::Classification { classes } if kind.is_ordinal() => {
            format!("[{rows}, {width}] for {classes} classes with an order, because Output::{kind:?} has one logit less")
        }
        Task::Classification { .. } if one_number => {
            let number = if kind == Output::Probabilities { "probability" } else { "logit" };
            format!("[{rows}, 2], or [{rows}, 1] or [{rows}] with one {number} for the 2 classes")
        }
        Task::Classification { classes } => format!("[{rows}, {classes}] for {classes} classes"),
        Task::Regression { outputs } if kind.is_distribution() => {
            let (numbers, of) = (kind.numbers_per_value(), if outputs == 1 { "value" } else { "values" });
            format!("[{rows}, {width}] for {outputs} {of}, because {kind:?} has {numbers} numbers for each")
        }
        Task::Regression { outputs: 1 } => format!("[{rows}, 1] or [{rows}] for one value"),
        Task::Regression { outputs } => format!("[{rows}, {outputs}] for {outputs} values"),
    };
    let what = format!("the shape of the network's output for a batch of {rows} rows");
    Err(Error::invalid(what, must, format!("{:?}{}", output.dims(), tip(output.dims(), rows, width))))
}

/// What is wrong with some common shapes.
fn tip(dims: &[usize], rows: usize, width: usize) -> &'static str {
    let squeezed: Vec<usize> = dims.iter().copied().filter(|dim| *dim != 1).collect();
    match dims {
        [] => "; the network must return one output for each row, not their mean or sum",
        [w, b] if *w == width && *b == rows => "; rows come first",
        [_, _, ..] if dims.len() > 2 && squeezed == [rows, width] => "; remove the dimensions of size 1",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn checked(dims: &[usize], task: Task, kind: Output) -> Result<()> {
        check_output(&Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap(), task, 5, kind)
    }

    #[test]
    fn every_shape_that_fits_is_accepted_and_no_other() {
        let (logits, probabilities) = (Output::Logits, Output::Probabilities);
        let (three, two) = (Task::Classification { classes: 3 }, Task::Classification { classes: 2 });
        let (one, four) = (Task::Regression { outputs: 1 }, Task::Regression { outputs: 4 });
        let shapes: [&[usize]; 12] = [
            &[],
            &[5],
            &[6],
            &[5, 1],
            &[5, 2],
            &[5, 3],
            &[5, 4],
            &[6, 3],
            &[3, 5],
            &[5, 1, 3],
            &[5, 3, 1],
            &[1],
        ];
        for (task, kind, fitting) in [
            (three, logits, vec![5]),
            (three, probabilities, vec![5]),
            (two, logits, vec![1, 3, 4]),
            (two, probabilities, vec![1, 3, 4]),
            (two, Output::Margins, vec![1, 3]),
            (two, Output::CumulativeLogits, vec![1, 3]),
            (three, Output::CumulativeLogits, vec![4]),
            (three, Output::ConditionalLogits, vec![4]),
            (four, Output::Margins, vec![6]),
            (one, logits, vec![1, 3]),
            (four, logits, vec![6]),
        ] {
            let ok = |i: &usize| checked(shapes[*i], task, kind).is_ok();
            assert_eq!((0..shapes.len()).filter(ok).collect::<Vec<_>>(), fitting, "{task:?} {kind:?}");
        }
    }

    #[test]
    fn the_error_names_both_shapes_and_what_to_do() {
        let error = |dims: &[usize], task| checked(dims, task, Output::Logits).unwrap_err().to_string();
        let three = Task::Classification { classes: 3 };
        assert_eq!(
            error(&[5, 2], three),
            "the shape of the network's output for a batch of 5 rows must be [5, 3] for 3 classes, but is [5, 2]"
        );
        assert!(error(&[5, 1, 3], three).ends_with("but is [5, 1, 3]; remove the dimensions of size 1"));
        assert!(error(&[3, 5], three).ends_with("but is [3, 5]; rows come first"));
        assert!(error(&[], three).contains("one output for each row"));
        assert!(error(&[5], three).ends_with("but is [5]"));
        let margins = |dims: &[usize], classes| {
            checked(dims, Task::Classification { classes }, Output::Margins).unwrap_err().to_string()
        };
        assert!(margins(&[5, 2], 2).contains("[5, 1] or [5] with one margin for the 2 classes"));
        assert_eq!(margins(&[5, 1], 3), "Output::Margins must be used with 2 classes, but is used with 3");
        let ordinal = checked(&[5, 3], three, Output::ConditionalLogits).unwrap_err().to_string();
        assert!(
            ordinal.contains("[5, 2] for 3 classes with an order, because Output::ConditionalLogits"),
            "{ordinal}"
        );
        let two = error(&[5, 3], Task::Classification { classes: 2 });
        assert!(two.contains("[5, 2], or [5, 1] or [5] with one logit"), "{two}");
        assert!(error(&[5, 2], Task::Regression { outputs: 1 }).contains("[5, 1] or [5] for one value"));
        assert!(error(&[5, 2], Task::Regression { outputs: 4 }).contains("[5, 4] for 4 values"));
    }

    #[test]
    fn the_parameters_of_distributions_are_counted() {
        use crate::distribution::Levels;
        let (one, two) = (Task::Regression { outputs: 1 }, Task::Regression { outputs: 2 });
        let levels = Levels::new(&[0.1, 0.5, 0.9]).unwrap();
        let median = Output::Quantiles { levels: Levels::new(&[0.5]).unwrap() };
        for (task, kind, fits) in [
            (one, Output::Gaussian, 2),
            (two, Output::Laplace, 4),
            (two, Output::StudentT { degrees_of_freedom: 4. }, 4),
            (two, Output::GaussianMixture { components: 3 }, 18),
            (two, Output::Quantiles { levels }, 6),
            (one, median, 1),
        ] {
            for width in 1..20 {
                assert_eq!(checked(&[5, width], task, kind).is_ok(), width == fits, "{kind:?} {width}");
            }
        }
        assert!(checked(&[5], one, median).is_ok());
        assert_eq!(
            checked(&[5, 1], one, Output::Gaussian).unwrap_err().to_string(),
            "the shape of the network's output for a batch of 5 rows must be [5, 2] for 1 value, because Gaussian has 2 \
             numbers for each, but is [5, 1]"
        );
        let e =
            checked(&[5, 2], Task::Classification { classes: 2 }, Output::Gaussian).unwrap_err().to_string();
        assert!(e.contains("for classes, but is Gaussian"), "{e}");
        let e = checked(&[5, 2], one, Output::StudentT { degrees_of_freedom: 1. }).unwrap_err().to_string();
        assert!(e.contains("above 2"), "{e}");
    }
}
