//! Free ports on loopback. Another process may take one before the server does, so whoever uses one tries again.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::Error;
use crate::random;

/// The lowest port that is tried; below are those of well-known servers.
const LOWEST: u16 = 10_240;

/// Where ports for outgoing connections begin, when the system does not say.
const OUTGOING: u16 = 32_768;

/// Ports looked at before giving up.
const LOOKS_MAX: u32 = 1_000;

/// Starts of a server on one port after the other.
const STARTS_MAX: u32 = 5;

/// Calls `start` with a free port, and again with another one when that was taken in the meantime.
pub(crate) fn with_free_port<T>(mut start: impl FnMut(u16) -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..STARTS_MAX {
        match start(free()?) {
            Err(error) if error.is_port_taken() => {}
            started => return started,
        }
    }
    start(free()?)
}

/// A port that nothing listens on. It is not one that the system gives to outgoing connections, so that a server that
/// was killed finds it free again.
pub(crate) fn free() -> Result<u16, Error> {
    let end = outgoing().unwrap_or(OUTGOING).max(LOWEST + 1);
    for _ in 0..LOOKS_MAX {
        let offset = random::number() % u64::from(end - LOWEST);
        let Ok(port) = u16::try_from(u64::from(LOWEST) + offset) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let said = format!("{LOOKS_MAX} ports between {LOWEST} and {end} are all taken");
    Err(Error::Refused { what: "no free port".to_owned(), said })
}

/// The first port of outgoing connections, if it leaves room below.
fn outgoing() -> Option<u16> {
    let mut text = String::new();
    let file = File::open("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    #[expect(clippy::disallowed_methods, reason = "two numbers")]
    file.take(64).read_to_string(&mut text).ok()?;
    text.split_whitespace().next()?.parse().ok().filter(|first| *first > LOWEST + 1_000)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::with_free_port;
    use crate::error::Error;

    #[test]
    fn a_port_that_was_taken_in_the_meantime_is_replaced() {
        let mut ports = Vec::new();
        let started = with_free_port(|port| {
            ports.push(port);
            let taken = Error::Refused { what: String::new(), said: "bind: Address already in use".to_owned() };
            if ports.len() < 3 { Err(taken) } else { Ok(port) }
        });
        assert_eq!(ports.len(), 3);
        assert_eq!(started.ok(), ports.last().copied());
        TcpListener::bind((Ipv4Addr::LOCALHOST, ports[2])).unwrap();
    }

    #[test]
    fn another_failure_is_not_tried_again() {
        let mut starts = 0;
        let failed = with_free_port(|_| -> Result<(), Error> {
            starts += 1;
            Err(Error::Refused { what: String::new(), said: "no space left".to_owned() })
        });
        assert!(failed.is_err());
        assert_eq!(starts, 1);
    }
}
