//! A disk that gets full.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system, unmounted on drop.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many bytes, rounded up to a page.
    pub fn mount(at: &Path, bytes: u64) -> SmallDisk {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"])
            .arg(at)
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "this test needs root to mount a small tmpfs: {why}");
        SmallDisk(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
