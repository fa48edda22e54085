//! What a dialect cannot say of what another one said.
//!
//! A translation states every loss, so that a caller can see it in a header and a reader of the
//! record can tell why an answer differs. The set is closed: what is not named here must not be
//! lost.

use std::fmt;

macro_rules! losses {
    ($($name:ident = $text:literal $about:literal;)*) => {
        /// One kind of loss.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Loss {
            $(
                #[doc = $about]
                $name,
            )*
        }

        impl Loss {
            /// Every loss, by name.
            pub const ALL: &[Loss] = &[$(Loss::$name),*];

            /// The name as headers, records and documentation write it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Loss::$name => $text,)*
                }
            }

            /// What is lost.
            pub fn about(self) -> &'static str {
                match self {
                    $(Loss::$name => $about,)*
                }
            }
        }
    };
}

// One a line, sorted by name.
losses! {
    AnswerAudio = "answer-audio" "Audio that the model gave.";
    AnswerBlocks = "answer-blocks" "Blocks that only the provider's dialect knows.";
    AnswerChoices = "answer-choices" "Choices but the first.";
    AnswerCitations = "answer-citations" "Citations, annotations and grounding.";
    AnswerHostedTools = "answer-hosted-tools" "Calls of tools that the provider runs itself, and what they returned.";
    AnswerImages = "answer-images" "Images and files that the model gave.";
    AnswerLogprobs = "answer-logprobs" "Log probabilities.";
    AnswerMembers = "answer-members" "Members that only the provider's dialect knows.";
    AnswerModality = "answer-modality" "Answers in speech, or in images, that were asked for.";
    AnswerRefusal = "answer-refusal" "A refusal, told as plain text.";
    AnswerSignatures = "answer-signatures" "Signatures and ciphertext of reasoning, which only their provider can read.";
    AnswerUnread = "answer-unread" "Frames that were not understood.";
    AnswerUsage = "answer-usage" "Token counts that have no place.";
    Audio = "audio" "Audio in the prompt.";
    CacheControl = "cache-control" "Marks of what a provider should cache, and for how long.";
    CallCut = "call-cut" "A call that broke off before its arguments were whole.";
    CallInput = "call-input" "The free text that a call carries, told as a JSON object with the one member `input`.";
    CallPartialArguments = "call-partial-arguments" "A call whose arguments came in pieces by path.";
    Citations = "citations" "Citations in earlier answers, and whether documents are to be cited.";
    ConversationState = "conversation-state" "Earlier turns, cached content or a prompt template that only the provider keeps.";
    CustomTools = "custom-tools" "Tools that take free text, or its grammar; they become functions with one string.";
    DocumentForm = "document-form" "A document becomes text in the prompt, without the frame of a document.";
    DocumentTitles = "document-titles" "The title, origin or context of a document.";
    Documents = "documents" "Documents in the prompt.";
    FileIds = "file-ids" "Files that lie at the provider and are named by its id.";
    FunctionTraits = "function-traits" "What a function says of its answer, its examples, or who may call it.";
    HostedToolCalls = "hosted-tool-calls" "Earlier calls of tools that the provider runs, and what came of them.";
    HostedTools = "hosted-tools" "Tools that the provider runs itself.";
    ImageDetail = "image-detail" "How closely an image is to be looked at.";
    Images = "images" "Images in the prompt.";
    JsonObject = "json-object" "That the answer must be a JSON object of any shape.";
    LogitBias = "logit-bias" "Tokens that are favoured or avoided.";
    Logprobs = "logprobs" "Log probabilities of the answer's tokens.";
    Metadata = "metadata" "The caller's own labels on the request.";
    Names = "names" "Names of participants of a conversation.";
    OutputTokens = "output-tokens" "A limit on the answer's length that is below the least which the provider takes, and is raised to that.";
    ParallelCalls = "parallel-calls" "Whether several tools may be called at once.";
    Penalties = "penalties" "Penalties on repetition.";
    Prediction = "prediction" "A predicted answer.";
    PromptCacheKey = "prompt-cache-key" "The key of a prompt cache.";
    Reasoning = "reasoning" "Reasoning of earlier answers; only its own provider can read it.";
    ReasoningEffort = "reasoning-effort" "How hard to think: approximated, or left to the provider.";
    ReasoningSummary = "reasoning-summary" "Whether, and how, reasoning is to be told.";
    Refusals = "refusals" "That an earlier answer was a refusal; it becomes text.";
    SafetySettings = "safety-settings" "Thresholds of the provider's own filters.";
    SchemaName = "schema-name" "The name or description of a schema for the answer.";
    SchemaStrictness = "schema-strictness" "Whether a schema binds the answer, or a tool's arguments, strictly.";
    Seed = "seed" "The seed of sampling.";
    ServiceTier = "service-tier" "The provider's class of service.";
    SeveralAnswers = "several-answers" "Several answers to one request.";
    Stop = "stop" "Stop sequences, or those beyond the number that are allowed.";
    Store = "store" "That the provider keeps the answer.";
    SystemPlacement = "system-placement" "System texts between turns; they move to the front.";
    Temperature = "temperature" "The temperature, or its part above the allowed range.";
    ToolChoice = "tool-choice" "A tool that must be called, or a choice among some.";
    ToolErrors = "tool-errors" "That a tool failed; its text still says so.";
    ToolResultMedia = "tool-result-media" "Images or documents that a tool returned; they follow as the user's.";
    TopK = "top-k" "Sampling from the k likeliest tokens.";
    TopP = "top-p" "Nucleus sampling.";
    UnknownMembers = "unknown-members" "Members of the request that we do not know.";
    UnknownParts = "unknown-parts" "Parts of a turn that we do not know.";
    User = "user" "The id of the end user.";
    Verbosity = "verbosity" "How wordy the answer is to be.";
    Video = "video" "Video in the prompt.";
}

