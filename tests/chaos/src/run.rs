//! A run: load, faults by lot, quiet times in which the dead must be buried, and the verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use crate::fault::{Fault, Kills};
use crate::fleet::Fleet;
use crate::verdict::{Verdict, judge};
use crate::{Ledger, load, stranded};

/// How much goes wrong.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides every fault and every post; only time differs between runs.
    pub seed: u64,
    /// Processes to kill: hosts, Postgres, and processes of Postgres.
    pub kills: usize,
    /// Hosts on the one Postgres.
    pub hosts: usize,
    /// Callers.
    pub callers: u64,
    /// The program of some of the hosts, such as that of the version before.
    pub beside: Option<PathBuf>,
}

impl Plan {
    /// So many kills, with the seed of `CHAOS_SEED` or a new one, and hosts of `CHAOS_BESIDE` among those of this build.
    pub fn with_kills(kills: usize) -> Self {
        let given = std::env::var("CHAOS_SEED").ok();
        let seed = given.map_or_else(rand::random, |seed| seed.parse().expect("CHAOS_SEED is a number"));
        Self { seed, kills, hosts: 3, callers: 6, beside: std::env::var_os("CHAOS_BESIDE").map(PathBuf::from) }
    }
}

/// Between two faults.
const BETWEEN_MS: std::ops::Range<u64> = 50..700;
/// After so many kills, others leave the hosts alone until the dead are buried.
const KILLS_UNTIL_QUIET: usize = 14;
/// Fewer than the callers keep busy: part of the walkers waits, and is claimed.
const SLOTS: &str = "9";
/// No walker may be `running` for longer than this without a live host.
const MAX_STRANDED: Duration = Duration::from_secs(10);

/// Does it.
pub async fn run(plan: Plan) {
    println!("CHAOS_SEED={} runs this again: {plan:?}", plan.seed);
    let began = Instant::now();
    let mut dice = StdRng::seed_from_u64(plan.seed);
    let args = ["--grace", "1s", "--slots", SLOTS];
    let fleet = Arc::new(Fleet::start("chaos", plan.hosts, &args, plan.beside.as_deref()).await);
    let ledger = Arc::new(Ledger::default());
    let (stop, stopped) = watch::channel(false);
    let (stranded, mut seen) = watch::channel(0);
    let watching = tokio::spawn(stranded::watch(fleet.clone(), stopped.clone(), stranded));
    let calling: Vec<_> = (0..plan.callers)
        .map(|caller| tokio::spawn(load::call(fleet.clone(), ledger.clone(), plan.seed ^ caller, stopped.clone())))
        .collect();

    let (mut kills, mut faults, mut quiet) = (Kills::default(), 0, 1);
    while kills.all() < plan.kills {
        let fault = Fault::any(&mut dice, plan.hosts);
        fault.happen(&fleet, &mut kills).await;
        faults += 1;
        tokio::time::sleep(Duration::from_millis(dice.random_range(BETWEEN_MS))).await;
        if kills.all() >= quiet * KILLS_UNTIL_QUIET {
            quiet += 1;
            // Whatever the lot said: nothing is shown without these.
            Fault::KillPostgres.happen(&fleet, &mut kills).await;
            let at = dice.random_range(0..plan.hosts);
            Fault::KillHost(at).happen(&fleet, &mut kills).await;
            wait_for_burial(&mut seen).await;
        }
    }
    wait_for_burial(&mut seen).await;
    let acknowledged = ledger.count();
    // Callers end first: whatever they were told must hold.
    stop.send_replace(true);
    for caller in calling {
        caller.await.unwrap();
    }
    let longest = watching.await.unwrap();
    let verdict = judge(&fleet, &ledger).await;
    let Verdict { walkers, run_again, given_up, cancelled, retried, waited } = verdict;
    let (refused, unknown) = ledger.others();
    let blown: u64 = (0..fleet.size()).map(|at| fleet.proxy(at).fuses_blown()).sum();
    println!(
        "{kills:?} in {faults} faults, {blown} connections cut at a chosen byte, {:.0} s: {walkers} walkers, {acknowledged} \
         acknowledged, {refused} refused, {unknown} without an answer; {run_again} ran again, {given_up} given up, {cancelled} \
         cancelled, {retried} retried, {waited} waited; at most {:.1} s running without a live host",
        began.elapsed().as_secs_f64(),
        longest.as_secs_f64()
    );
    // A run in which little happened shows little.
    let quiets = plan.kills / KILLS_UNTIL_QUIET;
    assert!(kills.hosts * 3 >= plan.kills && kills.postgres >= quiets, "{kills:?}");
    for (what, count) in [("cancelled", cancelled), ("retried", retried), ("waited", waited)] {
        assert!(count * 100 >= walkers, "only {count} of {walkers} {what}");
    }
    assert!(longest <= MAX_STRANDED, "a walker was running without a live host for {longest:?}");
    // Hosts die often here, each walker lives briefly: hardly one meets three deaths.
    assert!(given_up * 100 <= walkers, "{given_up} of {walkers} given up");
    let errors = fleet.errors();
    assert!(errors.is_empty(), "hosts logged errors:\n{}", errors.join("\n"));
    let fleet = Arc::into_inner(fleet).expect("nobody else is left");
    fleet.stop().await;
}

/// Waits until no walker is `running` without a live host; [`MAX_STRANDED`] bounds it.
async fn wait_for_burial(stranded: &mut watch::Receiver<usize>) {
    // First one look that is newer than what happened last.
    stranded.mark_unchanged();
    stranded.changed().await.unwrap();
    let buried = tokio::time::timeout(MAX_STRANDED * 3, stranded.wait_for(|count| *count == 0)).await;
    assert!(buried.is_ok(), "walkers of dead hosts are never freed");
}
