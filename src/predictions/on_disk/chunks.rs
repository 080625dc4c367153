//! Writing of chunks.
use crate::{
    codec,
    files::{failed, Draft},
    predictions::on_disk::{
        about_rows::AboutRows,
        layout::{closing, hash_of_slot, hash_of_slots, opening, Chunk, Hash, Index, Sections, ALIGN},
    },
    Error, Result,
};
use std::{
    io::{Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

/// A file that is being written, at any place.
#[derive(Debug)]
pub(super) struct Out(Draft);

impl Out {
    /// Begins the file that is to be put at `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if cfg!(target_endian = "big") {
            let must = "written on a little-endian machine, whose numbers they hold";
            return Err(Error::invalid("held-out predictions on disk", must, "of a big-endian one"));
        }
        let out = Self(Draft::new(path)?);
        out.put(0, &opening())?;
        Ok(out)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut file = self.0.file();
        let write = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        write.map_err(|source| failed(self.0.path(), source))
    }

    /// Writes the index behind the last chunk, and puts the file at its path.
    pub(super) fn finish(self, index: &Index, end: u64) -> Result<()> {
        self.put(end, &closing(&codec::encode(index)?))?;
        self.0.commit()
    }
}

/// A chunk whose slots are written one after the other.
#[derive(Debug)]
pub(super) struct OpenChunk {
    start: u64,
    rows: usize,
    partial: bool,
    sections: Sections,
    slots: Vec<Hash>,
}

impl OpenChunk {
    /// The chunk of so many rows that begins at `start` or soon after.
    pub(super) fn new(index: &Index, start: u64, rows: usize, partial: bool) -> Result<Self> {
        let too_large = || Error::invalid("a chunk of held-out predictions", "addressable", "larger");
        let sections = index.sections(rows, partial).ok_or_else(too_large)?;
        let start = start.next_multiple_of(ALIGN);
        Ok(Self { start, rows, partial, sections, slots: Vec::with_capacity(index.slots()) })
    }

    /// The position of the first byte behind the chunk.
    pub(super) fn end(&self) -> u64 {
        self.start + self.sections.size() as u64
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes the predictions of the next slot, and its coverage if some predictions of the chunk are missing.
    pub(super) fn put_slot(&mut self, out: &Out, values: &[u8], covered: &[u8]) -> Result<()> {
        let covered = if self.partial { covered } else { &[] };
        let slot = self.slots.len();
        let at = |section: &Range<usize>, size: usize| self.start + (section.start + slot * size) as u64;
        out.put(at(&self.sections.values, values.len()), values)?;
        out.put(at(&self.sections.covered, covered.len()), covered)?;
        self.slots.push(hash_of_slot(values, covered));
        Ok(())
    }

    /// Writes what is known of the rows.
    pub(super) fn close(self, out: &Out, rows: &AboutRows, range: Range<usize>) -> Result<Chunk> {
        let Sections { targets, weights, groups, numbers, .. } = &self.sections;
        let about = self.sections.about_rows();
        let mut bytes = vec![0u8; about.len()];
        for (section, from) in
            [targets, weights, groups, numbers].into_iter().zip(rows.sections(range.clone()))
        {
            bytes[section.start - about.start..section.end - about.start].copy_from_slice(from);
        }
        out.put(self.start + about.start as u64, &bytes)?;
        Ok(Chunk {
            start: self.start,
            rows: self.rows,
            partial: self.partial,
            weight: rows.weight(range),
            predictions: hash_of_slots(self.slots),
            about_rows: *blake3::hash(&bytes).as_bytes(),
        })
    }
}
