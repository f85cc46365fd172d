//! A PostgreSQL of one test's own, which it may freeze and cut down.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const STARTS_WITHIN: Duration = Duration::from_secs(30);

pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Child,
}

impl Cluster {
    /// `None` where PostgreSQL's own programs are not installed, which is said
    /// aloud; in CI, which installs them, that is a failure.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var("CI").is_err(), "initdb is not installed");
            eprintln!(
                "SKIPPED: initdb and postgres are not installed, so none was stopped under load"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            // PostgreSQL refuses to run as root.
            let given = Command::new("chown")
                .args(["nobody"])
                .arg(folder.path())
                .status();
            assert!(given.unwrap().success());
        }
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        let made = initdb
            .arg("-D")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server = run(&programs, folder.path(), port);
        Some(Self {
            programs,
            folder,
            port,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Stops every process of it where it is; connections stay open.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// Cuts it down without letting anything end ("immediate shutdown").
    pub fn cut_down(&mut self) {
        signal("-QUIT", self.server.id());
        self.server.wait().unwrap();
    }

    /// Starts it again at the same address.
    pub fn start_again(&mut self) {
        self.server = run(&self.programs, self.folder.path(), self.port);
    }

    fn signal_all(&self, name: &str) {
        signal(name, self.server.id());
        for child in children(self.server.id()) {
            signal(name, child);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        self.cut_down();
    }
}

fn run(programs: &Path, folder: &Path, port: u16) -> Child {
    let log = folder.join("log");
    let mut command = unprivileged(&programs.join("postgres"));
    command
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    let file = std::fs::File::create(&log).unwrap();
    let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let start = Instant::now();
    while !std::fs::read_to_string(&log)
        .unwrap()
        .contains("ready to accept connections")
    {
        assert!(
            start.elapsed() < STARTS_WITHIN,
            "{}",
            std::fs::read_to_string(&log).unwrap()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

fn signal(name: &str, id: u32) {
    // A process that has ended meanwhile needs none.
    let _ = Command::new("kill")
        .arg(name)
        .arg(id.to_string())
        .stderr(Stdio::null())
        .status();
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // Behind the name, which may hold anything: state, then the parent.
            let of: u32 = stat
                .rsplit(')')
                .next()?
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            (of == parent).then_some(id)
        })
        .collect()
}

fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    installed
        .map(|version| version.path().join("bin"))
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--clear-groups", "--"])
        .arg(program);
    command
}
