//! Other scripts and parameters in the place of those that ran.

use crate::config::Site;
use crate::diagnostics::suggest;
use penstock_engine::{EngineConfig, ProgramDef, Script};
use penstock_model::Value;
use std::path::{Path, PathBuf};

/// What is to be other than it was.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Alter {
    /// Another script for a program, as <program>=<file.rhai>; may be repeated.
    #[arg(long = "program", value_name = "PROGRAM=FILE", value_parser = pair)]
    programs: Vec<(String, String)>,
    /// Another value of a parameter, as <parameter>=<value> or <program>.<parameter>=<value>; may be repeated.
    #[arg(long = "set", value_name = "PARAMETER=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (left, right) = text.split_once('=').ok_or("give it as <name>=<value>")?;
    Ok((left.trim().to_owned(), right.trim().to_owned()))
}

impl Alter {
    /// True where nothing is other.
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty() && self.params.is_empty()
    }

    /// The engine's configuration of a recorded site with what is other in it, and the programs that are. `scripts` is a
    /// folder whose files take the place of scripts of their names.
    ///
    /// # Errors
    /// In words, with the nearest names: a program, parameter or file that is not there, a script that does not compile.
    pub fn apply(&self, site: &Site, scripts: Option<&Path>) -> Result<(EngineConfig, Vec<String>), String> {
        let mut config = plain(site);
        let mut other = Vec::new();
        if let Some(folder) = scripts {
            for program in &mut config.programs {
                let name = Path::new(program.script.name()).file_name().map(PathBuf::from).unwrap_or_default();
                let file = folder.join(name);
                if file.is_file() {
                    program.script = compile(program.script.name(), &file)?;
                    other.push(program.name.to_string());
                }
            }
            if other.is_empty() {
                return Err(format!("{} holds no script of a program of this site", folder.display()));
            }
        }
        for (name, file) in &self.programs {
            let program = find(&mut config.programs, name)?;
            program.script = compile(program.script.name(), Path::new(file))?;
            other.push(name.clone());
        }
        for (name, value) in &self.params {
            other.push(self.set(&mut config.programs, name, value)?);
        }
        other.sort();
        other.dedup();
        Ok((config, other))
    }

    fn set(&self, programs: &mut [ProgramDef], name: &str, value: &str) -> Result<String, String> {
        let chosen: Vec<&str> = self.programs.iter().map(|(p, _)| p.as_str()).collect();
        let (program, param) = match name.rsplit_once('.') {
            Some((program, param)) => (find(programs, program)?, param),
            None => {
                let has = |p: &ProgramDef| p.script.declaration().params.iter().any(|d| d.name == name);
                let named = |p: &ProgramDef| chosen.is_empty() || chosen.contains(&&*p.name);
                let of: Vec<usize> =
                    (0..programs.len()).filter(|i| has(&programs[*i]) && named(&programs[*i])).collect();
                match of[..] {
                    [one] => (&mut programs[one], name),
                    [] => {
                        let all = programs.iter().filter(|p| named(p)).flat_map(|p| &p.script.declaration().params);
                        let help = suggest(name, all.map(|d| d.name.as_str())).unwrap_or_default();
                        return Err(format!("no program takes a parameter `{name}`; {help}"));
                    }
                    _ => {
                        let names: Vec<&str> = of.iter().map(|i| &*programs[*i].name).collect();
                        return Err(format!(
                            "`{name}` is a parameter of several programs: write <program>.{name}, with one of {}",
                            names.join(", ")
                        ));
                    }
                }
            }
        };
        let params = &program.script.declaration().params;
        let Some(decl) = params.iter().find(|d| d.name == param) else {
            let help = suggest(param, params.iter().map(|d| d.name.as_str())).unwrap_or_default();
            return Err(format!("program `{}` has no parameter `{param}`; {help}", program.name));
        };
        let parsed = match value {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            text => match text.parse::<f64>() {
                Ok(x) => Value::Float(x),
                Err(_) => Value::Float(crate::cli::duration(text)?.as_secs_f64()),
            },
        };
        let taken = decl.accept(&parsed).map_err(|e| format!("program `{}`: parameter `{param}` {e}", program.name))?;
        program.params.retain(|(n, _)| n != param);
        program.params.push((param.to_owned(), taken));
        Ok(program.name.to_string())
    }
}

fn find<'a>(programs: &'a mut [ProgramDef], name: &str) -> Result<&'a mut ProgramDef, String> {
    match programs.iter().position(|p| *p.name == *name) {
        Some(i) => Ok(&mut programs[i]),
        None => {
            let help = suggest(name, programs.iter().map(|p| &*p.name)).unwrap_or_default();
            Err(format!("the site has no program `{name}`; {help}"))
        }
    }
}

fn compile(name: &str, file: &Path) -> Result<Script, String> {
    let source = std::fs::read_to_string(file).map_err(|e| format!("script {}: {e}", file.display()))?;
    Script::compile(name, &source).map_err(|errors| {
        let lines = errors.iter().map(|e| {
            let help = e.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{}:{e}{help}", file.display())
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// The engine's configuration of a site, with nothing entered before: what was is in the keyframes.
pub fn plain(site: &Site) -> EngineConfig {
    EngineConfig {
        tags: site.tags.clone(),
        tasks: site.tasks.clone(),
        programs: site.programs.clone(),
        alarms: Vec::new(),
        objects: site.objects.clone(),
        devices: site.devices.iter().map(|d| d.name.clone()).collect(),
        entries: Vec::new(),
    }
}
