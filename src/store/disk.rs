//! The few file operations that a queue needs, behind a seam where tests put a disk that fills up, fails and crashes.
//!
//! Stage: edge, below `store`. Every call blocks: only the thread of the queue comes here.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{OpenError, Options};

/// What is queued may be personal data: nobody but the owner reads it. bbolt's files have the same mode.
const FILE_MODE: u32 = 0o600;

/// `directory_permissions` of the Collector's `file_storage` by default.
const DIRECTORY_MODE: u32 = 0o750;

/// Locked for as long as the queue is open. It stays, since removing it would open a gap for two owners.
const LOCK: &str = "lock";

/// One directory. Names are without a path.
pub(super) trait Disk: Send {
    /// What is there, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new file, for reading and writing.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Replaces what has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Frees the room once nobody has the file open.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names that were created, changed or removed last.
    fn sync(&self) -> io::Result<()>;
    /// For messages.
    fn path(&self) -> &Path;
}

/// One open file.
pub(super) trait DiskFile: Send {
    fn len(&self) -> io::Result<u64>;
    /// Fills the buffer, or fails: `UnexpectedEof` if the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes everything; if it fails, some of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the contents last.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Held, not used.
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, and takes the lock.
    pub(super) fn open(options: &Options) -> Result<Self, OpenError> {
        let path = options.directory.clone();
        make(&path, options.create_directory)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }
}

fn make(path: &Path, with_parents: bool) -> Result<(), OpenError> {
    let made = DirBuilder::new().mode(DIRECTORY_MODE).recursive(with_parents).create(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(OpenError::Missing(path.parent().unwrap_or(path).to_owned()))
        }
        made => made.map_err(|source| OpenError::Io { path: path.to_owned(), source }),
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let file = opened.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create_new(true).mode(FILE_MODE).open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

// === Open files ===

/// A few files kept open, so that a backlog of many segments does not use up the process's descriptors.
pub(super) struct Handles {
    /// The one used last is the last.
    open: Vec<(String, Box<dyn DiskFile>)>,
}

impl Handles {
    /// The segment that is written, the one that is read, their marks, and those of some stragglers.
    const OPEN_MAX: usize = 8;

    pub(super) const fn new() -> Self {
        Self { open: Vec::new() }
    }

    /// The file of that name, opened if it is not.
    pub(super) fn get(&mut self, disk: &dyn Disk, name: &str) -> io::Result<&dyn DiskFile> {
        let file = match self.open.iter().position(|(open, _)| open == name) {
            Some(at) => self.open.remove(at),
            None => (name.to_owned(), disk.open(name)?),
        };
        self.put(file)
    }

    /// A new file of that name.
    pub(super) fn create(&mut self, disk: &dyn Disk, name: &str) -> io::Result<&dyn DiskFile> {
        let file = disk.create(name)?;
        self.put((name.to_owned(), file))
    }

    /// Forgets a file, before it is removed.
    pub(super) fn close(&mut self, name: &str) {
        self.open.retain(|(open, _)| open != name);
    }

    fn put(&mut self, file: (String, Box<dyn DiskFile>)) -> io::Result<&dyn DiskFile> {
        if self.open.len() >= Self::OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(file);
        let (_, file) = self.open.last().ok_or(io::ErrorKind::NotFound)?;
        Ok(&**file)
    }
}
