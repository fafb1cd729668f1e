//! Inputs that a script reads without asking first whether they can be used, and the outputs that a bad one takes along.
//!
//! A bad input that is read ends the scan: every output that was not assigned before becomes bad. So the analysis walks
//! `scan` along its paths and keeps two sets on each: the inputs known to be usable, and the outputs surely assigned.
//! It errs to the side of telling: what it cannot follow counts as not asked.

use crate::declare::Declaration;
use crate::host::place;
use rhai::{AST, ASTNode, BinaryExpr, Expr, FlowControl, FnCallExpr, Position, Stmt, StmtBlock, SwitchCasesCollection};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// An input that is read where nothing has asked whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnguardedRead {
    /// The input's name.
    pub input: String,
    /// Line of the first such read, from 1; 0 where unknown.
    pub line: u32,
    /// Its column, from 1; 0 where unknown.
    pub column: u32,
    /// The outputs that become bad with it, in the order of their declaration.
    pub outputs: Vec<String>,
}

/// Every unguarded read of a script, one for each input, in the order of the text. `ast` as written, not optimised;
/// `io` is what `scan` calls its parameter.
pub(crate) fn unguarded_reads(ast: &AST, io: &str, declaration: &Declaration) -> Vec<UnguardedRead> {
    let functions = ast.iter_functions().map(|f| {
        let mut body = ast.clone_functions_only();
        body.retain_functions(|_, _, name, n| name == f.name && n == f.params.len());
        ((f.name, f.params.len()), (f.params.clone(), body))
    });
    let mut walk = Walk {
        inputs: declaration.inputs.iter().map(|p| p.name.as_str()).collect(),
        outputs: declaration.outputs.iter().map(|p| p.name.as_str()).collect(),
        functions: functions.collect(),
        changed: changed(ast),
        running: Vec::new(),
        io: io.to_owned(),
        left_early: false,
        found: BTreeMap::new(),
    };
    let mut path = Path::default();
    walk.body(("scan", 1), &mut path);
    let mut found: Vec<UnguardedRead> = walk
        .found
        .into_iter()
        .map(|(input, (line, column, taken))| {
            let outputs = walk.outputs.iter().filter(|o| taken.contains(**o)).map(|o| (*o).to_owned()).collect();
            UnguardedRead { input, line, column, outputs }
        })
        .collect();
    found.sort_by_key(|read| (read.line, read.column));
    found
}

/// Variables that are assigned after their `let`: what was once known of them may not hold.
fn changed(ast: &AST) -> HashSet<String> {
    let mut names = HashSet::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last()
            && let Expr::Variable(x, ..) = &assignment.1.lhs
        {
            names.insert(x.1.to_string());
        }
        true
    });
    names
}

/// Inputs that are usable where a condition holds, and where it does not.
#[derive(Debug, Clone, Default)]
struct Facts {
    yes: BTreeSet<String>,
    no: BTreeSet<String>,
}

impl Facts {
    fn swapped(self) -> Facts {
        Facts { yes: self.no, no: self.yes }
    }
}

/// What is known at one place of a path.
#[derive(Debug, Clone, Default)]
struct Path {
    usable: BTreeSet<String>,
    assigned: BTreeSet<String>,
    /// What variables say.
    known: HashMap<String, Facts>,
    /// Nothing after this place is run.
    ended: bool,
}

impl Path {
    fn with(&self, usable: &BTreeSet<String>) -> Path {
        let mut path = self.clone();
        path.usable.extend(usable.iter().cloned());
        path
    }

    /// Where two paths meet: what both know. A path that has ended does not come to the meeting.
    fn meet(self, other: Path) -> Path {
        match (self.ended, other.ended) {
            (true, _) => other,
            (false, true) => self,
            (false, false) => {
                Path { usable: &self.usable & &other.usable, assigned: &self.assigned & &other.assigned, ..self }
            }
        }
    }
}

