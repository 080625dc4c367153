//! A part of a plan, for several processes.
use crate::{
    exec::{Executor, GroupJob, Job},
    plan::RunSpec,
    Error, Result,
};

/// Every `of`-th run of a plan, starting with run `index`, trained by another executor: one task of a job
/// array, one pod of an indexed job, one MPI rank.
///
/// All processes work on one shared store. Any process can then load the members from it
/// ([`Session::load`](crate::Session::load)), which reports the runs that are missing.
///
/// A run belongs to a shard by its number in the plan, so it does not matter which runs are finished already. Runs that depend
/// on each other ([`RunSpec::sequence`]) belong to a shard together, by the number of their sequence. A
/// [`Worker`](crate::exec::Worker) takes whichever run is next instead.
///
/// ```
/// use candle_ensemble::exec::{Shard, Threads};
///
/// let two_cores = Threads::new(2)?;
/// let second_of_four = Shard::new(1, 4, &two_cores)?;
/// let shard_of_this_process = Shard::from_env(&two_cores)?; // None outside Slurm, Kubernetes, Open MPI
/// # assert!(Shard::new(4, 4, &two_cores).is_err());
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Shard<'a> {
    index: usize,
    of: usize,
    executor: &'a dyn Executor,
}

impl std::fmt::Debug for Shard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shard {} of {}", self.index, self.of)
    }
}

/// The variables in which schedulers pass a process its number and the number of processes, in the order in
/// which they are read. Slurm's arrays are read separately, because their users choose the first number and
/// the step.
const VARIABLES: [(&str, &str); 4] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
];

impl<'a> Shard<'a> {
    /// Shard number `index`, from 0, of `of` shards, trained by `executor`.
    ///
    /// # Errors
    /// When the index is not below the number of shards.
    pub fn new(index: usize, of: usize, executor: &'a dyn Executor) -> Result<Self> {
        if index >= of {
            return Err(Error::invalid(
                "the number of the shard",
                format!("below {of}, the number of shards"),
                index,
            ));
        }
        Ok(Self { index, of, executor })
    }

    /// The shard that a scheduler assigned to this process: Slurm (array jobs first, then tasks), Open MPI,
    /// PMI, or Kubernetes (`JOB_COMPLETION_INDEX`, and `JOB_COMPLETIONS`, which the pod's template must set).
    /// `None` where none of their variables is set.
    ///
    /// # Errors
    /// When only one of a pair of variables is set, or one is not a number.
    pub fn from_env(executor: &'a dyn Executor) -> Result<Option<Self>> {
        Self::from_vars(|name| std::env::var(name).ok(), executor)
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>, executor: &'a dyn Executor) -> Result<Option<Self>> {
        let number = |name: &str| -> Result<Option<usize>> {
            let parse = |text: String| {
                text.trim()
                    .parse()
                    .map_err(|_| Error::invalid(name, "a whole number, 0 or more", format!("{text:?}")))
            };
            var(name).map(parse).transpose()
        };
        let required = |name: &str, other: &str| {
            let missing = || Error::invalid(name, format!("set where {other} is"), "not set");
            number(name)?.ok_or_else(missing)
        };
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let of = required("SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_ID")?;
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let index = id.checked_sub(first).map(|i| i / step).unwrap_or(of);
            return Self::new(index, of, executor).map(Some);
        }
        for (index, of) in VARIABLES {
            if let Some(i) = number(index)? {
                return Self::new(i, required(of, index)?, executor).map(Some);
            }
        }
        Ok(None)
    }
}

impl Shard<'_> {
    fn of_shard<'r>(&self, runs: &[&'r RunSpec]) -> Vec<&'r RunSpec> {
        runs.iter().filter(|run| run.share_number() % self.of == self.index).copied().collect()
    }
}

impl Executor for Shard<'_> {
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()> {
        self.executor.execute(&self.of_shard(runs), job)
    }

    fn execute_groups(&self, runs: &[&RunSpec], job: &GroupJob<'_>) -> Result<()> {
        self.executor.execute_groups(&self.of_shard(runs), job)
    }

    fn share<'r>(&self, runs: &[&'r RunSpec]) -> Vec<&'r RunSpec> {
        self.executor.share(&self.of_shard(runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exec::Sequential, Seed};
    use std::sync::Mutex;

    fn from(vars: &[(&str, &str)]) -> Result<Option<(usize, usize)>> {
        let var = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        Ok(Shard::from_vars(var, &Sequential)?.map(|s| (s.index, s.of)))
    }

    #[test]
    fn shards_cover_each_run_of_a_plan_once() {
        let runs: Vec<_> = (0..10).map(|id| RunSpec::new(id, "a", Seed::from(1), vec![0])).collect();
        let runs: Vec<_> = runs.iter().collect();
        let done = Mutex::new(vec![]);
        for index in 0..3 {
            let shard = Shard::new(index, 3, &Sequential).unwrap();
            // Where some runs are finished already, the others stay in their shard.
            let job = |run: &RunSpec| {
                done.lock().unwrap().push(run.id);
                Ok(())
            };
            shard.execute(&runs[index..], &job).unwrap();
        }
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_variables_of_schedulers_are_read() {
        assert_eq!(from(&[]).unwrap(), None);
        assert_eq!(
            from(&[("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "4")]).unwrap(),
            Some((2, 4))
        );
        assert_eq!(from(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "5")]).unwrap(), Some((0, 5)));
        assert_eq!(from(&[("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")]).unwrap(), Some((1, 2)));
        let array = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
            ("SLURM_PROCID", "0"),
            ("SLURM_NTASKS", "1"),
        ];
        assert_eq!(from(&array).unwrap(), Some((2, 3)));
        let from_zero = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_COUNT", "2")];
        assert_eq!(from(&from_zero).unwrap(), Some((1, 2)));
    }

    #[test]
    fn incomplete_variables_are_errors() {
        let e = from(&[("PMI_RANK", "1")]).unwrap_err().to_string();
        assert_eq!(e, "PMI_SIZE must be set where PMI_RANK is, but is not set");
        let e = from(&[("PMI_RANK", "one"), ("PMI_SIZE", "2")]).unwrap_err().to_string();
        assert_eq!(e, "PMI_RANK must be a whole number, 0 or more, but is \"one\"");
        let e = from(&[("SLURM_ARRAY_TASK_ID", "0")]).unwrap_err().to_string();
        assert!(e.starts_with("SLURM_ARRAY_TASK_COUNT must be set where SLURM_ARRAY_TASK_ID is"), "{e}");
        assert!(from(&[("PMI_RANK", "2"), ("PMI_SIZE", "2")]).unwrap_err().to_string().contains("below 2"));
    }
}
