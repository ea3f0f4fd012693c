//! `walker serve`: reads the settings and runs the host.
//!
//! Knows nothing of what the host does.

use std::fs;

use anyhow::{Context, Result};
use walker_server::config::{Config, Sources};
use walker_server::telemetry;

use crate::args::Serve;
use crate::{End, Usage, print};

pub(crate) fn serve(args: Serve) -> Result<End> {
    let config = settings(args)?;
    telemetry::init(&config)?;
    // Gives memory back to the system also while nobody allocates. Not for the jail's children, which start threads
    // when they are ready to.
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!("freed memory is given back late: the allocator's own thread cannot start: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("io").enable_all().build()?;
    runtime.block_on(walker_server::serve::serve(config, |url| {
        // The one line of data; whoever started us may have gone since, which does not stop a host.
        let _ = print::line(format_args!("listening on {url}"));
        tracing::info!(
            "to try next, in another terminal in this folder: walker new hello && cd hello && walker build && \
             walker push target/walkers/hello.wasm && walker run hello --wait (or read {url}/docs)"
        );
    }))?;
    Ok(End::Well)
}

fn settings(args: Serve) -> Result<Config> {
    let file = match args.config {
        Some(path) => {
            let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
            Some((path, text))
        }
        None => None,
    };
    let flags = [
        ("listen", args.listen),
        ("tls_cert", args.tls_cert),
        ("tls_key", args.tls_key),
        ("plain_http", args.plain_http.then(|| "true".to_owned())),
        ("data_dir", args.data_dir),
        ("threads", args.threads),
        ("role", args.role),
        ("slots", args.slots),
        ("grace", args.grace),
        ("log", args.log),
        ("log_format", args.log_format),
    ];
    let flags = flags.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
    let env = |name: &str| std::env::var(name).ok();
    Config::load(Sources { flags, env: &env, file })
        .map_err(|invalid| Usage(format!("some settings are wrong:\n  {}", invalid.0.join("\n  "))).into())
}
