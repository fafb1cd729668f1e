//! What can be found wrong in a script without running it: unknown functions, unknown names of `io`, settings that a
//! block does not have, assignments to what cannot be assigned.

use crate::block::BlockKind;
use crate::declare::Declaration;
use crate::host::{Host, place};
use crate::io::{self, INPUT_METHODS, OUTPUT_METHODS};
use crate::members::{Member, Members};
use crate::nearest::did_you_mean;
use crate::script::ScriptError;
use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};
use std::collections::HashSet;

/// Functions that Rhai answers itself, without a registered function behind them.
const BUILT_IN: &[(&str, usize)] = &[
    ("print", 1),
    ("debug", 1),
    ("type_of", 1),
    ("is_shared", 1),
    ("curry", 2),
    ("call", 1),
    ("call", 2),
    ("call", 3),
];

pub(crate) fn error(position: Position, message: String, help: Option<String>) -> ScriptError {
    let (line, column) = place(position);
    ScriptError { line, column, message, help }
}

/// Calls of functions that do not exist, by name and number of arguments.
pub(crate) fn unknown_functions(ast: &AST, host: &Host) -> Vec<ScriptError> {
    let mut known: HashSet<(String, usize)> = host.functions().into_iter().collect();
    known.extend(BUILT_IN.iter().map(|(n, a)| ((*n).to_owned(), *a)));
    let own: HashSet<(String, usize)> = ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        let (call, arguments, position) = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                (call, call.args.len(), *at)
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) => (call, call.args.len() + 1, *at),
            _ => return true,
        };
        let name = call.name.as_str();
        if call.op_token.is_some() || !rhai::is_valid_identifier(name) {
            return true;
        }
        // A script's own function called as a method has its first argument in `this`.
        let exists = |n: usize| known.contains(&(name.to_owned(), n)) || own.contains(&(name.to_owned(), n));
        if !exists(arguments) && !own.contains(&(name.to_owned(), call.args.len())) {
            let names = known.iter().chain(&own).map(|(n, _)| n.as_str());
            let same_name = known.iter().chain(&own).any(|(n, _)| n == name);
            let (message, help) = if same_name {
                (format!("`{name}` does not take {} argument(s)", call.args.len()), None)
            } else {
                let mut names: Vec<&str> = names.filter(|n| rhai::is_valid_identifier(n)).collect();
                names.sort_unstable();
                (format!("there is no function `{name}`"), did_you_mean(name, names))
            };
            found.push(error(position, message, help));
        }
        true
    });
    found
}

/// Uses of `io` (whatever `scan` calls it) that the declaration does not bear out.
pub(crate) fn unknown_members(ast: &AST, io: &str, declaration: &Declaration) -> Vec<ScriptError> {
    let members = Members::of(declaration);
    let check = MemberCheck { io, declaration, members: &members };
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Dot(dot, ..))) if check.is_io(&dot.lhs) => check.access(&dot.rhs, &mut found),
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => check.assignment(&assignment.1.lhs, &mut found),
            _ => {}
        }
        true
    });
    found
}

struct MemberCheck<'a> {
    io: &'a str,
    declaration: &'a Declaration,
    members: &'a Members,
}

