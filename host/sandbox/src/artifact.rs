//! Native code that may be loaded: where it stands in memory, and the one place where it is loaded.
//!
//! Knows nothing of who made it; that only trusted makers can is held by the constructors' visibility.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Error;

/// A compiled module that may be loaded. Made only by [`crate::Jail::admit`] and [`crate::ArtifactCache::get`].
#[derive(Clone)]
pub struct Artifact(Bytes);

impl std::fmt::Debug for Artifact {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Artifact({} bytes)", self.0.len())
    }
}

/// Where each core module stands in its component's binary, in order of appearance.
pub(crate) type Layout = Vec<Range<u64>>;

impl Artifact {
    /// Joins the layout and the native code.
    pub(crate) fn join(layout: &[Range<u64>], native: &[u8]) -> Bytes {
        let mut bytes = BytesMut::with_capacity(native.len() + layout.len() * 16 + 4);
        bytes.put_u32_le(u32::try_from(layout.len()).expect("fewer core modules than bytes"));
        for range in layout {
            bytes.put_u64_le(range.start);
            bytes.put_u64_le(range.end);
        }
        bytes.extend_from_slice(native);
        bytes.freeze()
    }

    /// Takes bytes that [`Self::join`] made in this host's jail, or that were authenticated as such.
    pub(crate) fn trusted(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, for the cache.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it: never, once it was admitted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Maps the code into this process.
    ///
    /// # Errors
    /// When the bytes are cut short, or were compiled for another engine.
    pub(crate) fn component(&self, engine: &Engine) -> Result<(Component, Layout), Error> {
        let (layout, native) = split(&self.0).ok_or(Error::Truncated)?;
        // SAFETY: the bytes come from this host's jailed child or carry this host's authentication tag, so that they
        // are what `Component::serialize` returned. wasmtime itself checks version and settings. A child that was
        // taken over can forge them; that is why running guests get a process wall of their own later.
        #[allow(unsafe_code, reason = "wasmtime cannot verify native code; the constructors' visibility does it")]
        let component = unsafe { Component::deserialize(engine, native) }.map_err(Error::Load)?;
        Ok((component, layout))
    }
}

fn split(bytes: &[u8]) -> Option<(Layout, &[u8])> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut layout = Layout::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (start, after) = rest.split_first_chunk::<8>()?;
        let (end, after) = after.split_first_chunk::<8>()?;
        layout.push(u64::from_le_bytes(*start)..u64::from_le_bytes(*end));
        rest = after;
    }
    Some((layout, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_it_joined_and_nothing_shorter() {
        let joined = Artifact::join(&[1..2, 3..9], b"native");
        assert_eq!(split(&joined), Some((vec![1..2, 3..9], &b"native"[..])));
        assert_eq!(split(&joined[..20]), None);
        assert_eq!(split(&[]), None);
    }
}
