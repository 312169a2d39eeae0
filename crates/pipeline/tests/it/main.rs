//! The pipeline over memory twins, with a real worker thread and a clock that only the test moves.
//! Nothing here waits for a fixed time: every wait is for a state.

#![expect(clippy::unwrap_used, clippy::panic, reason = "for tests, which fail loudly")]

mod world;
mod twins;
mod taking;
mod work;
mod duplicates;
mod waiting;
mod faults;
mod quotas;
mod repeats;
mod encrypting;
mod erasing;
mod restarts;
mod gate;
mod abandoned;
mod roles;
mod closing;
mod clock;
mod live;
mod model;
