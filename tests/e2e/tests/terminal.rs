//! The command line at a terminal: secrets are asked for, and never shown.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;
use walker_harness::{Host, binary};

use crate::scene;

const PASSWORD: &str = "correct horse battery staple";
const NEW: &str = "a new one that is long enough";
/// What takes longer has stopped.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// A terminal that somebody sits at.
struct Terminal {
    keyboard: File,
    /// All that was ever shown.
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// Has a command run at a new terminal while somebody types; answers how it ended and what was shown.
    fn run(host: &Host, args: &[&str], types: impl FnOnce(&mut Self)) -> (ExitStatus, String) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut shown = File::from(master);
        let keyboard = shown.try_clone().unwrap();
        let screen: Arc<Mutex<String>> = Arc::default();
        let seen = screen.clone();
        // It ends when nobody has the terminal open any more.
        let reader = thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = shown.read(&mut buffer) {
                *seen.lock().unwrap() += &String::from_utf8_lossy(&buffer[..read]);
            }
        });
        let side = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        // In a session of its own, whose terminal this is.
        let mut child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(binary())
            .args(args)
            .current_dir(host.data_dir().parent().unwrap())
            .env_remove("WALKER_TOKEN")
            .env_remove("WALKER_URL")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let mut terminal = Self { keyboard, screen };
        types(&mut terminal);
        let ended = child.wait().unwrap();
        reader.join().unwrap();
        let screen = terminal.screen.lock().unwrap().clone();
        (ended, screen)
    }

    /// Types a line once the prompt was shown, and the terminal shows what is typed or hides it.
    fn answer(&mut self, prompt: &str, line: &str, is_shown: bool) {
        self.wait(prompt, |terminal| {
            terminal.screen.lock().unwrap().contains(prompt)
                && tcgetattr(&terminal.keyboard).unwrap().local_modes.contains(LocalModes::ECHO) == is_shown
        });
        writeln!(self.keyboard, "{line}").unwrap();
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = std::time::Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(std::time::Instant::now() < until, "{what}: {}", self.screen.lock().unwrap());
            thread::sleep(LOOK);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_asked_for_and_never_shown() {
    let host = scene::host().await;
    let credentials = json!({"email": "ada@example.org", "password": PASSWORD});
    host.client.with_token(None).post("/user/register", &credentials).await.expect(201);
    let (ended, screen) = Terminal::run(&host, &["login"], |terminal| {
        terminal.answer("e-mail address: ", "ada@example.org", true);
        terminal.answer("password: ", PASSWORD, false);
    });
    assert!(ended.success(), "{screen}");
    // The address was seen as it was typed; and again in what was said.
    assert!(screen.matches("ada@example.org").count() >= 2 && !screen.contains(PASSWORD), "{screen}");
    assert!(host.data_dir().join("session.json").exists());

    let (ended, screen) = Terminal::run(&host, &["user", "password"], |terminal| {
        terminal.answer("old password: ", PASSWORD, false);
        terminal.answer("new password: ", NEW, false);
    });
    assert!(ended.success() && !screen.contains(PASSWORD) && !screen.contains(NEW), "{screen}");
    let (ended, screen) = Terminal::run(&host, &["login", "--email", "ada@example.org"], |terminal| {
        terminal.answer("password: ", PASSWORD, false);
    });
    assert!(!ended.success() && screen.contains("login.failed") && !screen.contains(PASSWORD), "{screen}");
    let (ended, screen) = Terminal::run(&host, &["login", "--email", "ada@example.org"], |terminal| {
        terminal.answer("password: ", NEW, false);
    });
    assert!(ended.success() && !screen.contains(NEW), "{screen}");
    host.stop().await;
}
