//! The HTTP API of the admin plane.
//!
//! Served on a listener of its own and on a unix socket in the data folder. One table
//! ([`endpoints`]) gives every route its method and the role it takes; the router is made from it,
//! so a route without an entry does not exist. Order on each request: `guard` checks the host
//! and the origin, the matched route's own row decides on the token, then the handler runs. What
//! goes wrong is told as `application/problem+json` (RFC 9457).
//!
//! This room has the API's types; the rooms below know nothing of them. It decides nothing about
//! traffic and is never on the data path.

mod blast;
mod body;
pub mod client;
mod desk;
pub mod endpoints;
mod events;
mod evidence;
pub mod folder;
mod guard;
mod holds;
mod levers;
pub mod problem;
mod read;
mod reload;
pub mod rules;
mod runs;
mod said;
pub mod serve;
mod sessions;
pub mod state;
pub mod tokens;
mod view;

pub use desk::{Access, Door};
pub use endpoints::{ENDPOINTS, router};
pub use evidence::note_table;
pub use folder::Folder;
pub use serve::{serve_tcp, serve_unix};
pub use state::{Listener, Parts, State};
pub use tokens::{Role, Tokens};

/// The API's description, OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("openapi.json");
