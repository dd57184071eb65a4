//! A disk in memory that fills up, fails, and loses what was not synced.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, Mutex},
};

use super::{
    super::disk::{Disk, DiskFile},
    shared,
};

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct FakeDisk(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    files: BTreeMap<String, Contents>,
    /// The names as they were at the last sync of the directory.
    synced: BTreeMap<String, Contents>,
    faults: Faults,
}

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Bytes that all files together may have.
    pub(super) capacity: Option<u64>,
    /// Bytes that are still written before every write fails: the process is as good as killed.
    pub(super) write_budget: Option<u64>,
    pub(super) sync: bool,
    pub(super) set_len: bool,
    pub(super) read: bool,
    pub(super) remove: bool,
    pub(super) create: bool,
}

type Contents = Arc<Mutex<Data>>;

#[derive(Default)]
struct Data {
    now: Vec<u8>,
    synced: Vec<u8>,
}

struct FakeFile {
    disk: FakeDisk,
    contents: Contents,
}

fn failed() -> io::Error {
    io::Error::other("injected")
}

impl FakeDisk {
    pub(super) fn set(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    /// What a file holds.
    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        self.0.lock().unwrap().files[name].lock().unwrap().now.clone()
    }

    pub(super) fn write(&self, name: &str, bytes: Vec<u8>) {
        let contents = shared(Data { now: bytes, synced: Vec::new() });
        self.0.lock().unwrap().files.insert(name.to_owned(), contents);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().files.keys().cloned().collect()
    }

    /// The power fails: names may be as they were at the last sync of the directory, contents as at their last sync, with
    /// some or all of what was written since, the rest of it zeros.
    pub(super) fn lose_power(&self, random: &mut fastrand::Rng) {
        let mut content = self.0.lock().unwrap();
        if random.bool() {
            content.files = content.synced.clone();
        }
        for contents in content.files.values() {
            let mut data = contents.lock().unwrap();
            // What was cut off since the last sync may be back.
            let cut = data.now.len() < data.synced.len() && random.bool();
            let least = if cut { data.now.len() } else { data.synced.len() };
            let mut after = data.now[..random.usize(0..=data.now.len())].to_vec();
            let len = if random.bool() { data.now.len() } else { after.len() };
            after.resize(len.max(least), 0);
            let synced = data.synced.len().min(after.len());
            after[..synced].copy_from_slice(&data.synced[..synced]);
            data.now = after;
        }
        content.synced = content.files.clone();
    }
}

impl Disk for FakeDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut content = self.0.lock().unwrap();
        if content.faults.create || content.faults.write_budget == Some(0) {
            return Err(failed());
        }
        if content.files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let contents = Contents::default();
        content.files.insert(name.to_owned(), contents.clone());
        Ok(Box::new(FakeFile { disk: self.clone(), contents }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let content = self.0.lock().unwrap();
        let contents = content.files.get(name).ok_or(ErrorKind::NotFound)?.clone();
        Ok(Box::new(FakeFile { disk: self.clone(), contents }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let contents = content.files.remove(from).ok_or(ErrorKind::NotFound)?;
        content.files.insert(to.to_owned(), contents);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        if content.faults.remove || content.faults.write_budget == Some(0) {
            return Err(failed());
        }
        content.files.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        if content.faults.sync {
            return Err(failed());
        }
        content.synced = content.files.clone();
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("fake")
    }
}

impl DiskFile for FakeFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.disk.0.lock().unwrap().faults.read {
            return Err(failed());
        }
        let data = self.contents.lock().unwrap();
        let from = data.now.get(offset as usize..).and_then(|from| from.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.disk.0.lock().unwrap();
        let used: usize = content.files.values().map(|file| file.lock().unwrap().now.len()).sum();
        let mut data = self.contents.lock().unwrap();
        let offset = offset as usize;
        let mut fit = bytes.len();
        let mut result = Ok(());
        if let Some(capacity) = content.faults.capacity {
            let growth = (offset + bytes.len()).saturating_sub(data.now.len());
            let missing = (used + growth).saturating_sub(capacity as usize).min(bytes.len());
            if missing > 0 {
                fit -= missing;
                result = Err(ErrorKind::StorageFull.into());
            }
        }
        if let Some(budget) = &mut content.faults.write_budget {
            if *budget < fit as u64 {
                fit = *budget as usize;
                result = Err(failed());
            }
            *budget -= fit as u64;
        }
        let len = data.now.len().max(offset + fit);
        data.now.resize(len, 0);
        data.now[offset..offset + fit].copy_from_slice(&bytes[..fit]);
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let faults = self.disk.0.lock().unwrap().faults;
        if faults.set_len || faults.write_budget == Some(0) {
            return Err(failed());
        }
        self.contents.lock().unwrap().now.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.0.lock().unwrap().faults.sync {
            return Err(failed());
        }
        let mut data = self.contents.lock().unwrap();
        data.synced = data.now.clone();
        Ok(())
    }
}
