//! Firedoor: an inline LLM gateway that can stop a model incident in milliseconds and prove it.
//!
//! This file is the map. A room is a module; a room imports only rooms on lower floors, rooms on
//! one floor never import each other, and `tests/floors.rs` fails on a breach.
//!
//! | Floor | Room | One sentence |
//! |---|---|---|
//! | 0 | [`id`] [`clock`] [`stage`] [`fault`] | identity newtypes, injected time, names of the hops, the one error that crosses rooms |
//! | 0 | [`filter`] | given text on a channel, how far it is clear, what to edit, whether to cut |
//! | 1 | [`wire`] | provider bytes to events and back; one folder per dialect; SSE framing |
//! | 2 | [`table`] | files and levers become an immutable table, or the full list of diagnostics |
//! | 3 | [`exchange`] | the state machine of one request and its stream: inputs in, outputs out, no I/O |
//! | 4 | [`control`] | the switchboard, the only holder of the live table; the lever desk and its durable log |
//! | 4 | [`evidence`] | the record of what passed: tap, segments, chain and seals, verification |
//! | 4 | [`telemetry`] | metrics and spans with closed label sets; the ring of recent exchanges |
//! | 5 | [`proxy`] | the only room with client and provider sockets: accept, drive an exchange, dial, drain |
//! | 6 | [`replay`] | recorded exchanges again, through the same code; rules over the whole record; the record as a provider |
//! | 7 | [`admin`] | the HTTP API |
//! | 8 | [`app`] | rooms built and run, from a configuration to a serving process and back |
//! | 9 | [`cli`] | arguments in, one room called, an exit code out |
//!
//! Floors 0 to 3 have no async, sockets, wall clock, randomness or metrics, so that replay and
//! property tests run the very code that production runs.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod control;
pub mod evidence;
pub mod exchange;
pub mod fault;
pub mod filter;
pub mod id;
pub mod proxy;
pub mod replay;
pub mod stage;
pub mod table;
pub mod telemetry;
pub mod wire;
