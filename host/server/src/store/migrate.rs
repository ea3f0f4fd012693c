//! Brings the schema up to date, one host at a time.

use super::roles::{self, Role};
use super::{Error, Session};

mod embedded {
    refinery::embed_migrations!("src/store/migrations");
}

/// Any number, the same on every host: who holds this advisory lock may change the schema.
pub(super) const SCHEMA_LOCK: i64 = 0x7761_6c6b_6572;

/// Runs the migrations that this database has not seen; answers as what its hosts speak for tenants.
pub(super) async fn migrate(config: &tokio_postgres::Config) -> Result<Role, Error> {
    let mut session = Session::open(config, "schema").await?;
    // Held until the connection closes, so that hosts which start together wait for the first.
    session.execute("select pg_advisory_lock($1)", &[&SCHEMA_LOCK]).await?;
    let runner = embedded::migrations::runner();
    let known = runner.get_migrations().iter().map(refinery::Migration::version).max();
    let report = runner
        // A newer host may have been here: migrations only expand, so that this one can run beside it, and come back.
        .set_abort_missing(false)
        .run_async(&mut *session)
        .await
        .map_err(|error| Error::Migration(error.into()))?;
    for migration in report.applied_migrations() {
        tracing::info!(version = %migration.version(), "brought the schema to version {}", migration.version());
    }
    let last = embedded::migrations::runner().get_last_applied_migration_async(&mut *session).await;
    let found = last.map_err(|error| Error::Migration(error.into()))?.map(|migration| migration.version());
    if let (Some(found), Some(known)) = (found, known)
        && found > known
    {
        tracing::info!(
            "a newer host has brought the schema to version {found}; this one knows it up to {known}, and runs beside it"
        );
    }
    roles::prepare(&session).await
}
