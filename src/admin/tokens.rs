//! Who may use the API: bearer tokens with roles, in `{data_dir}/tokens.json`.
//!
//! Only SHA-256 hashes are stored; a token has 256 random bits, so a plain hash is enough. There
//! is no state without tokens: the first boot makes one for an admin.

use super::folder::{self, Folder, FolderFault};
use crate::id::hex;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;

/// The file of hashes, in the data folder.
pub const TOKENS_FILE: &str = "tokens.json";
/// The file of the first admin's token, in the data folder.
pub const FIRST_TOKEN_FILE: &str = "admin.token";

/// The most bytes of a token that are looked at.
const TOKEN_BYTES_MAX: usize = 256;
/// The most tokens that a file may hold.
const TOKENS_MAX: usize = 10_000;

/// What a token allows; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See.
    Viewer,
    /// Contain an incident.
    Responder,
    /// Change routes and rules.
    Author,
    /// Everything, tokens included.
    Admin,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Responder, Role::Author, Role::Admin];

    /// The name as files and the API write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Responder => "responder",
            Role::Author => "author",
            Role::Admin => "admin",
        }
    }
}

/// The shape of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    tokens: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: Role,
    /// In hexadecimal.
    sha256: String,
    created: Timestamped,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamped>,
}

/// A moment as RFC 3339 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Timestamped(Timestamp);

impl TryFrom<String> for Timestamped {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Timestamped, jiff::Error> {
        text.parse().map(Timestamped)
    }
}

impl From<Timestamped> for String {
    fn from(moment: Timestamped) -> String {
        moment.0.to_string()
    }
}

/// A checked row.
#[derive(Debug)]
struct Holder {
    name: Arc<str>,
    role: Role,
    hash: [u8; 32],
    expires: Option<Timestamp>,
}

/// What is shown of a token: never itself nor its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// When it was made, as RFC 3339 text.
    pub created: String,
    /// When it ends, as RFC 3339 text.
    pub expires: Option<String>,
}

/// The tokens in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens {
    path: Arc<PathBuf>,
    holders: Arc<RwLock<Vec<Holder>>>,
}

/// The tokens, and the first admin's token if this is the first boot.
#[derive(Debug)]
pub struct Opened {
    /// The tokens in force.
    pub tokens: Tokens,
    /// To be shown once.
    pub first: Option<String>,
}

impl Tokens {
    /// Reads the tokens of `folder`; where there is no file, makes one with a token for an admin,
    /// which is also left in [`FIRST_TOKEN_FILE`].
    ///
    /// # Errors
    /// A file that cannot be read or written, that others may read, or whose content is not sound.
    pub fn open(folder: &Folder) -> Result<Opened, FolderFault> {
        let path = folder.join(TOKENS_FILE);
        let tokens = Tokens { path: Arc::new(path), holders: Arc::default() };
        let first = match folder::read_private(&tokens.path)? {
            Some(_) => None,
            None => Some(tokens.store_first(folder)?),
        };
        tokens.refresh()?;
        Ok(Opened { tokens, first })
    }

    /// Reads the file again. If that fails, what was in force stays.
    ///
    /// # Errors
    /// As [`Tokens::open`]; also a file that is gone.
    pub fn refresh(&self) -> Result<(), FolderFault> {
        let holders = self.load()?.into_iter().map(|entry| self.check(&entry));
        let holders = holders.collect::<Result<Vec<Holder>, FolderFault>>()?;
        *self.holders.write().unwrap_or_else(PoisonError::into_inner) = holders;
        Ok(())
    }

    /// Makes a token, stores its hash, and returns it; it cannot be read again.
    ///
    /// # Errors
    /// A name that is taken, or a file that cannot be written.
    pub fn issue(
        &self,
        name: &str,
        role: Role,
        expires: Option<Timestamp>,
    ) -> Result<String, FolderFault> {
        let mut entries = self.load()?;
        if name.is_empty() || entries.iter().any(|entry| entry.name == name) {
            return Err(self.unsound(format!("the name `{name}` is taken or empty")));
        }
        let token = new_token()?;
        entries.push(entry(name, role, expires, &token));
        self.store(&entries)?;
        self.refresh()?;
        Ok(token)
    }

