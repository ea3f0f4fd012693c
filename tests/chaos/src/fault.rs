//! What can go wrong, drawn by lot and then done.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use walker_harness::Way;

use crate::fleet::Fleet;

/// Longer than a lease: the host wakes up to find that others have taken over.
const PAUSE: Duration = Duration::from_secs(9);

/// What can go wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    KillHost(usize),
    KillBackend(usize),
    KillPostgres,
    TerminateHost(usize),
    PauseHost(usize),
    CutAll(usize),
    CutAfter(usize, Way, usize),
    Stall(usize, Duration),
    Refuse(usize, Duration),
}

/// What was killed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kills {
    pub(crate) hosts: usize,
    /// Postgres as a whole.
    pub(crate) postgres: usize,
    /// A process of Postgres, which ends its others and recovers.
    pub(crate) backends: usize,
}

impl Kills {
    pub(crate) fn all(self) -> usize {
        self.hosts + self.postgres + self.backends
    }
}

impl Fault {
    pub(crate) fn any(dice: &mut StdRng, hosts: usize) -> Self {
        let host = dice.random_range(0..hosts);
        let mut up_to_ms = |ms: u64| Duration::from_millis(dice.random_range(50..ms));
        let (stall, refuse) = (up_to_ms(2_000), up_to_ms(1_500));
        let way = if dice.random_bool(0.5) { Way::Asking } else { Way::Answering };
        match dice.random_range(0..100) {
            0..36 => Self::KillHost(host),
            36..42 => Self::KillBackend(dice.random_range(0..1_000)),
            42..48 => Self::KillPostgres,
            48..56 => Self::TerminateHost(host),
            56..58 => Self::PauseHost(host),
            58..64 => Self::CutAll(host),
            64..90 => Self::CutAfter(host, way, dice.random_range(1..4_000)),
            90..95 => Self::Stall(host, stall),
            _ => Self::Refuse(host, refuse),
        }
    }

    /// Does it, and counts what was killed. Hosts that it ends are started again.
    pub(crate) async fn happen(self, fleet: &Arc<Fleet>, kills: &mut Kills) {
        let killed = match self {
            Self::KillHost(at) => fleet.seat(at).kill().await,
            Self::KillBackend(lot) => fleet.kill_backend(lot).await,
            Self::KillPostgres => {
                fleet.kill_postgres().await;
                true
            }
            _ => false,
        };
        fleet.disturb_unless_settled();
        match self {
            Self::KillHost(at) if killed => fleet.seat(at).start().await,
            Self::TerminateHost(at) if fleet.seat(at).terminate().await => fleet.seat(at).start().await,
            Self::PauseHost(at) => drop(fleet.seat(at).pause(PAUSE).await),
            Self::CutAll(at) => fleet.proxy(at).cut(),
            Self::CutAfter(at, way, bytes) => fleet.proxy(at).cut_after(way, bytes),
            Self::Stall(at, pause) => fleet.proxy(at).stall(pause).await,
            Self::Refuse(at, pause) => fleet.proxy(at).refuse(pause).await,
            _ => {}
        }
        if matches!(self, Self::CutAll(_) | Self::CutAfter(..) | Self::Stall(..) | Self::Refuse(..)) {
            fleet.disturb();
        }
        fleet.disturb_unless_settled();
        match self {
            Self::KillHost(_) => kills.hosts += usize::from(killed),
            Self::KillBackend(_) => kills.backends += usize::from(killed),
            Self::KillPostgres => kills.postgres += 1,
            _ => {}
        }
    }
}
