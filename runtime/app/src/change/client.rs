//! `penstock diff`, `apply`, `history` and `rollback`: the person's side of a change.

use super::control::{self, Answer, Order, Question};
use super::diff::{Difference, differences};
use super::history::{self, Entry, Kind, Outcome};
use super::words::Words;
use crate::config::{Loaded, Overrides, load};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer may take: a large site is read, checked and taken by slow tasks.
const ANSWER_WAIT: Duration = Duration::from_secs(120);
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where, and in which language.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Site folder.
    site: PathBuf,
    /// State folder of the running site, as given to `run`.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
    /// Language of what is printed: zh or en. Default: that of the environment, else en.
    #[arg(long, value_parser = ["zh", "en"])]
    lang: Option<String>,
}

/// `penstock diff`
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    common: Common,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// Who changes, why, and on what probation.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Who is responsible; beside the account of the operating system.
    #[arg(long)]
    by: Option<String>,
    /// Why; kept in the history.
    #[arg(long, default_value = "")]
    comment: String,
    /// For this long a fault or an overrun of what was changed leads back by itself; 0s: never.
    #[arg(long, default_value = "10min", value_parser = crate::cli::duration)]
    probation: Duration,
    /// Ends the probation of the change before, and keeps that change.
    #[arg(long)]
    keep: bool,
}

/// `penstock reset`
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    /// Name of the task.
    task: String,
    /// State folder of the running site, as given to `run`.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
    /// Who is responsible; beside the account of the operating system.
    #[arg(long)]
    by: Option<String>,
    /// Language of what is printed: zh or en. Default: that of the environment, else en.
    #[arg(long, value_parser = ["zh", "en"])]
    lang: Option<String>,
}

/// What was compared with the folder.
struct Compared {
    /// The configuration that runs, or ran last.
    entry: Entry,
    new: Loaded,
    found: Vec<Difference>,
}

/// `penstock apply`
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    common: Common,
    /// At the next scan of each task, without asking: the same as --yes.
    #[arg(long)]
    at_scan: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// `penstock history`
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    common: Common,
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
}

/// `penstock rollback`
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    common: Common,
    /// Number of the configuration to go back to; the one before where none is given.
    number: Option<u32>,
    #[command(flatten)]
    order: OrderArgs,
}

fn language(given: Option<&str>) -> &str {
    let chinese = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .is_some_and(|v| v.starts_with("zh"));
    given.unwrap_or(if chinese { "zh" } else { "en" })
}

impl Common {
    fn language(&self) -> &str {
        language(self.lang.as_deref())
    }

    fn load(&self) -> Result<Loaded, String> {
        load(&self.site, &Overrides::default()).map_err(|d| d.to_string())
    }

    /// Compares the folder with the configuration of this number, which runs, or with the one that ran last. Where its copy
    /// is damaged, with the newest one before it that is whole, which is said.
    fn compared(&self, running: Option<u32>) -> Result<Compared, String> {
        let new = self.load()?;
        let (entries, broken) = history::ran(&self.state)?;
        for name in broken {
            complain!("warning: entry {name} of the history cannot be read");
        }
        let newest = entries.iter().rev().find(|e| running.is_none_or(|number| e.number <= number));
        let Some(newest) = newest else {
            return Err(format!(
                "{} holds no configuration that ran: give the state folder of the running site with --state",
                self.state.display()
            ));
        };
        if newest.site_id != new.site.id {
            return Err(format!(
                "the state folder {} is of the site `{}`, and {} is `{}`",
                self.state.display(),
                newest.site_id,
                self.site.display(),
                new.site.id
            ));
        }
        let wanted = running.unwrap_or(newest.number);
        let mut wrong = (newest.number != wanted).then(|| format!("configuration {wanted} is not in the history"));
        for entry in entries.iter().rev().filter(|e| e.number <= wanted && e.site_id == newest.site_id) {
            match history::configuration(&self.state, entry, &Overrides::default()) {
                Ok(old) => {
                    if let Some(why) = wrong {
                        let n = entry.number;
                        complain!(
                            "{}",
                            Words::new(
                                format!("警告：{why}。以下是与较早的配置 {n} 的差异，而不是与运行配置 {wanted} 的差异"),
                                format!(
                                    "warning: {why}. What follows differs from configuration {n}, the newest whole one, and not \
                                     from configuration {wanted}, which runs or ran last"
                                ),
                            )
                            .of(self.language())
                        );
                    }
                    let found = differences(&old.site, &new.site);
                    return Ok(Compared { entry: entry.clone(), new, found });
                }
                Err(why) => wrong = Some(wrong.unwrap_or(why)),
            }
        }
        Err(format!("no configuration in {} can be compared with: {}", self.state.display(), wrong.unwrap_or_default()))
    }

    fn say(&self, words: &Words) {
        say!("{}", words.of(self.language()));
    }