    /// Takes a token out of force. Returns whether there was one of this name.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn revoke(&self, name: &str) -> Result<bool, FolderFault> {
        let mut entries = self.load()?;
        let before = entries.len();
        entries.retain(|entry| entry.name != name);
        if entries.len() == before {
            return Ok(false);
        }
        self.store(&entries)?;
        self.refresh()?;
        Ok(true)
    }

    /// What there is, without what is secret.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, FolderFault> {
        let listed = |entry: Entry| Listed {
            name: entry.name,
            role: entry.role,
            created: entry.created.into(),
            expires: entry.expires.map(String::from),
        };
        Ok(self.load()?.into_iter().map(listed).collect())
    }

    /// The role of a token that is in force; see [`Tokens::holder_of`].
    pub fn role_of(&self, token: &str) -> Option<Role> {
        self.holder_of(token).map(|(role, _)| role)
    }

    /// Role and name of a token that is in force. Unknown, wrong and expired ones look the same,
    /// and every hash is compared in constant time, whether one before it was equal or not.
    pub fn holder_of(&self, token: &str) -> Option<(Role, Arc<str>)> {
        let hash = sha256(token.as_bytes().get(..TOKEN_BYTES_MAX).unwrap_or(token.as_bytes()));
        let now = Timestamp::now();
        let mut found = None;
        for holder in self.holders.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let is_same = bool::from(holder.hash.ct_eq(&hash));
            let is_live = holder.expires.is_none_or(|end| now < end);
            if is_same & is_live {
                found = Some((holder.role, Arc::clone(&holder.name)));
            }
        }
        found
    }

    fn store_first(&self, folder: &Folder) -> Result<String, FolderFault> {
        let token = new_token()?;
        // This one first: if power fails between the two, the next boot makes both anew.
        folder::write_private(&folder.join(FIRST_TOKEN_FILE), format!("{token}\n").as_bytes())?;
        self.store(&[entry("first", Role::Admin, None, &token)])?;
        Ok(token)
    }

    fn load(&self) -> Result<Vec<Entry>, FolderFault> {
        let bytes = folder::read_private(&self.path)?
            .ok_or_else(|| self.unsound("it is gone".to_owned()))?;
        let file: File =
            serde_json::from_slice(&bytes).map_err(|error| self.unsound(error.to_string()))?;
        if file.version != 1 {
            return Err(self.unsound(format!("version {} is not known", file.version)));
        }
        if file.tokens.len() > TOKENS_MAX {
            return Err(self.unsound(format!("more than {TOKENS_MAX} tokens")));
        }
        Ok(file.tokens)
    }

    fn store(&self, entries: &[Entry]) -> Result<(), FolderFault> {
        let file = File { version: 1, tokens: entries.to_vec() };
        let mut text =
            serde_json::to_vec_pretty(&file).map_err(|error| self.unsound(error.to_string()))?;
        text.push(b'\n');
        folder::write_private(&self.path, &text)
    }

    fn check(&self, entry: &Entry) -> Result<Holder, FolderFault> {
        let hash = unhex(&entry.sha256).ok_or_else(|| {
            self.unsound(format!("the `sha256` of `{}` is not 64 digits", entry.name))
        })?;
        let expires = entry.expires.map(|end| end.0);
        Ok(Holder { name: entry.name.as_str().into(), role: entry.role, hash, expires })
    }

    fn unsound(&self, why: String) -> FolderFault {
        FolderFault::Unsound { path: Path::to_path_buf(&self.path), why }
    }
}

fn entry(name: &str, role: Role, expires: Option<Timestamp>, token: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        role,
        sha256: hex(&sha256(token.as_bytes())),
        created: Timestamped(Timestamp::now()),
        expires: expires.map(Timestamped),
    }
}

/// 256 random bits behind a prefix by which secret scanners can know it.
fn new_token() -> Result<String, FolderFault> {
    let mut bits = [0; 32];
    let count = rustix::rand::getrandom(&mut bits[..], rustix::rand::GetRandomFlags::empty());
    if !count.is_ok_and(|count| count == bits.len()) {
        return Err(FolderFault::Random);
    }
    Ok(format!("fdt_{}", hex(&bits)))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn open(dir: &Path) -> (Folder, Opened) {
        let folder = Folder::open(dir).unwrap();
        let opened = Tokens::open(&folder).unwrap();
        (folder, opened)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_boot_makes_an_admin_and_the_second_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, opened) = open(dir.path());
        let first = opened.first.unwrap();
        assert_eq!(opened.tokens.role_of(&first), Some(Role::Admin));
        let (tokens, admin) = (folder.join(TOKENS_FILE), folder.join(FIRST_TOKEN_FILE));
        assert_eq!((mode(&tokens), mode(&admin)), (0o600, 0o600));
        assert_eq!(std::fs::read_to_string(admin).unwrap().trim(), first);
        assert!(!std::fs::read_to_string(tokens).unwrap().contains(&first[4..]));
        drop(folder);
        let (_folder, opened) = open(dir.path());
        assert!(opened.first.is_none());
        assert_eq!(opened.tokens.role_of(&first), Some(Role::Admin));
    }

    #[test]
    fn issued_tokens_hold_until_they_expire_or_are_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let (_folder, opened) = open(dir.path());
        let tokens = opened.tokens;
        let viewer = tokens.issue("dash", Role::Viewer, None).unwrap();
        let past = Timestamp::now() - Duration::from_secs(1);
        let old = tokens.issue("old", Role::Admin, Some(past)).unwrap();
        assert_eq!(tokens.role_of(&viewer), Some(Role::Viewer));
        assert_eq!(tokens.role_of(&old), None);
        assert_eq!(tokens.role_of(""), None);
        assert_eq!(tokens.role_of(&viewer[..viewer.len() - 1]), None);
        assert_eq!(tokens.role_of(&"x".repeat(1 << 16)), None);
        assert!(tokens.issue("dash", Role::Admin, None).is_err());
        assert_eq!(tokens.list().unwrap().len(), 3);
        assert!(tokens.revoke("dash").unwrap());
        assert!(!tokens.revoke("dash").unwrap());
        assert_eq!(tokens.role_of(&viewer), None);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_unsound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, opened) = open(dir.path());
        let path = folder.join(TOKENS_FILE);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(Tokens::open(&folder), Err(FolderFault::TooOpen { .. })));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let first = opened.first.unwrap();
        for text in [
            "",
            "{}",
            r#"{"version":2,"tokens":[]}"#,
            r#"{"version":1,"tokens":[{"name":"a","role":"root","sha256":"","created":"2026-01-01T00:00:00Z"}]}"#,
            r#"{"version":1,"tokens":[{"name":"a","role":"admin","sha256":"+1","created":"2026-01-01T00:00:00Z"}]}"#,
            r#"{"version":1,"tokens":[],"extra":1}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(opened.tokens.refresh().is_err(), "{text}");
            assert_eq!(opened.tokens.role_of(&first), Some(Role::Admin), "{text}");
        }
    }
}
