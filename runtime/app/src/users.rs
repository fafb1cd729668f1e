//! `penstock user`: who may log in to the HMI.

use penstock_hmi::Users;
use penstock_model::{Role, with_causes};
use std::path::PathBuf;

/// What can be done with users.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum UserVerb {
    /// Add a user, or give an existing one a new role and password. The password is read from standard input, or made
    /// and printed when nothing comes.
    Add {
        /// Name to log in with.
        name: String,
        /// viewer, operator or engineer.
        #[arg(long, value_parser = role)]
        role: Role,
        /// State folder of the site.
        #[arg(long, default_value = "var/penstock")]
        state: PathBuf,
        /// Read the password from standard input instead of making one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users and their roles.
    List {
        /// State folder of the site.
        #[arg(long, default_value = "var/penstock")]
        state: PathBuf,
    },
    /// Remove a user.
    Remove {
        /// Name of the user.
        name: String,
        /// State folder of the site.
        #[arg(long, default_value = "var/penstock")]
        state: PathBuf,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("`{text}` is no role; there are viewer, operator, engineer"))
}

/// Carries it out.
///
/// # Errors
/// In words for a person.
pub fn run(verb: UserVerb) -> Result<(), String> {
    let text = |e: &dyn std::error::Error| with_causes(e);
    match verb {
        UserVerb::Add { name, role, state, password_stdin } => {
            std::fs::create_dir_all(&state).map_err(|e| format!("state directory {}: {e}", state.display()))?;
            let file = state.join("users.json");
            let mut users = Users::load(&file).map_err(|e| text(&e))?;
            let password = if password_stdin {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map_err(|e| format!("password: {e}"))?;
                line.trim_end_matches(['\n', '\r']).to_owned()
            } else {
                penstock_hmi::random_password().map_err(|e| text(&e))?
            };
            users.set(&name, role, &password).map_err(|e| text(&e))?;
            users.save(&file).map_err(|e| text(&e))?;
            if password_stdin {
                say!("{name} ({})", role.as_str());
            } else {
                say!("{name} ({}) password {password}", role.as_str());
            }
            Ok(())
        }
        UserVerb::List { state } => {
            let users = Users::load(&state.join("users.json")).map_err(|e| text(&e))?;
            for (name, role) in users.list() {
                say!("{name} {}", role.as_str());
            }
            Ok(())
        }
        UserVerb::Remove { name, state } => {
            let file = state.join("users.json");
            let mut users = Users::load(&file).map_err(|e| text(&e))?;
            if !users.remove(&name) {
                return Err(format!("there is no user `{name}` in {}", file.display()));
            }
            users.save(&file).map_err(|e| text(&e))
        }
    }
}
