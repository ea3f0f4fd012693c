//! Walkers that wait: for others to look at what they saved, and for each other.

use std::time::Duration;

use walker_sdk::prelude::*;

/// Saves step 1, waits, ends at step 2.
#[walker(async)]
struct WaitsForSave {
    /// How far it is.
    #[has(default = 0)]
    step: u32,
    /// How long it waits in between, in milliseconds.
    #[has(default = 1_000)]
    ms: u64,
}

#[walker]
impl WaitsForSave {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        run.report(json!({"attempt": run.attempt(), "began_at": self.step}))?;
        self.step = 1;
        run.save(self)?;
        std::thread::sleep(Duration::from_millis(self.ms));
        self.step = 2;
        Ok(())
    }
}

/// Runs for a while, one at a time.
#[walker(async, concurrency = 1)]
struct TakesTurns {
    /// `running` once it runs.
    #[has(default = "waiting".to_owned())]
    stage: String,
    /// For how long, in milliseconds.
    #[has(default = 100)]
    ms: u64,
}

#[walker]
impl TakesTurns {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = "running".into();
        run.save(self)?;
        std::thread::sleep(Duration::from_millis(self.ms));
        Ok(())
    }
}

/// Saves, waits, and spawns an echo only then; reports what came of that.
#[walker(async)]
struct SpawnsLate {
    /// `saved` once it was saved.
    #[has(default = "begun".to_owned())]
    stage: String,
    /// How long it waits in between, in milliseconds.
    #[has(default = 1_000)]
    ms: u64,
}

#[walker]
impl SpawnsLate {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = "saved".into();
        run.save(self)?;
        std::thread::sleep(Duration::from_millis(self.ms));
        let spawned = run.spawn_named("echo_later", json!({})).map(|id| json!({"spawned": id}));
        run.report(spawned.unwrap_or_else(|error| json!({"code": error.code(), "message": error.to_string()})))
    }
}

/// Keeps its caller waiting.
#[walker]
struct Holds {
    /// For how long, in milliseconds.
    #[has(default = 1_000)]
    ms: u64,
}

#[walker]
impl Holds {
    #[entry]
    fn enter(&self, _here: &Root, _run: &mut Run) -> Result<()> {
        std::thread::sleep(Duration::from_millis(self.ms));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use walker_sdk::testing::World;

    use super::*;

    #[test]
    fn begins_again_from_its_save() -> Result<()> {
        let done = World::new().attempt(2).run(WaitsForSave { step: 1, ms: 0 })?;
        assert_eq!(done.reports, [json!({"attempt": 2, "began_at": 1})]);
        assert_eq!((done.saved[0]["step"].as_u64(), done.fields.step), (Some(1), 2));
        Ok(())
    }

    #[test]
    fn spawns_after_its_save() -> Result<()> {
        let done = World::new().run(SpawnsLate { stage: "begun".into(), ms: 0 })?;
        assert_eq!(done.saved[0]["stage"].as_str(), Some("saved"));
        assert_eq!(done.reports, [json!({"spawned": done.spawned[0].id})]);
        assert!(World::new().run(Holds { ms: 0 })?.error.is_none());
        Ok(())
    }

    #[test]
    fn shows_that_it_runs() -> Result<()> {
        let done = World::new().run(TakesTurns { stage: "waiting".into(), ms: 0 })?;
        assert_eq!(done.saved[0]["stage"].as_str(), Some("running"));
        Ok(())
    }
}
