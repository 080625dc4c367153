//! Several runs side by side in one graph.
use crate::{
    exec::{threads::in_parallel, Executor, GroupJob, Job, Threads},
    plan::RunSpec,
    Error, Result,
};
use std::collections::BTreeMap;

/// The most runs in a group, unless another number is set.
const MEMBERS: usize = 4;

/// Trains the runs of one architecture side by side: each worker takes a group of runs, and the forward and backward passes
/// of a group are one graph. It is what `torch.func.stack_module_state` and `vmap` do in PyTorch.
///
/// A training step of a small network consists of little arithmetic and many small operations around it. Side by side, these
/// operations are there once for a group instead of once for a run. Everything else stays that of each run: its rows, seeds,
/// learning rates, schedules, early stopping, collected members and checkpoints. The members have the same bytes as with
/// [`Threads`](crate::exec::Threads), for any size of the groups and any number of workers.
///
/// Whether a network can be stacked is found out when it is trained. Its constructor is called once more, with variables that
/// stand for those of all members of a group, and the passes of its first two batches, and of the first batch of each other
/// size, are compared with those of each member, to the bit. Where they differ, the runs are trained one by one, and the
/// observer is told why ([`Event::NotStacked`](crate::observe::Event::NotStacked)). It works for networks that consist of
///
/// - layers of [`nn`](crate::nn) with variables, except [`DropConnect`](crate::nn::DropConnect);
/// - functions without variables that treat each row of a batch by itself, such as activations, pooling, `flatten_from(1)`
///   and reshapes that keep the rows in dimension 0.
///
/// Layers of candle-nn with variables, and variables that a model uses in operations of its own, cannot be stacked.
/// The learner has to be a [`Trainer`](crate::train::Trainer).
///
/// Use it for many small networks, whose training steps are short, and on a GPU. On the CPU a group takes about as long as
/// the same networks with [`Threads`](crate::exec::Threads), which keeps fewer of them in memory: the layers of this crate
/// leave little to share beside the products of matrices, and those are the same. It gains most where the weights, the moments
/// and the activations of a group fit into the processor's cache, so compare several numbers of
/// [`members`](Self::members). On a GPU give it one worker; each linear layer of a group is then one batched product. A
/// [`Shard`](crate::exec::Shard) takes it as its executor.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_ensemble::{data::TensorDataset, exec::Stacked, nn, strategy::Bagging, train::Trainer, Session};
///
/// let x = Tensor::arange(0f32, 40., &Device::Cpu)?.affine(0.05, -1.)?.reshape((20, 2))?;
/// let data = TensorDataset::regression(&x, &x.sum(1)?)?;
/// let trainer = Trainer::new(|vb| {
///     let hidden = nn::seq().add(nn::linear(2, 8, vb.pp(0))?).add(nn::Activation::Tanh);
///     Ok(hidden.add(nn::linear(8, 1, vb.pp(1))?))
/// });
/// let trainer = trainer.epochs(3);
///
/// let two_threads = Stacked::new(2)?; // groups of two or three members
/// let pool = Session::new(&trainer, &data).executor(&two_threads).fit(&Bagging::new(10), 42)?;
/// let one_by_one = Session::new(&trainer, &data).fit(&Bagging::new(10), 42)?;
/// assert_eq!(pool.members()[9].to_bytes()?, one_by_one.members()[9].to_bytes()?);
/// # Ok::<(), candle_ensemble::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stacked {
    workers: usize,
    members: usize,
}

impl Stacked {
    /// Trains groups of runs on up to `workers` threads.
    ///
    /// # Errors
    /// When the number is 0.
    pub fn new(workers: usize) -> Result<Self> {
        match workers {
            0 => Err(Error::invalid("the number of threads", "at least 1", 0)),
            workers => Ok(Self { workers, members: MEMBERS }),
        }
    }

    /// Trains a group of runs on each core of this machine.
    #[must_use]
    pub fn all_cores() -> Self {
        Self { workers: std::thread::available_parallelism().map_or(1, usize::from), members: MEMBERS }
    }

    /// Sets the most runs in a group, at least 1. The default is 4. Groups are smaller where there would be too few for the
    /// workers.
    ///
    /// # Errors
    /// When the number is 0.
    pub fn members(self, members: usize) -> Result<Self> {
        match members {
            0 => Err(Error::invalid("the number of members of a group", "at least 1", 0)),
            members => Ok(Self { members, ..self }),
        }
    }

    /// The number of workers.
    #[must_use]
    pub fn workers(self) -> usize {
        self.workers
    }

