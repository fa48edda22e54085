//! SipHash-2-4 over text that comes in pieces, for markers that show whether two hidden texts
//! are equal. Keyed, because the texts are short enough to be guessed.
//!
//! Rules are compiled before a process has read its key, and by processes that need none, so the
//! key is looked up when a digest begins. Without one it is all zeros: fit for trying rules out,
//! and for nothing that leaves.

use std::sync::OnceLock;

static PROCESS_KEY: OnceLock<[u8; 16]> = OnceLock::new();

/// Gives the process its key; the first one stays. Before any text is judged.
pub fn set_digest_key(key: [u8; 16]) {
    let _ = PROCESS_KEY.set(key);
}

/// The key of the process.
pub(crate) fn process_key() -> [u8; 16] {
    PROCESS_KEY.get().copied().unwrap_or_default()
}

/// A digest under way.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    v: [u64; 4],
    tail: u64,
    bytes: u64,
}

impl Digest {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        let (low, high) = key.split_at(8);
        let word = |half: &[u8]| half.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let (k0, k1) = (word(low), word(high));
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, bytes: 0 }
    }

    pub(crate) fn write(&mut self, text: &[u8]) {
        for byte in text {
            self.tail |= u64::from(*byte) << (8 * (self.bytes % 8));
            self.bytes += 1;
            if self.bytes.is_multiple_of(8) {
                self.word(self.tail);
                self.tail = 0;
            }
        }
    }

    pub(crate) fn finish(mut self) -> u64 {
        self.word(self.tail | self.bytes << 56);
        self.v[2] ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    /// The vectors of the reference implementation: key 00 to 0f, texts 00, 00 01, and so on.
    #[test]
    fn equals_the_reference() {
        let key: [u8; 16] = std::array::from_fn(|at| at as u8);
        let text: Vec<u8> = (0..15).collect();
        for (bytes, wanted) in [
            (0, 0x726f_db47_dd0e_0e31_u64),
            (1, 0x74f8_39c5_93dc_67fd),
            (8, 0x93f5_f579_9a93_2462),
            (15, 0xa129_ca61_49be_45e5),
        ] {
            let mut digest = Digest::new(&key);
            let (one, two) = text[..bytes].split_at(bytes / 3);
            digest.write(one);
            digest.write(two);
            assert_eq!(digest.finish(), wanted, "{bytes} bytes");
        }
    }
}
