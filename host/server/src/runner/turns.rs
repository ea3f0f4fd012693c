//! Turns on the walkers' threads: whose run computes next, and for how long it has.
//!
//! A turn ends when the run waits for something, or at its next epoch. Knows nothing of what a run is.

mod stride;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_task::{Builder, Runnable, ScheduleInfo, WithInfo};
use futures::FutureExt as _;
use tokio::sync::oneshot;
use walker_model::TenantId;
use walker_sandbox::Stop;

use stride::Stride;
pub use stride::Weight;

/// How late a stop may reach a run that waits for its turn; deadlines are known ahead and need no such look.
const LOOK_FOR_STOPS: Duration = Duration::from_millis(4);

/// Shares threads among tenants, however many runs each has. Cheap to clone.
///
/// Every run belongs to a tenant's lane; the lane that has had the least, by its weight, has the next turn. Runs that
/// only wait cost no turn, so that a tenant without any work comes first when some arrives.
#[derive(Clone, Default)]
pub struct Turns(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

struct Queue {
    lanes: Stride<Runnable<Ticket>>,
    /// Threads that sleep, and how many of those that were woken have not looked yet.
    idle: usize,
    woken: usize,
    /// When the first of the waiting runs must have ended.
    earliest: Option<Instant>,
    /// When the waiting runs were last asked whether they must end.
    looked: Instant,
    is_closed: bool,
}

impl Default for Queue {
    fn default() -> Self {
        let lanes = Stride::default();
        Self { lanes, idle: 0, woken: 0, earliest: None, looked: Instant::now(), is_closed: false }
    }
}

/// What a run says about itself when it asks for turns.
#[derive(Debug)]
pub struct Ticket {
    tenant: TenantId,
    weight: Weight,
    stop: Stop,
    limit: Duration,
    /// Known from its first turn on.
    deadline: OnceLock<Instant>,
}

impl Ticket {
    /// For a run of `tenant`, which weighs so much beside others, that has `limit` from its first turn on, and that
    /// `stop` stops.
    pub fn new(tenant: TenantId, weight: Weight, stop: Stop, limit: Duration) -> Self {
        Self { tenant, weight, stop, limit, deadline: OnceLock::new() }
    }

    fn begin(&self, now: Instant) {
        if let Some(deadline) = now.checked_add(self.limit) {
            self.deadline.get_or_init(|| deadline);
        }
    }

    /// Whether it must end: it notices by itself, but only when it has a turn.
    fn is_over(&self, now: Instant) -> bool {
        self.stop.is_stopped() || self.deadline.get().is_some_and(|deadline| *deadline <= now)
    }
}

impl Turns {
    /// Runs `future` turn by turn, whether or not anybody waits for the answer.
    /// There is none when it panicked, or was dropped because the turns are over.
    pub fn spawn<F>(&self, ticket: Ticket, future: F) -> oneshot::Receiver<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let shared = self.0.clone();
        let schedule = WithInfo(move |run, info: ScheduleInfo| shared.push(run, info));
        // Not an async block, which would hold the future twice: where it was taken from and where it is polled.
        let body = future.map(|output| drop(answer.send(output)));
        let (run, task) = Builder::new().metadata(ticket).spawn(|_| body, schedule);
        task.detach();
        run.schedule();
        answered
    }

    /// Lets the calling thread take turns until they are [closed](Self::close).
    pub fn work(&self) {
        let shared = &*self.0;
        let mut queue = shared.lock();
        loop {
            if queue.is_closed {
                return;
            }
            let began = Instant::now();
            queue.hurry(began);
            let Some((tenant, run)) = queue.lanes.next() else {
                queue = shared.sleep(queue);
                continue;
            };
            drop(queue);
            run.metadata().begin(began);
            // A panic is this run's fault, and has been printed; nobody else's turn may suffer from it.
            let _ = catch_unwind(AssertUnwindSafe(|| run.run()));
            let used = began.elapsed();
            queue = shared.lock();
            // Closed meanwhile: these lanes know nothing of that turn.
            if !queue.is_closed {
                queue.lanes.charge(tenant, used);
            }
        }
    }

    /// Ends all turns: threads come back from [`work`](Self::work), runs that have not ended are dropped.
    pub fn close(&self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        let left = std::mem::take(&mut queue.lanes);
        drop(queue);
        self.0.work.notify_all();
        // Without the lock: what a run holds may wake another as it is dropped.
        drop(left);
    }
}

impl Shared {
    fn push(&self, run: Runnable<Ticket>, info: ScheduleInfo) {
        let mut queue = self.lock();
        if queue.is_closed {
            drop(queue);
            return;
        }
        if let Some(deadline) = run.metadata().deadline.get() {
            queue.earliest = Some(queue.earliest.map_or(*deadline, |earliest| earliest.min(*deadline)));
        }
        let (tenant, weight) = (run.metadata().tenant, run.metadata().weight);
        queue.lanes.push(tenant, weight, run);
        // One that yields is looked at next by the thread that it yielded: waking another would only move it there.
        if !info.woken_while_running && queue.idle > 0 {
            queue.idle -= 1;
            queue.woken += 1;
            drop(queue);
            self.work.notify_one();
        }
    }

