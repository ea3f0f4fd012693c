//! One run: a fresh store, one call, and what it leaves behind.
//!
//! Knows nothing of where jobs come from or outcomes go.

use std::sync::Arc;
use std::time::Instant;

use walker_model::{Code, Ended, Failure, Json, Limits, Outcome};
use wasmtime::{CallHook, Engine, Store, UpdateDeadline};

use crate::failure::{explain, out_of_fuel, out_of_stack, readable, too_many_instances, too_much};
use crate::host::contract::exports::walker::guest::guest::Invocation;
use crate::stack::{self, DeepStack};
use crate::state::{Start, State};
use crate::{Effects, HostFault, Job, Module, Sandbox, Stop};

/// How often a running guest is looked at, in ticks.
const LOOK_EVERY: u64 = 1;
/// How much fuel a loop may burn before that is written down: compiled code counts in a register between calls, so that
/// a run which its deadline ends in a loop would seem to have burnt nothing. One to three milliseconds' worth.
const FUEL_ACCOUNT: u64 = 5_000_000;

impl Sandbox {
    /// Runs one job to its end.
    ///
    /// The future yields at every tick while the guest computes: whoever polls it decides whose turn is next.
    /// Dropping it ends the run without an outcome; to have one, stop it through `stop`.
    ///
    /// # Errors
    /// When the host could not do its part. Whatever the guest does is an [`Outcome`].
    pub async fn run(
        &self,
        module: &Module,
        job: Job,
        effects: Arc<dyn Effects>,
        stop: Stop,
    ) -> Result<Outcome, HostFault> {
        let started = Instant::now();
        let _running = self.ticker().run();
        let start = Start {
            limits: job.limits,
            seed: job.seed,
            stop,
            started,
            clock_resolution: self.clock_resolution(),
            effects,
        };
        let mut store = store(self.engine(), State::running(start, &job), DeepStack::new(self.stack_bytes()))
            .map_err(|error| HostFault::Failed(format!("cannot set up the run: {error:#}")))?;
        let core_instances = module.core_instances();
        let ended = call(&mut store, module, job).await?;

        let fuel_left = store.get_fuel().unwrap_or(0);
        let mut state = store.into_data();
        let limits = state.limits;
        let fuel = limits.fuel.saturating_sub(fuel_left).saturating_add(state.charges.total());
        let (ended, fields) = match ended {
            // It went over between its last call to the host and its end.
            Ok(_) if fuel > limits.fuel => (Ended::Failed(out_of_fuel(&limits)), state.said.saved.take()),
            // The engine has one size of stack for all tenants: who may use less is told when its calls have returned.
            Ok(_) if state.stack_peak > limits.stack_bytes.max(stack::KEPT_BYTES as u64) => {
                (Ended::Failed(out_of_stack(&limits)), state.said.saved.take())
            }
            Ok(fields) => {
                state.said.fields_bytes = state.said.fields_bytes.max(fields.len() as u64);
                (Ended::Completed, Some(fields))
            }
            Err(failure) => (Ended::Failed(failure), state.said.saved.take()),
        };
        let mut usage = state.usage();
        usage.fuel = fuel.min(limits.fuel);
        usage.core_instances = core_instances;
        usage.duration_ms = started.elapsed().as_secs_f64() * 1_000.0;
        usage.time_ms = usage.duration_ms as u64;
        Ok(Outcome {
            ended,
            fields,
            http_status: state.said.http_status,
            custom: state.said.custom,
            usage,
            reports: state.said.reports,
            limits,
        })
    }
}

/// A store that holds its guest to the state's limits.
///
/// # Errors
/// When the engine does not meter: a mistake in its settings.
pub(crate) fn store(engine: &Engine, state: State, mut stack: DeepStack) -> wasmtime::Result<Store<State>> {
    let limits = state.limits;
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_fuel(limits.fuel)?;
    store.fuel_async_yield_interval(Some(FUEL_ACCOUNT))?;
    store.set_epoch_deadline(LOOK_EVERY);
    let mut has_yielded = false;
    store.epoch_deadline_callback(move |store| {
        store.data().leash.check()?;
        // Whose turn is next is decided above. When this one's has come it is asked again at once: after a long wait its
        // time may be over, and many whose time ends together must not compute for another tick each.
        has_yielded = !has_yielded;
        Ok(if has_yielded { UpdateDeadline::Yield(0) } else { UpdateDeadline::Continue(LOOK_EVERY) })
    });
    store.call_hook(move |mut store, hook| {
        let state = store.data_mut();
        if let Some(used) = stack.hear(hook) {
            state.stack_peak = used.max(state.stack_peak);
        }
        // At the end of the very call that went over, so that no clock decides where a run ends.
        if matches!(hook, CallHook::ReturningFromHost) { Ok(state.charges.check()?) } else { Ok(()) }
    });
    let size = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    store.set_hostcall_fuel(size(limits.host_call_bytes));
    store.set_max_component_handles(size(limits.handles));
    Ok(store)
}

async fn call(store: &mut Store<State>, module: &Module, job: Job) -> Result<Result<Json, Failure>, HostFault> {
    let state = store.data_mut();
    if let Err(abort) = state.leash.check().and_then(|()| state.keep_given()) {
        return explain(&abort.into(), store.data(), module.layout()).map(Err);
    }
    if module.core_instances() > store.data().limits.core_instances {
        return Ok(Err(too_many_instances(module.core_instances(), &store.data().limits)));
    }
    let guest = match module.pre().instantiate_async(&mut *store).await {
        Ok(guest) => guest,
        Err(error) => return explain(&error, store.data(), module.layout()).map(Err),
    };
    match guest.walker_guest_guest().call_run(&mut *store, &invocation(job)).await {
        Ok(Ok(fields)) => Ok(final_fields(fields, &store.data().limits)),
        Ok(Err(message)) => Ok(Err(Failure::new(Code::GuestError, readable(&message)))),
        Err(error) => {
            tracing::debug!("a guest ended badly: {error:?}");
            explain(&error, store.data(), module.layout()).map(Err)
        }
    }
}

fn invocation(job: Job) -> Invocation {
    Invocation {
        id: job.id.to_string(),
        walker: job.id.name,
        node_id: job.node_id.to_string(),
        root_id: job.root_id.to_string(),
        attempt: job.attempt.into(),
        fields: job.fields.as_str().to_owned(),
        custom: job.custom.map(|custom| custom.as_str().to_owned()),
    }
}

fn final_fields(fields: String, limits: &Limits) -> Result<Json, Failure> {
    if fields.len() as u64 > limits.fields_bytes {
        return Err(Failure::new(Code::LimitOutput, too_much(limits.fields_bytes, "bytes of fields", "fields_bytes")));
    }
    Json::parse(fields)
        .map_err(|error| Failure::new(Code::GuestError, format!("returned fields that are not JSON: {error}")))
}
