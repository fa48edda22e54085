//! Answers that another provider goes on with.
