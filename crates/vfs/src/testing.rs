//! The crashing twin of the disk.