/// A function of the script by name and number of parameters: the parameters' names, and a tree that holds it alone.
type Functions<'a> = HashMap<(&'a str, usize), (Vec<&'a str>, AST)>;

struct Walk<'a> {
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    functions: Functions<'a>,
    changed: HashSet<String>,
    /// Functions under way: one that calls itself is not followed twice.
    running: Vec<(String, usize)>,
    /// What `io` is called here.
    io: String,
    /// The function under way may end before its last line.
    left_early: bool,
    /// By input: line and column of the first read, and the outputs it takes along.
    found: BTreeMap<String, (u32, u32, BTreeSet<String>)>,
}

impl Walk<'_> {
    /// The statements of one of the script's functions, where it is not under way already.
    fn body(&mut self, key: (&str, usize), path: &mut Path) {
        let Some((_, body)) = self.functions.get(&key) else { return };
        let owned = (key.0.to_owned(), key.1);
        if self.running.contains(&owned) {
            return;
        }
        let body = body.clone();
        self.running.push(owned);
        body.walk(&mut |nodes| {
            if let [ASTNode::Stmt(statement)] = nodes {
                self.statement(statement, path);
            }
            true
        });
        self.running.pop();
    }

    /// A call of one of the script's functions with `io` among its arguments: what it reads, the scan reads.
    fn call(&mut self, call: &FnCallExpr, path: &mut Path) {
        let Some(place) = call.args.iter().position(|a| self.is_io(a)) else { return };
        let key = (call.name.as_str(), call.args.len());
        let Some(name) = self.functions.get(&key).and_then(|(names, _)| names.get(place)).map(|n| (*n).to_owned())
        else {
            return;
        };
        let (outer, early) = (std::mem::replace(&mut self.io, name), std::mem::take(&mut self.left_early));
        let mut inner = Path { known: HashMap::new(), ..path.clone() };
        self.body(key, &mut inner);
        if !self.left_early {
            path.usable = inner.usable;
            path.assigned = inner.assigned;
        }
        (self.io, self.left_early) = (outer, early);
    }

    fn is_io(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Variable(x, ..) if x.1.as_str() == self.io)
    }

    fn block(&mut self, block: &StmtBlock, path: &mut Path) {
        let known = path.known.clone();
        for statement in block.statements() {
            self.statement(statement, path);
        }
        // A variable of the block may have hidden one outside it.
        path.known = known;
    }

    fn statement(&mut self, statement: &Stmt, path: &mut Path) {
        if path.ended {
            return;
        }
        match statement {
            Stmt::If(flow, _) => self.branch(flow, path),
            Stmt::Switch(parts, _) => self.switch(&parts.0, &parts.1, path),
            Stmt::While(flow, _) => {
                let facts = self.expr(&flow.expr, path);
                self.block(&flow.body, &mut path.with(&facts.yes));
            }
            Stmt::Do(flow, ..) => {
                let mut inner = path.clone();
                self.block(&flow.body, &mut inner);
                self.expr(&flow.expr, &mut inner);
            }
            Stmt::For(parts, _) => {
                self.expr(&parts.2.expr, path);
                self.block(&parts.2.body, &mut path.clone());
            }
            Stmt::Var(parts, ..) => {
                let facts = self.expr(&parts.1, path);
                let name = parts.0.name.to_string();
                if self.changed.contains(&name) {
                    path.known.remove(&name);
                } else {
                    path.known.insert(name, facts);
                }
            }
            Stmt::Assignment(parts) => self.assignment(parts.0.is_op_assignment(), &parts.1, path),
            Stmt::FnCall(call, _) => {
                self.function(call, path);
            }
            Stmt::Block(block) => self.block(block, path),
            Stmt::TryCatch(flow, _) => {
                self.block(&flow.body, &mut path.clone());
                self.block(&flow.branch, &mut path.clone());
            }
            Stmt::Expr(expr) => {
                self.expr(expr, path);
            }
            Stmt::BreakLoop(value, ..) => {
                self.maybe(value.as_deref(), path);
                path.ended = true;
            }
            Stmt::Return(value, ..) => {
                self.maybe(value.as_deref(), path);
                path.ended = true;
                self.left_early = true;
            }
            _ => {}
        }
    }

    fn maybe(&mut self, expr: Option<&Expr>, path: &mut Path) {
        if let Some(expr) = expr {
            self.expr(expr, path);
        }
    }

    fn branch(&mut self, flow: &FlowControl, path: &mut Path) {
        let facts = self.expr(&flow.expr, path);
        let (mut yes, mut no) = (path.with(&facts.yes), path.with(&facts.no));
        self.block(&flow.body, &mut yes);
        self.block(&flow.branch, &mut no);
        *path = yes.meet(no);
    }

    fn switch(&mut self, subject: &Expr, cases: &SwitchCasesCollection, path: &mut Path) {
        self.expr(subject, path);
        // Without a default no case may be taken.
        let mut met = cases.def_case.is_none().then(|| path.clone());
        for case in &cases.expressions {
            let mut taken = path.clone();
            let facts = self.expr(&case.lhs, &mut taken);
            taken = taken.with(&facts.yes);
            self.expr(&case.rhs, &mut taken);
            met = Some(match met {
                Some(other) => other.meet(taken),
                None => taken,
            });
        }
        *path = met.unwrap_or_else(|| path.clone());
    }

    fn assignment(&mut self, with_operator: bool, sides: &BinaryExpr, path: &mut Path) {
        self.expr(&sides.rhs, path);
        match &sides.lhs {
            Expr::Dot(dot, ..) if self.is_io(&dot.lhs) => match &dot.rhs {
                Expr::Property(p, _) if !with_operator || self.outputs.contains(&p.2.as_str()) => {
                    path.assigned.insert(p.2.to_string());
                }
                _ => {}
            },
            Expr::Variable(..) => {}
            other => {
                self.expr(other, path);
            }
        }
    }

    /// Reads of an expression in the order in which it is evaluated, and what it says where it is a condition.
    fn expr(&mut self, expr: &Expr, path: &mut Path) -> Facts {
        if path.ended {
            return Facts::default();
        }
        match expr {
            Expr::Variable(x, ..) => return path.known.get(x.1.as_str()).cloned().unwrap_or_default(),
            Expr::FnCall(call, _) => return self.function(call, path),
            Expr::Dot(dot, ..) | Expr::Index(dot, ..) if self.is_io(&dot.lhs) => return self.access(&dot.rhs, path),
            Expr::Dot(dot, ..) | Expr::Index(dot, ..) => {
                self.expr(&dot.lhs, path);
                self.link(&dot.rhs, path);
            }
            Expr::And(parts, _) => return self.chain(parts, path, true),
            Expr::Or(parts, _) => return self.chain(parts, path, false),
            Expr::Coalesce(parts, _) => {
                let mut rest = parts.iter();
                self.maybe(rest.next(), path);
                let mut inner = path.clone();
                rest.for_each(|part| {
                    self.expr(part, &mut inner);
                });
            }
            Expr::Array(parts, _) | Expr::InterpolatedString(parts, _) => {
                for part in parts {
                    self.expr(part, path);
                }
            }
            Expr::Map(map, _) => {
                for (_, part) in &map.0 {
                    self.expr(part, path);
                }
            }
            Expr::Stmt(block) => self.block(block, path),
            _ => {}
        }
        Facts::default()
    }

    /// `a && b && …` (`all`) or `a || b || …`: each part is evaluated where the ones before it left the answer open.
    fn chain(&mut self, parts: &[Expr], path: &mut Path, all: bool) -> Facts {
        let mut open: Option<Path> = None;
        let mut closed: Option<BTreeSet<String>> = None;
        for part in parts {
            let here = open.as_mut().unwrap_or(path);
            let facts = self.expr(part, here);
            let facts = if all { facts } else { facts.swapped() };
            let ends = &here.usable | &facts.no;
            closed = Some(closed.map_or_else(|| ends.clone(), |before| &before & &ends));
            open = Some(here.with(&facts.yes));
        }
        let facts = Facts { yes: open.map(|p| p.usable).unwrap_or_default(), no: closed.unwrap_or_default() };
        if all { facts } else { facts.swapped() }
    }

    fn function(&mut self, call: &FnCallExpr, path: &mut Path) -> Facts {
        let mut facts: Vec<Facts> = call.args.iter().map(|a| self.expr(a, path)).collect();
        match (call.name.as_str(), call.args.len()) {
            ("!", 1) => facts.pop().unwrap_or_default().swapped(),
            ("==", 2) => self.quality_is(&call.args[0], &call.args[1]),
            ("!=", 2) => self.quality_is(&call.args[0], &call.args[1]).swapped(),
            _ => {
                self.call(call, path);
                Facts::default()
            }
        }
    }

    /// `io.quality("x") == "good"`.
    fn quality_is(&self, left: &Expr, right: &Expr) -> Facts {
        let mut facts = Facts::default();
        for (asked, word) in [(left, right), (right, left)] {
            if let (Expr::Dot(dot, ..), Expr::StringConstant(word, _)) = (asked, word)
                && self.is_io(&dot.lhs)
                && let Expr::MethodCall(call, _) = &dot.rhs
                && call.name == "quality"
                && let Some(Expr::StringConstant(name, _)) = call.args.first()
                && (word == "good" || word.starts_with("uncertain"))
            {
                facts.yes.insert(name.to_string());
            }
        }
        facts
    }

    /// What stands behind `io.`.
    fn access(&mut self, rhs: &Expr, path: &mut Path) -> Facts {
        match rhs {
            Expr::Property(p, at) => self.read(p.2.as_str(), *at, path),
            // `io["x"]`
            Expr::StringConstant(name, at) => self.read(name.as_str(), *at, path),
            Expr::MethodCall(call, _) => {
                call.args.iter().for_each(|a| {
                    self.expr(a, path);
                });
                if let ("good" | "usable", Some(Expr::StringConstant(name, _))) =
                    (call.name.as_str(), call.args.first())
                {
                    return Facts { yes: BTreeSet::from([name.to_string()]), no: BTreeSet::new() };
                }
            }
            Expr::Dot(more, ..) | Expr::Index(more, ..) => {
                self.access(&more.lhs, path);
                self.link(&more.rhs, path);
            }
            other => {
                self.expr(other, path);
            }
        }
        Facts::default()
    }

    /// A further link of a chain: its arguments are read, its name is nobody's of ours.
    fn link(&mut self, rhs: &Expr, path: &mut Path) {
        match rhs {
            Expr::Property(..) => {}
            Expr::MethodCall(call, _) => call.args.iter().for_each(|a| {
                self.expr(a, path);
            }),
            Expr::Dot(more, ..) | Expr::Index(more, ..) => {
                self.link(&more.lhs, path);
                self.link(&more.rhs, path);
            }
            other => {
                self.expr(other, path);
            }
        }
    }

    fn read(&mut self, name: &str, at: Position, path: &mut Path) {
        if self.inputs.contains(&name) && path.usable.insert(name.to_owned()) {
            let (line, column) = place(at);
            let open = self.outputs.iter().filter(|o| !path.assigned.contains(**o)).map(|o| (*o).to_owned());
            let entry = self.found.entry(name.to_owned()).or_insert((line, column, BTreeSet::new()));
            (entry.0, entry.1) = (entry.0, entry.1).min((line, column));
            entry.2.extend(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Script;

    /// The unguarded reads of a scan with inputs `a`, `b` and outputs `x`, `y`: `input@line x,y` each.
    fn reads(body: &str) -> String {
        let source = format!(
            "fn declare(p) {{ p.input(\"a\", \"\"); p.input(\"b\", \"\"); p.output(\"x\", \"\"); p.output(\"y\", \"\"); p.block(\"loop\", pid()); p.state(\"n\", 0.0); p.param(\"k\", \"\", 1.0); }}\nfn scan(io) {{\n{body}\n}}\nfn twice(z) {{ z.a * 2.0 }}\nfn begin(z) {{ z.x = 1.0; }}\nfn maybe(z) {{ if z.k > 1.0 {{ return; }} z.x = z.b; }}"
        );
        let script = Script::compile("test", &source).unwrap_or_else(|e| panic!("{body}: {e:?}"));
        let said =
            script.unguarded_reads().iter().map(|r| format!("{}@{} {}", r.input, r.line - 2, r.outputs.join(",")));
        said.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_bare_read_takes_along_what_is_not_assigned_before_it() {
        for (body, wanted) in [
            ("io.x = io.a;\nio.y = io.b;", "a@1 x,y; b@2 y"),
            ("io.x = 1.0; io.y = 2.0; io.n = io.a;", "a@1 "),
            ("if io.k > 1.0 { io.x = 1.0; }\nio.y = io.a;", "a@2 x,y"),
            ("if io.k > 1.0 { io.x = 1.0; } else { io.x = 2.0; }\nio.y = io.a;", "a@2 y"),
            ("io.keep(\"x\");\nio.y = io.a;", "a@2 x,y"),
            ("let v = [1.0, io.a];", "a@1 x,y"),
            ("io.x = io.loop.run(io.a, io.b, #{ kp: io.b, min: 0, max: 1 });", "a@1 x,y; b@1 x,y"),
            ("io.x = io[\"a\"];", "a@1 x,y"),
            ("io.n += io.a;", "a@1 x,y"),
            ("io.x = `${io.a}`.len() + 0.0;", "a@1 x,y"),
            ("for i in 0..3 { io.x = io.a; }\nio.y = io.a;", "a@1 x,y"),
            ("switch io.k { 1.0 => { io.x = 1.0; }, _ => { io.x = 2.0; } }\nio.y = io.a;", "a@2 y"),
            ("switch io.k { 1.0 => { io.x = 1.0; } }\nio.y = io.a;", "a@2 x,y"),
            ("io.x = twice(io);", "a@3 x,y"),
            ("begin(io);\nio.y = io.a;", "a@2 y"),
            ("maybe(io);\nio.y = io.a;", "a@2 x,y; b@6 x,y"),
        ] {
            assert_eq!(reads(body), wanted, "{body}");
        }
    }

    #[test]
    fn what_was_asked_before_is_no_bare_read() {
        for body in [
            "if io.good(\"a\") { io.x = io.a; }",
            "if io.usable(\"a\") && io.a > 1.0 { io.x = io.a; }",
            "if !io.usable(\"a\") { io.x = 1.0; return; }\nio.x = io.a;",
            "if !io.usable(\"a\") || io.a < 1.0 { return; }\nio.x = io.a;",
            "let ok = io.good(\"a\") && io.good(\"b\"); if ok { io.x = io.a + io.b; }",
            "let bad = !(io.good(\"a\") && io.good(\"b\")); if bad { return; } io.x = io.a + io.b;",
            "if !io.good(\"a\") || !io.good(\"b\") { return; } io.x = io.a + io.b;",
            "if io.quality(\"a\") == \"good\" { io.x = io.a; }",
            "if io.quality(\"a\") != \"good\" { return; } io.x = io.a;",
            "io.x = io.or(\"a\", 1.0);",
            "let v = if io.good(\"a\") { io.a } else { 0.0 }; io.x = v;",
            "io.x = io.age(\"a\");",
        ] {
            assert_eq!(reads(body), "", "{body}");
        }
    }

    #[test]
    fn a_guard_that_does_not_hold_is_none() {
        for body in [
            "if io.good(\"b\") { io.x = io.a; }",
            "if io.good(\"a\") || io.good(\"b\") { io.x = io.a; }",
            "if !io.good(\"a\") { io.x = 1.0; }\nio.x = io.a;",
            "if !io.good(\"a\") && io.k > 1.0 { return; }\nio.x = io.a;",
            "let ok = io.good(\"a\"); ok = true; if ok { io.x = io.a; }",
            "let ok = io.good(\"b\"); { let ok = io.good(\"a\"); } if ok { io.x = io.a; }",
            "while io.good(\"a\") { break; }\nio.x = io.a;",
            "if io.quality(\"a\") == \"bad: link\" { io.x = io.a; }",
            "if io.k > 1.0 { io.x = io.a; }\nelse { io.x = io.a; }",
        ] {
            let got = reads(body);
            assert!(got.starts_with("a@") && !got.contains("b@"), "{body}: {got}");
        }
    }
}
