//! How much memory a process keeps that it no longer needs.
//!
//! Left to itself the GNU allocator learns from the largest block that was ever freed how much may lie free at the end of its
//! heap, and so keeps for good what only loading a large site took. It reads its settings when a process starts, and at no other
//! time: the supervisor, which loads the site for a moment and then waits for years, starts itself once more with them.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How many bytes may lie free at the end of the heap. Given at all, it also keeps large blocks apart from the heap.
const TRIM: &str = "MALLOC_TRIM_THRESHOLD_";
/// How many heaps there are for threads to share.
const HEAPS: &str = "MALLOC_ARENA_MAX";
/// What all settings of the allocator begin with, and the newer form of them.
const OURS: [&str; 2] = ["MALLOC_", "GLIBC_TUNABLES"];
/// Set where this program has set them: it starts itself once more once, and not for ever. A program with rights of its own
/// (file capabilities) gets no such setting from the system, so that those themselves would not tell.
const MARK: &str = "PENSTOCK_HEAP";

/// The supervisor hurries nowhere: it gives everything back at once.
const SUPERVISOR: [(&str, &str); 2] = [(TRIM, "131072"), (HEAPS, "1")];
/// The runtime keeps 8 MiB, so that what is taken and given back in ordinary work is not taken from the system each time.
const RUNTIME_TRIM: &str = "8388608";

/// True where a person has set the allocator themselves: then their word counts.
fn is_set_by_others<K: AsRef<OsStr>>(mut names: impl Iterator<Item = K>) -> bool {
    names.any(|name| name.as_ref().to_str().is_some_and(|name| OURS.iter().any(|start| name.starts_with(start))))
}

/// Starts this process anew with the supervisor's settings, under the same number and with the same arguments and open
/// files. Returns where that has been done, where a person has set the allocator, and where the system refuses: then the
/// process keeps more memory and does the same. To be called before anything has been begun.
pub fn settle() {
    if std::env::var_os(MARK).is_some() || is_set_by_others(std::env::vars_os().map(|(name, _)| name)) {
        return;
    }
    let again = std::env::current_exe().map(|binary| {
        let mut arguments = std::env::args_os();
        let mut again = Command::new(binary);
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        again.args(arguments).env(MARK, "1").envs(SUPERVISOR).exec()
    });
    let error = again.unwrap_or_else(|error| error);
    tracing::debug!(%error, "the supervisor keeps the memory that loading the site takes");
}

/// Gives the runtime its settings, in place of the supervisor's where those have been set.
pub fn of_runtime(command: &mut tokio::process::Command) {
    if std::env::var_os(MARK).is_some() {
        command.env_remove(HEAPS).env(TRIM, RUNTIME_TRIM);
    } else if !is_set_by_others(std::env::vars_os().map(|(name, _)| name)) {
        command.env(TRIM, RUNTIME_TRIM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_person_counts() {
        assert!(is_set_by_others(["HOME", "MALLOC_ARENA_MAX"].iter()));
        assert!(is_set_by_others(["GLIBC_TUNABLES"].iter()));
        assert!(!is_set_by_others(["HOME", "PENSTOCK_LOG", "MY_MALLOC_"].iter()));
        assert!(!is_set_by_others(SUPERVISOR.iter().map(|_| MARK)), "the mark is no setting of the allocator");
    }
}