impl MemberCheck<'_> {
    fn is_io(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Variable(x, ..) if x.1.as_str() == self.io)
    }

    /// What stands behind `io.`: a name, a method, or a name with something behind it.
    fn access(&self, rhs: &Expr, found: &mut Vec<ScriptError>) {
        match rhs {
            Expr::Property(p, at) => {
                self.name(p.2.as_str(), *at, found);
            }
            Expr::MethodCall(call, at) => self.method(call, *at, found),
            Expr::Dot(chain, ..) | Expr::Index(chain, ..) => {
                let Expr::Property(p, at) = &chain.lhs else {
                    return self.access(&chain.lhs, found);
                };
                let member = self.name(p.2.as_str(), *at, found);
                let call = match &chain.rhs {
                    Expr::MethodCall(call, at) => Some((call, *at)),
                    Expr::Dot(more, ..) | Expr::Index(more, ..) => match &more.lhs {
                        Expr::MethodCall(call, at) => Some((call, *at)),
                        _ => None,
                    },
                    _ => None,
                };
                if let (Some(Member::Block(i)), Some((call, at))) = (member, call) {
                    self.block_call(&self.declaration.blocks[i], call, at, found);
                }
            }
            _ => {}
        }
    }

    fn name(&self, name: &str, at: Position, found: &mut Vec<ScriptError>) -> Option<Member> {
        let member = self.members.get(name);
        if member.is_none() && name != "dt" && name != "first" {
            let help = if io::RESERVED.contains(&name) {
                Some(format!("`{name}` is a function: `{}.{name}(\"…\")`", self.io))
            } else {
                did_you_mean(name, self.declaration.names().chain(["dt", "first"]))
            };
            found.push(error(at, format!("`{}.{name}` is not declared", self.io), help));
        }
        member
    }

    fn method(&self, call: &FnCallExpr, at: Position, found: &mut Vec<ScriptError>) {
        let method = call.name.as_str();
        let of_input = INPUT_METHODS.contains(&method);
        if !of_input && !OUTPUT_METHODS.contains(&method) {
            // A name that is a function elsewhere passes the check of functions, but it is none of `io`.
            let help = did_you_mean(method, io::RESERVED.iter().copied());
            found.push(error(at, format!("`{}` has no function `{method}`", self.io), help));
            return;
        }
        for port in call.args.iter().take(if method == "health" { 2 } else { 1 }) {
            let Expr::StringConstant(name, at) = port else { continue };
            self.port(method, name, *at, of_input, found);
        }
    }

    /// The name of a port in a call of a function of `io`.
    fn port(&self, method: &str, name: &str, at: Position, of_input: bool, found: &mut Vec<ScriptError>) {
        let (what, fits) = match self.members.get(name) {
            Some(Member::Input(_)) => ("an input", of_input),
            Some(Member::Output(_)) => ("an output", !of_input),
            Some(_) => ("neither input nor output", false),
            None => ("not declared", false),
        };
        if !fits {
            let ports = if of_input { &self.declaration.inputs } else { &self.declaration.outputs };
            let wanted = if of_input { "an input" } else { "an output" };
            found.push(error(
                at,
                format!("`{name}` is {what}; `{method}` takes the name of {wanted}"),
                did_you_mean(name, ports.iter().map(|p| p.name.as_str())),
            ));
        }
    }

    fn block_call(&self, block: &(String, BlockKind), call: &FnCallExpr, at: Position, found: &mut Vec<ScriptError>) {
        let (name, kind) = block;
        if call.name != "run" {
            if call.name != "reset" {
                let help = Some("a block has `run` and `reset`".to_owned());
                found.push(error(at, format!("`{name}` has no function `{}`", call.name), help));
            }
            return;
        }
        let wanted = kind.values() + usize::from(!kind.settings().is_empty());
        if call.args.len() != wanted {
            let settings = if kind.settings().is_empty() { "" } else { " and a map of settings" };
            let message = format!("`{name}` ({}) takes {} value(s){settings}", kind.as_str(), kind.values());
            found.push(error(at, message, None));
            return;
        }
        if let Some(Expr::Map(map, ..)) = call.args.last() {
            for (key, _) in &map.0 {
                if !kind.settings().contains(&key.name.as_str()) {
                    found.push(error(
                        key.pos,
                        format!("`{name}` ({}) has no setting `{}`", kind.as_str(), key.name),
                        did_you_mean(&key.name, kind.settings().iter().copied()),
                    ));
                }
            }
        }
    }

    fn assignment(&self, target: &Expr, found: &mut Vec<ScriptError>) {
        let Expr::Dot(dot, ..) = target else { return };
        let Expr::Property(p, at) = &dot.rhs else { return };
        if !self.is_io(&dot.lhs) {
            return;
        }
        let what = match self.members.get(p.2.as_str()) {
            Some(Member::Input(_)) => "an input",
            Some(Member::Param(_)) => "a parameter",
            Some(Member::Block(_)) => "a block",
            _ => return,
        };
        let help = Some("outputs and states can be assigned".to_owned());
        found.push(error(*at, format!("`{}` is {what} and cannot be assigned", p.2), help));
    }
}
