//! Which bytes of a text are of a kind, for 64 of them at once.

/// How many bytes a word has a bit for.
pub(crate) const BLOCK: usize = 64;

/// A bit for every byte of `block` that `is_own` takes, the first the lowest. `is_own` has no branches, so that the
/// compiler asks it of many bytes at once.
#[inline]
pub(crate) fn block_bits(block: &[u8; BLOCK], is_own: impl Fn(u8) -> bool) -> u64 {
    /// Moves the lowest bit of each byte into the highest byte, in their order.
    const TOGETHER: u64 = 0x0102_0408_1020_4080;
    let mut own = [0; BLOCK];
    for (own, byte) in own.iter_mut().zip(block) {
        *own = u8::from(is_own(*byte));
    }
    let (words, _) = own.as_chunks::<8>();
    words.iter().enumerate().fold(0, |bits, (at, word)| {
        let word = u64::from_le_bytes(*word).wrapping_mul(TOGETHER);
        bits | (word >> 56) << (8 * at)
    })
}

/// [`block_bits`] of each [`BLOCK`] bytes of a text. `is_own` takes no NUL, which fills the last of them.
#[inline]
pub(super) fn bits(text: &[u8], is_own: impl Fn(u8) -> bool) -> impl Iterator<Item = u64> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(last);
    blocks.iter().copied().chain(last).map(move |block| block_bits(&block, &is_own))
}

/// ASCII letters and digits.
#[inline]
pub(super) fn is_alphanumeric(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10)
}

/// Whether 16 bytes of a text in a row are ones that `is_own` takes.
pub(super) fn has_16(text: &[u8], is_own: impl Fn(u8) -> bool) -> bool {
    let mut before = 0;
    bits(text, is_own).any(|bits| {
        // With the last 16 before it, what goes on over the border of two blocks is seen.
        let mut run = u128::from(bits) << 16 | u128::from(before >> (BLOCK - 16));
        before = bits;
        for step in [1, 2, 4, 8] {
            run &= run >> step;
        }
        run != 0
    })
}
