//! Who may log in: names, roles and argon2id hashes in one file that only its owner reads.
//!
//! There is no default user and no default password. The file is re-read when it changes, so a user added,
//! removed or given another password on the command line counts at once, for running sessions too.

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, USER_NAME_BYTES_MAX, USERS_FILE_BYTES_MAX, USERS_MAX};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use parking_lot::Mutex;
use penstock_model::{Role, with_causes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// Version of the users file this build reads and writes.
const FILE_VERSION: u32 = 1;
/// Letters and digits that no one confuses when reading them aloud: no `0 O 1 l I`.
const PASSWORD_LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Length of a random password: 16 of 56 letters hold 92 bits.
const RANDOM_PASSWORD_CHARS: usize = 16;

/// Why the users could not be read, changed or kept.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file could not be read or written.
    #[error("users file `{path}`: cannot {what}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation.
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is not what this build writes.
    #[error("users file `{path}`: {message}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Not usable as a name.
    #[error("user name `{0}`: 1 to {USER_NAME_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-`, `@`")]
    Name(String),
    /// Too short or too long.
    #[error("password of `{0}`: at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes")]
    Password(String),
    /// No room for another user.
    #[error("there are {USERS_MAX} users already")]
    Full,
    /// The password could not be hashed, or the system gave no random bytes.
    #[error("cannot make a password hash: {0}")]
    Hash(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    version: u32,
    users: Vec<UserRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRow {
    name: String,
    role: String,
    hash: String,
}

#[derive(Debug, Clone)]
struct User {
    role: Role,
    hash: Arc<str>,
}

/// The people who may log in.
#[derive(Debug, Clone, Default)]
pub struct Users {
    users: BTreeMap<String, User>,
}

impl Users {
    /// The users of a file; nobody when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a users file of this version.
    pub fn load(path: &Path) -> Result<Users, UsersError> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Users::default()),
            Err(source) => return Err(UsersError::Io { path: path.to_owned(), what: "open", source }),
        };
        let mut text = String::new();
        file.take(USERS_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|source| UsersError::Io {
            path: path.to_owned(),
            what: "read",
            source,
        })?;
        let wrong = |message: String| UsersError::Format { path: path.to_owned(), message };
        if text.len() as u64 > USERS_FILE_BYTES_MAX {
            return Err(wrong(format!("is larger than {USERS_FILE_BYTES_MAX} bytes")));
        }
        let file: UsersFile = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if file.version != FILE_VERSION {
            return Err(wrong(format!("has version {}, this build reads {FILE_VERSION}", file.version)));
        }
        let mut users = Users::default();
        for row in file.users {
            let role = Role::parse(&row.role)
                .ok_or_else(|| wrong(format!("user `{}`: `{}` is not a role", row.name, row.role)))?;
            check_name(&row.name)?;
            let argon2id = PasswordHash::new(&row.hash).is_ok_and(|h| h.algorithm.as_str() == "argon2id");
            if !argon2id {
                return Err(wrong(format!("user `{}`: the hash is not argon2id", row.name)));
            }
            if users.users.len() >= USERS_MAX {
                return Err(UsersError::Full);
            }
            let user = User { role, hash: row.hash.into() };
            if users.users.insert(row.name.clone(), user).is_some() {
                return Err(wrong(format!("user `{}` stands twice", row.name)));
            }
        }
        Ok(users)
    }

    /// Writes the file anew beside the old one and puts it in its place, readable by its owner only: a crash leaves
    /// either the old or the new users, never half of them.
    ///
    /// # Errors
    /// When the file cannot be written; the old one is then untouched.
    pub fn save(&self, path: &Path) -> Result<(), UsersError> {
        let rows = self.users.iter().map(|(name, user)| UserRow {
            name: name.clone(),
            role: user.role.as_str().to_owned(),
            hash: user.hash.as_ref().to_owned(),
        });
        let file = UsersFile { version: FILE_VERSION, users: rows.collect() };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|e| UsersError::Format { path: path.to_owned(), message: e.to_string() })?;
        let fresh = path.with_extension(format!("json.new-{}", std::process::id()));
        let written = write_private(&fresh, text.as_bytes()).and_then(|()| fs::rename(&fresh, path));
        let synced = written.and_then(|()| match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => fs::File::open(dir)?.sync_all(),
            _ => fs::File::open(".")?.sync_all(),
        });
        synced.map_err(|source| {
            let _ = fs::remove_file(&fresh);
            UsersError::Io { path: path.to_owned(), what: "write", source }
        })
    }

    /// Adds a user, or gives an existing one another role and password.
    ///
    /// # Errors
    /// When the name or the password is not acceptable, or there is no room.
    pub fn set(&mut self, name: &str, role: Role, password: &str) -> Result<(), UsersError> {
        check_name(name)?;
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(UsersError::Password(name.to_owned()));
        }
        if !self.users.contains_key(name) && self.users.len() >= USERS_MAX {
            return Err(UsersError::Full);
        }
        let hash = hash(password)?;
        self.users.insert(name.to_owned(), User { role, hash: hash.into() });
        Ok(())
    }

    /// Takes a user away; false when there was none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.users.remove(name).is_some()
    }

    /// The role of the user whose password this is. Takes the same time whether or not there is such a user.
    #[must_use]
    pub fn verify(&self, name: &str, password: &str) -> Option<Role> {
        let user = self.users.get(name);
        let hash = user.map_or(NOBODY.as_str(), |u| u.hash.as_ref());
        let fits = password.len() <= PASSWORD_BYTES_MAX
            && PasswordHash::new(hash)
                .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
        user.filter(|_| fits).map(|u| u.role)
    }

    /// Names and roles, by name.
    pub fn list(&self) -> impl Iterator<Item = (&str, Role)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user.role))
    }

    /// True when nobody may log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Role and hash: a session lives as long as its user keeps the password it was opened with.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<(Role, Arc<str>)> {
        self.users.get(name).map(|u| (u.role, u.hash.clone()))
    }
}

