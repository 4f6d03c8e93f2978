//! What the benchmarks share: the server under measurement, the bare relay beside it, the generator that loads
//! them, clients as cheap as can be, and the table of results.
//!
//! Each benchmark takes it in with `#[path = "../rig/mod.rs"] mod rig;` and uses what it needs.
#![allow(dead_code)]

pub mod crowd;
pub mod engine;
pub mod group;
pub mod house;
pub mod lines;
pub mod logins;
pub mod paced;
pub mod pairs;
pub mod pipe;
pub mod proc;
pub mod relay;
pub mod report;
pub mod shim;
pub mod simp;
pub mod sip;
pub mod transfer;
pub mod xmpp;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a measure could not be taken.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(e: E) -> Failure {
        Failure(e.to_string())
    }
}

/// The server under measurement.
pub fn hearth_binary() -> PathBuf {
    std::env::var_os("LOAD_HEARTH").map_or_else(|| env!("CARGO_BIN_EXE_hearth").into(), PathBuf::from)
}

/// How a benchmark ends: well if everything was measured; why not is told on standard error.
pub fn exit_code(complete: Result<bool, Failure>) -> ExitCode {
    match complete {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure(why)) => {
            proc::note(&why);
            ExitCode::FAILURE
        }
    }
}
