//! For whom originals are sealed: public keys of the age format, of which the gate has no other half.

use bech32::Hrp;
use bech32::primitives::decode::CheckedHrpstring;

/// An X25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recipient(pub [u8; 32]);

impl Recipient {
    /// Reads `age1…` (Bech32, BIP 173).
    pub fn parse(text: &str) -> Option<Recipient> {
        let parsed = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
        if parsed.hrp() != Hrp::parse("age").ok()? {
            return None;
        }
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        bytes.try_into().ok().map(Recipient)
    }
}
