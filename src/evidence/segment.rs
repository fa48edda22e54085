//! What the first and the last line of a segment say, and what a seal signs.
//!
//! The first line (`segment`) repeats what the store knows of its past: how the segment before was
//! sealed and whose lines it has, which exchanges are under way, which segments were retired and from
//! which lines were erased. So the newest segment alone tells what was there, and retention needs to
//! read no more than first lines.

use super::digits::unhex;
use super::key::{PublicKey, SealKey};
use super::line::{Chain, Head, Members};
use super::share::{Erased, Shares, Whose};
use crate::id::{ExchangeId, RouteName, hex};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io;

/// What a signature is over, and of which version.
const SEAL_TITLE: &str = "firedoor evidence seal 1";
const RESEAL_TITLE: &str = "firedoor evidence reseal 1";

/// What a segment says first.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Header {
    /// Names the store.
    pub store: String,
    /// The segment's number.
    pub segment: u64,
    /// The key that will seal it, in hexadecimal digits.
    pub public_key: String,
    /// How the segment before it ended; none for the first.
    pub previous: Option<Sealed>,
    /// Exchanges that have an `open` in an earlier segment and no `close`.
    pub under_way: Vec<String>,
    /// Of which route they are, by their places in that list; those of no route are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub under_way_of: BTreeMap<String, Vec<usize>>,
    /// The numbers of segments that were retired.
    pub retired: Ranges,
    /// The numbers of segments that are still there and from which a route's lines were erased.
    #[serde(default, skip_serializing_if = "Erased::is_empty")]
    pub erased: Erased,
}

impl Header {
    /// To whom belongs what goes on in the segment.
    pub(super) fn whose(&self) -> HashMap<ExchangeId, Whose> {
        let mut all: Vec<(Option<ExchangeId>, Whose)> =
            self.under_way.iter().map(|id| (ExchangeId::parse(id), Whose::default())).collect();
        for (route, places) in &self.under_way_of {
            let before = self.previous.as_ref();
            let keep_days = before.and_then(|before| before.shares.keep_days(route));
            for place in places {
                if let Some((_, whose)) = all.get_mut(*place) {
                    *whose = Whose { route: Some(RouteName::new(route)), keep_days };
                }
            }
        }
        all.into_iter().filter_map(|(id, whose)| Some((id?, whose))).collect()
    }
}

/// A segment that is complete.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Sealed {
    /// Its number.
    pub number: u64,
    /// The number of its first line.
    pub first_seq: u64,
    /// The number of its last line, the seal.
    pub last_seq: u64,
    /// The earliest moment that a line of it names, in milliseconds since the Unix epoch.
    pub first_unix_ms: u64,
    /// The latest.
    pub last_unix_ms: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// The chain after its last line.
    pub chain: String,
    /// The signature of its seal; none where it was found damaged and could not be sealed.
    pub signature: Option<String>,
    /// Whose lines it has; none where that was not told yet.
    #[serde(default, skip_serializing_if = "Shares::is_empty")]
    pub shares: Shares,
    /// Until when a route wants the whole of it kept, in milliseconds since the Unix epoch: told by
    /// stores that did not tell shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until_unix_ms: Option<u64>,
}

/// What a segment says last.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Seal {
    /// The segment's number.
    pub segment: u64,
    /// Lines before the seal.
    pub records: u64,
    /// The number of the first of them.
    pub first_seq: u64,
    /// The number of the last of them.
    pub last_seq: u64,
    /// The chain after the last of them.
    pub last_chain: String,
    /// The key, in hexadecimal digits.
    pub public_key: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl Seal {
    /// Seals a segment of `store`.
    ///
    /// # Errors
    /// Signing fails.
    pub(super) fn sign(
        key: &SealKey,
        store: &str,
        segment: u64,
        records: u64,
        (first_seq, last_seq): (u64, u64),
        chain: Chain,
    ) -> io::Result<Seal> {
        let mut seal = Seal {
            segment,
            records,
            first_seq,
            last_seq,
            last_chain: chain.to_string(),
            public_key: hex(&key.public().0),
            signature: String::new(),
        };
        seal.signature = hex(&key.sign(seal.message(store).as_bytes())?);
        Ok(seal)
    }

    /// The bytes that are signed.
    pub fn message(&self, store: &str) -> String {
        format!(
            "{SEAL_TITLE}\nstore {store}\nsegment {}\nrecords {}\nfirst {}\nlast {}\nchain {}\n",
            self.segment, self.records, self.first_seq, self.last_seq, self.last_chain
        )
    }

    /// Whether one of `keys` signed it.
    pub fn is_signed(&self, store: &str, keys: &[PublicKey]) -> bool {
        is_signed(&self.signature, &self.message(store), keys)
    }
}

fn is_signed(signature: &str, message: &str, keys: &[PublicKey]) -> bool {
    let Some(signature) = unhex::<64>(signature.as_bytes()) else { return false };
    keys.iter().any(|key| key.verifies(message.as_bytes(), &signature))
}