    fn tell(&self, found: &[Difference]) {
        let language = self.language();
        for d in found {
            match &d.restart {
                None => {
                    say!("{} {}", if language == "zh" { "[可在线]" } else { "[live]   " }, d.words.of(language))
                }
                Some(why) => {
                    let mark = if language == "zh" { "[须重启]" } else { "[restart]" };
                    say!("{mark} {} – {}", d.words.of(language), why.of(language));
                }
            }
        }
    }
}

/// Prints what differs between the configuration that runs, or ran last, and the folder.
///
/// # Errors
/// In words for a person.
pub fn diff(args: &DiffArgs) -> Result<(), String> {
    // Where nothing runs, what ran last is compared.
    let running = ask(&args.common.state, &Question::Status).ok().map(|status| status.number);
    let Compared { entry: last, new, found } = args.common.compared(running.filter(|n| *n > 0))?;
    if args.json {
        let rows: Vec<_> = found
            .iter()
            .map(|d| serde_json::json!({ "zh": d.words.zh, "en": d.words.en, "live": d.restart.is_none(), "why": d.restart }))
            .collect();
        say!("{}", serde_json::Value::from(rows));
        return Ok(());
    }
    args.common.tell(&found);
    let kept = found.iter().filter(|d| d.restart.is_some()).count();
    let (n, same) = (last.number, last.hash == new.site.config_hash);
    args.common.say(&match (found.len(), kept) {
        (0, _) if same => Words::new(format!("与配置 {n} 相同"), format!("the same as configuration {n}")),
        (0, _) => Words::new(
            format!("与配置 {n} 仅文字排版不同"),
            format!("differs from configuration {n} in nothing that acts: comments or layout"),
        ),
        (all, 0) => Words::new(
            format!("与配置 {n} 相差 {all} 项，均可在运行中更改"),
            format!("differences from configuration {n}: {all}; all can be applied while it runs"),
        ),
        (all, kept) => Words::new(
            format!("与配置 {n} 相差 {all} 项，其中 {kept} 项须重启"),
            format!("differences from configuration {n}: {all}, of which {kept} need a restart"),
        ),
    });
    Ok(())
}

/// Has the running site take over the folder's configuration.
///
/// # Errors
/// In words for a person; nothing was changed then.
pub fn apply(args: &ApplyArgs) -> Result<(), String> {
    let common = &args.common;
    // Asked before the differences are shown: another change in between is refused.
    let status = ask(&common.state, &Question::Status)?;
    let Compared { new, found, .. } = common.compared(Some(status.number).filter(|n| *n > 0))?;
    if !new.warnings.is_empty() {
        complain!("{}", new.warnings);
    }
    common.tell(&found);
    if !found.iter().any(|d| d.restart.is_some()) && !args.at_scan {
        confirm(common, &args.order)?;
    }
    let site = std::path::absolute(&common.site).map_err(|e| format!("{}: {e}", common.site.display()))?;
    let order = args.order.order();
    let (hash, base) = (new.site.config_hash, status.hash);
    let answer = ask(&common.state, &Question::Apply { site, hash, base, order })?;
    finish(common, &answer)
}

/// Has the running site go back.
///
/// # Errors
/// In words for a person; nothing was changed then.
pub fn rollback(args: &RollbackArgs) -> Result<(), String> {
    confirm(&args.common, &args.order)?;
    let answer = ask(&args.common.state, &Question::Rollback { number: args.number, order: args.order.order() })?;
    finish(&args.common, &answer)?;
    args.common.say(&Words::new(
        "注意：站点文件夹未被改动；人工启动时以文件夹为准（崩溃后自动重启则沿用本配置）",
        "mind: the site's folder was not changed, and whoever starts the site runs what is in the folder (a restart after a crash runs this configuration)",
    ));
    Ok(())
}

/// Has the running site end the fault of a task.
///
/// # Errors
/// In words for a person.
pub fn reset(args: &ResetArgs) -> Result<(), String> {
    let answer = ask(&args.state, &Question::Reset { task: args.task.clone(), by: args.by.clone() })?;
    let words = answer.words.of(language(args.lang.as_deref())).to_owned();
    if !answer.ok {
        return Err(words);
    }
    say!("{words}");
    Ok(())
}

