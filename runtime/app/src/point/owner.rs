//! Whether somebody else commands the plant: a person's write beside a running site would be undone or fought over.

use crate::change::control;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Who runs on a state folder.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    Nobody,
    /// A site; in words.
    Runs(String),
    /// It cannot be told; why.
    Unknown(String),
}

/// Asks the control socket of a state folder.
pub fn owner(state: &Path) -> Owner {
    let path = control::socket(state);
    match UnixStream::connect(&path) {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Owner::Nobody,
        Err(e) => Owner::Unknown(format!("{}: {e}", path.display())),
        Ok(_) => match crate::change::client::status(state) {
            Ok(status) => Owner::Runs(format!("configuration {} ({}) runs", status.number, status.hash)),
            Err(why) => Owner::Unknown(why),
        },
    }
}

/// Refuses where a running site may own what is to be written, unless the person insists; says what it could not know.
///
/// # Errors
/// In words for a person.
pub fn permit(state: &Path, force: bool) -> Result<(), String> {
    let (who, why) = match owner(state) {
        Owner::Nobody => {
            complain!(
                "note: no Penstock runs with the state folder {}. One that runs with another folder, or another master, \
                 may own this output and will write over what you write",
                state.display()
            );
            return Ok(());
        }
        Owner::Runs(what) => ("a Penstock controls the plant", what),
        Owner::Unknown(why) => ("it cannot be told whether a Penstock runs", why),
    };
    let about = format!("{who} with the state folder {} ({why})", state.display());
    if force {
        complain!(
            "WARNING: {about}. Its next command writes over yours, and until then its record of this output is wrong"
        );
        return Ok(());
    }
    Err(format!(
        "{about}: it may own this output, and nothing was written. Take the output by hand on its screen, stop the site, or \
         say --force"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_site_is_nobodys_and_a_socket_that_lies_about_too() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(owner(folder.path()), Owner::Nobody);
        drop(std::os::unix::net::UnixListener::bind(control::socket(folder.path())).unwrap());
        assert_eq!(owner(folder.path()), Owner::Nobody, "left over after a crash");
        assert!(permit(folder.path(), false).is_ok());
    }

    #[test]
    fn who_answers_something_else_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::os::unix::net::UnixListener::bind(control::socket(folder.path())).unwrap();
        let serving = std::thread::spawn(move || {
            // Each of the three below looks first, then asks.
            for _ in 0..6 {
                use std::io::Write;
                let Ok((mut stream, _)) = listener.accept() else { return };
                // Who only looks has gone by then.
                let _ = stream.write_all(b"nonsense\n");
            }
        });
        assert!(matches!(owner(folder.path()), Owner::Unknown(_)));
        assert!(permit(folder.path(), false).unwrap_err().contains("--force"));
        assert!(permit(folder.path(), true).is_ok());
        serving.join().unwrap();
    }
}
