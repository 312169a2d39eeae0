//! The address that a request comes from, among its extensions: the peer of the connection, or whom a trusted proxy
//! names. IPv4 addresses inside IPv6 stand as the IPv4 addresses that they are.

use std::net::IpAddr;

/// The address that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address, in its short form.
    pub(crate) fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address itself.
    pub(crate) const fn get(self) -> IpAddr {
        self.0
    }
}
