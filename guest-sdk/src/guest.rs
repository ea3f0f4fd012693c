//! The module's side of the contract: what the host calls, and what it is asked.
//!
//! The only file that knows the bindings; everything else speaks of [`Run`] and [`Definition`].

use std::io::Write;
use std::sync::Once;

use crate::{Definition, Error, NodeId, Result, Run, WalkerId, registry};

#[allow(unsafe_code, missing_docs, clippy::all, unreachable_pub, reason = "generated from the contract")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "module" });

    use super::Module;
    export!(Module);
}

use bindings::exports::walker::guest::guest;
use bindings::walker::guest::types::Problem;
use bindings::walker::guest::{lifecycle, run, walkers};

struct Module;

impl guest::Guest for Module {
    fn describe() -> Vec<guest::Definition> {
        hook_panics();
        registry::definitions().into_iter().map(Into::into).collect()
    }

    fn run(invocation: guest::Invocation) -> Result<String, String> {
        hook_panics();
        let done = start(invocation);
        // Nothing calls exit after this, so what was printed without a line end would stay behind.
        drop(std::io::stdout().flush());
        done.map_err(|error| error.to_string())
    }
}

fn start(invocation: guest::Invocation) -> Result<String> {
    let walker = registry::find(&invocation.walker)
        .ok_or_else(|| Error::msg(format!("the module has no walker called {}", invocation.walker)))?;
    let mut run = Run {
        walker: walker.name,
        id: WalkerId::given(invocation.id),
        node_id: NodeId::given(invocation.node_id),
        root_id: NodeId::given(invocation.root_id),
        attempt: invocation.attempt,
        custom: invocation.custom.map(|custom| serde_json::from_str(&custom)).transpose()?,
        host: Host,
    };
    (walker.execute)(&invocation.fields, &mut run)
}

/// Tells the host about a panic. It records it and the abort follows, so nothing is printed besides.
fn hook_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            drop(std::io::stdout().flush());
            let message = panic.payload_as_str().unwrap_or("a panic without a message");
            let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
            lifecycle::panicked(message, file, line);
        }));
    });
}

impl From<Definition> for guest::Definition {
    fn from(definition: Definition) -> Self {
        let fields = definition.fields.into_iter().map(|field| guest::Field {
            name: field.name.to_owned(),
            schema: field.schema.to_string(),
            default_value: field.default.map(|value| value.to_string()),
            doc: field.doc.to_owned(),
        });
        Self {
            name: definition.name.to_owned(),
            doc: definition.doc.to_owned(),
            is_async: definition.is_async,
            is_public: definition.is_public,
            enters: definition.enters.into_iter().map(str::to_owned).collect(),
            fields: fields.collect(),
            settings: definition.settings.to_string(),
        }
    }
}

/// The host's refusal as an error that keeps its code. (The bindings' own error would print as a record.)
fn refused(problem: Problem) -> Error {
    Error::with_code(problem.code, problem.message)
}

/// The host that runs this module.
pub(crate) struct Host;

impl Host {
    pub(crate) fn report(&self, value: String) -> Result<()> {
        run::report(&value).map_err(refused)
    }

    pub(crate) fn save(&self, fields: String) -> Result<()> {
        run::save(&fields).map_err(refused)
    }

    pub(crate) fn http_status(&self, status: u16) -> Result<()> {
        run::set_http_status(status).map_err(refused)
    }

    pub(crate) fn custom(&self, value: String) -> Result<()> {
        run::set_custom(&value).map_err(refused)
    }

    /// A walker's fields and schedule.
    pub(crate) fn read(&self, id: &WalkerId) -> Result<(String, String)> {
        let seen = walkers::read(id.as_str()).map_err(refused)?;
        Ok((seen.fields, seen.schedule))
    }

    pub(crate) fn spawn(&self, walker: &str, fields: String) -> Result<String> {
        walkers::spawn(walker, &fields, None).map_err(refused)
    }

    pub(crate) fn call(&self, walker: &str, fields: String) -> Result<Vec<String>> {
        walkers::call(walker, &fields, None).map_err(refused)
    }
}
