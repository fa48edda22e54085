//! The keys that seal segments, Ed25519.
//!
//! The private one lies in the data folder (`evidence.key`, PKCS#8 in PEM, mode 0600). The public
//! ones lie beside the segments (`key.pub`, SubjectPublicKeyInfo in PEM, the newest last), so that
//! `openssl` reads both. Where the private key was lost, a new one is made and its public half
//! added: segments that the old one sealed are still verified.

use super::digits::{base64, unbase64};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The private key's file, in the data folder.
pub const KEY_FILE: &str = "evidence.key";
/// The public keys' file, beside the segments.
pub const PUBLIC_KEY_FILE: &str = "key.pub";

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0];

/// The most bytes of a key file that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Verifies seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether `signature` is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }

    /// The key in PEM.
    pub fn pem(&self) -> String {
        let mut der = SPKI_PREFIX.to_vec();
        der.extend_from_slice(&self.0);
        pem("PUBLIC KEY", &der)
    }

    /// All keys in a text of PEM blocks.
    ///
    /// # Errors
    /// There is none, or a block is no Ed25519 key.
    pub fn parse(text: &str) -> Result<Vec<PublicKey>, String> {
        let blocks = blocks(text, "PUBLIC KEY")?;
        if blocks.is_empty() {
            return Err("it has no `-----BEGIN PUBLIC KEY-----`".to_owned());
        }
        let key = |der: &Vec<u8>| {
            der.strip_prefix(&SPKI_PREFIX)
                .and_then(|key| key.try_into().ok())
                .map(PublicKey)
                .ok_or_else(|| "it has a key that is not Ed25519".to_owned())
        };
        blocks.iter().map(key).collect()
    }

    /// The keys in a file.
    ///
    /// # Errors
    /// It cannot be read or is no file of keys; the words say which file.
    pub fn read(path: &Path) -> Result<Vec<PublicKey>, String> {
        let text = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        PublicKey::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }
}

/// Seals segments.
pub struct SealKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealKey").field(&self.public).finish()
    }
}

impl SealKey {
    /// A new key.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn generate() -> io::Result<SealKey> {
        let pair = Ed25519KeyPair::generate().map_err(|_| other("no key could be made"))?;
        SealKey::of(pair)
    }

    #[cfg(test)]
    pub(super) fn from_seed(seed: &[u8; 32]) -> SealKey {
        SealKey::of(Ed25519KeyPair::from_seed_unchecked(seed).unwrap()).unwrap()
    }

    /// The key of a data folder, made where there is none, and its public half beside the
    /// segments in `evidence`.
    ///
    /// # Errors
    /// A file that cannot be read or written, or that holds no key.
    pub fn open(data_dir: &Path, evidence: &Path) -> io::Result<SealKey> {
        let key = if let Some(key) = SealKey::find(data_dir)? {
            key
        } else {
            let key = SealKey::generate()?;
            write_private(&data_dir.join(KEY_FILE), &key.pem()?)?;
            key
        };
        key.publish(&evidence.join(PUBLIC_KEY_FILE))?;
        Ok(key)
    }

    /// The key of a data folder, if it has one; nothing is written.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no key.
    pub fn find(data_dir: &Path) -> io::Result<Option<SealKey>> {
        let path = data_dir.join(KEY_FILE);
        match read(&path) {
            Ok(text) => SealKey::parse(&text)
                .map(Some)
                .map_err(|why| other(&format!("{}: {why}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(other(&format!("{}: {error}", path.display()))),
        }
    }

    fn of(pair: Ed25519KeyPair) -> io::Result<SealKey> {
        let bytes = pair.public_key().as_ref().try_into();
        let public = PublicKey(bytes.map_err(|_| other("a public key has 32 bytes"))?);
        Ok(SealKey { pair, public })
    }

    fn parse(text: &str) -> io::Result<SealKey> {
        let found = blocks(text, "PRIVATE KEY").map_err(|why| other(&why))?;
        let der = found.first().ok_or_else(|| other("it has no `-----BEGIN PRIVATE KEY-----`"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map_err(|why| other(&format!("it is no Ed25519 key in PKCS#8: {why}")))?;
        SealKey::of(pair)
    }

    fn pem(&self) -> io::Result<String> {
        let der = self.pair.to_pkcs8v1().map_err(|_| other("the key cannot be written"))?;
        Ok(pem("PRIVATE KEY", der.as_ref()))
    }

    /// Adds the public half to the file of public keys, if it is not there.
    fn publish(&self, path: &Path) -> io::Result<()> {
        let known = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(other(&format!("{}: {error}", path.display()))),
        };
        if PublicKey::parse(&known).is_ok_and(|keys| keys.contains(&self.public)) {
            return Ok(());
        }
        write_private(path, &(known + &self.public.pem()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]> {
        let signature = self.pair.try_sign(message).map_err(|_| other("signing failed"))?;
        signature.as_ref().try_into().map_err(|_| other("a signature has 64 bytes"))
    }
}

fn other(why: &str) -> io::Error {
    io::Error::other(why)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, FILE_BYTES_MAX), &mut text)?;
    Ok(text)
}

/// Writes a file whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = Path::new(&name);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in base64(der).as_bytes().chunks(64) {
        out.extend(line.iter().map(|letter| char::from(*letter)));
        out.push('\n');
    }
    out + "-----END " + label + "-----\n"
}

/// The contents of the PEM blocks of one label (RFC 7468).
fn blocks(text: &str, label: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, after) = after.split_once(&end).ok_or("a PEM block has no end")?;
        let letters: String = body.split_ascii_whitespace().collect();
        found.push(unbase64(&letters).ok_or("a PEM block is not base64")?);
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = SealKey::open(folder.path(), folder.path()).unwrap();
        let second = SealKey::open(folder.path(), folder.path()).unwrap();
        assert_eq!(first.public(), second.public());
        let published = PublicKey::read(&folder.path().join(PUBLIC_KEY_FILE)).unwrap();
        assert_eq!(published, [first.public()]);
        let mode = folder.path().join(KEY_FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let signature = second.sign(b"said").unwrap();
        assert!(first.public().verifies(b"said", &signature));
        assert!(!first.public().verifies(b"Said", &signature));
    }

    #[test]
    fn a_lost_key_leaves_its_public_half() {
        let folder = tempfile::tempdir().unwrap();
        let old = SealKey::open(folder.path(), folder.path()).unwrap();
        fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        let new = SealKey::open(folder.path(), folder.path()).unwrap();
        assert_ne!(old.public(), new.public());
        let published = PublicKey::read(&folder.path().join(PUBLIC_KEY_FILE)).unwrap();
        assert_eq!(published, [old.public(), new.public()]);
    }

    #[test]
    fn a_damaged_key_is_told_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        for text in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            fs::write(&path, text).unwrap();
            let error = SealKey::open(folder.path(), folder.path()).unwrap_err().to_string();
            assert!(error.contains(KEY_FILE), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
