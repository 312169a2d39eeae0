//! The machine's time: the clock that the product asks, and the stopwatch that tools measure with.
//! Nothing else reads the machine's time.

mod system;
mod stopwatch;

pub use stopwatch::Stopwatch;
pub use system::SystemClock;
