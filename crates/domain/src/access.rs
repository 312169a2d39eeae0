//! Who may do what: rights, the texts of credentials, the records of workspaces, people and keys, and the audit
//! log. Everything here decides from what it is given; nothing reads a store, a clock or the network.

pub mod rights;
pub mod ids;
pub mod email;
pub mod key_text;
pub mod address;
pub mod record;
pub mod removal;
pub mod audit;
pub mod erased_details;
pub mod principal;
pub mod register;
