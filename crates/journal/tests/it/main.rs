//! The journal on a disk that crashes, tears, lies and fills up. Each test names the promise (I1 …)
//! or the fault (F8 …) that it is about.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

mod support;

mod conformance;
mod corruption;
mod crash;
mod faults;
mod fixture;
mod groups;
mod torn_tail;
