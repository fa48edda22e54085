//! Built-in texts: plain English, to say what a rule would hold, and text without structure, to
//! find rules whose states multiply. Both also warm the caches.

/// Plain English of several kinds, written for this purpose.
pub(crate) const ENGLISH: &str = include_str!("sample.txt");

/// Eight kilobytes of letters, digits and separators without structure.
pub(crate) fn hostile() -> impl Iterator<Item = u8> {
    const LETTERS: &[u8] =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/-_.@: ";
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    (0..8192_u32).map(move |place| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let among = if place < 4096 { 64 } else { LETTERS.len() };
        LETTERS.get(seed as usize % among).copied().unwrap_or(b' ')
    })
}
