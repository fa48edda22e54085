//! The switchboard and the lever desk: what is live, and who may change it.
//!
//! The switchboard is the only holder of the live table and the only place that publishes one.
//! Start, a changed file, SIGHUP and the API all take one path: read, prepare, publish. Preparing
//! may fail and changes nothing; publishing cannot fail.
//!
//! The desk keeps levers: durable in the control log before they are published, published before
//! they reach what is under way.

pub mod clocks;
pub mod desk;
pub mod fold;
pub mod hold;
pub mod last_known;
pub mod log;
pub mod notes;
pub mod open;
pub mod switchboard;
pub mod tally;

pub use desk::{
    Actor, Condition, HoldOrder, LeverDesk, LeverFault, Notice, Order, Pulled, Reach, Ruled,
};
pub use fold::Demoted;
pub use hold::Hold;
pub use open::{OpenFault, WithoutLog, open};
pub use switchboard::{Reload, Switchboard, lookup, source};
