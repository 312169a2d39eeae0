//! Who may do what: the register of workspaces, people and keys as a process holds it, signing in, and the building
//! blocks of that: passwords, tokens, signed requests, secrets at rest. Opens no socket and reads no clock but the
//! one it is given; what it keeps goes through [`ports::register`].

pub mod random;
pub mod secret_text;
pub mod master_key;
pub mod passwords;
pub mod throttle;
pub mod refresh;
pub mod tokens;
pub mod external;
pub mod signatures;
pub mod failure;
pub mod control;
mod data_keys;
mod jose;
mod opened_secrets;
mod refusal_log;
mod text;

pub use control::{AccessControl, AccessParts, By, Caller, Presented, Store};
pub use failure::AccessError;
pub use secret_text::SecretText;
