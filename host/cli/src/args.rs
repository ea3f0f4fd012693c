//! What can be typed.
//!
//! Knows nothing of what it does. Settings of `serve` stay texts here: they are checked together with those from the
//! environment and the file, so that all mistakes are told at once.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use walker_model::{NodeId, Status, WalkerId};
use walker_server::identity::{DEFAULT_TENANT, Scope};

/// Run walkers: small programs with typed fields, compiled to WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "walker", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Group)]
pub(crate) struct Global {
    /// The host to talk to; else the one that serves from this folder or one above it.
    #[arg(long, global = true, env = "WALKER_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Who is asking: a key, or a session. Everybody on this machine can read it here, and the shell remembers it: where that
    /// matters, use --token-file, WALKER_TOKEN or `walker login`.
    #[arg(long, global = true, env = "WALKER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The same, from the first line of a file; counts before --token.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Trust the certificates of these authorities only (PEM), such as an organisation's own.
    #[arg(long, global = true, env = "WALKER_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For eyes.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the host. It brings its own Postgres, unless DATABASE_URL names one.
    Serve(Serve),
    /// Make a new walker project.
    New(New),
    /// Build a project's walkers to WebAssembly.
    Build(Build),
    /// Publish a module.
    Push(Push),
    /// Invoke a walker.
    Run(Run),
    /// Show one invocation.
    Get(Get),
    /// List invocations, newest first.
    Ls(Ls),
    /// Show what a walker printed.
    Logs(Logs),
    /// Cancel invocations: by id, or all that match.
    Cancel(Cancel),
    /// Run a failed or cancelled invocation again, from its last saved fields.
    Retry(Retry),
    /// Log in as a user; the commands in this folder and below it then act as that user.
    Login(Login),
    /// Log out: the session ends.
    Logout,
    /// Show who is asking: what the token stands for, what it may do, until when.
    Whoami,
    /// Register users, change passwords.
    #[command(subcommand)]
    User(User),
    /// For the operator: tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// For the operator: keys of tenants.
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Group)]
pub(crate) struct Serve {
    /// Where to serve HTTP; port 0 takes a free one [default: 127.0.0.1:8000].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Serve HTTPS with this certificate (PEM, its issuers' after it); read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Serve plain HTTP also to other machines, since a proxy or a private network protects it.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Where to keep data [default: .walker].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// How many threads run walkers [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<String>,
    /// all, api (takes requests) or runner (runs walkers) [default: all].
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// How many walkers run at once [default: 384].
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<String>,
    /// How long running walkers may go on after Ctrl-C [default: 10s].
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace: Option<String>,
    /// Which log lines to write [default: info].
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// pretty or json [default: pretty].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Read settings from this TOML file, too.
    #[arg(long, env = "WALKER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct New {
    /// The project's folder and the walker's name.
    pub(crate) name: PathBuf,
}

