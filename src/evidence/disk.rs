//! The folder of segments, as far as the store needs one.
//!
//! Behind a trait, so that tests can hand the store a disk that is full, slow, read-only, or that
//! loses what was not synced. What is written counts only after [`Out::sync`], and a file that was
//! made or removed only after [`Disk::sync`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A folder of files.
pub trait Disk: Send + Sync {
    /// The names of its files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// How long a file is; `None` if there is none.
    fn size(&self, name: &str) -> io::Result<Option<u64>>;
    /// How much of the disk a file takes: less than its length where it has holes.
    fn taken(&self, name: &str) -> io::Result<u64> {
        Ok(self.size(name)?.unwrap_or(0))
    }
    /// How many bytes of the disk are free.
    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    /// Reads a file from `offset`.
    fn read(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Makes a file, private to its owner; one of the same name is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn Out>>;
    /// Opens a file to go on writing.
    fn reopen(&self, name: &str) -> io::Result<Box<dyn Out>>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Puts the file `from` in the place of the file `to`: whatever happens, one of the two is there.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes durable which files there are.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is written.
pub trait Out: Send {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts it back.
    fn cut(&mut self, size: u64) -> io::Result<()>;
    /// Makes durable what was written.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which need not be there yet.
    pub fn at(path: &Path) -> Folder {
        Folder { path: path.to_path_buf() }
    }

    /// Makes the folder where it is missing, private to its owner.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(path: &Path) -> io::Result<Folder> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Folder::at(path))
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            // A name that is not text is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        match self.path.join(name).metadata() {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn taken(&self, name: &str) -> io::Result<u64> {
        // Blocks of 512 bytes, whatever the file system's own are (stat(2)).
        Ok(self.path.join(name).metadata()?.blocks().saturating_mul(512))
    }

    fn free(&self) -> io::Result<u64> {
        let told = rustix::fs::statvfs(&self.path)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }

    fn read(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(self.path.join(name))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Out>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn reopen(&self, name: &str) -> io::Result<Box<dyn Out>> {
        Ok(Box::new(OpenOptions::new().write(true).open(self.path.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Out for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