/// The losses of one translation, each once: a bit for each place in [`Loss::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses(u128);

const _: () = assert!(Loss::ALL.len() <= 128, "a loss has a bit of its own");

impl Losses {
    /// States a loss.
    pub fn add(&mut self, loss: Loss) {
        self.0 |= 1 << (loss as u32);
    }

    /// States a loss if `is_lost`.
    pub fn add_if(&mut self, is_lost: bool, loss: Loss) {
        if is_lost {
            self.add(loss);
        }
    }

    /// States all of `other` as well.
    pub fn join(&mut self, other: Losses) {
        self.0 |= other.0;
    }

    /// Whether `loss` was stated.
    pub fn has(self, loss: Loss) -> bool {
        self.0 & (1 << (loss as u32)) != 0
    }

    /// Whether nothing was lost.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// By name.
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.iter().copied().filter(move |loss| self.has(*loss))
    }
}

/// As a header's value: names with commas between.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, loss) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(loss.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_follow_the_variants() {
        let names: Vec<&str> = Loss::ALL.iter().map(|loss| loss.name()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for loss in Loss::ALL {
            let kebab: String = format!("{loss:?}")
                .chars()
                .enumerate()
                .flat_map(|(at, c)| {
                    let dash = (at > 0 && c.is_ascii_uppercase()).then_some('-');
                    dash.into_iter().chain([c.to_ascii_lowercase()])
                })
                .collect();
            assert_eq!(loss.name(), kebab);
            assert!(loss.about().ends_with('.'), "{loss:?}");
        }
    }

    #[test]
    fn a_header_names_each_once() {
        let mut losses = Losses::default();
        assert_eq!(losses.to_string(), "");
        losses.add(Loss::Seed);
        losses.add(Loss::HostedTools);
        losses.add_if(true, Loss::Seed);
        losses.add_if(false, Loss::TopK);
        assert_eq!(losses.to_string(), "hosted-tools, seed");
    }
}
