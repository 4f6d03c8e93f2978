//! Measures within a process of their own, so that each begins with fresh memory: the benchmark's own binary with
//! `within SPEC`, which prints what it has found.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::rig::Failure;
use crate::rig::house::Service;
use crate::rig::proc::{self, Process};
use crate::{crowd, curves};

/// The longest measure.
const PATIENCE: Duration = Duration::from_secs(2400);

/// What is to be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Which measure.
    pub what: What,
    /// What is spoken.
    #[serde(with = "spoken")]
    pub service: Service,
    /// The folder of the house.
    pub dir: PathBuf,
    /// Its domain.
    pub domain: String,
    /// How many log in.
    pub users: usize,
    /// Pairs that write to each other in any case.
    pub pairs: usize,
    /// Messages of a round.
    pub messages: usize,
    /// Rounds; the median counts.
    pub rounds: usize,
    /// Users who are watched.
    pub watched: usize,
    /// Changes of presence, too.
    pub churn: bool,
    /// What grows, for a curve: at which values.
    pub grows: Vec<usize>,
}

/// Which measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// [`crowd::run`].
    Crowd,
    /// [`curves::accounts`].
    Accounts,
    /// [`curves::of_idle`].
    IdleSubscriptions,
    /// [`curves::of_active`].
    ActiveSubscriptions,
    /// [`curves::rules`].
    Rules,
    /// [`curves::by_hand`].
    Peers,
    /// [`curves::links`].
    Links,
}

mod spoken {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::rig::house::Service;

    pub fn serialize<S: Serializer>(service: &Service, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(service.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Service, D::Error> {
        Ok(match String::deserialize(from)?.as_str() {
            "imtp" => Service::Imtp,
            "pitp" => Service::Pitp,
            _ => Service::Simp,
        })
    }
}

/// Is this process to measure something? Then it does, and prints it.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn asked_for() -> Result<bool, Failure> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some("within") {
        return Ok(false);
    }
    let spec: Spec = serde_json::from_str(&words.next().unwrap_or_default())?;
    let found = match spec.what {
        What::Crowd => serde_json::to_string(&crowd::run(&spec)?)?,
        What::Accounts => serde_json::to_string(&curves::accounts(&spec)?)?,
        What::IdleSubscriptions => serde_json::to_string(&curves::of_idle(&spec)?)?,
        What::ActiveSubscriptions => serde_json::to_string(&curves::of_active(&spec)?)?,
        What::Rules => serde_json::to_string(&curves::rules(&spec)?)?,
        What::Peers => serde_json::to_string(&curves::by_hand(&spec)?)?,
        What::Links => serde_json::to_string(&curves::links(&spec)?)?,
    };
    println!("{found}");
    Ok(true)
}

/// Has it measured by a process of its own, on a core of its own.
///
/// # Errors
/// If that fails, or takes too long.
pub fn measure<T: DeserializeOwned>(spec: &Spec) -> Result<T, Failure> {
    proc::note(&format!("{:?} over {}, {} users", spec.what, spec.service.name(), spec.users));
    let mut command = proc::on_core(proc::SERVER_CORE, &std::env::current_exe()?);
    command.arg("within").arg(serde_json::to_string(spec)?).stdout(Stdio::piped());
    let mut process = Process::start(command)?;
    let mut output = process.stdout().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let deadline = Instant::now() + PATIENCE;
    while process.ended()?.is_none() {
        if Instant::now() > deadline {
            return Err(Failure(format!("it took longer than {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = reader.join().map_err(|_| "the reader has failed")??;
    Ok(serde_json::from_str(&text)?)
}
