//! Who is counted together: an address of IPv4, 64 bits of one of IPv6, and a credential, whatever it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::access::ids::{ExternalLoginId, KeyId, SecretId, UserId};
use domain::access::principal::Subject;

/// Bytes of an IPv6 address that one network has, which a provider gives to one household or machine.
const NETWORK_BYTES: usize = 8;

/// An address, or a network that is one for all that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of a request whose address is not known.
    pub(crate) const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let mut bytes = address.octets();
                bytes[NETWORK_BYTES..].fill(0);
                Self(IpAddr::V6(Ipv6Addr::from(bytes)))
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/{}", 8 * NETWORK_BYTES),
        }
    }
}

/// A credential. A person is one, however many sessions there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    Configured([u8; 4]),
    Key(KeyId),
    /// A signing secret whose signature was found to fit, counted per network: who sends captured requests again must not
    /// use up what the secret's owner has.
    Signature(SecretId, Network),
    Person(UserId),
    External(ExternalLoginId),
}

impl Credential {
    /// What `subject` has shown itself by; `None` when that is nothing that is counted.
    pub(super) fn of(subject: &Subject, address: Option<IpAddr>) -> Option<Self> {
        Some(match subject {
            Subject::Anonymous | Subject::Command => return None,
            Subject::ConfiguredKey(start) => Self::Configured(*start),
            Subject::Key(id) => Self::Key(*id),
            Subject::Signature(id) => Self::Signature(*id, address.map_or(Network::UNKNOWN, Network::of)),
            Subject::Person(user, _) => Self::Person(*user),
            Subject::External(login) => Self::External(login.id),
        })
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(start) => write!(f, "config-key:{:08x}", u32::from_be_bytes(*start)),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Signature(id, network) => write!(f, "secret:{id} from {network}"),
            Self::Person(user) => write!(f, "user:{user}"),
            Self::External(login) => write!(f, "external:{login}"),
        }
    }
}
