//! What a module says it defines: asked twice, with every import of the contract refused.
//!
//! Believes nothing it says until it is checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use walker_model::{Definition, Field, Json, Limits, Settings};
use wasmtime::Engine;

use crate::artifact::Layout;
use crate::componentize::Rejected;
use crate::failure::explain;
use crate::host::contract::{ModulePre, exports::walker::guest::guest};
use crate::stack::DeepStack;
use crate::state::{Start, State};
use crate::{Effects, LogLine, Refusal, Reply, Request, Stop, run};

/// What `describe` may use. Python's interpreter starts in some hundred million instructions and 50 MB.
const LIMITS: Limits = Limits {
    fuel: 2_000_000_000,
    time_ms: 20_000,
    memory_bytes: 256 << 20,
    // All definitions cross in one call.
    host_call_bytes: 4 << 20,
    log_bytes: 0,
    host_calls: 0,
    ..Limits::DEFAULT
};

/// The definitions of a module, the same each time it is asked, and fit to be published.
///
/// # Errors
/// When they are not, in words for the author.
pub(crate) async fn definitions(
    engine: &Engine,
    module: &ModulePre<State>,
    layout: &Layout,
) -> Result<Vec<Definition>, Rejected> {
    // Each with a seed of its own, so that a description made of random numbers shows; and as new as those of runs, so that
    // a guest cannot tell from them that it is only being asked.
    let first = described(engine, module, layout, rand::random()).await?;
    let second = described(engine, module, layout, rand::random()).await?;
    if first != second {
        return Err(Rejected::new(
            "the module describes its walkers differently each time it is asked; a description may not depend on time, \
             random numbers or the order of a hash map",
        ));
    }
    Definition::check_all(&first).map_err(|error| Rejected::new(error.to_string()))?;
    Ok(first)
}

async fn described(
    engine: &Engine,
    module: &ModulePre<State>,
    layout: &Layout,
    seed: [u8; 32],
) -> Result<Vec<Definition>, Rejected> {
    let start = Start {
        limits: LIMITS,
        seed,
        stop: Stop::default(),
        started: Instant::now(),
        clock_resolution: Duration::from_millis(1),
        effects: Arc::new(Nothing),
    };
    let failed = |message: String| Rejected::new(format!("the module cannot describe its walkers: {message}"));
    // Its process ends with it: nobody uses its stack again.
    let stack = DeepStack::new(0);
    let mut store =
        run::store(engine, State::describing(start), stack).map_err(|error| failed(format!("{error:#}")))?;
    let asked = async {
        let guest = module.instantiate_async(&mut store).await?;
        guest.walker_guest_guest().call_describe(&mut store).await
    };
    let answer = asked.await;
    let definitions = answer.map_err(|error| {
        failed(match explain(&error, store.data(), layout) {
            Ok(failure) => failure.message,
            Err(fault) => fault.to_string(),
        })
    })?;
    definitions.into_iter().map(definition).collect()
}

fn definition(said: guest::Definition) -> Result<Definition, Rejected> {
    let name = said.name;
    let settings = Settings::asked(&said.settings)
        .map_err(|error| Rejected::new(format!("the settings of walker {name} are not known to this host: {error}")))?;
    let fields = said.fields.into_iter().map(|said| field(&name, said)).collect::<Result<_, _>>()?;
    Ok(Definition {
        name,
        doc: said.doc,
        is_async: said.is_async,
        is_public: said.is_public,
        enters: said.enters,
        fields,
        settings,
    })
}

fn field(walker: &str, said: guest::Field) -> Result<Field, Rejected> {
    let name = said.name;
    let reject = |what: String| Rejected::new(format!("field {name} of walker {walker} {what}"));
    let parse = |what: &str, text: String| {
        Json::parse(text).map_err(|error| reject(format!("has a {what} that is not JSON: {error}")))
    };
    let schema = parse("schema", said.schema)?;
    // A schema is an object, or true or false for anything or nothing.
    if !matches!(schema.as_str().trim_start().as_bytes().first(), Some(b'{' | b't' | b'f')) {
        return Err(reject("has a schema that is neither an object nor true or false".into()));
    }
    let default = said.default_value.map(|text| parse("default", text)).transpose()?;
    Ok(Field { schema, default, doc: said.doc, name })
}

/// The world while a module describes itself: there is none.
struct Nothing;

impl Effects for Nothing {
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        Box::pin(async move { Err(Refusal::Fault(format!("describe asked for {request:?}"))) })
    }

    fn log(&self, _line: LogLine) {}
}
