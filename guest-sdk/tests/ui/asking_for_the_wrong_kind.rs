use walker_sdk::prelude::*;

#[walker]
struct Sync {}

#[walker]
impl Sync {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker(async)]
struct Async {}

#[walker]
impl Async {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        run.spawn(&Sync {})?;
        run.call(&Async {})?;
        run.save(&self.clone())?;
        run.walker::<String>(&run.id().clone())?;
        Ok(())
    }
}

impl Clone for Async {
    fn clone(&self) -> Self {
        Self {}
    }
}

fn main() {}
