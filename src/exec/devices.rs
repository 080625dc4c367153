//! Several devices, over which the runs of a build are spread.
use candle_core::Device;
use std::sync::{Mutex, PoisonError};

/// The devices of a build. Each run trains wholly on one of them.
pub(crate) struct Devices {
    devices: Vec<Device>,
    /// How many runs train on each device now.
    busy: Mutex<Vec<usize>>,
}

impl Devices {
    pub(crate) fn new(first: &Device, others: &[Device]) -> Self {
        let devices: Vec<_> = [first].into_iter().chain(others).cloned().collect();
        let busy = Mutex::new(vec![0; devices.len()]);
        Self { devices, busy }
    }

    /// Calls `work` with the device on which the fewest runs train, the first of those.
    pub(crate) fn on_one<T>(&self, work: impl FnOnce(&Device) -> T) -> T {
        let taken = self.take();
        work(&self.devices[taken.number])
    }

    fn take(&self) -> Taken<'_> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..busy.len()).min_by_key(|number| busy[*number]).unwrap_or(0);
        busy[number] += 1;
        Taken { devices: self, number }
    }
}

/// A device that a run trains on. It is given back when this is dropped, after a panic too.
struct Taken<'a> {
    devices: &'a Devices,
    number: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.devices.busy.lock().unwrap_or_else(PoisonError::into_inner)[self.number] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_to_the_device_with_the_fewest_runs_and_gives_it_back() {
        let devices = Devices::new(&Device::Cpu, &[Device::Cpu, Device::Cpu]);
        let numbers = |taken: &[Taken<'_>]| taken.iter().map(|t| t.number).collect::<Vec<_>>();
        let mut taken: Vec<_> = (0..5).map(|_| devices.take()).collect();
        assert_eq!(numbers(&taken), [0, 1, 2, 0, 1]);
        taken.remove(1);
        assert_eq!(devices.take().number, 1, "it has one run now, like device 2");
        taken.clear();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            devices.on_one(|_| panic!("a training that fails"));
        }));
        assert!(panicked.is_err());
        assert_eq!(*devices.busy.lock().unwrap(), [0, 0, 0]);
    }
}
