//! Walkers that lean on others: echoes, a parent, a reader, one without an end.

use walker_sdk::prelude::*;

/// Reports its value.
#[walker]
struct Echo {
    /// Anything.
    #[has(default)]
    value: Value,
}

#[walker]
impl Echo {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        run.report(&self.value)
    }
}

/// Reports its value, for callers without a token.
#[walker(public)]
struct OpenEcho {
    /// Anything.
    #[has(default)]
    value: Value,
}

#[walker]
impl OpenEcho {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        run.report(&self.value)
    }
}

/// Keeps its value and reports it, in the background.
#[walker(async)]
struct EchoLater {
    /// Anything.
    #[has(default)]
    value: Value,
}

#[walker]
impl EchoLater {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        run.report(&self.value)
    }
}

/// The same, for callers without a token.
#[walker(async, public)]
struct OpenEchoLater {
    /// Anything.
    #[has(default)]
    value: Value,
}

#[walker]
impl OpenEchoLater {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        run.report(&self.value)
    }
}

/// Spawns one echo and calls another.
#[walker(async)]
struct Parent {
    /// What both shall say.
    #[has(default = json!("hello"))]
    value: Value,
}

#[walker]
impl Parent {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let spawned = run.spawn(&EchoLater { value: self.value.clone() })?;
        run.report(json!({"spawned": spawned}))?;
        let called = run.call(&Echo { value: self.value.clone() })?;
        run.report(json!({"called": called}))
    }
}

/// Calls itself, each time with a depth of one less; reports every depth, the deepest first.
#[walker]
struct CallsItself {
    /// How deep; deeper than any host allows unless told otherwise.
    #[has(default = 1_000)]
    depth: u32,
}

#[walker]
impl CallsItself {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        if self.depth > 1 {
            for below in run.call(&Self { depth: self.depth - 1 })? {
                run.report(below)?;
            }
        }
        run.report(self.depth)
    }
}

/// Reports what it sees of another walker.
#[walker]
struct Reads {
    /// The walker to look at.
    walker_id: WalkerId,
}

#[walker]
impl Reads {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let seen = run.walker::<Value>(&self.walker_id)?;
        run.report(json!({"fields": seen.fields, "schedule": seen.schedule}))
    }
}

/// Sets what its schedule says besides its status.
#[walker]
struct SetsStatus {
    /// The HTTP status.
    #[has(default = 200)]
    http_status: u16,
    /// The custom value.
    #[has(default)]
    custom: Value,
}

#[walker]
impl SetsStatus {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        run.http_status(self.http_status)?;
        run.custom(&self.custom)?;
        run.report(run.custom_value().cloned())
    }
}

/// How [`Starts`] starts another walker.
#[data]
#[derive(Debug)]
enum How {
    Spawn,
    Call,
}

/// Starts a walker by its name; reports what came of it, a refusal by its code and message.
#[walker]
struct Starts {
    /// As the other walker's kind asks for, or not.
    how: How,
    /// Its name.
    walker: String,
    /// Its fields.
    #[has(default = json!({}))]
    fields: Value,
}

#[walker]
impl Starts {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let started = match self.how {
            How::Spawn => run.spawn_named(&self.walker, &self.fields).map(|id| json!({"spawned": id})),
            How::Call => run.call_named(&self.walker, &self.fields).map(|reports| json!({"called": reports})),
        };
        run.report(started.unwrap_or_else(|error| json!({"code": error.code(), "message": error.to_string()})))
    }
}

/// Spawns one of its own kind, without end; reports its generation, and why it could not spawn another.
#[walker(async)]
struct SpawnsItself {
    /// How many came before it.
    #[has(default = 0)]
    generation: u32,
}

#[walker]
impl SpawnsItself {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let next = run.spawn(&Self { generation: self.generation + 1 });
        let refused = next.err().map(|error| json!({"code": error.code(), "message": error.to_string()}));
        run.report(json!({"generation": self.generation, "refused": refused}))
    }
}

/// Lowers each of its limits; spawns until it is refused, and goes on.
#[walker(
    async,
    timeout = "5s",
    memory = "16MiB",
    fuel = 1_000_000_000,
    log = "1KiB",
    log_bytes_per_second = "2KiB",
    reports = 2,
    report_bytes = "3KiB",
    fields_bytes = "4KiB",
    custom_bytes = "1KiB",
    host_calls = 50,
    host_call_bytes = "64KiB",
    spawns = 3,
    spawn_depth = 4,
    call_depth = 5,
    handles = 60,
    table_elements = 10_000,
    stack_bytes = "512KiB",
    core_instances = 40
)]
struct Modest {}

#[walker]
impl Modest {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let mut spawned = 0;
        let refused = loop {
            match run.spawn(&EchoLater { value: json!(spawned) }) {
                Ok(_) => spawned += 1,
                Err(error) => break error,
            }
        };
        run.report(json!({"spawned": spawned, "code": refused.code(), "message": refused.to_string()}))
    }
}

#[cfg(test)]
mod tests {
    use walker_sdk::testing::{self, World};

    use super::*;

    #[test]
    fn a_parent_spawns_and_calls() -> Result<()> {
        let done = testing::run(Parent { value: json!([1]) })?;
        assert_eq!((done.spawned[0].walker.as_str(), &done.spawned[0].fields), ("echo_later", &json!({"value": [1]})));
        assert_eq!(done.reports, [json!({"spawned": done.spawned[0].id}), json!({"called": [[1]]})]);
        Ok(())
    }

    #[test]
    fn calls_end_at_a_depth() -> Result<()> {
        assert_eq!(testing::run(CallsItself { depth: 3 })?.reports, [1, 2, 3]);
        let error = testing::run(CallsItself { depth: 9 })?.error.expect("too deep");
        assert_eq!(error.code(), "limit.calls");
        Ok(())
    }

    #[test]
    fn starts_by_name() -> Result<()> {
        let starts = |how| Starts { how, walker: "echo_later".into(), fields: json!({"value": 1}) };
        let done = testing::run(starts(How::Spawn))?;
        assert_eq!(done.reports, [json!({"spawned": done.spawned[0].id})]);
        assert!(testing::run(starts(How::Call))?.reports[0]["code"].is_string());
        Ok(())
    }

    #[test]
    fn reads_any_walker() -> Result<()> {
        let id: WalkerId = "w:echo:550e8400-e29b-41d4-a716-446655440000".parse()?;
        let world = World::new().with_walker(id.clone(), json!({"value": 1}), Schedule::default());
        let done = world.run(Reads { walker_id: id.clone() })?;
        assert_eq!(done.reports[0]["fields"], json!({"value": 1}));
        assert_eq!(done.reports[0]["schedule"]["status"], "completed");
        let error = testing::run(Reads { walker_id: id })?.error.expect("nobody there");
        assert_eq!(error.code(), "walker.not_found");
        Ok(())
    }

    #[test]
    fn sets_what_it_is_told() -> Result<()> {
        let done = testing::run(SetsStatus { http_status: 201, custom: json!({"a": 1}) })?;
        assert_eq!((done.http_status, &done.custom), (Some(201), &Some(json!({"a": 1}))));
        assert_eq!(done.reports, [json!({"a": 1})]);
        assert!(testing::run(SetsStatus { http_status: 99, custom: Value::Null })?.error.is_some());
        Ok(())
    }
}