#[derive(Debug, Group)]
pub(crate) struct Build {
    /// The project's folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Group)]
pub(crate) struct Push {
    /// The module to publish.
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// The module's name [default: the file's].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Run {
    /// The walker's name.
    pub(crate) name: String,
    /// Its fields, as a JSON object.
    pub(crate) fields: Option<String>,
    /// Wait for its end, at most so long if given, and print the result.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "")]
    pub(crate) wait: Option<String>,
    /// Show what it prints (on stderr) until it has ended, then the result.
    #[arg(long)]
    pub(crate) follow: bool,
    /// The node to enter, instead of the caller's root.
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<NodeId>,
    /// Do it once: the same key with the same fields within a day gives the first answer again.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Get {
    /// The invocation.
    pub(crate) id: WalkerId,
}

#[derive(Debug, Group)]
pub(crate) struct Ls {
    /// Only walkers of this name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only those that stand there.
    #[arg(long)]
    pub(crate) status: Option<Status>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Logs {
    /// The invocation.
    pub(crate) id: WalkerId,
    /// Go on until it has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Group)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true).args(["ids", "all", "name", "status"])))]
pub(crate) struct Cancel {
    /// The invocations.
    #[arg(value_name = "ID", conflicts_with_all = ["all", "name", "status"])]
    pub(crate) ids: Vec<WalkerId>,
    /// All that have not ended.
    #[arg(long, conflicts_with_all = ["name", "status"])]
    pub(crate) all: bool,
    /// All walkers of this name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// All that stand there: pending or running.
    #[arg(long)]
    pub(crate) status: Option<Status>,
}

#[derive(Debug, Group)]
pub(crate) struct Retry {
    /// The invocation.
    pub(crate) id: WalkerId,
}

#[derive(Debug, Group)]
pub(crate) struct Login {
    /// Who; asked for if not given.
    #[arg(long, value_name = "E-MAIL")]
    pub(crate) email: Option<String>,
    /// The user's tenant [default: default].
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Take the password from a file's first line, or from stdin (-), instead of asking.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Register a new user.
    Register(Login),
    /// Change one's own password; all other sessions end.
    Password(Password),
}

#[derive(Debug, Group)]
pub(crate) struct Password {
    /// Take the old password from a file's first line, or from stdin (-), instead of asking.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The same for the new password; if both are -, it is the second line.
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant.
    Create(TenantName),
    /// List tenants.
    Ls,
    /// Show a tenant, what is set for it and what it may use.
    Get(TenantName),
    /// Change a tenant's quotas and settings.
    Set(TenantSet),
    /// Delete a tenant and everything of it, for ever.
    Rm(TenantRm),
}

#[derive(Debug, Group)]
pub(crate) struct TenantName {
    /// The tenant's name.
    pub(crate) name: String,
}

#[derive(Debug, Group)]
pub(crate) struct TenantSet {
    /// The tenant's name.
    pub(crate) name: String,
    /// What to change, such as quotas.live_walkers=1000; null sets back to the default.
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) changes: Vec<String>,
}

#[derive(Debug, Group)]
pub(crate) struct TenantRm {
    /// The tenant's name.
    pub(crate) name: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key and print it, this once.
    Create(KeyCreate),
    /// List a tenant's keys.
    Ls(KeyLs),
    /// Remove a key: it is refused from now on.
    Rm(KeyRm),
}

#[derive(Debug, Group)]
pub(crate) struct KeyCreate {
    /// What it is for.
    pub(crate) name: String,
    /// What it may do: deploy, read or invoke; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub(crate) scopes: Vec<Scope>,
    /// How long it lives, such as 30d; for ever when absent.
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires_in: Option<String>,
    /// The tenant it acts for.
    #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT)]
    pub(crate) tenant: String,
}

#[derive(Debug, Group)]
pub(crate) struct KeyLs {
    /// The tenant.
    #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT)]
    pub(crate) tenant: String,
}

#[derive(Debug, Group)]
pub(crate) struct KeyRm {
    /// The key's id, as `walker key ls` shows it.
    pub(crate) id: String,
    /// The tenant it acts for.
    #[arg(long, value_name = "TENANT", default_value = DEFAULT_TENANT)]
    pub(crate) tenant: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn cancel_is_told_what() {
        let id = "w:sample:550e8400-e29b-41d4-a716-446655440000";
        let check = |args: &[&str], expect: bool| {
            let line = ["walker", "cancel"].iter().chain(args);
            assert_eq!(Args::try_parse_from(line).is_ok(), expect, "{args:?}");
        };
        check(&[], false);
        check(&[id, id], true);
        check(&["sample"], false);
        check(&["--all"], true);
        check(&["--name", "sample", "--status", "pending"], true);
        check(&[id, "--all"], false);
        check(&[id, "--name", "sample"], false);
        check(&["--all", "--name", "sample"], false);
    }

    #[test]
    fn wait_takes_a_duration_or_none() {
        let wait = |args: &[&str]| {
            let line = ["walker", "run", "sample"].iter().chain(args);
            match Args::try_parse_from(line).unwrap().command {
                Command::Run(run) => (run.wait, run.fields),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait(&[]), (None, None));
        assert_eq!(wait(&["--wait"]), (Some(String::new()), None));
        assert_eq!(wait(&["{}", "--wait", "30s"]), (Some("30s".into()), Some("{}".into())));
        assert_eq!(wait(&["--wait=30s", "{}"]), (Some("30s".into()), Some("{}".into())));
    }
}
