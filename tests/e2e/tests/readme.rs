//! Every command of the README, run as it stands there, in its order and in one shell.

use std::os::unix::fs::symlink;

use tokio::process::Command;
use walker_harness::{binary, repository};

use crate::scene;

/// The lines of all `sh` blocks. What `make` does is another matter: whoever runs this test ran it.
fn commands(readme: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut is_shell = false;
    for line in readme.lines() {
        match line.trim() {
            "```sh" => is_shell = true,
            "```" => is_shell = false,
            command if is_shell && !command.starts_with("make ") => commands.push(command),
            _ => {}
        }
    }
    commands
}

#[tokio::test]
async fn every_command_works_as_printed() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let commands = commands(&readme);
    for wanted in ["walker new", "walker build", "walker push", "walker run", "cargo test"] {
        assert!(commands.iter().any(|command| command.contains(wanted)), "{wanted}: {commands:#?}");
    }
    let host = scene::host().await;
    // The folder in which the README's reader is: the host serves from it, and the build left its binary below.
    let folder = host.data_dir().parent().unwrap().to_owned();
    std::fs::create_dir(folder.join("target")).unwrap();
    symlink(binary().parent().unwrap(), folder.join("target/release")).unwrap();
    let script = format!("set -euxo pipefail\n{}\n", commands.join("\n"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(&folder).kill_on_drop(true);
    // Nothing is left behind in this user's home, and what the examples' build made need not be made again.
    shell.env("WALKER_SDK_DIR", folder.join("sdk")).env("CARGO_TARGET_DIR", repository().join("walkers/target"));
    for name in ["WALKER_URL", "WALKER_TOKEN"] {
        shell.env_remove(name);
    }
    let output = shell.output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for shown in ["status      completed", "{\"value\":1}", "hello, you"] {
        assert!(stdout.contains(shown), "{shown}: {stdout}\n{stderr}");
    }
    host.stop().await;
}
