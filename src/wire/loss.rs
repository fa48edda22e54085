//! What a translation cannot say.
//!
//! Nothing is left out in silence: what the caller's dialect has no place for has a name here, and
//! the names go into a header of the answer and into its record. The list is closed, so that the
//! documentation can be checked against it.

/// Something that was left out, or told in a lesser form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Audio that the model gave.
    AnswerAudio,
    /// Blocks that only the provider's dialect knows.
    AnswerBlocks,
    /// Choices but the first.
    AnswerChoices,
    /// Citations, annotations and grounding.
    AnswerCitations,
    /// Calls of tools that the provider runs itself, and what they returned.
    AnswerHostedTools,
    /// Images and files that the model gave.
    AnswerImages,
    /// Log probabilities.
    AnswerLogprobs,
    /// Members that only the provider's dialect knows.
    AnswerMembers,
    /// A refusal, told as plain text.
    AnswerRefusal,
    /// Signatures and ciphertext of reasoning, which only their provider can read.
    AnswerSignatures,
    /// Frames that were not understood.
    AnswerUnread,
    /// Token counts that have no place.
    AnswerUsage,
    /// A call that broke off before its arguments were whole.
    CallCut,
    /// The free text that a call carries, told as a JSON object with the one member `input`.
    CallInput,
    /// A call whose arguments came in pieces by path.
    CallPartialArguments,
}

impl Loss {
    /// Every loss.
    pub const ALL: [Loss; 15] = [
        Loss::AnswerAudio,
        Loss::AnswerBlocks,
        Loss::AnswerChoices,
        Loss::AnswerCitations,
        Loss::AnswerHostedTools,
        Loss::AnswerImages,
        Loss::AnswerLogprobs,
        Loss::AnswerMembers,
        Loss::AnswerRefusal,
        Loss::AnswerSignatures,
        Loss::AnswerUnread,
        Loss::AnswerUsage,
        Loss::CallCut,
        Loss::CallInput,
        Loss::CallPartialArguments,
    ];

    /// The name as headers, records and the documentation write it.
    pub fn name(self) -> &'static str {
        match self {
            Loss::AnswerAudio => "answer-audio",
            Loss::AnswerBlocks => "answer-blocks",
            Loss::AnswerChoices => "answer-choices",
            Loss::AnswerCitations => "answer-citations",
            Loss::AnswerHostedTools => "answer-hosted-tools",
            Loss::AnswerImages => "answer-images",
            Loss::AnswerLogprobs => "answer-logprobs",
            Loss::AnswerMembers => "answer-members",
            Loss::AnswerRefusal => "answer-refusal",
            Loss::AnswerSignatures => "answer-signatures",
            Loss::AnswerUnread => "answer-unread",
            Loss::AnswerUsage => "answer-usage",
            Loss::CallCut => "call-cut",
            Loss::CallInput => "call-input",
            Loss::CallPartialArguments => "call-partial-arguments",
        }
    }

    fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// A set of losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(u64);

impl Losses {
    /// Adds one.
    pub fn add(&mut self, loss: Loss) {
        self.0 |= loss.bit();
    }

    /// Whether nothing was lost.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The losses, in the order of [`Loss::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.into_iter().filter(move |loss| self.0 & loss.bit() != 0)
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: Losses) {
        self.0 |= other.0;
    }

    /// The names as one header value.
    pub fn header(self) -> String {
        self.iter().map(Loss::name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_bit_and_a_name_of_its_own() {
        assert!(Loss::ALL.len() <= 64);
        assert!(Loss::ALL.is_sorted_by(|one, other| one < other && one.name() < other.name()));
        for loss in Loss::ALL {
            let mut losses = Losses::default();
            losses.add(loss);
            assert_eq!(losses.iter().collect::<Vec<_>>(), [loss]);
            assert!(loss.name().bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()));
        }
    }

    #[test]
    fn a_header_lists_them_once_in_order() {
        let mut losses = Losses::default();
        assert!(losses.is_empty());
        losses.add(Loss::CallCut);
        losses.add(Loss::AnswerChoices);
        losses.add(Loss::CallCut);
        let mut more = Losses::default();
        more.add(Loss::AnswerImages);
        losses.merge(more);
        assert_eq!(losses.header(), "answer-choices, answer-images, call-cut");
    }
}
