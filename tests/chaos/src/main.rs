//! `make chaos`: the long run, 300 kills or as many as the one argument says. `CHAOS_SEED` repeats one;
//! with `CHAOS_BESIDE` some of the hosts are of another program, such as that of the version before.

use walker_chaos::{Plan, run};

/// What `make chaos` means.
const KILLS: usize = 300;

#[tokio::main]
async fn main() {
    let kills =
        std::env::args().nth(1).map_or(KILLS, |kills| kills.parse().expect("the argument is a number of kills"));
    run(Plan::with_kills(kills)).await;
}