/// Prints what ran.
///
/// # Errors
/// In words for a person.
pub fn history(args: &HistoryArgs) -> Result<(), String> {
    let common = &args.common;
    let (entries, broken) = history::list(&common.state)?;
    for name in broken {
        complain!("warning: entry {name} cannot be read");
    }
    if args.json {
        say!("{}", serde_json::to_string(&entries).map_err(|e| e.to_string())?);
        return Ok(());
    }
    let folder = load(&common.site, &Overrides::default());
    let zone = folder.as_ref().map_or_else(|_| String::new(), |l| l.site.time_zone.clone());
    let language = common.language();
    for e in &entries {
        let kind = match (e.kind, language) {
            (Kind::Start, "zh") => "启动",
            (Kind::Apply, "zh") => "更改",
            (Kind::Rollback, "zh") => "回退",
            (Kind::Automatic, "zh") => "自动回退",
            (Kind::Restart, "zh") => "崩溃后重启",
            (Kind::Start, _) => "start",
            (Kind::Apply, _) => "apply",
            (Kind::Rollback, _) => "rollback",
            (Kind::Automatic, _) => "automatic rollback",
            (Kind::Restart, _) => "restart after a crash",
        };
        let of = e.of.map_or(String::new(), |n| format!(" → {n}"));
        let time = control::shown_time(e.at_ms, &zone);
        say!("{:>4}  {time}  {kind}{of}  {}  {}  {}", e.number, e.hash, e.who, e.comment);
        if let Some(words) = never_ran(e) {
            say!("      {}", words.of(language));
        }
        for line in &e.lines {
            say!("      {}", line.of(language));
        }
    }
    match entries.iter().rev().find(|e| e.outcome == Outcome::Ran) {
        None => common.say(&Words::new("没有运行过的配置", "nothing has run on this state folder")),
        Some(last) => tell_folder(common, last, folder.as_ref().map(|l| l.site.config_hash.as_str()).ok()),
    }
    Ok(())
}

/// What to tell of an entry that did not run.
fn never_ran(entry: &Entry) -> Option<Words> {
    let empty = Words::new("", "");
    let why = entry.why.as_ref().unwrap_or(&empty);
    match entry.outcome {
        Outcome::Ran => None,
        Outcome::Asked => Some(Words::new("已请求，未确认生效", "asked for; it is not known to have run")),
        Outcome::Refused => {
            Some(Words::new(format!("已拒绝，从未运行：{}", why.zh), format!("refused, never ran: {}", why.en)))
        }
    }
}

/// Says where the folder, of this hash or with mistakes, is not what ran last.
fn tell_folder(common: &Common, last: &Entry, hash: Option<&str>) {
    let n = last.number;
    match hash {
        Some(hash) if hash == last.hash => {}
        Some(_) => common.say(&Words::new(
            format!("站点文件夹不是配置 {n}：用 penstock diff 查看，用 penstock apply 生效"),
            format!("the site's folder is not configuration {n}: penstock diff shows what differs, penstock apply puts it in force"),
        )),
        None => common.say(&Words::new(
            format!("站点文件夹有误，不是配置 {n}：用 penstock check 查看"),
            format!("the site's folder has mistakes and is not configuration {n}: penstock check lists them"),
        )),
    }
}

impl OrderArgs {
    fn order(&self) -> Order {
        Order {
            by: self.by.clone(),
            comment: self.comment.clone(),
            probation_s: self.probation.as_secs(),
            keep: self.keep,
        }
    }
}

fn confirm(common: &Common, order: &OrderArgs) -> Result<(), String> {
    let question = Words::new("在运行中更改？输入 yes 确认：", "Change it while it runs? Type yes:");
    if order.yes { Ok(()) } else { confirmed(question.of(common.language())) }
}

/// Asks whoever sits at the terminal.
///
/// # Errors
/// Where nobody can be asked, or the answer is not `yes`.
pub(crate) fn confirmed(question: &str) -> Result<(), String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err("nobody can be asked here: add --yes".to_owned());
    }
    say!("{question}");
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(|e| e.to_string())?;
    if line.trim() == "yes" { Ok(()) } else { Err("not confirmed; nothing was changed".to_owned()) }
}

/// Which configuration runs on a state folder.
///
/// # Errors
/// Where none answers; in words for a person.
pub fn status(state: &Path) -> Result<Answer, String> {
    ask(state, &Question::Status)
}

pub(crate) fn ask(state: &Path, question: &Question) -> Result<Answer, String> {
    let path = control::socket(state);
    let gone = |e: std::io::Error| {
        format!("{}: {e}: does the site run, with this state folder, and as this user?", path.display())
    };
    let mut stream = UnixStream::connect(&path).map_err(gone)?;
    stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(gone)?;
    let mut text = serde_json::to_string(question).map_err(|e| e.to_string())?;
    text.push('\n');
    stream.write_all(text.as_bytes()).map_err(gone)?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).map_err(gone)?;
    serde_json::from_str(&line).map_err(|e| format!("the running site answered something else: {e}"))
}

fn finish(common: &Common, answer: &Answer) -> Result<(), String> {
    if !answer.ok {
        return Err(answer.words.of(common.language()).to_owned());
    }
    common.say(&answer.words);
    for line in &answer.lines {
        common.say(line);
    }
    if let Some(left) = answer.probation_s {
        common.say(&Words::new(
            format!("试运行 {left} s：期间出错将自动回退"),
            format!("on probation for {left} s: a fault or an overrun leads back by itself"),
        ));
    }
    Ok(())
}