/// What stands behind the seal of a segment from which lines were erased.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Reseal {
    /// The segment's number.
    pub segment: u64,
    /// When lines were erased last, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The numbers of the lines that were erased.
    pub erased: Ranges,
    /// BLAKE3 of the lines that stand in their places, line ends included.
    pub places: String,
    /// The key, in hexadecimal digits.
    pub public_key: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl Reseal {
    /// Signs for what was erased from a segment of `store`.
    ///
    /// # Errors
    /// Signing fails.
    pub(super) fn sign(
        key: &SealKey,
        store: &str,
        segment: u64,
        at_unix_ms: u64,
        erased: Ranges,
        places: &blake3::Hasher,
    ) -> io::Result<Reseal> {
        let mut reseal = Reseal {
            segment,
            at_unix_ms,
            erased,
            places: hex(places.finalize().as_bytes()),
            public_key: hex(&key.public().0),
            signature: String::new(),
        };
        reseal.signature = hex(&key.sign(reseal.message(store).as_bytes())?);
        Ok(reseal)
    }

    /// The bytes that are signed.
    pub fn message(&self, store: &str) -> String {
        let mut message = format!(
            "{RESEAL_TITLE}\nstore {store}\nsegment {}\nat {}\nplaces {}\n",
            self.segment, self.at_unix_ms, self.places
        );
        for (first, last) in self.erased.iter() {
            let _ = writeln!(message, "erased {first} {last}");
        }
        message
    }

    /// Whether one of `keys` signed it.
    pub fn is_signed(&self, store: &str, keys: &[PublicKey]) -> bool {
        is_signed(&self.signature, &self.message(store), keys)
    }

    /// Appends its line, which stands behind the seal with the seal's number: `seal` is that and the
    /// chain after it. The line that follows in the store has the next number, in another segment.
    pub(super) fn write(&self, mut seal: Head, out: &mut Vec<u8>) {
        seal.write(out, self.at_unix_ms, "reseal", None, |line| members(line, self));
    }
}

/// What was found after an end that was not clean.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Recovered {
    /// The segment that was the last.
    pub segment: u64,
    /// Bytes of a write that was cut short; they are cut off.
    pub cut_bytes: u64,
    /// Whether the segment is damaged elsewhere than at its end: then it was left as it is.
    pub damaged: bool,
    /// Exchanges whose record has no end.
    pub unfinished: Vec<String>,
}

/// Appends the members of a line.
pub(super) fn members(members: &mut Members<'_>, value: &impl Serialize) {
    // All these are structures, and all their members are told one by one.
    if let Ok(serde_json::Value::Object(object)) = serde_json::to_value(value) {
        for (name, value) in &object {
            members.value(name, value);
        }
    }
}

/// Numbers, as ranges from first to last.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        let at = self.0.partition_point(|(_, last)| last.saturating_add(1) < number);
        match self.0.get_mut(at) {
            Some((first, last)) if number.saturating_add(1) >= *first => {
                *first = number.min(*first);
                *last = number.max(*last);
            }
            Some(_) | None => self.0.insert(at, (number, number)),
        }
        if let (Some((_, last)), Some((first, end))) = (self.0.get(at), self.0.get(at + 1))
            && last.saturating_add(1) == *first
        {
            let end = *end;
            self.0[at].1 = end;
            self.0.remove(at + 1);
        }
    }

    /// Adds all numbers of `other`.
    pub fn join(&mut self, other: &Ranges) {
        self.0.extend(other.0.iter().filter(|(first, last)| first <= last));
        self.0.sort_unstable();
        self.0.dedup_by(|(first, last), (_, end)| {
            let is_near = *first <= end.saturating_add(1);
            if is_near {
                *end = (*end).max(*last);
            }
            is_near
        });
    }

    /// Takes those out that are not to be kept.
    pub(super) fn keep_only(&mut self, is_kept: impl Fn(u64) -> bool) {
        let was = std::mem::take(self);
        for (first, last) in was.0 {
            for number in (first..=last).filter(|number| is_kept(*number)) {
                self.insert(number);
            }
        }
    }

    /// Whether all numbers from `first` to `last` are in it.
    pub fn covers(&self, first: u64, last: u64) -> bool {
        self.0.iter().any(|(begin, end)| *begin <= first && last <= *end)
    }

    /// Adds a range behind all others.
    pub(super) fn extend(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some((_, end)) if end.saturating_add(1) == first => *end = last,
            _ => self.0.push((first, last)),
        }
    }

    /// Whether a number is in it.
    pub fn has(&self, number: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// How many numbers are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (first, last)| {
            sum.saturating_add(last.saturating_sub(*first).saturating_add(1))
        })
    }

    /// The ranges, each from its first number to its last.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_sets(numbers in proptest::collection::vec(0_u64..30, 0..40)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                ranges.insert(number);
                set.insert(number);
            }
            prop_assert!((0..32).all(|number| ranges.has(number) == set.contains(&number)));
            let mut even = ranges.clone();
            even.keep_only(|number| number % 2 == 0);
            prop_assert!((0..32).all(|n| even.has(n) == (n % 2 == 0 && set.contains(&n))));
            for (first, last) in [(3, 3), (4, 6), (0, 29)] {
                let is_in = (first..=last).all(|number| set.contains(&number));
                prop_assert_eq!(ranges.covers(first, last), is_in);
            }
            prop_assert_eq!(ranges.count(), set.len() as u64);
            prop_assert!(ranges.0.is_sorted());
            prop_assert!(ranges.0.windows(2).all(|two| two[0].1 + 1 < two[1].0));
            let mut joined = Ranges(vec![(3, 7)]);
            joined.join(&ranges);
            for number in 3..=7 {
                ranges.insert(number);
            }
            prop_assert_eq!(joined, ranges);
        }
    }
}
