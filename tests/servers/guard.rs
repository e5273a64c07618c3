//! Processes that end with the test that has started them, even if it is killed.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::find;

/// Closes the descriptors that the tests' own caller has left open, and resets the signals,
/// because some are ignored in the background of a script or under `nohup`. Removes the
/// variables that the shell itself adds to the environment.
const START: &str = r#"
for path in "/proc/$$/fd"/*; do
  fd=${path##*/}
  if ((fd > 2)); then exec {fd}>&-; fi
done
exec env -u _ -u OLDPWD -u PWD -u SHLVL --default-signal "$@"
"#;

/// A command for `program` that does not depend on how the tests were started.
pub fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = bash(START);
    command.arg(program);
    command
}

/// A command for a shell that runs `script`.
pub fn bash(script: &str) -> Command {
    let mut command = Command::new(find("bash").expect("bash is installed"));
    // bash warns of a locale that is not installed. Programs must print English.
    command.args(["-c", script, "bash"]).env("LC_ALL", "C.UTF-8");
    command
}

/// A process that is killed, with all processes that it has started, when this is dropped.
/// It also ends if the tests' own process is killed, because that closes a pipe.
pub struct Running {
    pub child: Child,
    /// The leader of the process's group. It keeps the group's number in use after the
    /// process has ended and left others behind.
    watch: Child,
}

impl Running {
    /// Starts a command without input and output.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(command)
    }

    /// Starts a command with the input and output that it was given.
    #[expect(clippy::disallowed_methods, reason = "this is what guards them")]
    pub fn spawn(mut command: Command) -> Self {
        let mut watch = bash(include_str!("watch.sh"));
        watch.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let watch = watch.spawn().expect("bash starts");
        let group = watch.id().try_into().expect("the number of a process");
        let child = command.process_group(group).spawn().expect("it starts");
        Running { child, watch }
    }

    /// Runs a command with `input` until it ends, and returns its output.
    pub fn output(mut command: Command, input: &str) -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Self::spawn(command);
        // The command may have ended without reading all of the input.
        let _ = running.child.stdin.take().unwrap().write_all(input.as_bytes());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (mut out, mut err) =
            (running.child.stdout.take().unwrap(), running.child.stderr.take().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| err.read_to_end(&mut stderr).unwrap());
            out.read_to_end(&mut stdout).unwrap();
        });
        Output { status: running.wait(), stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the process ends.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.watch.stdin.take() {
            let _ = pipe.write_all(b"now\n");
        }
        let _ = self.watch.wait();
        // The process is dead already, unless the watch was killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
