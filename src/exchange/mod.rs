//! The decisions of one request and its stream: inputs in, outputs out, no I/O.
//!
//! An exchange passes through these in order, each a pure step that the driver in `proxy/` feeds
//! and whose outcome it performs:
//!
//! 1. [`admit`]: a head becomes an admission (surface, provider prefix, app), or a refusal;
//! 2. [`identity`]: headers and body hints become who is asking;
//! 3. [`passed`]: how much is read of a body of no dialect, and the model that it names;
//! 4. [`limits`]: what it uses is counted, and [`calls`] of tools too;
//! 5. [`attempts`] and [`circuit`]: which target is tried when, and when it is over;
//! 6. [`forward`]: the request as the provider gets it, the answer's head as the client gets it;
//! 7. [`relay`]: the answer's stream on its way through;
//! 8. [`facts`]: what is known when it is over.
//!
//! [`sigv4`] signs a request where the provider is AWS, when all else of it stands.
//! [`simulated`] is the answer of a model that needs no provider.

pub mod admit;
pub mod attempts;
pub mod calls;
pub mod circuit;
pub mod facts;
pub mod forward;
pub mod identity;
pub mod keepable;
pub mod limits;
pub mod passed;
pub mod relay;
pub mod screen;
pub mod sigv4;
pub mod simulated;
