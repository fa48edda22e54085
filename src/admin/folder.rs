//! The data folder: one process at a time, private files, and the unix socket.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The key of the digests that stand in place of hidden texts, in the data folder.
const DIGEST_KEY_FILE: &str = "digest.key";
/// The unix socket, in the data folder.
pub const SOCKET_FILE: &str = "admin.sock";
const LOCK_FILE: &str = "firedoor.lock";

/// The most bytes of a private file that are read.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why the data folder cannot be used.
#[derive(Debug)]
pub enum FolderFault {
    /// An operation failed.
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        why: io::Error,
    },
    /// Another process holds the folder.
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Others than the owner may read or write what must be private.
    TooOpen {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What stands there is not what it should be.
    Unsound {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system gives no random bits.
    Random,
}

impl fmt::Display for FolderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FolderFault::Io { what, path, why } => {
                write!(f, "cannot {what} {}: {why}", path.display())
            }
            FolderFault::InUse { path } => {
                write!(f, "another firedoor is running on {}", path.display())
            }
            FolderFault::TooOpen { path, mode } => write!(
                f,
                "{} has mode {mode:03o}; it must not be open to others (chmod go-rwx)",
                path.display()
            ),
            FolderFault::Unsound { path, why } => write!(f, "{}: {why}", path.display()),
            FolderFault::Random => f.write_str("the system gives no random bits"),
        }
    }
}

impl std::error::Error for FolderFault {}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderFault {
    let path = path.to_path_buf();
    move |why| FolderFault::Io { what, path, why }
}

/// The data folder, held by this process alone until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Its lock goes with it.
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing (mode 0700) and takes hold of it.
    ///
    /// # Errors
    /// A folder that cannot be made, that everyone may write to, or that another process holds.
    pub fn open(path: &Path) -> Result<Folder, FolderFault> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create", path))?;
        let mode = fs::metadata(path).map_err(io("read", path))?.mode() & 0o777;
        if mode & 0o002 != 0 {
            return Err(FolderFault::TooOpen { path: path.to_path_buf(), mode });
        }
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_path_buf(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderFault::InUse { path: path.to_path_buf() }),
            Err(TryLockError::Error(why)) => Err(io("lock", &lock_path)(why)),
        }
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The key of the digests that stand in place of hidden texts; made when it is asked for first.
    /// Gates that are to write the same digests are given the same file.
    ///
    /// # Errors
    /// A file that cannot be read or made, or holds no key.
    pub fn digest_key(&self) -> Result<[u8; 16], FolderFault> {
        let path = self.join(DIGEST_KEY_FILE);
        if let Some(bytes) = read_private(&path)? {
            let number = key_in(&bytes);
            let why = || "it does not hold 32 digits of 0-9a-f".to_owned();
            let key = number.ok_or_else(|| FolderFault::Unsound { path: path.clone(), why: why() });
            return key.map(u128::to_be_bytes);
        }
        let mut key = [0; 16];
        let count = rustix::rand::getrandom(&mut key[..], rustix::rand::GetRandomFlags::empty());
        if count != Ok(key.len()) {
            return Err(FolderFault::Random);
        }
        let text = format!("{:032x}\n", u128::from_be_bytes(key));
        write_private(&path, text.as_bytes())?;
        Ok(key)
    }

    /// Listens on [`SOCKET_FILE`], mode 0600. What a dead process has left there is replaced.
    ///
    /// The socket is made under another name and moved into place, so that it never stands there
    /// with a wider mode.
    ///
    /// # Errors
    /// A live listener on it, something there that is no socket, or a path that is too long (108
    /// bytes on Linux).
    pub fn listen(&self) -> Result<UnixListener, FolderFault> {
        let path = self.join(SOCKET_FILE);
        match fs::symlink_metadata(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(io("read", &path)(why)),
            Ok(meta) if !meta.file_type().is_socket() => {
                let why = "it is in the way of the admin socket".to_owned();
                return Err(FolderFault::Unsound { path, why });
            }
            Ok(_) => {
                if UnixStream::connect(&path).is_ok() {
                    return Err(FolderFault::InUse { path: self.path.clone() });
                }
            }
        }
        let fresh = self.join(&format!("{SOCKET_FILE}.new"));
        remove(&fresh)?;
        let listener = UnixListener::bind(&fresh).map_err(io("listen on", &fresh))?;
        let private = Permissions::from_mode(0o600);
        fs::set_permissions(&fresh, private).map_err(io("set the mode of", &fresh))?;
        fs::rename(&fresh, &path).map_err(io("move into place", &path))?;
        listener.set_nonblocking(true).map_err(io("listen on", &path))?;
        Ok(listener)
    }

    /// Takes the socket away, for a clean end.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn unlisten(&self) -> Result<(), FolderFault> {
        remove(&self.join(SOCKET_FILE))
    }
}

fn remove(path: &Path) -> Result<(), FolderFault> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(io("remove", path)(why)),
    }
}

/// Reads a file that only its owner may read; `None` if there is none.
///
/// # Errors
/// A file that cannot be read, is too large, or is open to others.
pub(super) fn read_private(path: &Path) -> Result<Option<Vec<u8>>, FolderFault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(io("open", path)(why)),
    };
    let mode = file.metadata().map_err(io("read", path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FolderFault::TooOpen { path: path.to_path_buf(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(FolderFault::Unsound { path: path.to_path_buf(), why });
    }
    Ok(Some(bytes))
}

/// Writes a file that only its owner may read, whole or not at all, and durably.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FolderFault> {
    let fresh = path.with_extension("new");
    remove(&fresh)?;
    // `create_new` follows no link that somebody has put there.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(io("create", &fresh))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io("write", &fresh))?;
    fs::rename(&fresh, path).map_err(io("move into place", path))?;
    if let Some(parent) = path.parent() {
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(io("sync", parent))?;
    }
    Ok(())
}

/// The key of digests in the state folder of a gateway, for who judges its record again; `None` where
/// there is none that may be read.
pub fn known_digest_key(data_dir: &Path) -> Option<[u8; 16]> {
    key_in(&fs::read(data_dir.join(DIGEST_KEY_FILE)).ok()?).map(u128::to_be_bytes)
}

fn key_in(file: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(file).ok()?.trim();
    let is_key = text.len() == 32;
    is_key.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(Folder::open(&path), Err(FolderFault::InUse { .. })));
        drop(folder);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn the_key_of_digests_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let key = folder.digest_key().unwrap();
        assert_ne!(key, [0; 16]);
        assert_eq!(folder.digest_key().unwrap(), key);
        let path = folder.join(DIGEST_KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert!(matches!(folder.digest_key(), Err(FolderFault::Unsound { .. })));
    }

    #[test]
    fn everyones_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Folder::open(dir.path()), Err(FolderFault::TooOpen { mode: 0o777, .. })));
    }

    #[test]
    fn the_socket_is_private_and_replaces_a_dead_one_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let live = folder.listen().unwrap();
        let path = folder.join(SOCKET_FILE);
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(folder.listen(), Err(FolderFault::InUse { .. })));
        drop(live);
        let live = folder.listen().unwrap();
        UnixStream::connect(&path).unwrap();
        drop(live);
        folder.unlisten().unwrap();
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        assert!(matches!(folder.listen(), Err(FolderFault::Unsound { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_path_that_is_too_long_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("d".repeat(120))).unwrap();
        assert!(folder.listen().unwrap_err().to_string().starts_with("cannot listen on "));
    }
}
