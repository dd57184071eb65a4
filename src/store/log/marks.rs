//! Marks of what is done, and the removal of segments of which nothing is wanted any more.
//!
//! Stage: edge, below `store`.

use std::io;

use super::{
    super::{
        format::{self, Kind},
        segment::Segment,
    },
    Log,
};

impl Log {
    /// Writes the marks of what is done, and removes segments of which nothing is left. What cannot be written stays for the
    /// next time.
    ///
    /// # Errors
    ///
    /// The first failure; the rest was tried.
    pub(in crate::store) fn flush(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for base in std::mem::take(&mut self.dirty) {
            let removable =
                self.active != Some(base) && self.segments.get(&base).is_some_and(Segment::is_done);
            let flushed = if removable { self.remove(base) } else { self.write_marks(base) };
            if flushed.is_err() {
                self.dirty.insert(base);
                result = result.and(flushed);
            }
        }
        result
    }

    fn write_marks(&mut self, base: u64) -> io::Result<()> {
        let Some(segment) = self.segments.get_mut(&base).filter(|segment| !segment.unmarked().is_empty())
        else {
            return Ok(());
        };
        let name = Kind::Done.name(base);
        let mut bytes = Vec::new();
        let start = segment.done_bytes;
        let file = if start == 0 {
            format::write_file_header(&mut bytes, Kind::Done, base);
            match self.handles.create(&*self.disk, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.handles.get(&*self.disk, &name)?
                }
                file => file?,
            }
        } else {
            self.handles.get(&*self.disk, &name)?
        };
        segment.unmarked().iter().for_each(|&sequence| format::write_mark(&mut bytes, sequence));
        // What a failure leaves behind is written over the next time.
        file.write_at(&bytes, start)?;
        if self.limits.fsync {
            file.sync()?;
            if start == 0 {
                self.disk.sync()?;
            }
        }
        segment.done_bytes = start + bytes.len() as u64;
        self.disk_bytes += bytes.len() as u64;
        segment.marked();
        Ok(())
    }

    /// Removes the files of a segment. The records go first: marks without records are nothing, records without marks would
    /// come again.
    fn remove(&mut self, base: u64) -> io::Result<()> {
        for kind in [Kind::Log, Kind::Done] {
            let name = kind.name(base);
            self.handles.close(&name);
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ if kind == Kind::Log && self.limits.fsync => self.disk.sync()?,
                _ => {}
            }
        }
        if let Some(segment) = self.segments.remove(&base) {
            self.disk_bytes -= segment.disk_bytes();
        }
        Ok(())
    }
}
