//! `walker`: the host and its command line in one binary.
//!
//! Decides exit codes; what a command does is in its own file.
#![allow(clippy::print_stderr, reason = "stderr is where a command line talks")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod args;
mod client;
mod commands;
mod print;
mod sdk;
mod secret;
mod toolchain;
mod view;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc before anything else runs. Few arenas: by default there are four for each core, each with remains of its own.
/// What is freed goes back to the system after a second instead of ten.
#[used]
#[allow(unsafe_code, reason = "jemalloc looks for a symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8] = b"narenas:4,dirty_decay_ms:1000\0";

/// How a command that did its work ended.
enum End {
    /// Exit code 0.
    Well,
    /// The walker failed or was cancelled: exit code 3.
    Badly,
}

/// A mistake in how the command was called that its parser cannot see: exit code 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    // Before anything else: the host starts this program again as the jail that reads modules, which needs nothing else.
    if std::env::args_os().nth(1).is_some_and(|first| first == "jail") {
        return walker_sandbox::jail_main(std::env::args().skip(2));
    }
    let Args { global, command } = Args::parse();
    let end = match command {
        Command::Serve(args) => commands::serve::serve(args),
        Command::New(args) => commands::new::new(&args),
        Command::Build(args) => commands::build::build(&args, &global),
        Command::Push(args) => commands::push::push(&args, &global),
        Command::Run(args) => commands::run::run(args, &global),
        Command::Get(args) => commands::get::get(&args, &global),
        Command::Ls(args) => commands::ls::ls(&args, &global),
        Command::Logs(args) => commands::logs::logs(&args, &global),
        Command::Cancel(args) => commands::cancel::cancel(&args, &global),
        Command::Retry(args) => commands::retry::retry(&args, &global),
        Command::Login(args) => commands::login::login(args, &global),
        Command::Logout => commands::logout::logout(&global),
        Command::Whoami => commands::whoami::whoami(&global),
        Command::User(args) => commands::user::user(args, &global),
        Command::Tenant(args) => commands::tenant::tenant(&args, &global),
        Command::Key(args) => commands::key::key(&args, &global),
    };
    match end {
        Ok(End::Well) => ExitCode::SUCCESS,
        Ok(End::Badly) => ExitCode::from(3),
        Err(error) if print::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print::error(&format!("{error:#}"));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}
