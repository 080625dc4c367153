//! How far the program is, and how long it still takes.
use candle_ensemble::observe::{Event, Flow, Observer};
use std::{
    io::{stderr, IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The work that is done, of all; its unit is that of [`Setting::cost`](super::setting::Setting::cost).
pub struct Progress {
    state: Mutex<State>,
    total: f64,
    networks: usize,
    started: Instant,
    /// The time between two lines; `None` prints none.
    every: Option<Duration>,
    terminal: bool,
}

struct State {
    done: f64,
    networks: usize,
    printed: Instant,
}

impl Progress {
    /// Prints on a terminal twice a second, elsewhere twice a minute.
    pub fn new(total: f64, networks: usize, quiet: bool) -> Self {
        let (started, terminal) = (Instant::now(), stderr().is_terminal());
        let every = (!quiet).then(|| Duration::from_millis(if terminal { 500 } else { 30_000 }));
        let state = Mutex::new(State { done: 0., networks: 0, printed: started });
        Self { state, total, networks, started, every, terminal }
    }

    fn add(&self, work: f64, networks: usize) {
        let Some(every) = self.every else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += work;
        state.networks += networks;
        if state.printed.elapsed() < every {
            return;
        }
        state.printed = Instant::now();
        let share = (state.done / self.total).clamp(1e-9, 1.);
        let left = self.started.elapsed().as_secs_f64() * (1. - share) / share;
        let line = format!(
            "{:.0} %, {} of {} networks, about {} left",
            100. * share,
            state.networks,
            self.networks,
            time(left)
        );
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // Nothing depends on whether it is seen.
            let _ = stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    /// Removes the line from the terminal.
    pub fn clear(&self) {
        if self.terminal && self.every.is_some() {
            eprint!("\r\x1b[K");
        }
    }

    /// The seconds so far.
    pub fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Minutes and seconds for people.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 60. => format!("{s:.0} s"),
        s => format!("{:.0} min {:02.0} s", (s / 60.).floor(), s % 60.),
    }
}

/// The progress of one network.
pub struct OfOne<'p> {
    progress: &'p Progress,
    cost: f64,
    state: Mutex<Left>,
}

/// What of the cost of a network is not counted yet, and what an epoch counts for.
struct Left {
    cost: f64,
    epoch: f64,
}

impl<'p> OfOne<'p> {
    pub fn new(progress: &'p Progress, cost: f64) -> Self {
        Self { progress, cost, state: Mutex::new(Left { cost, epoch: 0. }) }
    }

    fn count(&self, networks: usize, work: impl FnOnce(&mut Left) -> f64) {
        let mut left = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let work = work(&mut left).min(left.cost);
        left.cost -= work;
        self.progress.add(work, networks);
    }

    /// The network is finished, maybe early.
    pub fn finish(&self) {
        self.count(1, |left| left.cost);
    }
}

impl Observer for OfOne<'_> {
    fn notify(&self, event: &Event<'_>) -> Flow {
        self.count(0, |left| match event {
            Event::BuildStarted { epochs, .. } => {
                left.epoch = self.cost / (*epochs).max(1) as f64;
                0.
            }
            Event::EpochEnded { .. } => left.epoch,
            _ => 0.,
        });
        Flow::Continue
    }
}
