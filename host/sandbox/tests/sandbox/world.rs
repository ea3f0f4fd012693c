//! What tests run modules in: one sandbox and jail for all of them, and effects that remember.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::runtime::Runtime;
use walker_model::{Json, Limits, NodeId, Outcome, UploadCost, WalkerId};
use walker_sandbox::{
    AdmitError, Admitted, Config, Effects, HostFault, Jail, JailLimits, Job, LogLine, Module, Refusal, Reply, Request,
    Sandbox, Stop,
};

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
pub(crate) static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(config()).unwrap());

pub(crate) fn config() -> Config {
    Config { slots: 32, ..Config::default() }
}

pub(crate) fn jail(limits: JailLimits, most: UploadCost) -> Jail {
    Jail::new(std::env::current_exe().unwrap(), config(), limits, most, std::env::temp_dir())
}

/// A module in a file without a name, as uploads are.
pub(crate) fn file(wasm: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(wasm).unwrap();
    file
}

pub(crate) fn admit(wasm: Bytes) -> Result<Admitted, AdmitError> {
    admit_within(JailLimits::default(), UploadCost::DEFAULT, &wasm)
}

/// What a tenant may have, of a host that allows more.
pub(crate) fn admit_within(limits: JailLimits, most: UploadCost, wasm: &[u8]) -> Result<Admitted, AdmitError> {
    RUNTIME.block_on(jail(limits, UploadCost::CEILING).admit(&file(wasm), &most))
}

pub(crate) fn load(wasm: Bytes) -> Module {
    let admitted = admit(wasm).unwrap_or_else(|error| panic!("{error}"));
    SANDBOX.load(&admitted.artifact).unwrap()
}

pub(crate) fn job(limits: Limits) -> Job {
    let root = NodeId::root(uuid::Uuid::now_v7());
    Job {
        id: WalkerId::new("test"),
        node_id: root.clone(),
        root_id: root,
        attempt: 1,
        fields: Json::parse("{}".into()).unwrap(),
        reports: Vec::new(),
        custom: None,
        limits,
        seed: [7; 32],
    }
}

/// Effects that remember what was asked, and answer with `answer`.
pub(crate) struct World {
    pub(crate) asked: Mutex<Vec<Request>>,
    pub(crate) lines: Mutex<Vec<LogLine>>,
    /// How much memory there is for all runs together.
    pub(crate) left: AtomicU64,
    answer: fn(Request) -> BoxFuture<'static, Result<Reply, Refusal>>,
}

impl World {
    pub(crate) fn new(answer: fn(Request) -> BoxFuture<'static, Result<Reply, Refusal>>) -> Arc<Self> {
        Self::with_memory(u64::MAX, answer)
    }

    /// The same, where runs have no more than so many bytes.
    pub(crate) fn with_memory(
        bytes: u64,
        answer: fn(Request) -> BoxFuture<'static, Result<Reply, Refusal>>,
    ) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), lines: Mutex::default(), left: bytes.into(), answer })
    }

    /// Where every save succeeds.
    pub(crate) fn saving() -> Arc<Self> {
        Self::new(|_| Box::pin(async { Ok(Reply::Saved) }))
    }

    pub(crate) fn printed(&self) -> Vec<String> {
        self.lines.lock().unwrap().iter().map(|line| line.text.clone()).collect()
    }
}

impl Effects for World {
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        self.asked.lock().unwrap().push(request.clone());
        (self.answer)(request)
    }

    fn log(&self, line: LogLine) {
        self.lines.lock().unwrap().push(line);
    }

    fn take_memory(&self, bytes: u64) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn put_back_memory(&self, bytes: u64) {
        self.left.fetch_add(bytes, Relaxed);
    }
}

pub(crate) fn try_run(wasm: Bytes, job: Job, world: Arc<World>, stop: Stop) -> Result<Outcome, HostFault> {
    let module = load(wasm);
    RUNTIME.block_on(SANDBOX.run(&module, job, world, stop))
}

pub(crate) fn run(wasm: Bytes, limits: Limits) -> Outcome {
    try_run(wasm, job(limits), World::saving(), Stop::default()).unwrap()
}