    /// The positions of the runs in groups of one architecture and about the same size.
    fn groups(self, runs: &[&RunSpec]) -> Vec<Vec<usize>> {
        let mut of_architecture = BTreeMap::<&str, Vec<usize>>::new();
        for (position, run) in runs.iter().enumerate() {
            of_architecture.entry(&run.architecture).or_default().push(position);
        }
        let size = runs.len().div_ceil(self.workers).clamp(1, self.members);
        let mut groups = vec![];
        for positions in of_architecture.into_values() {
            // A multiple of the number of workers, so that all of them are busy until the end.
            let count = positions.len().div_ceil(size).next_multiple_of(self.workers).min(positions.len());
            let mut rest = positions.as_slice();
            for left in (1..=count).rev() {
                let (group, others) = rest.split_at(rest.len().div_ceil(left));
                groups.push(group.to_vec());
                rest = others;
            }
        }
        // The groups of several architectures in the order of the plan.
        groups.sort_unstable();
        groups
    }
}

impl Executor for Stacked {
    /// Trains each run on its own.
    fn execute(&self, runs: &[&RunSpec], job: &Job<'_>) -> Result<()> {
        Threads::new(self.workers)?.execute(runs, job)
    }

    fn execute_groups(&self, runs: &[&RunSpec], job: &GroupJob<'_>) -> Result<()> {
        let groups = self.groups(runs);
        in_parallel(self.workers, &groups, &|group| {
            job(&group.iter().filter_map(|position| runs.get(*position).copied()).collect::<Vec<_>>())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exec::Shard, Seed};
    use std::sync::Mutex;

    fn runs(architectures: &[&str]) -> Vec<RunSpec> {
        let run = |(id, name): (usize, &&str)| RunSpec::new(id, name, Seed::from(1), vec![0]);
        architectures.iter().enumerate().map(run).collect()
    }

    fn sizes(workers: usize, members: usize, count: usize) -> Vec<usize> {
        let runs = runs(&vec!["a"; count]);
        let executor = Stacked::new(workers).unwrap().members(members).unwrap();
        let groups = executor.groups(&runs.iter().collect::<Vec<_>>());
        assert_eq!(groups.concat(), (0..count).collect::<Vec<_>>());
        groups.iter().map(Vec::len).collect()
    }

    #[test]
    fn groups_are_of_about_the_same_size_and_keep_all_workers_busy() {
        assert_eq!(sizes(2, 16, 10), [5, 5]);
        assert_eq!(sizes(1, 16, 10), [10]);
        assert_eq!(sizes(4, 16, 10), [3, 3, 2, 2]);
        assert_eq!(sizes(8, 16, 3), [1, 1, 1]);
        assert_eq!(sizes(2, 4, 10), [3, 3, 2, 2]);
        assert_eq!(sizes(1, 1, 3), [1, 1, 1]);
        assert!(sizes(3, 5, 0).is_empty());
    }

    #[test]
    fn groups_are_of_one_architecture() {
        let runs = runs(&["a", "b", "a", "b", "a"]);
        let groups = Stacked::new(1).unwrap().groups(&runs.iter().collect::<Vec<_>>());
        assert_eq!(groups, [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_shard_groups_its_own_runs_and_the_first_error_in_plan_order_is_returned() {
        let runs = runs(&["a"; 9]);
        let runs: Vec<_> = runs.iter().collect();
        let executor = Stacked::new(2).unwrap();
        let shard = Shard::new(1, 2, &executor).unwrap();
        let done = Mutex::new(vec![]);
        let job = |runs: &[&RunSpec]| {
            done.lock().unwrap().push(runs.iter().map(|run| run.id).collect::<Vec<_>>());
            let outcome = |run: &&RunSpec| match run.id {
                3 | 5 => Err(Error::invalid("this", "fine", run.id)),
                _ => Ok(()),
            };
            runs.iter().map(outcome).collect()
        };
        let e = shard.execute_groups(&runs, &job).unwrap_err().to_string();
        assert!(e.ends_with("is 3"), "{e}");
        let mut groups = done.into_inner().unwrap();
        groups.sort_unstable();
        assert_eq!(groups, [[1, 3], [5, 7]]);
    }

    #[test]
    fn zero_workers_or_members_are_refused() {
        assert!(Stacked::new(0).unwrap_err().to_string().contains("the number of threads"));
        let e = Stacked::all_cores().members(0).unwrap_err().to_string();
        assert_eq!(e, "the number of members of a group must be at least 1, but is 0");
    }
}
