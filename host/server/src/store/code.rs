//! Modules' code as uploaded, in and out a piece at a time: a host's memory does not grow with what it keeps.
//!
//! Knows nothing of versions.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use deadpool_postgres::Transaction;

use super::modules::digest;
use super::{Error, Store};

/// Few round trips, and nothing to speak of in memory.
const PIECE_BYTES: usize = 1 << 20;

/// Keeps code that may be kept already. Part of publishing, so that no code is kept that nobody published.
pub(super) async fn keep(transaction: &Transaction<'_>, sha256: &[u8; 32], code: &File) -> Result<(), Error> {
    // Kept from whoever deletes the tenant that published it first, until this one's version refers to it.
    let sql = "select 1 from module_code where sha256 = $1 for key share";
    let known = transaction.query_opt(sql, &[&sha256.as_slice()]).await?;
    if known.is_some() {
        return Ok(());
    }
    // Appending to the column would write all of it anew for each piece. A large object takes pieces, and is copied
    // into the column where both are.
    let object: u32 = transaction.query_one("select lo_create(0)", &[]).await?.get(0);
    let put = transaction.prepare_cached("select lo_put($1, $2, $3)").await?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let read = code.read_at(&mut piece, at).map_err(Error::File)?;
        if read == 0 {
            break;
        }
        transaction.execute(&put, &[&object, &(at as i64), &&piece[..read]]).await?;
        at += read as u64;
    }
    transaction
        .execute(
            "insert into module_code (sha256, code) values ($1, lo_get($2)) on conflict do nothing",
            &[&sha256.as_slice(), &object],
        )
        .await?;
    transaction.execute("select lo_unlink($1)", &[&object]).await?;
    Ok(())
}

impl Store {
    /// Those of these digests whose code is not stored, or no longer.
    pub(crate) async fn without_code(&self, digests: &[[u8; 32]]) -> Result<Vec<[u8; 32]>, Error> {
        let digests: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
        let sql = "select u.sha256 from unnest($1::bytea[]) u(sha256)
                   where not exists (select 1 from module_code c where c.sha256 = u.sha256)";
        self.client().await?.query(sql, &[&digests]).await?.iter().map(|row| digest(row.try_get(0)?)).collect()
    }

    /// The part of a module's code that begins at byte `at`, of whatever length suits; empty at the end, `None` where no
    /// such code is kept.
    pub(crate) async fn code_piece(&self, sha256: &[u8; 32], at: u64) -> Result<Option<Vec<u8>>, Error> {
        let client = self.client().await?;
        // The column is stored uncompressed, so that Postgres reads no more than the piece. It counts from 1.
        let sql = "select substring(code from $2 for $3) from module_code where sha256 = $1";
        let statement = client.prepare_cached(sql).await?;
        let from = i32::try_from(at + 1).map_err(|_| Error::Corrupt("code of more than 2 GiB".into()))?;
        let row = client.query_opt(&statement, &[&sha256.as_slice(), &from, &(PIECE_BYTES as i32)]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
