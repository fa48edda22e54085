//! JSON objects as lists of members that borrow from their frame.
//!
//! Every member is kept, in its order and verbatim, so that what is not understood can be carried
//! on, and a member that stands twice is seen to stand twice.

use crate::wire::json::Raw;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Up to so many members are compared with each other; more are sorted.
const FEW: usize = 16;

/// A frame, or a part of it, that is not what the dialect says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A member that is carried on as it came.
pub(super) type Extra<'a> = (Cow<'a, str>, Raw<'a>);

/// The members of one object, in their order.
pub(super) type Members<'a> = SmallVec<[Extra<'a>; 10]>;

/// The members of an object, none of which stands twice: another reader might take the other one.
pub(super) fn members(object: Raw<'_>) -> Result<Members<'_>, Unreadable> {
    let members = members_loosely(object)?;
    let is_twice = if members.len() <= FEW {
        members
            .iter()
            .enumerate()
            .any(|(at, (name, _))| members[..at].iter().any(|(earlier, _)| earlier == name))
    } else {
        let mut sorted: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[0] == pair[1])
    };
    if is_twice { Err(Unreadable) } else { Ok(members) }
}

/// The members of an object, also those that stand twice.
pub(super) fn members_loosely(object: Raw<'_>) -> Result<Members<'_>, Unreadable> {
    let members: Members<'_> = object.members().collect();
    // A half of a surrogate pair is no character: such a name could not be written again.
    let is_broken = |name: &Cow<'_, str>| matches!(name, Cow::Owned(n) if n.contains('\u{FFFD}'));
    let is_readable = object.is_object() && !members.iter().any(|(name, _)| is_broken(name));
    if is_readable { Ok(members) } else { Err(Unreadable) }
}

/// The elements of an array.
pub(super) fn elements(array: Raw<'_>) -> Result<SmallVec<[Raw<'_>; 2]>, Unreadable> {
    if array.is_array() { Ok(array.elements().collect()) } else { Err(Unreadable) }
}

/// The value, unless it is `null`.
pub(super) fn some(raw: Option<Raw<'_>>) -> Option<Raw<'_>> {
    raw.filter(|raw| raw.get() != "null")
}
