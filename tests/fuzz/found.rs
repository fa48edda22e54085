//! What fuzzing found, each with its story.
