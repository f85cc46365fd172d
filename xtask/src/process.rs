//! Running other programs: in the foreground with a limit, or in the background under a guard.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tally::Tally;
use crate::workspace::Workspace;

const POLL: Duration = Duration::from_millis(50);

/// Runs a program to its end with our own input and output; a failure names the command.
pub fn run(workspace: &Workspace, command: &mut Command, limit: Duration) -> Result<()> {
    let shown = shown(command);
    let mut child = spawn(command)?;
    let status = wait_for_end(workspace, &mut child, limit, &shown)?;
    require_success(status, &shown)
}

/// As `run`, and counts the tests that the program's standard output reports.
/// The counts come back also on failure, because a summary needs them then most.
pub fn run_tests(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
) -> (Tally, Result<()>) {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let result = run_counting(workspace, command, limit, &tally);
    let counted = tally.lock().map(|tally| *tally).unwrap_or_default();
    (counted, result)
}

fn run_counting(
    workspace: &Workspace,
    command: &mut Command,
    limit: Duration,
    tally: &Arc<Mutex<Tally>>,
) -> Result<()> {
    let shown = shown(command);
    let mut child = spawn(command.stdout(Stdio::piped()))?;
    let output = child
        .stdout
        .take()
        .context("the child has no standard output")?;
    let shared = Arc::clone(tally);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            if let Ok(mut tally) = shared.lock() {
                tally.read_line(&line);
            }
        }
    });
    let status = wait_for_end(workspace, &mut child, limit, &shown)?;
    // A grandchild that kept the pipe open must not hold us here.
    let deadline = Instant::now() + Duration::from_secs(5);
    while !reader.is_finished() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    require_success(status, &shown)
}

/// Runs a program quietly and returns what it printed; on failure its error output is in the message.
pub fn read(workspace: &Workspace, command: &mut Command, limit: Duration) -> Result<String> {
    let shown = shown(command);
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let output = read_in_background(
        child
            .stdout
            .take()
            .context("the child has no standard output")?,
    );
    let errors = read_in_background(
        child
            .stderr
            .take()
            .context("the child has no standard error")?,
    );
    let status = wait_for_end(workspace, &mut child, limit, &shown)?;
    let text = |reader: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    let (output, errors) = (text(output), text(errors));
    if !status.success() {
        bail!("`{shown}` failed ({status}): {}", errors.trim());
    }
    Ok(output)
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// The first of these programs that is on the PATH.
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}

pub enum Output<'a> {
    /// Seen by the person at the terminal.
    Terminal,
    /// Standard error and standard output into one file.
    Log(&'a Path),
}

/// A program in the background. Dropping the guard ends it, by its process id.
pub struct Background {
    name: &'static str,
    child: Child,
    stop_signal: &'static str,
    grace: Duration,
    log: Option<PathBuf>,
}

impl Background {
    pub fn spawn(name: &'static str, command: &mut Command, output: Output) -> Result<Self> {
        let log = match output {
            Output::Terminal => None,
            Output::Log(path) => {
                let file =
                    File::create(path).with_context(|| format!("creating {}", path.display()))?;
                command.stdout(file.try_clone()?).stderr(file);
                Some(path.to_path_buf())
            }
        };
        // Its own process group: Ctrl-C reaches only us, and we end the services in order.
        command.stdin(Stdio::null()).process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}: `{}`", shown(command)))?;
        Ok(Self {
            name,
            child,
            stop_signal: "TERM",
            grace: Duration::from_secs(10),
            log,
        })
    }

    /// How this program wants to be asked to end, and how long it may take.
    pub fn stop_with(mut self, signal: &'static str, grace: Duration) -> Self {
        self.stop_signal = signal;
        self.grace = grace;
        self
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if the program has ended, with the last lines of its log.
    pub fn require_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}){}", self.name, self.log_tail()),
        }
    }

    pub fn log_tail(&self) -> String {
        let Some(path) = &self.log else {
            return String::new();
        };
        let text = std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(30)..)
            .unwrap_or_default()
            .join("\n");
        format!("; the end of {}:\n{last}", path.display())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        end(&mut self.child, self.name, self.stop_signal, self.grace);
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    let shown = shown(command);
    command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("starting `{shown}`"))
}

/// Asks a child to end, and kills it when it takes too long.
fn end(child: &mut Child, name: &str, signal: &str, grace: Duration) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    // `kill` is built into the shell everywhere; the program of that name is not installed everywhere.
    let kill = format!("kill -{signal} {}", child.id());
    let asked = Command::new("sh")
        .args(["-c", &kill])
        .status()
        .is_ok_and(|status| status.success());
    let deadline = Instant::now() + if asked { grace } else { Duration::ZERO };
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(POLL);
    }
    eprintln!(
        "xtask: {name} did not end within {} s and is killed",
        grace.as_secs()
    );
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_for_end(
    workspace: &Workspace,
    child: &mut Child,
    limit: Duration,
    shown: &str,
) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            workspace.check_stop()?;
            return Ok(status);
        }
        let late = start.elapsed() > limit;
        if late || workspace.stop_requested() {
            end(child, shown, "TERM", Duration::from_secs(5));
            workspace.check_stop()?;
            bail!("`{shown}` did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn require_success(status: ExitStatus, shown: &str) -> Result<()> {
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
