//! What a script declares about itself in `fn declare(p)`, and the `p` it does so with.

use crate::block::BlockKind;
use crate::host::{Fail, fail, number};
use crate::io;
use parking_lot::Mutex;
use penstock_model::{Text, Unit, Value, ValueType};
use rhai::Dynamic;
use std::sync::Arc;

/// Everything a script declares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declaration {
    /// What a person calls the program.
    pub title: Text,
    /// Inputs in the order of declaration.
    pub inputs: Vec<PortDecl>,
    /// Outputs in the order of declaration.
    pub outputs: Vec<PortDecl>,
    /// Parameters in the order of declaration.
    pub params: Vec<ParamDecl>,
    /// Function blocks by name.
    pub blocks: Vec<(String, BlockKind)>,
    /// Plain retained variables with their initial values.
    pub states: Vec<(String, Value)>,
}

/// An input or output of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct PortDecl {
    /// Its name in the script.
    pub name: String,
    /// Its unit; none for switches and whole numbers.
    pub unit: Unit,
    /// Its type.
    pub value_type: ValueType,
    /// True: it may stay unbound.
    pub optional: bool,
}

/// A parameter of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamDecl {
    /// Its name in the script.
    pub name: String,
    /// Its unit; `s` takes durations in the site's files.
    pub unit: Unit,
    /// Its type.
    pub value_type: ValueType,
    /// The value where the site gives none.
    pub default: Option<Value>,
    /// Smallest and largest value; numbers only.
    pub limits: Option<(f64, f64)>,
}

impl ParamDecl {
    /// `value` as this parameter takes it.
    ///
    /// # Errors
    /// In words, when the type does not fit, the number is not finite, or it lies outside the limits.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let taken = value
            .convert(self.value_type)
            .ok_or_else(|| format!("takes a {}, not a {}", self.value_type, value.value_type()))?;
        if !taken.is_finite() {
            return Err("takes a finite number".to_owned());
        }
        match (self.limits, taken.as_f64()) {
            (Some((low, high)), Some(x)) if x < low || x > high => Err(format!("{x} is outside {low}..{high}")),
            _ => Ok(taken),
        }
    }
}

impl Declaration {
    /// Every name that `io.<name>` may be, in the order inputs, outputs, parameters, blocks, states.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let ports = self.inputs.iter().chain(&self.outputs).map(|p| p.name.as_str());
        let params = self.params.iter().map(|p| p.name.as_str());
        let rest = self.blocks.iter().map(|(n, _)| n.as_str()).chain(self.states.iter().map(|(n, _)| n.as_str()));
        ports.chain(params).chain(rest)
    }
}

/// What a name in a script is made of.
pub(crate) const NAME_RULE: &str = "names are letters (a to z, A to Z), digits and `_`, no digit first";

/// The `p` of `declare(p)`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Declarer(Arc<Mutex<Declaration>>);

impl Declarer {
    pub fn finish(&self) -> Declaration {
        self.0.lock().clone()
    }

    fn fresh(&self, name: &str) -> Result<(), Fail> {
        if !rhai::is_valid_identifier(name) {
            return Err(fail(format!("`{name}` is not a name: {NAME_RULE}")));
        }
        if io::RESERVED.contains(&name) {
            return Err(fail(format!("`{name}` is a word of `io` itself; choose another name")));
        }
        if self.0.lock().names().any(|n| n == name) {
            return Err(fail(format!("`{name}` is declared twice")));
        }
        Ok(())
    }

    fn port(&mut self, output: bool, name: &str, unit: &str, value_type: ValueType) -> Result<(), Fail> {
        self.fresh(name)?;
        let port = PortDecl { name: name.to_owned(), unit: parse_unit(name, unit)?, value_type, optional: false };
        let mut declaration = self.0.lock();
        if output {
            declaration.outputs.push(port)
        } else {
            declaration.inputs.push(port)
        }
        Ok(())
    }

    fn optional(&mut self, name: &str) -> Result<(), Fail> {
        let mut declaration = self.0.lock();
        let Declaration { inputs, outputs, .. } = &mut *declaration;
        let port = inputs.iter_mut().chain(outputs).find(|p| p.name == name);
        port.ok_or_else(|| fail(format!("`{name}` is no input or output declared before")))?.optional = true;
        Ok(())
    }

