//! Where walkers failed, in words: resolved in a child once somebody asks, and kept.
//!
//! Knows nothing of walkers. Nobody waits long for lines: who wrote the module decides how long finding them takes.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use walker_model::{Frame, TenantId};

use super::Compiled;
use super::compiled::{Unloadable, chain};
use super::line::Line;
use super::under_way::UnderWay;

/// How long a reader waits for lines before it gets names alone. Most are found in a tenth of a second; the next reader has those
/// that took longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Children at once: with two, no tenant has them all. Each takes up to 512 MiB.
const CHILDREN: usize = 2;
/// Places of one tenant that are resolved or wait for it, and of all: beyond them readers get names. Each takes some kilobytes, and
/// up to ten seconds of its tenant's turn.
const PLACES_PER_TENANT: usize = 16;
const PLACES: usize = 256;
/// After so long one is resolved anew, in case it could not be for a reason that has passed.
const KEEP: Duration = Duration::from_secs(600);
/// How many are kept.
const MAX_KEPT: u64 = 1_000;

/// Whose walkers failed where: by place, not by walker, since what fails once fails in the same place a thousand times. By tenant,
/// since who has published the same module must not wait in another's line.
type Stack = (TenantId, [u8; 32], Vec<Frame>);

/// Backtraces of failed walkers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backtraces {
    compiled: Compiled,
    line: Line,
    kept: Cache<Stack, Arc<Vec<String>>>,
    under_way: UnderWay<Stack, Option<Arc<Vec<String>>>>,
}

impl Backtraces {
    /// None yet.
    pub(crate) fn new(compiled: Compiled) -> Self {
        Self {
            compiled,
            line: Line::new(CHILDREN),
            kept: Cache::builder().max_capacity(MAX_KEPT).time_to_live(KEEP).build(),
            under_way: UnderWay::new(),
        }
    }

    /// One `function at file:line` for each frame; without lines where they cannot be had, or not yet.
    pub(crate) async fn of(&self, tenant: TenantId, sha256: [u8; 32], frames: &[Frame]) -> Arc<Vec<String>> {
        let stack = (tenant, sha256, frames.to_vec());
        if let Some(kept) = self.kept.get(&stack).await {
            return kept;
        }
        let resolved = self.under_way.join(stack.clone(), || self.clone().resolve(stack));
        match tokio::time::timeout(PATIENCE, resolved).await {
            Ok(Some(Some(backtrace))) => backtrace,
            _ => Arc::new(names(frames).collect()),
        }
    }

    /// `None`: not now.
    async fn resolve(self, stack: Stack) -> Option<Arc<Vec<String>>> {
        let (tenant, sha256, frames) = &stack;
        let place = self.line.enter_within(*tenant, PLACES_PER_TENANT, PLACES).ok()?;
        let _turn = place.turn().await;
        let resolved = async {
            let code = self.compiled.code(sha256).await?;
            let lines = self.compiled.jail().symbolize(&code, frames).await;
            lines.map_err(|error| Unloadable::Broken(chain(&error)))
        };
        let backtrace: Vec<String> = match resolved.await {
            Ok(lines) => names(frames)
                .zip(lines)
                .map(|(name, line)| match line {
                    Some(line) => format!("{} at {}:{}", line.function.unwrap_or(name), line.file, line.line),
                    None => name,
                })
                .collect(),
            Err(Unloadable::Away(error)) => {
                tracing::debug!("a backtrace has no lines yet: {error}");
                return None;
            }
            // Its author's doing, most likely: debug information that is too much for anybody.
            Err(Unloadable::Broken(error)) => {
                tracing::info!(%tenant, "a backtrace stays without lines: {error}");
                names(frames).collect()
            }
        };
        let backtrace = Arc::new(backtrace);
        self.kept.insert(stack, backtrace.clone()).await;
        Some(backtrace)
    }
}

fn names(frames: &[Frame]) -> impl Iterator<Item = String> {
    frames.iter().map(|frame| frame.function.clone().unwrap_or_else(|| "<unknown>".into()))
}
