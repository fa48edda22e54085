"""Words, windows and hashed features of the injection model, exactly as src/filter/linear.rs has them.

A text becomes lower-case words, words become overlapping windows, a window becomes the set of its hashed
features, and its score is the sum of their weights over the square root of their number. A text scores as
its highest window does, so a long document does not dilute one bad paragraph.
"""

BUCKETS = 1 << 18
WINDOW = 64  # words
STRIDE = 32  # words between the starts of two windows
WORD_MAX = 24  # characters; longer runs are split
SEPARATORS = (  # beyond ASCII; ends included
    (0x80, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7),
    (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2190, 0x2BFF), (0x2E00, 0x2E7F), (0x3000, 0x3003), (0x3008, 0x3020),
    (0x3030, 0x3030), (0xE000, 0xF8FF), (0xFE10, 0xFE6F), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65), (0xFFE0, 0xFFFF), (0x1F000, 0x1FAFF),
)
IGNORED = ((0xAD, 0xAD), (0x200B, 0x200F), (0x2060, 0x2064), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xE0000, 0xE01EF))


def _in(code, ranges):
    return any(low <= code <= high for low, high in ranges)


def words(text):
    """Lower-case words: runs of ASCII letters and digits and of what is beyond ASCII and no separator."""
    out, word, count = [], [], 0
    for char in text:
        code = ord(char)
        if code < 128:
            if not char.isalnum():
                if word:
                    out.append("".join(word))
                    word, count = [], 0
                continue
            char = char.lower()
        else:
            if _in(code, IGNORED):
                continue
            if _in(code, SEPARATORS):
                if word:
                    out.append("".join(word))
                    word, count = [], 0
                continue
            if code < 0x590:
                char = char.lower()
        word.append(char)
        count += 1
        if count == WORD_MAX:
            out.append("".join(word))
            word, count = [], 0
    if word:
        out.append("".join(word))
    return out


def windows(all_words):
    if len(all_words) <= WINDOW:
        return [all_words]
    return [all_words[start : start + WINDOW] for start in range(0, len(all_words), STRIDE) if start + STRIDE < len(all_words)]


def fnv(data, state=0x811C9DC5):
    for byte in data:
        state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state


_cache = {}


def _of_word(word):
    """Features of one word alone: itself, and its runs of 4 characters with its ends marked."""
    got = _cache.get(word)
    if got is None:
        got = [fnv(b"\x01" + word.encode()) % BUCKETS]
        marked = "\x02" + word + "\x02"
        for start in range(len(marked) - 3):
            got.append(fnv(b"\x03" + marked[start : start + 4].encode()) % BUCKETS)
        if len(_cache) < 2_000_000:
            _cache[word] = got
    return got


def features(window):
    """The set of buckets of a window: words, pairs of neighbours, runs of 4 characters."""
    found = set()
    for at, word in enumerate(window):
        found.update(_of_word(word))
        if at >= 1:
            found.add(fnv(b"\x04" + window[at - 1].encode() + b"\x20" + word.encode()) % BUCKETS)
    return found
