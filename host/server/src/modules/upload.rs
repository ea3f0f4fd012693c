//! Modules on their way in: kept in files without names, so that none of them is ever held in memory.
//!
//! Knows nothing of HTTP, nor of what the bytes mean.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;

/// Where uploads are kept while they are looked at. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool(Arc<PathBuf>);

/// An upload that is still coming in.
pub(crate) struct Receiving {
    file: tokio::fs::File,
    sha256: Sha256,
    bytes: u64,
}

/// A whole upload. Its file is gone as soon as nobody holds it.
#[derive(Debug)]
pub struct Upload {
    pub(crate) file: File,
    /// The digest of its bytes.
    pub(crate) sha256: [u8; 32],
}

impl Spool {
    /// Keeps uploads in `folder`, making it where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self(Arc::new(folder.to_owned())))
    }

    /// Begins to keep an upload.
    ///
    /// # Errors
    /// When no file can be made.
    pub(crate) async fn receive(&self) -> io::Result<Receiving> {
        let folder = self.0.clone();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(&*folder));
        let file = tokio::fs::File::from_std(made.await.map_err(io::Error::other)??);
        Ok(Receiving { file, sha256: Sha256::new(), bytes: 0 })
    }
}

impl Receiving {
    /// How much has come.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps what comes next.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.sha256.update(piece);
        self.bytes += piece.len() as u64;
        self.file.write_all(piece).await
    }

    /// There was no more.
    ///
    /// # Errors
    /// When the last of it cannot be written.
    pub(crate) async fn finish(mut self) -> io::Result<Upload> {
        self.file.flush().await?;
        Ok(Upload { file: self.file.into_std().await, sha256: self.sha256.finalize().into() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[tokio::test]
    async fn keeps_what_came_and_leaves_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("uploads")).unwrap();
        let mut receiving = spool.receive().await.unwrap();
        receiving.write(b"one").await.unwrap();
        receiving.write(b"two").await.unwrap();
        assert_eq!(receiving.bytes(), 6);
        let upload = receiving.finish().await.unwrap();
        assert_eq!(upload.sha256, <[u8; 32]>::from(Sha256::digest(b"onetwo")));
        let mut kept = [0; 6];
        upload.file.read_exact_at(&mut kept, 0).unwrap();
        assert_eq!(&kept, b"onetwo");
        assert_eq!(std::fs::read_dir(&*spool.0).unwrap().count(), 0);
    }
}
