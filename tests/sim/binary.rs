//! The real binary as a child process, and the pictures beside the project.
//!
//! Invariants: no child outlives its `Running`; what a child prints is always read, so that it never waits for its reader;
//! every wait has a deadline, and a missed one shows what the child said.

use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of standard error that are kept for messages.
const STDERR_LINES: usize = 400;

/// A headless demonstration on a crowded machine without optimiser.
const REPORT_DEADLINE: Duration = Duration::from_secs(900);

/// After SIGKILL a child has this long to be gone.
const GONE: Duration = Duration::from_secs(30);

/// The real binary: named by `JIDOKA_BIN`, or the one beside the test programs.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn jidoka() -> PathBuf {
    let beside = || std::env::current_exe().ok().and_then(|test| Some(test.ancestors().nth(2)?.join("jidoka")));
    let found = std::env::var_os("JIDOKA_BIN").map(PathBuf::from).or_else(beside).unwrap_or_default();
    assert!(found.is_file(), "{}: no such program; build it with `cargo build -p appliance`, or name one in JIDOKA_BIN", found.display());
    found
}

/// `path` in the folder `shared` beside the project; `None`, and a line that says so, if it is not there.
///
/// # Panics
/// With `CI=true`, if the folder is there but `path` in it is not: then a test would be skipped that must run.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let wanted = folder.join(path);
    if wanted.exists() {
        return Some(wanted);
    }
    let must_run = std::env::var("CI").is_ok_and(|value| value == "true") && folder.is_dir();
    assert!(!must_run, "{} is missing, and with CI=true no test may be skipped for it", wanted.display());
    println!("skipped: {} is not there", wanted.display());
    None
}

/// Runs `jidoka demo --headless --report json` with `args` and gives its report.
///
/// # Panics
/// If it does not leave with 0, or does not print exactly one line.
#[must_use]
pub fn demo_report(args: &[&str]) -> Value {
    let all = [&["demo", "--headless", "--report", "json"], args].concat();
    let mut demo = Running::start(&all);
    let status = demo.wait(REPORT_DEADLINE);
    let (lines, said) = (demo.stdout(), demo.stderr());
    assert!(status.success(), "jidoka {}: {status}\n{said}", all.join(" "));
    let [line] = lines.as_slice() else { panic!("jidoka {}: one line was due, not {lines:?}\n{said}", all.join(" ")) };
    serde_json::from_str(line).unwrap_or_else(|error| panic!("jidoka {}: {error} in {line}", all.join(" ")))
}

/// What a child has printed so far.
#[derive(Debug, Default)]
struct Said {
    stdout: Vec<String>,
    stderr: VecDeque<String>,
    /// Readers that are still reading.
    open: usize,
}

#[derive(Debug, Default)]
struct Ears {
    said: Mutex<Said>,
    news: Condvar,
}

impl Ears {
    fn hear(self: &Arc<Self>, pipe: impl Read + Send + 'static, keep: fn(&mut Said, String)) {
        let ears = Arc::clone(self);
        ears.with(|said| said.open += 1);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            // A pipe that cannot be read any more is at its end.
            while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                ears.with(|said| keep(said, text));
            }
            ears.with(|said| said.open -= 1);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Said) -> T) -> T {
        let result = change(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_all();
        result
    }

    /// Waits until `pick` finds something, everything was said, or `deadline` has passed.
    fn wait<T>(&self, deadline: Duration, pick: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let until = Instant::now() + deadline;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let found = pick(&said);
            let left = until.saturating_duration_since(Instant::now());
            if found.is_some() || said.open == 0 || left.is_zero() {
                return found;
            }
            said = self.news.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running child; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    ears: Arc<Ears>,
    name: String,
}

impl Running {
    /// Starts `jidoka` with `args`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts the binary with `args` and something more in its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with(args: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(jidoka());
        // The level of logging belongs to the command, not to the shell the tests are run from.
        command.args(args).env_remove("RUST_LOG").envs(environment.iter().copied());
        Self::of(command)
    }

    /// Starts any program.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let name = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let ears = Arc::new(Ears::default());
        if let Some(pipe) = child.stdout.take() {
            ears.hear(pipe, |said, line| said.stdout.push(line));
        }
        if let Some(pipe) = child.stderr.take() {
            ears.hear(pipe, |said, line| {
                if said.stderr.len() == STDERR_LINES {
                    said.stderr.pop_front();
                }
                said.stderr.push_back(line);
            });
        }
        Self { child, ears, name }
    }

    /// Waits for a line on standard output that begins with `prefix`, and gives the rest of that line.
    ///
    /// # Panics
    /// If the child ends or `deadline` passes without it.
    #[must_use]
    pub fn wait_line(&self, prefix: &str, deadline: Duration) -> String {
        let rest = |said: &Said| said.stdout.iter().find_map(|line| line.strip_prefix(prefix)).map(|rest| rest.trim().to_owned());
        self.ears.wait(deadline, rest).unwrap_or_else(|| panic!("{} has not printed `{prefix}`:\n{}", self.name, self.everything()))
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Panics
    /// If it has not when `deadline` passes.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        // Its pipes close with it, so their ends announce its own.
        let ended = self.ears.wait(deadline, |said| (said.open == 0).then_some(()));
        assert!(ended.is_some(), "{} has not ended after {deadline:?}:\n{}", self.name, self.everything());
        self.child.wait().unwrap_or_else(|error| panic!("{} cannot be waited for: {error}", self.name))
    }

    /// Asks the child to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// If it has not when `deadline` passes.
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        // Not yet waited for, so the number is still its own.
        assert!(matches!(self.child.try_wait(), Ok(None)), "{} has ended by itself:\n{}", self.name, self.everything());
        if let Err(error) = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM) {
            panic!("{} cannot be asked to end: {error}", self.name);
        }
        self.wait(deadline)
    }

    /// Kills the child at once (SIGKILL), as a power cut would, and waits until it is gone.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) -> ExitStatus {
        if let Err(error) = self.child.kill() {
            panic!("{} cannot be killed: {error}", self.name);
        }
        self.wait(GONE)
    }

    /// Stops the child where it is (SIGSTOP). It can only be killed then.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn pause(&mut self) {
        assert!(matches!(self.child.try_wait(), Ok(None)), "{} has ended by itself:\n{}", self.name, self.everything());
        let paused = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::STOP);
        assert!(paused.is_ok(), "{} cannot be stopped: {paused:?}", self.name);
        // Each thread stands when it leaves the kernel next; one that syncs a file comes to the end of that first.
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| stat.contains(") T "));
        while !std::fs::read_dir(&tasks).is_ok_and(|mut all| all.all(|task| task.is_ok_and(stands))) {
            std::thread::yield_now();
        }
    }

    /// True until the child has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ears.with(|said| said.open > 0)
    }

    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines of standard output so far.
    #[must_use]
    pub fn stdout(&self) -> Vec<String> {
        self.ears.with(|said| said.stdout.clone())
    }

    /// The last lines of standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.ears.with(|said| said.stderr.iter().map(|line| format!("{line}\n")).collect())
    }

    fn everything(&self) -> String {
        format!("{}\n{}", self.stdout().join("\n"), self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; nobody is left to be told otherwise.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
