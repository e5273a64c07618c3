//! Processes that end with the test that has started them, however that ends.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::find;

/// Closes what the tests' own caller has left open, and lets signals do what they do by
/// default: in the background of a script, or under `nohup`, some are ignored. Takes back
/// what the shell itself adds to the environment.
const START: &str = r#"
for path in "/proc/$$/fd"/*; do
  fd=${path##*/}
  if ((fd > 2)); then exec {fd}>&-; fi
done
exec env -u _ -u OLDPWD -u PWD -u SHLVL --default-signal "$@"
"#;

/// `program`, to be started alike however the tests were.
pub fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = bash(START);
    command.arg(program);
    command
}

/// A shell that runs `script`.
pub fn bash(script: &str) -> Command {
    let mut command = Command::new(find("bash").expect("bash is installed"));
    // It complains of a language that is not installed, and what it starts speaks English.
    command.args(["-c", script, "bash"]).env("LC_ALL", "C.UTF-8");
    command
}

/// A process that is killed when this is dropped, with all that it has started. When the
/// tests' own process is killed, its end of a pipe closes, and the same happens.
pub struct Running {
    pub child: Child,
    /// It leads the group that the process is in, so that the group's number stays taken
    /// when the process has ended and left something behind.
    watch: Child,
}

impl Running {
    /// Silent, and deaf.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(command)
    }

    /// With the input and output that the command was given.
    #[expect(clippy::disallowed_methods, reason = "this is what guards them")]
    pub fn spawn(mut command: Command) -> Self {
        let mut watch = bash(include_str!("watch.sh"));
        watch.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let watch = watch.spawn().expect("bash starts");
        let group = watch.id().try_into().expect("the number of a process");
        let child = command.process_group(group).spawn().expect("it starts");
        Running { child, watch }
    }

    /// What it says until it ends, with `input` to read.
    pub fn output(mut command: Command, input: &str) -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Self::spawn(command);
        // It may have ended without reading all of it.
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

    /// Waits for its end.
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
        // It is dead already, unless somebody has killed the watch.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