    fn sleep<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.idle += 1;
        while queue.woken == 0 && !queue.is_closed {
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.woken = queue.woken.saturating_sub(1);
        queue
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Lets runs that must end have the next turns: with every thread spinning, theirs may be far.
    fn hurry(&mut self, now: Instant) {
        let is_late = self.earliest.is_some_and(|earliest| earliest <= now);
        if !is_late && now.duration_since(self.looked) < LOOK_FOR_STOPS {
            return;
        }
        let mut earliest: Option<Instant> = None;
        self.lanes.hurry(|run| {
            let ticket = run.metadata();
            if ticket.is_over(now) {
                return true;
            }
            if let Some(deadline) = ticket.deadline.get() {
                earliest = Some(earliest.map_or(*deadline, |earliest| earliest.min(*deadline)));
            }
            false
        });
        (self.earliest, self.looked) = (earliest, now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// Threads that take turns until this is dropped.
    struct Threads(Turns);

    impl Threads {
        fn start(count: usize) -> Self {
            let turns = Turns::default();
            for _ in 0..count {
                let turns = turns.clone();
                thread::spawn(move || turns.work());
            }
            Self(turns)
        }
    }

    impl Drop for Threads {
        fn drop(&mut self) {
            self.0.close();
        }
    }

    fn ticket(tenant: i64) -> Ticket {
        weighed(tenant, Weight::MIN)
    }

    fn weighed(tenant: i64, weight: Weight) -> Ticket {
        Ticket::new(TenantId(tenant), weight, Stop::default(), Duration::from_secs(60))
    }

    /// Computes for as long as an epoch lasts, again and again; counts how long it was at it.
    async fn spin(used_ns: Arc<AtomicU64>, is_over: Arc<AtomicBool>) {
        while !is_over.load(Relaxed) {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {
                std::hint::spin_loop();
            }
            used_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
            tokio::task::yield_now().await;
        }
    }

    /// What of the time the first tenant got beside the second, each with so many spinning runs.
    fn share(threads: usize, runs: [usize; 2], weights: [u32; 2]) -> f64 {
        let threads = Threads::start(threads);
        let is_over = Arc::new(AtomicBool::new(false));
        let used: [Arc<AtomicU64>; 2] = Default::default();
        for (at, used) in used.iter().enumerate() {
            for _ in 0..runs[at] {
                let ticket = weighed(at as i64, Weight::new(weights[at]).unwrap());
                drop(threads.0.spawn(ticket, spin(used.clone(), is_over.clone())));
            }
        }
        // Not to wait for something: this is how long they are measured.
        thread::sleep(Duration::from_millis(600));
        is_over.store(true, Relaxed);
        let [first, second] = used.map(|used| used.load(Relaxed) as f64);
        first / (first + second)
    }

    #[test]
    fn tenants_share_by_weight_whatever_they_run() {
        for (threads, runs, weights, expect) in [
            (1, [1, 16], [1, 1], 0.5),
            (1, [1, 16], [2, 1], 2.0 / 3.0),
            (2, [2, 40], [1, 1], 0.5),
            (2, [40, 2], [1, 3], 0.25),
        ] {
            let share = share(threads, runs, weights);
            // Whole turns are counted, and this machine has other work.
            assert!((share - expect).abs() < 0.05, "{threads} {runs:?} {weights:?}: {share}, not {expect}");
        }
    }

    #[tokio::test]
    async fn one_that_arrives_has_the_next_turn() {
        let threads = Threads::start(1);
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..200 {
            drop(threads.0.spawn(ticket(1), spin(Arc::default(), is_over.clone())));
        }
        for _ in 0..20 {
            let arrived = Instant::now();
            threads.0.spawn(ticket(2), async {}).await.unwrap();
            // A fair queue of runs would take 200 ms; the bench says how fast it is.
            assert!(arrived.elapsed() < Duration::from_millis(100), "{:?}", arrived.elapsed());
        }
        is_over.store(true, Relaxed);
    }

    #[tokio::test]
    async fn one_that_must_end_does_not_wait() {
        let threads = Threads::start(1);
        let is_over = Arc::new(AtomicBool::new(false));
        for _ in 0..400 {
            drop(threads.0.spawn(ticket(1), spin(Arc::default(), is_over.clone())));
        }
        let (stop, limit) = (Stop::default(), Duration::from_millis(30));
        let stopped = threads.0.spawn(Ticket::new(TenantId(1), Weight::MIN, stop.clone(), Duration::MAX), {
            let stop = stop.clone();
            async move {
                while !stop.is_stopped() {
                    tokio::task::yield_now().await;
                }
            }
        });
        let timed_out = threads.0.spawn(Ticket::new(TenantId(1), Weight::MIN, Stop::default(), limit), async move {
            let deadline = Instant::now() + limit;
            while Instant::now() < deadline {
                tokio::task::yield_now().await;
            }
            deadline
        });
        stop.stop();
        let asked = Instant::now();
        stopped.await.unwrap();
        assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());
        let late = timed_out.await.unwrap().elapsed();
        assert!(late < Duration::from_millis(200), "{late:?}");
        is_over.store(true, Relaxed);
    }

    #[tokio::test]
    async fn a_panic_harms_nobody_else() {
        let threads = Threads::start(1);
        assert!(threads.0.spawn(ticket(1), async { panic!("as this test wants it") }).await.is_err());
        assert_eq!(threads.0.spawn(ticket(1), async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn closing_drops_what_has_not_ended() {
        let turns = Turns::default();
        let working = [turns.clone(), turns.clone()].map(|turns| thread::spawn(move || turns.work()));
        let threads = Threads(turns);
        let never = threads.0.spawn(ticket(1), std::future::pending::<()>());
        let spinning = threads.0.spawn(ticket(1), spin(Arc::default(), Arc::default()));
        threads.0.close();
        assert!(spinning.await.is_err());
        assert!(threads.0.spawn(ticket(1), async {}).await.is_err());
        working.into_iter().for_each(|thread| thread.join().unwrap());
        drop(never);
    }
}
