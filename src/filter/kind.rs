//! What a text is, so that a rule can say which texts it is for.

/// What kind of text a channel carries. The wire room has its own and is converted at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// System or developer instructions.
    System,
    /// The user's turn.
    User,
    /// Earlier answers, sent back.
    History,
    /// A retrieved document.
    Document,
    /// What a tool returned.
    ToolResult,
    /// A tool's name, description or schema.
    ToolDefinition,
    /// The answer proper.
    Answer,
    /// Reasoning, or its summary.
    Reasoning,
    /// A refusal by the model.
    Refusal,
    /// The name of a tool that the model calls.
    ToolName,
    /// The arguments of a call.
    ToolArguments,
    /// Quoted text of a citation.
    Citation,
    /// Text in a place that is not known; it is text all the same.
    Other,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::System,
        Self::User,
        Self::History,
        Self::Document,
        Self::ToolResult,
        Self::ToolDefinition,
        Self::Answer,
        Self::Reasoning,
        Self::Refusal,
        Self::ToolName,
        Self::ToolArguments,
        Self::Citation,
        Self::Other,
    ];

    /// The name that files and records use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::History => "history",
            Self::Document => "document",
            Self::ToolResult => "tool_result",
            Self::ToolDefinition => "tool_definition",
            Self::Answer => "answer",
            Self::Reasoning => "reasoning",
            Self::Refusal => "refusal",
            Self::ToolName => "tool_name",
            Self::ToolArguments => "tool_arguments",
            Self::Citation => "citation",
            Self::Other => "other",
        }
    }

    /// Whether a model writes it while somebody waits.
    pub const fn is_read_as_written(self) -> bool {
        matches!(
            self,
            Self::Answer
                | Self::Reasoning
                | Self::Refusal
                | Self::ToolName
                | Self::ToolArguments
                | Self::Citation
                | Self::Other
        )
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Channels(u16);

impl Channels {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);

    /// This set and one kind more.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Is the kind in the set?
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Is every kind of `other` in this set?
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is no kind in the set?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Kind> for Channels {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}
