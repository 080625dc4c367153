//! What the example programs share: how they read the command line, and how they end.
#![allow(dead_code)] // no program needs all of it
use candle_ensemble::{
    registry::{Argument, Registry},
    threads, Error,
};
use clap::{error::ErrorKind, Arg, ArgMatches, Parser};
use std::{
    fmt,
    io::{self, stdout, Write},
    process::{exit, ExitCode},
    sync::{Mutex, PoisonError},
};

/// Why a program ends early: its message.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self(message.into())
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        match e {
            Error::BarrierTooHigh { .. } => Self(format!("refused: {e}")),
            // Its text speaks of methods of the library, which the user of a program cannot call.
            Error::HeldOut { combiner, need, have, rows } => Self(format!(
                "{combiner} needs at least {need} held-out rows, but only {have} of {rows} rows are held out"
            )),
            e => Self(e.to_string()),
        }
    }
}

impl From<candle_core::Error> for Failure {
    fn from(e: candle_core::Error) -> Self {
        Error::from(e).into()
    }
}

/// What is said when the user interrupts the program.
static INTERRUPTED: Mutex<String> = Mutex::new(String::new());

/// Sets what is said when the user interrupts the program (Ctrl-C): what is kept, and how to go on.
pub fn on_interrupt(message: String) {
    *INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner) = message;
}

/// Ends the program on Ctrl-C with the usual status, 128 + 2. Files are written whole, so none is left in
/// halves.
fn say_how_to_go_on() {
    on_interrupt("nothing is kept; start again with the same command".into());
    let handler = || {
        eprintln!("\ninterrupted: {}", INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner));
        exit(130)
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        eprintln!("warning: Ctrl-C will end the program without a word: {e}");
    }
}

/// Runs a program. An error is printed on one line, and the exit status is then 2.
pub fn program(run: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    threads::one_core_per_member();
    say_how_to_go_on();
    let Err(Failure(message)) = run() else { return ExitCode::SUCCESS };
    eprintln!("error: {}", message.lines().collect::<Vec<_>>().join(" "));
    ExitCode::from(2)
}

/// Prints a line. Readers that have seen enough, such as `head`, close the pipe, which is no fault: the program goes on
/// to write its files. After any other error it ends.
pub fn say(line: impl fmt::Display) {
    match writeln!(stdout(), "{line}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: nothing can be printed: {e}");
            exit(2)
        }
        _ => {}
    }
}

/// Reads the command line. Help and version are printed.
pub fn parse<A: Parser>() -> Result<A, Failure> {
    Ok(parse_with(vec![])?.0)
}

/// Reads a command line that has more flags than those that `A` declares.
pub fn parse_with<A: Parser>(flags: Vec<Arg>) -> Result<(A, ArgMatches), Failure> {
    let matches = A::command().args(flags).try_get_matches().map_err(on_one_line)?;
    Ok((A::from_arg_matches(&matches).map_err(on_one_line)?, matches))
}

/// clap's error on one line: what is wrong, and what would be right.
fn on_one_line(e: clap::Error) -> Failure {
    if !e.use_stderr() {
        e.exit();
    }
    let text = e.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let line = lines.collect::<Vec<_>>().join("; ");
    let hint = if e.kind() == ErrorKind::UnknownArgument { "; --help lists them all" } else { "" };
    Failure(format!("{}{hint}", line.trim_start_matches("error: ")))
}

/// A flag for each argument that some entry of the registry has.
pub fn flags<T>(registry: &Registry<T>, heading: &'static str) -> Vec<Arg> {
    arguments(registry).into_iter().map(|(name, of)| flag(name, &of).help_heading(heading)).collect()
}

/// The values of those flags that were given.
pub fn settings<T>(registry: &Registry<T>, matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let names = arguments(registry).into_iter().map(|(name, _)| name);
    names.filter_map(|name| Some((name, matches.get_one::<String>(name)?.clone()))).collect()
}

/// An entry's name, and its argument.
type Of = (&'static str, &'static Argument);

/// The arguments by name, each with the entries that have it.
fn arguments<T>(registry: &Registry<T>) -> Vec<(&'static str, Vec<Of>)> {
    let mut all: Vec<(&'static str, Vec<Of>)> = vec![];
    for entry in registry.entries() {
        for argument in entry.arguments() {
            let of = (entry.name(), argument);
            match all.iter_mut().find(|(name, _)| *name == argument.name()) {
                Some((_, entries)) => entries.push(of),
                None => all.push((argument.name(), vec![of])),
            }
        }
    }
    all
}

fn flag(name: &'static str, of: &[Of]) -> Arg {
    let names: Vec<_> = of.iter().map(|(entry, _)| *entry).collect();
    let mut defaults: Vec<(&str, Vec<&str>)> = vec![];
    for (entry, argument) in of {
        let Some(default) = argument.default() else { continue };
        match defaults.iter_mut().find(|(known, _)| *known == default) {
            Some((_, entries)) => entries.push(entry),
            None => defaults.push((default, vec![entry])),
        }
    }
    let default = match defaults.as_slice() {
        [] | [("false", _)] => String::new(),
        [(default, _)] => format!(" [default: {default}]"),
        several => {
            let each = several.iter().map(|(default, of)| format!("{default} for {}", of.join(", ")));
            format!(" [default: {}]", each.collect::<Vec<_>>().join("; "))
        }
    };
    let summary = of.first().map_or("", |(_, argument)| argument.summary());
    let arg = Arg::new(name).long(name).help(format!("{}: {summary}{default}", names.join(", ")));
    match defaults.as_slice() {
        [("false", _)] => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg.value_name("VALUE").allow_hyphen_values(true),
    }
}
