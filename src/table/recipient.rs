//! For whom originals are sealed: public keys of the age format, of which the gate has no other half.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use bech32::Hrp;
use bech32::primitives::decode::CheckedHrpstring;

/// An X25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient(pub [u8; 32]);

impl Recipient {
    /// Reads `age1…`. A point of low order is none: nothing could be sealed for it.
    pub fn parse(text: &str) -> Option<Recipient> {
        let key = bech32_key(text, "age")?;
        let any = PrivateKey::from_private_key(&X25519, &[1; 32]).ok()?;
        agreement::agree(&any, UnparsedPublicKey::new(&X25519, key), (), |_| Ok(())).ok()?;
        Some(Recipient(key))
    }
}

/// The key that `text` is in Bech32 (BIP 173), whose prefix is `prefix`.
pub(crate) fn bech32_key(text: &str, prefix: &str) -> Option<[u8; 32]> {
    let parsed = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
    // The rule for the bits behind the last byte is BIP 173's own, whatever its name here.
    parsed.validate_segwit_padding().ok()?;
    if parsed.hrp() != Hrp::parse(prefix).ok()? {
        return None;
    }
    parsed.byte_iter().collect::<Vec<u8>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bech32::Bech32;
    use bech32::primitives::gf32::Fe32;
    use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};

    fn written(bytes: &[u8], last: Fe32) -> String {
        let hrp = Hrp::parse("age").unwrap();
        let mut all: Vec<Fe32> = bytes.iter().copied().bytes_to_fes().collect();
        *all.last_mut().unwrap() += last;
        all.into_iter().with_checksum::<Bech32>(&hrp).chars().collect()
    }

    #[test]
    fn a_recipient_has_one_form() {
        let text = written(&[9; 32], Fe32::Q);
        assert_eq!(Recipient::parse(&text), Some(Recipient([9; 32])));
        assert_eq!(Recipient::parse(&text.to_uppercase()), Some(Recipient([9; 32])));
        let (prefix, rest) = text.split_at(10);
        let mixed = prefix.to_uppercase() + rest;
        // The bits behind the last byte are not zero.
        let padded = written(&[9; 32], Fe32::P);
        for text in [mixed, padded, written(&[9; 31], Fe32::Q), written(&[9; 33], Fe32::Q)] {
            assert_eq!(Recipient::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn nobody_is_a_recipient_for_whom_nothing_can_be_sealed() {
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert_eq!(Recipient::parse(&written(&point, Fe32::Q)), None);
        }
    }
}
