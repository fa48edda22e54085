//! Which text of an answer a piece of text belongs to.

use crate::wire::event::Channel;

/// One text that runs over frames: a channel's, or that of a member which is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    /// The channel; of members that are not understood, with whose end they end.
    pub(super) channel: Channel,
    /// 0 for the channel's own text, else a number for the member.
    pub(super) member: u64,
}

impl From<Channel> for Line {
    fn from(channel: Channel) -> Line {
        Line { channel, member: 0 }
    }
}
