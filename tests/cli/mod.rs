//! The real program, as people and scripts use it.

mod bad_input;
mod folders;
mod help;
mod process;
mod running;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A scenario that runs in no time and whose one expectation holds.
const SMALL: &str = r#"
format = 1
title = "Small"
question = "Does it run?"
duration = "4s"

[demand]
rate = "50/s"
keys = { count = 5 }

[[demand.application]]
name = "billing"
consumers = 2
work = "60ms"

[[contender]]
name = "queue"
model = "queue"

[[contender]]
name = "log"
model = "log"
partitions = 2

[[fault]]
at = "1s"
crash = "billing/1"
for = "500ms"

[[expect]]
name = "nothing is lost"
lost = 0

[[expect]]
name = "nothing is skipped"
contender = "queue"
skipped = 0

[flip]
set = { "contender.queue.ack" = "automatic" }
fails = "nothing is skipped"
"#;

/// A folder of its own in which the program is run.
struct Rig {
    folder: TempDir,
}

/// What the program said.
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Rig {
    /// With the small scenario as `small.toml`.
    fn new() -> Rig {
        let rig = Rig { folder: TempDir::new().expect("a temporary folder") };
        rig.put("small.toml", SMALL);
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a temporary folder can be written");
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brokerlab"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("COLUMNS").env_remove("NO_COLOR");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Told {
        let output = self.command(arguments).output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs, and expects an exit code.
    fn exits(&self, code: i32, arguments: &[&str]) -> Told {
        let told = self.run(arguments);
        assert_eq!(told.code, Some(code), "{arguments:?}\n{}\n{}", told.out, told.err);
        told
    }

    /// Every file in the folder, without those that [`Rig::new`] put there.
    fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = contents(self.folder.path()).into_keys().collect();
        files.retain(|name| name != "small.toml");
        files
    }
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it lies in the folder").display().to_string();
            found.insert(name, std::fs::read(&path).expect("a file can be read"));
        }
    }
    found
}
