//! Edits of a body that leave every byte around them as it came.

use std::ops::Range;

/// Bytes to put in the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What goes; an empty range inserts.
    pub place: Range<usize>,
    /// What comes.
    pub with: Vec<u8>,
}

/// What becomes of an element of an array, or a member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays, with these edits inside it.
    Keep(Vec<Edit>),
    /// It goes, with the comma that it needs no more.
    Remove,
}

impl Fate {
    /// It stays as it is.
    pub(crate) const AS_IT_IS: Fate = Fate::Keep(Vec::new());
}

/// What is left of a list, and how it comes to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sifted {
    /// How many items stay.
    pub(crate) kept: usize,
    /// How many go.
    pub(crate) removed: usize,
    /// The edits.
    pub(crate) edits: Vec<Edit>,
}

/// The edits that give the items of one list, in order, their fates.
pub(crate) fn sift(items: Vec<(Range<usize>, Fate)>) -> Sifted {
    let mut sifted = Sifted::default();
    let first_kept = items.iter().position(|(_, fate)| *fate != Fate::Remove);
    let Some(first_kept) = first_kept else {
        sifted.removed = items.len();
        if let (Some((first, _)), Some((last, _))) = (items.first(), items.last()) {
            sifted.edits.push(Edit { place: first.start..last.end, with: Vec::new() });
        }
        return sifted;
    };
    let lead = items.get(..first_kept).and_then(|lead| lead.first()).map(|(place, _)| place.start);
    let mut end = 0;
    for (at, (place, fate)) in items.into_iter().enumerate() {
        match fate {
            Fate::Keep(edits) => {
                sifted.kept += 1;
                if at == first_kept
                    && let Some(start) = lead
                {
                    sifted.edits.push(Edit { place: start..place.start, with: Vec::new() });
                }
                sifted.edits.extend(edits);
            }
            Fate::Remove => {
                sifted.removed += 1;
                if at > first_kept {
                    sifted.edits.push(Edit { place: end..place.end, with: Vec::new() });
                }
            }
        }
        end = place.end;
    }
    sifted
}

/// The body with `edits`, which do not overlap.
pub(crate) fn splice(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.place.start);
    let more: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + more);
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(body.get(from..edit.place.start).unwrap_or(b""));
        out.extend_from_slice(&edit.with);
        from = edit.place.end;
    }
    out.extend_from_slice(body.get(from..).unwrap_or(b""));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subset_leaves_a_list() {
        let body = b"[ 10 ,\t20,30 , 40 ]";
        let places = [2..4, 7..9, 10..12, 15..17];
        for removed in 0..16u32 {
            let items: Vec<_> = places
                .iter()
                .enumerate()
                .map(|(at, place)| {
                    let goes = removed >> at & 1 == 1;
                    (place.clone(), if goes { Fate::Remove } else { Fate::AS_IT_IS })
                })
                .collect();
            let sifted = sift(items);
            let left: Vec<u32> =
                serde_json::from_slice(&splice(body, sifted.edits.clone())).unwrap();
            let expected: Vec<u32> =
                (0..4).filter(|at| removed >> at & 1 == 0).map(|at| (at + 1) * 10).collect();
            assert_eq!(left, expected, "{removed:b}");
            assert_eq!((sifted.kept, sifted.removed), (left.len(), 4 - left.len()));
        }
    }
}
