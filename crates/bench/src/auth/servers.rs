//! The two servers that are compared.

use crate::server::Server;

/// Two servers that differ in their register alone.
pub(crate) struct Servers {
    /// With an empty one: requests present nothing, which opens the built-in tenant in profile `dev`.
    pub(crate) empty: Server,
    /// With many keys, which requests present in turns.
    pub(crate) full: Server,
}
