//! Reads the usage object that a provider of models returns with an answer: which of the known shapes
//! it has, and how many tokens it says. Pure; decides nothing about where such an object may stand.
//! The shape decides how an object is read; the name of a provider only breaks ties.

mod count;
mod members;
mod tokens;
mod shapes;
mod response;
#[cfg_attr(not(test), expect(dead_code, reason = "called by the protocols that send these, which are yet to come"))]
mod protocols;

pub(crate) use members::{Members, is_telling};
pub(crate) use response::response;
pub(crate) use shapes::{read, read_members};
pub(crate) use tokens::{ProviderUsage, Reading};

#[cfg(test)]
mod tests;
