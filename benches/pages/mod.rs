//! Prose that no benchmark made for itself: the pages of this repository.

/// All of them.
pub const PAGES: &[&str] = &[
    include_str!("../../docs/architecture.md"),
    include_str!("../../docs/clients.md"),
    include_str!("../../docs/filters.md"),
    include_str!("../../docs/levers.md"),
    include_str!("../../docs/performance.md"),
    include_str!("../../docs/providers.md"),
    include_str!("../../docs/translation.md"),
    include_str!("../../README.md"),
];
