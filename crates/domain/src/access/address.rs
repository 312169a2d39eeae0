//! Ranges of addresses: where a key may be used from, and which proxies are trusted.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses, as `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// The text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// It has another form.
    #[error("must be an address, or one with the number of its bits that count, as 192.0.2.0/24 or 2001:db8::/32")]
    Form,
    /// The address has bits that do not count.
    #[error("has bits set behind those that count")]
    Bits,
}

impl AddressRange {
    /// Reads a range. One of IPv4 addresses that are written as IPv6 is the range of the IPv4 addresses.
    ///
    /// # Errors
    /// [`InvalidRange`] when it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let text = text.trim();
        let range = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let range = canonical(range.map_err(|_| InvalidRange::Form)?).ok_or(InvalidRange::Form)?;
        if range.trunc() == range { Ok(Self(range)) } else { Err(InvalidRange::Bits) }
    }

    /// Whether `address` is in it. An IPv4 address that is written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

/// The range in the form in which addresses are compared.
fn canonical(range: IpNet) -> Option<IpNet> {
    match range.addr().to_canonical() {
        IpAddr::V4(address) if range.max_prefix_len() == 128 => {
            let bits = range.prefix_len().checked_sub(96)?;
            IpNet::new(address.into(), bits).ok()
        }
        _ => Some(range),
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range = |text| AddressRange::parse(text);
        let holds = |text, address: &str| {
            range(text).is_ok_and(|range| address.parse().is_ok_and(|address| range.contains(address)))
        };
        assert!(holds("192.0.2.0/24", "192.0.2.1") && !holds("192.0.2.0/24", "192.0.3.1"));
        assert!(holds("192.0.2.1", "::ffff:192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("2001:db8::/32", "2001:db8:1::") && !holds("2001:db8::/32", "192.0.2.1"));
        assert_eq!(range("::ffff:192.0.2.0/120").map(|range| range.to_string()).as_deref(), Ok("192.0.2.0/24"));
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert_eq!(range("192.0.2.77/24"), Err(InvalidRange::Bits));
        for text in ["", "192.0.2", "192.0.2.0/33", "localhost", "192.0.2.0/24/1", "192.0.2.0/-1", "::ffff:0:0/95"] {
            assert_eq!(range(text), Err(InvalidRange::Form), "{text}");
        }
    }
}
