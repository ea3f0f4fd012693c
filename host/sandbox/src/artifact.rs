//! Native code that may be loaded: the file it stands in, and the one place where it is mapped.
//!
//! Knows nothing of who made it; that only trusted makers can is held by the constructor's visibility.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Error;

/// A compiled module that may be loaded. Made only by [`crate::Jail::admit`] and [`crate::ArtifactCache::get`].
///
/// It is a file and stays one: mapped, never read whole, so that its size costs this process next to nothing.
#[derive(Clone)]
pub struct Artifact(Arc<Inner>);

struct Inner {
    /// Begins with the native code.
    file: File,
    native_bytes: u64,
    shape: Shape,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Artifact({} bytes)", self.0.native_bytes)
    }
}

/// Where each core module stands in its component's binary, in order of appearance.
pub(crate) type Layout = Vec<Range<u64>>;

/// What is known of a compiled module beside its code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) layout: Layout,
    pub(crate) core_instances: u64,
}

impl Artifact {
    /// Takes a file that this host's jail has just written, or that was authenticated as such.
    pub(crate) fn trusted(file: File, native_bytes: u64, shape: Shape) -> Self {
        Self(Arc::new(Inner { file, native_bytes, shape }))
    }

    /// The size of the native code in bytes.
    pub fn size(&self) -> u64 {
        self.0.native_bytes
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The native code, a piece at a time.
    pub(crate) fn native(&self) -> Pieces<'_> {
        Pieces { file: &self.0.file, at: 0..self.0.native_bytes }
    }

    /// Maps the code into this process.
    ///
    /// # Errors
    /// When it was compiled for another engine, or the file cannot be read.
    #[allow(unsafe_code, reason = "wasmtime cannot verify native code; the constructor's visibility does it")]
    pub(crate) fn component(&self, engine: &Engine) -> Result<Component, Error> {
        // The open file, whatever its name stands for by now.
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.0.file.as_raw_fd()));
        // SAFETY: the file was written by this host's jailed child or carries this host's authentication tag, so that
        // it begins with what `Component::serialize` returned; wasmtime itself checks version and settings. It has no
        // name, or lies in a folder that only this user can write to, and is never written in place: whoever could
        // change it under us could as well change this process. A child that was taken over can forge it; that is why
        // running guests get a process wall of their own later.
        let mapped = unsafe { Component::deserialize_file(engine, path) };
        let Err(why) = mapped else { return mapped.map_err(Error::Load) };
        // Nothing can be run from files of some mounts (`noexec`): then it is read into memory.
        tracing::debug!("compiled code cannot be mapped ({why:#}); reading it into memory");
        let mut native = Vec::new();
        self.native().read_to_end(&mut native).map_err(Error::Read)?;
        // SAFETY: the same bytes.
        unsafe { Component::deserialize(engine, native) }.map_err(Error::Load)
    }
}

/// Reads part of a file from its own place in it, so that readers do not disturb each other.
pub(crate) struct Pieces<'a> {
    file: &'a File,
    at: Range<u64>,
}

impl<'a> Pieces<'a> {
    /// The part of `file` at `at`.
    pub(crate) fn of(file: &'a File, at: Range<u64>) -> Self {
        Self { file, at }
    }
}

impl io::Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.at.end.saturating_sub(self.at.start)).unwrap_or(usize::MAX);
        let wanted = into.len().min(left);
        let read = self.file.read_at(&mut into[..wanted], self.at.start)?;
        self.at.start += read as u64;
        if read == 0 && wanted > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
    }
}
