//! A disk in memory that can be full, fail, stall, and lose what was not synced.

use super::super::disk::{Disk, Out};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Half of a write is written, then there is no room.
    Full,
    /// Nothing can be written.
    ReadOnly,
    /// Syncs fail.
    Unsynced,
    /// Writes wait.
    Stalled,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    /// What the process sees.
    now: Vec<u8>,
    /// What is on the disk for certain.
    synced: Vec<u8>,
    /// Writes and cuts since, in order.
    since: Vec<Change>,
    /// Whether the folder's entry is on the disk for certain.
    is_entered: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Kept>,
    /// Removed, but perhaps not on the disk.
    removed: BTreeMap<String, Kept>,
    trouble: Trouble,
    /// Writes and syncs until the power fails; then nothing changes any more.
    power: Option<u64>,
    /// What is told to be free, and how much of it each look takes; `None` is without bound.
    room: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    freed: Arc<Condvar>,
}

impl MemoryDisk {
    pub(super) fn new() -> Arc<MemoryDisk> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        self.lock().trouble = trouble;
        self.freed.notify_all();
    }

    /// The power fails after so many writes and syncs.
    pub(super) fn power_for(&self, operations: u64) {
        self.lock().power = Some(operations);
    }

    pub(super) fn has_room_for(&self, bytes: u64) {
        self.lock().room = Some((bytes, 0));
    }

    /// Somebody else takes so many bytes whenever it is asked what is free.
    pub(super) fn taking_with_each_look(&self, bytes: u64) {
        if let Some((_, takes)) = &mut self.lock().room {
            *takes = bytes;
        }
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let kept = Kept {
            now: bytes.to_vec(),
            synced: bytes.to_vec(),
            since: Vec::new(),
            is_entered: true,
        };
        self.lock().files.insert(name.to_owned(), kept);
    }

    pub(super) fn get(&self, name: &str) -> Vec<u8> {
        self.lock().files[name].now.clone()
    }

    pub(super) fn delete(&self, name: &str) {
        self.lock().files.remove(name);
    }

    /// The same files again, in good order.
    pub(super) fn copy(&self) -> Arc<MemoryDisk> {
        let copy = MemoryDisk::new();
        for (name, kept) in &self.lock().files {
            copy.put(name, &kept.now);
        }
        copy
    }

    /// What is left after the power failed: of what was not synced any part, by sectors, and of
    /// files that were made or removed since any. `choose` says which.
    pub(super) fn after_power_loss(&self, mut choose: impl FnMut() -> bool) -> Arc<MemoryDisk> {
        const SECTOR: usize = 64;
        let left = MemoryDisk::new();
        let state = self.lock();
        let removed = state.removed.iter().map(|file| (file, true));
        for ((name, kept), is_removed) in
            state.files.iter().map(|file| (file, false)).chain(removed)
        {
            if (is_removed || !kept.is_entered) && !choose() {
                continue;
            }
            let mut bytes = kept.synced.clone();
            for change in &kept.since {
                match change {
                    Change::Cut(size) if choose() => bytes.truncate(*size as usize),
                    Change::Cut(_) => {}
                    Change::Write(offset, written) => {
                        for (index, sector) in written.chunks(SECTOR).enumerate() {
                            if choose() {
                                let at = *offset as usize + index * SECTOR;
                                let end = bytes.len().max(at + sector.len());
                                // What was never written reads as zero.
                                bytes.resize(end, 0);
                                bytes[at..at + sector.len()].copy_from_slice(sector);
                            }
                        }
                    }
                }
            }
            left.put(name, &bytes);
        }
        left
    }

    fn gate(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.trouble == Trouble::Stalled {
            state = self.freed.wait(state).unwrap();
        }
        if let Some(power) = &mut state.power {
            *power = power.checked_sub(1).ok_or_else(|| io::Error::other("the power is off"))?;
        }
        if state.trouble == Trouble::ReadOnly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(state)
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn size(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.lock().files.get(name).map(|kept| kept.now.len() as u64))
    }

    fn taken(&self, name: &str) -> io::Result<u64> {
        // Holes take nothing; blocks are small here.
        let state = self.lock();
        let blocks = state.files.get(name).ok_or_else(missing)?.now.chunks(16);
        let taken = blocks.filter(|block| block.iter().any(|byte| *byte != 0));
        Ok(taken.map(|block| block.len() as u64).sum())
    }

    fn free(&self) -> io::Result<u64> {
        let mut state = self.lock();
        let Some((free, takes)) = &mut state.room else { return Ok(u64::MAX) };
        let told = *free;
        *free = free.saturating_sub(*takes);
        Ok(told)
    }

    fn read(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let state = self.lock();
        let bytes = &state.files.get(name).ok_or_else(missing)?.now;
        let from = bytes.len().min(offset as usize);
        Ok(Box::new(Cursor::new(bytes[from..].to_vec())))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Out>> {
        let mut state = self.gate()?;
        if state.trouble == Trouble::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let kept = state.files.entry(name.to_owned()).or_default();
        kept.now.clear();
        kept.since.push(Change::Cut(0));
        drop(state);
        self.reopen(name)
    }

    fn reopen(&self, name: &str) -> io::Result<Box<dyn Out>> {
        self.read(name, 0)?;
        let disk = MemoryDisk { state: Arc::clone(&self.state), freed: Arc::clone(&self.freed) };
        Ok(Box::new(MemoryFile { disk, name: name.to_owned() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.gate()?;
        let kept = state.files.remove(name).ok_or_else(missing)?;
        state.removed.insert(name.to_owned(), kept);
        Ok(())
    }

    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.gate()?;
        let mut kept = state.files.remove(from).ok_or_else(missing)?;
        // One of the two is there, whatever happens.
        kept.is_entered = true;
        if let Some(old) = state.files.insert(to.to_owned(), kept) {
            state.removed.insert(to.to_owned(), old);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.gate()?;
        if state.trouble == Trouble::Unsynced {
            return Err(io::Error::other("the sync failed"));
        }
        state.removed.clear();
        for kept in state.files.values_mut() {
            kept.is_entered = true;
        }
        Ok(())
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl MemoryFile {
    fn kept<'s>(&self, state: &'s mut State) -> io::Result<&'s mut Kept> {
        state.files.get_mut(&self.name).ok_or_else(missing)
    }
}

impl Out for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.gate()?;
        let is_full = state.trouble == Trouble::Full;
        let bytes = if is_full { &bytes[..bytes.len() / 2] } else { bytes };
        let kept = self.kept(&mut state)?;
        let end = kept.now.len().max(offset as usize + bytes.len());
        kept.now.resize(end, 0);
        kept.now[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        kept.since.push(Change::Write(offset, bytes.to_vec()));
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        let mut state = self.disk.gate()?;
        let kept = self.kept(&mut state)?;
        kept.now.truncate(size as usize);
        kept.since.push(Change::Cut(size));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.gate()?;
        if state.trouble == Trouble::Unsynced {
            return Err(io::Error::other("the sync failed"));
        }
        let kept = self.kept(&mut state)?;
        kept.synced = kept.now.clone();
        kept.since.clear();
        Ok(())
    }
}
