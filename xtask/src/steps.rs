//! The steps of `cargo xtask test`, in their order: cheap ones first.

use crate::need;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One step.
pub struct Step {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it does, for a person.
    pub title: &'static str,
    /// Runs it; the error is one line.
    pub run: fn(&Context) -> Result<(), String>,
}

/// All steps in their order.
pub const STEPS: &[Step] = &[
    Step { name: "tools", title: "what the tests need is installed", run: need::everything },
    Step { name: "fmt", title: "the code is formatted", run: fmt },
    Step { name: "clippy", title: "no lint warns", run: clippy },
    Step { name: "test", title: "tests of every crate", run: test },
    Step { name: "build", title: "the binary", run: build },
    Step { name: "peers", title: "simulators and edge node against clients written by others", run: peers },
    Step { name: "check", title: "every site under configs/ is free of mistakes", run: check },
    Step { name: "scripts", title: "the cases of every control program", run: scripts },
    Step { name: "web-check", title: "types of the front end", run: web_check },
    Step { name: "web-test", title: "tests of the front end", run: web_test },
    Step { name: "e2e", title: "the product in a real browser", run: e2e },
];

/// Where things are.
pub struct Context {
    /// Top of the repository.
    pub root: PathBuf,
}

impl Context {
    /// The repository at `root`.
    pub fn new(root: PathBuf) -> Context {
        Context { root }
    }

    /// The front end.
    pub fn web(&self) -> PathBuf {
        self.root.join("hmi/web")
    }

    /// What builds of this repository leave behind.
    pub fn target(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from);
        // A relative target folder is relative to where cargo was called.
        std::path::absolute(&target).unwrap_or(target)
    }

    /// The development binary of the product.
    fn binary(&self) -> PathBuf {
        self.target().join("debug/penstock")
    }

    /// A release binary.
    pub fn release(&self, name: &str) -> PathBuf {
        self.target().join("release").join(name)
    }

    /// Runs cargo at the top of the repository.
    pub fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args(arguments).current_dir(&self.root))
    }

    fn penstock(&self, arguments: &[&str]) -> Result<(), String> {
        run(Command::new(self.built()?).args(arguments).current_dir(&self.root))
    }

    /// The binary, built from the code as it is: a stale one would be tested otherwise. All targets, because that is
    /// what the tests were built with: another selection would compile half of the dependencies a second time.
    fn built(&self) -> Result<PathBuf, String> {
        self.cargo(&["build", "--workspace", "--all-targets"])?;
        Ok(self.binary())
    }

    fn npm(&self, script: &[&str], env: &[(&str, &Path)]) -> Result<(), String> {
        need::modules(self)?;
        run(Command::new("npm").args(script).envs(env.iter().copied()).current_dir(self.web()))
    }
}

/// Runs a command with our own output; the error says which and how it ended.
pub fn run(command: &mut Command) -> Result<(), String> {
    let said = shown(command);
    println!("$ {said}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{said}` ended with {status}")),
        Err(e) => Err(format!("`{said}` cannot be started: {e}")),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut said = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        said.push(' ');
        said.push_str(&argument.to_string_lossy());
    }
    said
}

fn fmt(context: &Context) -> Result<(), String> {
    context.cargo(&["fmt", "--all", "--check"])
}

fn clippy(context: &Context) -> Result<(), String> {
    context.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn test(context: &Context) -> Result<(), String> {
    context.cargo(&["test", "--workspace", "--no-fail-fast"])
}

fn build(context: &Context) -> Result<(), String> {
    context.built().map(drop)
}

fn peers(context: &Context) -> Result<(), String> {
    let python = need::peers(context)?;
    need::broker()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace, as for every other build: one package alone would compile half of the dependencies again.
    command.args(["test", "--workspace", "--test", "peer_*", "--", "--nocapture"]);
    run(command.env("PENSTOCK_PEERS_PYTHON", python).current_dir(&context.root))
}

fn check(context: &Context) -> Result<(), String> {
    let sites = sites(&context.root.join("configs"))?;
    let mut failed = Vec::new();
    for site in &sites {
        let site = format!("configs/{site}");
        if context.penstock(&["check", &site]).is_err() {
            failed.push(site);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("mistakes in {}", failed.join(", "))) }
}

/// Names of the folders under configs/ that hold a site. None at all is a mistake, not a pass.
fn sites(configs: &Path) -> Result<Vec<String>, String> {
    let unreadable = |e: std::io::Error| format!("{}: {e}", configs.display());
    let mut sites = Vec::new();
    for entry in std::fs::read_dir(configs).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join("site.yaml").is_file() {
            sites.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    sites.sort();
    if sites.is_empty() { Err(format!("{} holds no site", configs.display())) } else { Ok(sites) }
}

fn scripts(context: &Context) -> Result<(), String> {
    context.penstock(&["test", "scripts"])
}

fn web_check(context: &Context) -> Result<(), String> {
    context.npm(&["run", "check"], &[])
}

fn web_test(context: &Context) -> Result<(), String> {
    context.npm(&["test"], &[])
}

fn e2e(context: &Context) -> Result<(), String> {
    need::browser()?;
    let binary = context.built()?;
    context.npm(&["run", "e2e"], &[("PENSTOCK_BIN", &binary)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named() {
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        let failed = run(Command::new("false").arg("x")).unwrap_err();
        assert!(failed.contains("`false x` ended with"), "{failed}");
        let missing = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(missing.contains("cannot be started"), "{missing}");
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn sites_are_found_and_none_is_a_mistake() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(sites(&root.join("xtask")).is_err());
        assert!(sites(&root.join("no-such-folder")).is_err());
    }
}
