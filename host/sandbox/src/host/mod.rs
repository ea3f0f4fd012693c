//! The contract's host side: what each import does, as checks followed by a message to [`crate::Effects`].
//!
//! Knows nothing of how effects are carried out.

mod lifecycle;
mod run;
mod walkers;

use walker_model::Json;
use wasmtime::component::{HasSelf, Linker};

use crate::abort::Abort;
use crate::failure::too_much;
use crate::state::State;
use crate::{Problem, Refusal, Reply, Request};

/// The contract, as Rust types.
#[allow(unreachable_pub, missing_docs, reason = "generated from the contract")]
pub(crate) mod contract {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "module",
        imports: {
            "walker:guest/run.save": async | trappable,
            "walker:guest/walkers.read": async | trappable,
            "walker:guest/walkers.spawn": async | trappable,
            "walker:guest/walkers.call": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        trappable_error_type: { "walker:guest/types.problem" => super::Refused },
    });
}

/// Lets guests import the contract.
///
/// # Errors
/// When two parts define the same name.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    contract::walker::guest::types::add_to_linker::<State, HasSelf<State>>(linker, State::called)?;
    contract::walker::guest::run::add_to_linker::<State, HasSelf<State>>(linker, State::called)?;
    contract::walker::guest::walkers::add_to_linker::<State, HasSelf<State>>(linker, State::called)?;
    contract::walker::guest::lifecycle::add_to_linker::<State, HasSelf<State>>(linker, State::called)
}

/// Why an import does not do what the guest asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refused {
    /// The guest is told and goes on.
    Problem(Problem),
    /// The run ends here.
    Abort(Abort),
}

impl From<Abort> for Refused {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Problem(problem) => Self::Problem(problem),
            Refusal::Fault(fault) => Self::Abort(Abort::Fault(fault)),
            Refusal::Fenced => Self::Abort(Abort::Fenced),
        }
    }
}

impl contract::walker::guest::types::Host for State {
    fn convert_problem(&mut self, refused: Refused) -> wasmtime::Result<contract::walker::guest::types::Problem> {
        match refused {
            Refused::Problem(Problem { code, message }) => {
                Ok(contract::walker::guest::types::Problem { code, message })
            }
            Refused::Abort(abort) => Err(abort.into()),
        }
    }
}

/// Takes JSON from a guest.
fn json(text: String) -> Result<Json, Refused> {
    Json::parse(text)
        .map_err(|error| problem("json.invalid", format!("the value is not JSON: {error}; pass one JSON value")))
}

fn problem(code: &str, message: String) -> Refused {
    Refused::Problem(Problem { code: code.into(), message })
}

impl State {
    /// Passes a request on and waits for its answer, no longer than the run may last.
    async fn perform(&mut self, request: Request) -> Result<Reply, Refused> {
        Ok(self.leash.wait(self.effects.perform(request)).await??)
    }

    /// Holds the run's own fields to their budget.
    fn check_fields(&mut self, fields: &str) -> Result<(), Abort> {
        over(fields.len() as u64, self.limits.fields_bytes, "bytes of fields", "fields_bytes")?;
        self.said.fields_bytes = self.said.fields_bytes.max(fields.len() as u64);
        Ok(())
    }
}

/// Ends the run where a budget is exceeded.
fn over(used: u64, limit: u64, what: &str, name: &str) -> Result<(), Abort> {
    if used > limit { Err(Abort::Output(too_much(limit, what, name))) } else { Ok(()) }
}

/// An effect's answer to another question: the floor above is wrong, not the guest.
fn unexpected() -> Refused {
    Refused::Abort(Abort::Fault("an effect answered another question".into()))
}
