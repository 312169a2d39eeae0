//! The program: reads the command line, runs one command, and turns its outcome into an exit code.

mod cli;
mod config;
mod files;
mod folder;
mod exit;
mod admin;
mod secrets;
mod register;
mod assemble;
mod logging;
mod shutdown;
mod client;
mod import;
mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _failpoints = crash_at_failpoints();
    match commands::run(Cli::parse().command) {
        Ok(code) => code,
        Err(why) => {
            // Nothing is left to do when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {why:#}");
            Exit::of(&why).into()
        }
    }
}

/// Arms the failpoints named in FAILPOINTS. A panic at one ends the process at once, as a crash does.
#[cfg(feature = "failpoints")]
fn crash_at_failpoints() -> fail::FailScenario<'static> {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    fail::FailScenario::setup()
}
