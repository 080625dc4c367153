//! A thread that reads blocks before they are needed.
use crate::data::streamed::reader::Reader;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

/// A reader, and the thread that fills its cache. The thread starts when it is needed first, and ends when this is dropped.
pub(super) struct Ahead {
    reader: Arc<Reader>,
    queue: Arc<Queue>,
    /// None if it cannot be started; blocks are then read when they are needed.
    thread: OnceLock<Option<JoinHandle<()>>>,
    /// The most blocks that wait.
    most: usize,
}

impl Ahead {
    /// For as many waiting blocks at most.
    pub(super) fn new(reader: Reader, most: usize) -> Self {
        let (reader, queue) = (Arc::new(reader), Arc::default());
        Self { reader, queue, thread: OnceLock::new(), most }
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Asks for the blocks of these rows, in their order, as far as they are not known and there is room for them.
    pub(super) fn read(&self, rows: &[u32]) {
        let mut last = None;
        for block in rows.iter().filter_map(|row| self.reader.block_of(*row)) {
            if last == Some(block) {
                continue;
            }
            last = Some(block);
            if !self.reader.knows(block) && !self.queue.push(block, self.most) {
                break;
            }
        }
        if self.queue.has_work() {
            self.thread.get_or_init(|| self.start());
        }
    }

    fn start(&self) -> Option<JoinHandle<()>> {
        let (reader, queue) = (self.reader.clone(), self.queue.clone());
        let work = move || {
            while let Some(block) = queue.next() {
                // An error is that of the batch which needs the block and reads it again.
                let _ = reader.block(block);
            }
        };
        thread::Builder::new().name("read-ahead".into()).stack_size(1 << 20).spawn(work).ok()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take().flatten() {
            // A thread that panicked has done no harm: its block is read where it is needed.
            let _ = thread.join();
        }
    }
}

/// The blocks that are to be read, in their order.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    blocks: VecDeque<usize>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a block, unless it waits already. False if there is no room.
    fn push(&self, block: usize, most: usize) -> bool {
        let mut waiting = self.lock();
        if waiting.blocks.contains(&block) {
            return true;
        }
        if waiting.blocks.len() >= most {
            return false;
        }
        waiting.blocks.push_back(block);
        drop(waiting);
        self.changed.notify_one();
        true
    }

    fn has_work(&self) -> bool {
        !self.lock().blocks.is_empty()
    }

    /// The next block, for which it waits; none when the queue is closed.
    fn next(&self) -> Option<usize> {
        let mut waiting = self.lock();
        while !waiting.closed {
            match waiting.blocks.pop_front() {
                Some(block) => return Some(block),
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
        None
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}
