//! Time and peak memory of `HeldOut::judge`, and of linear stacks, over rows, members and classes.
//!
//! `cargo bench --bench judge`. Each line is measured in a process of its own. A judgement is five fits on four
//! fifths of the rows, one on all rows, and the comparison; its time is given in fits of the same combiner on
//! all rows, measured just after. The memory is the growth of the peak resident memory, in sizes of the
//! predictions; the target is three.
use candle_core::{Device, Tensor};
use candle_ensemble::{
    combine::{
        stack::{Linear, Ridge, Stack},
        Combiner, SimplexSquares,
    },
    data::Task,
    predictions::Predictions,
    threads, HeldOut, Result,
};
use comfy_table::{presets::ASCII_MARKDOWN, Table};
use std::time::Instant;

mod own_process;

const MIB: f64 = 1024. * 1024.;
const TARGET: f64 = 3.;

/// Numbers of members, rows and classes, and the share of the rows that a member predicts.
type Size = (usize, usize, usize, f64);

/// Probabilities from a generator of 32-bit integers; the class of the row gets more.
fn held_out((members, rows, classes, share): Size) -> Result<HeldOut> {
    let mut state = 12345u64;
    let mut draw = || {
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        state as f64 / 4_294_967_296.
    };
    let labels: Vec<u32> = (0..rows).map(|_| (draw() * classes as f64) as u32).collect();
    let mut predicted = vec![0f32; members * rows * classes];
    for (at, row) in predicted.chunks_exact_mut(classes).enumerate() {
        row.iter_mut().for_each(|p| *p = 0.1 + draw() as f32);
        row[labels[at % rows] as usize] += 0.5;
        let total: f32 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= total);
    }
    let predicted = Tensor::from_vec(predicted, (members, rows, classes), &Device::Cpu)?;
    let task = Task::Classification { classes };
    let predictions = if share < 1. {
        let covered: Vec<u8> = (0..members * rows).map(|_| u8::from(draw() < share)).collect();
        Predictions::partial(predicted, Tensor::from_vec(covered, (members, rows), &Device::Cpu)?, task)?
    } else {
        Predictions::new(predicted, task)?
    };
    HeldOut::from_predictions(&predictions, &Tensor::new(labels, &Device::Cpu)?)
}

/// Prints the growth of the peak in MiB during a judgement, or a fit, its seconds, and those of a fit.
fn case<C: Combiner>(combiner: &C, size: Size, judged: bool) -> Result<()> {
    let held_out = held_out(size)?;
    let (growth, seconds) = own_process::growth_and_seconds(|| match judged {
        true => held_out.judge(combiner).map(drop),
        false => combiner.fit(&held_out).map(drop),
    });
    let start = Instant::now();
    if judged {
        combiner.fit(&held_out)?;
    }
    println!("{growth} {seconds} {}", start.elapsed().as_secs_f64());
    Ok(())
}

fn size_mib((members, rows, classes, _): Size) -> f64 {
    (members * rows * classes * 4) as f64 / MIB
}

fn main() -> Result<()> {
    threads::one_core_per_member();
    if let Some(args) = own_process::case() {
        let (combiner, judged, size) = (&args[0], &args[1], &args[2..]);
        let number = |at: usize| size[at].parse::<f64>().expect("a number");
        let size = (number(0) as usize, number(1) as usize, number(2) as usize, number(3));
        let judged = judged == "judge";
        return match combiner.as_str() {
            "stack-linear" => case(&Stack::new(Linear), size, judged),
            "stack-ridge" => case(&Stack::new(Ridge::cross_validated(5)), size, judged),
            _ => case(&SimplexSquares::new(), size, judged),
        };
    }
    let measured = own_process::measured();
    let judged: &[Size] = match measured {
        true => &[
            (10, 10_000, 3, 1.),
            (10, 100_000, 3, 1.),
            (10, 1_000_000, 3, 1.),
            (10, 1_000_000, 3, 0.37),
            (100, 10_000, 3, 1.),
            (100, 100_000, 3, 1.),
            (100, 100_000, 3, 0.37),
            (10, 100_000, 30, 1.),
        ],
        false => &[(3, 300, 3, 1.), (3, 300, 3, 0.5)],
    };
    let fitted: &[Size] = match measured {
        true => &[
            (5, 200, 10, 1.),
            (5, 200, 100, 1.),
            (5, 200, 1000, 1.),
            (5, 800, 100, 1.),
            (5, 3200, 100, 1.),
            (20, 800, 100, 1.),
        ],
        false => &[(3, 40, 20, 1.)],
    };
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "members × rows × classes",
        "predicted",
        "fit, s",
        "judge, s",
        "in fits",
        "growth / size",
        "",
    ]);
    for size in judged {
        let [peak, judge, fit] = run("simplex-squares", "judge", *size);
        let share = peak / size_mib(*size);
        let met = if share <= TARGET { "met" } else { "missed" };
        let numbers = [format!("{fit:.2}"), format!("{judge:.2}"), format!("{:.1}", judge / fit)];
        let about = [format!("{} × {} × {}", size.0, size.1, size.2), format!("{:.0} %", 100. * size.3)];
        table.add_row(about.into_iter().chain(numbers).chain([format!("{share:.2}"), met.into()]));
    }
    let mut stacks = Table::new();
    stacks.load_style(ASCII_MARKDOWN);
    stacks.set_header(["", "members × rows × classes", "fit, s", "growth, MiB"]);
    for combiner in ["stack-linear", "stack-ridge"] {
        for size in fitted {
            let [peak, fit, _] = run(combiner, "fit", *size);
            let about = format!("{} × {} × {}", size.0, size.1, size.2);
            stacks.add_row([combiner.into(), about, format!("{fit:.3}"), format!("{peak:.0}")]);
        }
    }
    if measured {
        println!("{table}\n\n{stacks}");
    }
    Ok(())
}

/// The three numbers of a case, from a process of its own.
fn run(combiner: &str, what: &str, (members, rows, classes, share): Size) -> [f64; 3] {
    let size = [members.to_string(), rows.to_string(), classes.to_string(), share.to_string()];
    let mut case = vec![combiner.to_owned(), what.to_owned()];
    case.extend(size);
    let numbers = own_process::run(&case);
    [numbers[0], numbers[1], numbers[2]]
}
