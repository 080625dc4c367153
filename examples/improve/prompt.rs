//! Decisions by hand.
use super::program::say;
use candle_ensemble::{
    diagnose::Finding,
    improve::{Choice, Decide, Step},
    remedy::Proposal,
};
use std::io::{stdin, stdout, Write};

/// Asks on the terminal before each change is tried, and before it is kept. At the end of the input the rules decide.
pub struct Prompt;

impl Decide for Prompt {
    fn choose(&self, finding: &Finding, proposals: &[Proposal]) -> Choice {
        say(format!("\nWhat is tried for {}?", finding.name));
        for (i, proposal) in proposals.iter().enumerate() {
            say(format!("  {}  {}: {}", i + 1, proposal.remedy, proposal.why));
        }
        say("  s  nothing more for this finding\n  q  end, and score what was reached");
        loop {
            match ask(&format!("1 to {}, s or q [1]: ", proposals.len())).as_deref() {
                None | Some("") => return Choice::Try(0),
                Some("s") => return Choice::Skip,
                Some("q") => return Choice::Stop,
                Some(text) => match text.parse::<usize>() {
                    Ok(n) if (1..=proposals.len()).contains(&n) => return Choice::Try(n - 1),
                    _ => say(format!("There is no {text}.")),
                },
            }
        }
    }

    fn keep(&self, step: &Step) -> bool {
        let usual = if step.kept { "y" } else { "n" };
        loop {
            match ask(&format!("Keep {}? y or n [{usual}]: ", step.remedy.remedy)).as_deref() {
                None | Some("") => return step.kept,
                Some("y") => return true,
                Some("n") => return false,
                Some(text) => say(format!("{text} is neither y nor n.")),
            }
        }
    }
}

/// What the user answers; `None` at the end of the input.
fn ask(question: &str) -> Option<String> {
    // Nothing depends on whether it is seen.
    let _ = write!(stdout(), "{question}").and_then(|()| stdout().flush());
    let mut line = String::new();
    match stdin().read_line(&mut line) {
        Ok(1..) => Some(line.trim().to_lowercase()),
        _ => None,
    }
}
