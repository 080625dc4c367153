//! How costs grow past one machine: plans, stores that workers share, data in files, held-out predictions on disk.
//!
//! `cargo bench --bench scale` prints all curves in a few minutes. An argument picks a part, and what follows is for it:
//!
//! - `-- plans 1e6`: the largest number of rows (1e8 by default);
//! - `-- stores 1e5`: the largest number of runs (1e4 by default);
//! - `-- streaming --gigabytes 20 --folder /data`: trains on this much data with 1 GB of memory;
//! - `-- held-out 1000x100000 squares`: members, rows, and the rules with this text in their names.
//!
//! Each figure is measured in a process of its own.
mod held_out;
#[path = "../own_process/mod.rs"]
mod own_process;
#[path = "../perceptron/mod.rs"]
mod perceptron;
mod plans;
mod stores;
mod streaming;

use candle_ensemble::Result;

/// A part: its name, what measures one of its cases, and what prints its curves.
type Part = (&'static str, fn(&[String]) -> Result<Vec<f64>>, fn(&[String]) -> Result<()>);

const PARTS: [Part; 4] = [
    ("plans", plans::case, plans::print),
    ("stores", stores::case, stores::print),
    ("streaming", streaming::case, streaming::print),
    ("held-out", held_out::case, held_out::print),
];

fn main() -> Result<()> {
    if let Some([part, case @ ..]) = own_process::case().as_deref() {
        let Some((_, measure, _)) = PARTS.iter().find(|(name, ..)| name == part) else {
            panic!("{part} is no part");
        };
        let figures: Vec<String> = measure(case)?.iter().map(f64::to_string).collect();
        println!("{}", figures.join(" "));
        return Ok(());
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let picked = arguments.first().filter(|first| PARTS.iter().any(|(name, ..)| name == first));
    for (name, _, print) in PARTS {
        match picked {
            None => {
                println!("\n## {name}\n");
                print(&[])?;
            }
            Some(picked) if picked == name => print(&arguments[1..])?,
            Some(_) => {}
        }
    }
    Ok(())
}