    fn param(
        &mut self,
        name: &str,
        unit: &str,
        value_type: ValueType,
        default: Option<Dynamic>,
        limits: Option<(Dynamic, Dynamic)>,
    ) -> Result<(), Fail> {
        self.fresh(name)?;
        let limits = match limits {
            None => None,
            Some((low, high)) => match (number(&low), number(&high)) {
                (Some(low), Some(high)) if low <= high && low.is_finite() && high.is_finite() => Some((low, high)),
                _ => return Err(fail(format!("`{name}`: limits are two numbers, the smaller first"))),
            },
        };
        let mut param =
            ParamDecl { name: name.to_owned(), unit: parse_unit(name, unit)?, value_type, default: None, limits };
        if let Some(value) = default.filter(|v| !v.is_unit()) {
            let value = io::from_script(&value, value_type).map_err(|e| fail(format!("`{name}`: the default {e}")))?;
            let value = param.accept(&value).map_err(|e| fail(format!("`{name}`: the default {e}")))?;
            param.default = Some(value);
        }
        self.0.lock().params.push(param);
        Ok(())
    }

    fn block(&mut self, name: &str, kind: BlockKind) -> Result<(), Fail> {
        self.fresh(name)?;
        self.0.lock().blocks.push((name.to_owned(), kind));
        Ok(())
    }

    fn state(&mut self, name: &str, value: &Dynamic) -> Result<(), Fail> {
        self.fresh(name)?;
        let wanted = if value.is_bool() {
            ValueType::Bool
        } else if value.is_int() {
            ValueType::Int
        } else {
            ValueType::Float
        };
        let value = io::from_script(value, wanted).map_err(|e| fail(format!("`{name}`: the initial value {e}")))?;
        self.0.lock().states.push((name.to_owned(), value));
        Ok(())
    }
}

fn parse_unit(name: &str, unit: &str) -> Result<Unit, Fail> {
    if unit == Unit::ANY.as_str() {
        return Ok(Unit::ANY);
    }
    Unit::parse(unit).map_err(|e| {
        let help = crate::nearest::did_you_mean(unit, Unit::all()).map(|h| format!(" ({h})")).unwrap_or_default();
        fail(format!("`{name}`: {e}{help}"))
    })
}

pub(crate) fn register(engine: &mut rhai::Engine) {
    use ValueType::{Bool, Float, Int};
    engine.register_type_with_name::<Declarer>("declaration");
    engine.register_type_with_name::<BlockKind>("block kind");
    engine.register_fn("title", |p: &mut Declarer, zh: &str, en: &str| p.0.lock().title = Text::new(zh, en));
    engine.register_fn("title", |p: &mut Declarer, text: &str| p.0.lock().title = Text::same(text));
    for (output, word) in [(false, "input"), (true, "output")] {
        engine.register_fn(word, move |p: &mut Declarer, n: &str, unit: &str| p.port(output, n, unit, Float));
        engine.register_fn(format!("{word}_bool"), move |p: &mut Declarer, n: &str| p.port(output, n, "", Bool));
        engine.register_fn(format!("{word}_int"), move |p: &mut Declarer, n: &str| p.port(output, n, "", Int));
    }
    engine.register_fn("optional", |p: &mut Declarer, n: &str| p.optional(n));
    engine.register_fn("param", |p: &mut Declarer, n: &str, unit: &str| p.param(n, unit, Float, None, None));
    engine.register_fn("param", |p: &mut Declarer, n: &str, unit: &str, default: Dynamic| {
        p.param(n, unit, Float, Some(default), None)
    });
    engine.register_fn(
        "param",
        |p: &mut Declarer, n: &str, unit: &str, default: Dynamic, low: Dynamic, high: Dynamic| {
            p.param(n, unit, Float, Some(default), Some((low, high)))
        },
    );
    engine.register_fn("param_bool", |p: &mut Declarer, n: &str| p.param(n, "", Bool, None, None));
    engine.register_fn("param_bool", |p: &mut Declarer, n: &str, default: Dynamic| {
        p.param(n, "", Bool, Some(default), None)
    });
    engine.register_fn("param_int", |p: &mut Declarer, n: &str| p.param(n, "", Int, None, None));
    engine.register_fn("param_int", |p: &mut Declarer, n: &str, default: Dynamic| {
        p.param(n, "", Int, Some(default), None)
    });
    engine.register_fn("param_int", |p: &mut Declarer, n: &str, default: Dynamic, low: Dynamic, high: Dynamic| {
        p.param(n, "", Int, Some(default), Some((low, high)))
    });
    engine.register_fn("block", |p: &mut Declarer, n: &str, kind: BlockKind| p.block(n, kind));
    engine.register_fn("state", |p: &mut Declarer, n: &str, value: Dynamic| p.state(n, &value));
}
