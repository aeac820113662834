//! Children that do not outlive their parent.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A child that ends with this value, and also with this process: a test that keeps its Envoy in a static
/// never drops it.
#[derive(Debug)]
pub struct Process {
    /// The child itself.
    pub child: Child,
    /// Waits for the end of its input, which is ours, and then ends the child, if need be by force.
    watchdog: Child,
}

impl Process {
    /// Starts it.
    pub fn spawn(command: &mut Command) -> Self {
        // Groups of their own: a Ctrl-C in the terminal is for this process, which then ends the others.
        let child = command.process_group(0).spawn().expect("a command that runs");
        let watchdog = Command::new("sh")
            .args([
                "-c",
                "read -r _; kill -TERM \"$0\" && sleep 5 && kill -KILL \"$0\"",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh");
        Self { child, watchdog }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the child is gone, its id may become another's.
        for process in [&mut self.watchdog, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