/// The hash of a password nobody knows: what an unknown name is checked against.
static NOBODY: LazyLock<String> = LazyLock::new(|| random_password().and_then(|p| hash(&p)).unwrap_or_default());

/// Makes the hash that unknown names are checked against, so that the first of them takes no longer than the rest.
pub(crate) fn prepare() {
    LazyLock::force(&NOBODY);
}

fn hash(password: &str) -> Result<String, UsersError> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|e| UsersError::Hash(e.to_string()))?;
    Ok(hash.to_string())
}

fn check_name(name: &str) -> Result<(), UsersError> {
    let fits = !name.is_empty() && name.len() <= USER_NAME_BYTES_MAX;
    if fits && name.chars().all(|c| c.is_alphanumeric() || "._-@".contains(c)) {
        Ok(())
    } else {
        Err(UsersError::Name(name.chars().take(USER_NAME_BYTES_MAX).collect()))
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The mode above is cut by the umask but never widened; this also covers a file system that ignores it.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A password of sixteen letters and digits, for a first login.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_password() -> Result<String, UsersError> {
    let mut password = String::with_capacity(RANDOM_PASSWORD_CHARS);
    // Bytes beyond the last whole multiple are thrown away: every letter is equally likely.
    let usable = 256 - 256 % PASSWORD_LETTERS.len();
    while password.len() < RANDOM_PASSWORD_CHARS {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| UsersError::Hash(e.to_string()))?;
        for byte in bytes.into_iter().map(usize::from).filter(|b| *b < usable) {
            if password.len() < RANDOM_PASSWORD_CHARS {
                password.push(char::from(PASSWORD_LETTERS[byte % PASSWORD_LETTERS.len()]));
            }
        }
    }
    Ok(password)
}

/// Changes with the content, and with who may read it.
type FileMark = Option<(SystemTime, u64, u64, (i64, i64))>;

/// The users of a running server: the file's, re-read when it changes.
pub struct UserStore {
    path: PathBuf,
    state: Mutex<(FileMark, Arc<Users>)>,
}

impl UserStore {
    /// The users of a file. A file that cannot be used lets nobody in until it is mended, and keeps nothing else from
    /// starting: after a power cut the plant must be controlled although somebody has to look for a backup first.
    #[must_use]
    pub fn open(path: &Path) -> UserStore {
        let mark = mark(path);
        let users = Users::load(path).unwrap_or_else(|error| {
            tracing::error!(error = with_causes(&error), "nobody can log in until the users file is mended");
            Users::default()
        });
        UserStore { path: path.to_owned(), state: Mutex::new((mark, Arc::new(users))) }
    }

    /// The users as of now. A file that has become unreadable changes nothing until it is mended.
    #[must_use]
    pub fn current(&self) -> Arc<Users> {
        let mark = mark(&self.path);
        let mut state = self.state.lock();
        if state.0 != mark {
            state.0 = mark;
            match Users::load(&self.path) {
                Ok(users) => state.1 = Arc::new(users),
                Err(error) => tracing::error!(
                    error = with_causes(&error),
                    "users file changed but cannot be used; the old users stay"
                ),
            }
        }
        state.1.clone()
    }
}

fn mark(path: &Path) -> FileMark {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), meta.ino(), (meta.ctime(), meta.ctime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_survive_the_file_and_only_their_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        assert!(Users::load(&path).unwrap().is_empty());
        let mut users = Users::default();
        users.set("li", Role::Operator, "correct horse").unwrap();
        users.save(&path).unwrap();
        users.set("王工", Role::Engineer, "另一个足够长的密码吧").unwrap();
        users.save(&path).unwrap();
        let read = Users::load(&path).unwrap();
        assert_eq!(read.verify("li", "correct horse"), Some(Role::Operator));
        assert_eq!(read.verify("王工", "另一个足够长的密码吧"), Some(Role::Engineer));
        assert_eq!(read.verify("li", "correct horsf"), None);
        assert_eq!(read.verify("nobody", "correct horse"), None);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["users.json"]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("$argon2id$") && !text.contains("correct"), "{text}");
    }

    #[test]
    fn weak_passwords_and_odd_names_are_refused() {
        let mut users = Users::default();
        assert!(matches!(users.set("li", Role::Viewer, "short"), Err(UsersError::Password(_))));
        assert!(matches!(users.set("li", Role::Viewer, &"x".repeat(257)), Err(UsersError::Password(_))));
        for name in ["", "a b", "a/b", "a\n", &"x".repeat(49)] {
            assert!(matches!(users.set(name, Role::Viewer, "long enough"), Err(UsersError::Name(_))), "{name:?}");
        }
        assert!(users.is_empty());
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        for text in [
            "",
            "{}",
            r#"{"version":9,"users":[]}"#,
            r#"{"version":1,"users":[{"name":"a","role":"boss","hash":"x"}]}"#,
            r#"{"version":1,"users":[{"name":"a","role":"viewer","hash":"plain text"}]}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(Users::load(&path).unwrap_err().to_string().contains("users.json"), "{text}");
        }
    }

    #[test]
    fn a_store_sees_a_changed_file_and_keeps_the_old_users_over_a_broken_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        let store = UserStore::open(&path);
        assert!(store.current().is_empty());
        let mut users = Users::default();
        users.set("li", Role::Operator, "correct horse").unwrap();
        users.save(&path).unwrap();
        assert!(store.current().standing("li").is_some());
        fs::write(&path, "broken").unwrap();
        assert!(store.current().standing("li").is_some());
    }

    #[test]
    fn a_store_over_a_damaged_file_lets_nobody_in_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        fs::write(&path, "{half").unwrap();
        let store = UserStore::open(&path);
        assert!(store.current().is_empty());
        let mut users = Users::default();
        users.set("li", Role::Operator, "correct horse").unwrap();
        users.save(&path).unwrap();
        assert!(store.current().standing("li").is_some());
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let (a, b) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!((a.len(), b.len()), (RANDOM_PASSWORD_CHARS, RANDOM_PASSWORD_CHARS));
        assert_ne!(a, b);
    }
}
